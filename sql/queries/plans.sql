-- name: register
-- A run's plan; the one that stands already is not registered again. Whether the run had results then is recorded with it.
INSERT INTO epochwatch.run_plans (run_id, digest, after_results, by_whom)
SELECT %(run_id)s, %(digest)s::text,
    EXISTS (SELECT FROM epochwatch.scores s WHERE s.run_id = %(run_id)s)
    OR EXISTS (SELECT FROM public.epoch_results e WHERE e.training_run_id = %(run_id)s)
    OR EXISTS (
        SELECT FROM epochwatch.grids g
        JOIN epochwatch.grid_samples gs ON gs.grid_id = g.id
        JOIN epochwatch.measurements m ON m.sample_id = gs.sample_id AND m.rubric = gs.rubric
        WHERE g.run_id = %(run_id)s AND g.purpose = 'epoch'),
    %(by_whom)s
WHERE %(digest)s::text IS DISTINCT FROM (
    SELECT p.digest FROM epochwatch.run_plans p WHERE p.run_id = %(run_id)s ORDER BY p.id DESC LIMIT 1)
RETURNING after_results;

-- name: current
-- The plan that stands.
SELECT p.digest, d.body, p.registered_at, p.after_results, p.by_whom
FROM epochwatch.run_plans p JOIN epochwatch.documents d ON d.digest = p.digest
WHERE p.run_id = %(run_id)s ORDER BY p.id DESC LIMIT 1;

-- name: history
-- Every plan that a run ever had, oldest first.
SELECT p.digest, d.name, p.registered_at, p.after_results, p.by_whom
FROM epochwatch.run_plans p JOIN epochwatch.documents d ON d.digest = p.digest
WHERE p.run_id = %(run_id)s ORDER BY p.id;

-- name: known
-- What results said before a plan was set: it counts as told, without standing among what people were told.
INSERT INTO epochwatch.actions (key, kind, run_id, payload, state, done_at)
VALUES (%(key)s, 'hook', %(run_id)s, jsonb_build_object('event', %(event)s::text), 'done', now())
ON CONFLICT (key) DO NOTHING;
