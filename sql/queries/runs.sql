-- name: lock_registration
-- One registration at a time, until the transaction ends.
SELECT pg_advisory_xact_lock(hashtext('epochwatch/registration'));

-- name: by_source
-- The run a trainer's session or folder belongs to.
SELECT run_id FROM epochwatch.run_sources WHERE source = %(source)s;

-- name: add_source
-- Remember which run a source belongs to; the first word stands.
INSERT INTO epochwatch.run_sources (source, run_id) VALUES (%(source)s, %(run_id)s)
ON CONFLICT (source) DO NOTHING;

-- name: by_name
-- The run of this name.
SELECT id FROM public.training_runs WHERE run_name = %(run_name)s;

-- name: kind_of
-- Whether the run of this name is one of LoRAs or of full models.
SELECT w.kind FROM public.training_runs tr
JOIN epochwatch.checkpoints c ON c.run_id = tr.id
JOIN epochwatch.weights w USING (sha256)
WHERE tr.run_name = %(run_name)s LIMIT 1;

-- name: resumable
-- Runs in progress that these weights could continue: same output name, kind, base, dim and alpha, and the next position fits.
SELECT tr.id
FROM public.training_runs tr
LEFT JOIN epochwatch.checkpoints c ON c.run_id = tr.id AND NOT c.superseded
WHERE tr.status = 'in_progress'
  AND coalesce(tr.output_name, tr.run_name) = %(output_name)s
  AND NOT EXISTS (SELECT FROM epochwatch.checkpoints o JOIN epochwatch.weights w USING (sha256)
                  WHERE o.run_id = tr.id AND w.kind <> %(kind)s)
  AND (tr.network_dim IS NULL OR %(rank)s::int IS NULL OR tr.network_dim = %(rank)s)
  AND (tr.network_alpha IS NULL OR %(alpha)s::float IS NULL OR tr.network_alpha = %(alpha)s)
  AND (c.run_id IS NULL OR tr.base_model IN (%(base_model)s, 'unknown') OR %(base_model)s = 'unknown')
GROUP BY tr.id
HAVING coalesce(max(c.position), 0) < coalesce(%(position)s::int, 0)
ORDER BY tr.id DESC;

-- name: names_like
-- Names already taken by this name and its numbered copies.
SELECT run_name FROM public.training_runs WHERE run_name = %(name)s OR run_name LIKE %(pattern)s;

-- name: get
-- One run with its set-up.
SELECT tr.*, s.suite, s.profile, s.base_sha256, s.strength, s.tests, s.stop, s.price_per_hour,
       s.blocked_reason
FROM public.training_runs tr
LEFT JOIN epochwatch.run_setups s ON s.run_id = tr.id
WHERE tr.id = %(run_id)s;

-- name: watched
-- Runs that have checkpoints of ours, newest first, each with a mark that changes when its evidence may have.
SELECT tr.id, tr.run_name, concat_ws('/',
    tr.status, tr.max_train_epochs, tr.total_steps, tr.position_unit,
    (SELECT concat_ws(' ', count(*), max(c.registered_at)) FROM epochwatch.checkpoints c
     WHERE c.run_id = tr.id AND NOT c.superseded),
    (SELECT concat_ws(' ', count(*), count(j.finished_at), count(j.parked_reason))
     FROM epochwatch.grids g JOIN epochwatch.jobs j ON j.grid_id = g.id WHERE g.run_id = tr.id),
    (SELECT max(s.id) FROM epochwatch.scores s WHERE s.run_id = tr.id),
    (SELECT max(p.id) FROM epochwatch.run_plans p WHERE p.run_id = tr.id),
    (SELECT count(*) FROM epochwatch.servings sv
     JOIN epochwatch.votes v ON v.serving_id = sv.id
     WHERE sv.comparison IN (SELECT g.id FROM epochwatch.grids g
                             WHERE g.run_id = tr.id AND g.purpose = 'compare')),
    (SELECT concat_ws(' ', u.stop, u.price_per_hour, u.blocked_reason, u.training_cells,
                      u.rescored_at)
     FROM epochwatch.run_setups u WHERE u.run_id = tr.id)) AS mark
FROM public.training_runs tr
WHERE EXISTS (SELECT FROM epochwatch.checkpoints c WHERE c.run_id = tr.id)
ORDER BY tr.id DESC;

-- name: unprepared
-- Runs of this host whose set-up is missing or blocked.
SELECT tr.id
FROM public.training_runs tr
LEFT JOIN epochwatch.run_setups s ON s.run_id = tr.id
WHERE (s.run_id IS NULL OR s.blocked_reason IS NOT NULL)
  AND EXISTS (SELECT FROM epochwatch.checkpoints c WHERE c.run_id = tr.id AND c.host = %(host)s);

-- name: bases_of_host
-- Base models that runs with checkpoints on this host are tested with.
SELECT DISTINCT s.run_id, s.base_sha256
FROM epochwatch.run_setups s
JOIN epochwatch.checkpoints c ON c.run_id = s.run_id
WHERE c.host = %(host)s AND s.base_sha256 IS NOT NULL;

-- name: save_setup
-- What a run is tested with. A price that stands was said by somebody, maybe while it was blocked.
INSERT INTO epochwatch.run_setups (run_id, suite, profile, base_sha256, strength, tests, stop, price_per_hour, blocked_reason, doubts)
VALUES (%(run_id)s, %(suite)s, %(profile)s, %(base_sha256)s, %(strength)s, %(tests)s, %(stop)s,
        %(price_per_hour)s, %(blocked_reason)s, %(doubts)s)
ON CONFLICT (run_id) DO UPDATE SET
    suite = EXCLUDED.suite, profile = EXCLUDED.profile, base_sha256 = EXCLUDED.base_sha256,
    strength = EXCLUDED.strength, tests = EXCLUDED.tests, stop = EXCLUDED.stop,
    price_per_hour = coalesce(run_setups.price_per_hour, EXCLUDED.price_per_hour),
    blocked_reason = EXCLUDED.blocked_reason,
    doubts = EXCLUDED.doubts;

-- name: all
-- Every run, newest first.
SELECT tr.id, tr.run_name, tr.run_date, tr.status, tr.model_type, tr.network_dim, tr.best_epoch,
       tr.quality_score, tr.overall_verdict, tr.convergence_status,
       (SELECT count(*) FROM public.epoch_results e WHERE e.training_run_id = tr.id) AS epochs_tested
FROM public.training_runs tr
ORDER BY tr.run_date DESC, tr.id DESC;

-- name: by_output_name
-- The newest run of this host that a trainer calls by this name.
SELECT tr.id FROM public.training_runs tr
WHERE tr.output_name = %(output_name)s
  AND EXISTS (SELECT FROM epochwatch.checkpoints c WHERE c.run_id = tr.id AND c.host = %(host)s)
ORDER BY tr.id DESC LIMIT 1;

-- name: epochs
-- What is known of each tested epoch of a run.
SELECT epoch_number AS epoch, visual_score AS visual, style_score AS style, prompt_score AS prompt,
       average_score AS average, verdict, picked, array_to_string(issues_detail, ', ') AS issues
FROM public.epoch_results WHERE training_run_id = %(run_id)s ORDER BY epoch_number;

-- name: suites
-- Stored suites by name or the beginning of their digest, or all of them; the newest first.
SELECT digest, name, body FROM epochwatch.documents
WHERE kind = 'suite' AND (
    %(name)s::text IS NULL OR name = %(name)s
    OR length(%(name)s) >= 8 AND starts_with(digest::text, %(name)s))
ORDER BY created_at DESC LIMIT 200;

-- name: by_folder
-- The run whose checkpoints lie in this folder.
SELECT id, run_name FROM public.training_runs WHERE output_dir = %(root)s ORDER BY id DESC LIMIT 1;

-- name: of_files
-- Runs of this host that these checkpoints belong to, newest first, with what blocks them.
SELECT tr.id, tr.run_name, s.blocked_reason
FROM public.training_runs tr
LEFT JOIN epochwatch.run_setups s ON s.run_id = tr.id
WHERE EXISTS (SELECT FROM epochwatch.checkpoints c
              WHERE c.run_id = tr.id AND c.host = %(host)s AND c.sha256 = ANY(%(sha256s)s))
ORDER BY tr.id DESC;
