-- name: waiting
-- Runs of this host whose profile has not met the base model's images, though these are measured.
SELECT s.run_id, s.profile, s.suite, s.doubts, d.body, g.id AS grid_id, tr.training_data_path,
       EXISTS (SELECT FROM epochwatch.grid_samples gs JOIN epochwatch.grids o ON o.id = gs.grid_id
               WHERE o.run_id = s.run_id AND gs.profile IS DISTINCT FROM s.profile) AS is_behind
FROM epochwatch.run_setups s
JOIN public.training_runs tr ON tr.id = s.run_id
JOIN epochwatch.documents d ON d.digest = s.profile
JOIN epochwatch.grids g ON g.run_id = s.run_id AND g.purpose = 'baseline'
    AND g.planned_at IS NOT NULL AND g.body ->> 'profile' = s.profile
WHERE EXISTS (SELECT FROM epochwatch.checkpoints c WHERE c.run_id = s.run_id AND c.host = %(host)s)
  AND NOT EXISTS (SELECT FROM epochwatch.missing m WHERE m.grid_id = g.id)
ORDER BY s.run_id;

-- name: measured
-- What was measured on the pictures of a grid.
SELECT m.body FROM epochwatch.grid_samples gs
JOIN epochwatch.measurements m ON m.sample_id = gs.sample_id AND m.rubric = gs.rubric
WHERE gs.grid_id = %(grid_id)s ORDER BY gs.ordinal;

-- name: put_profile
-- From now on a run is measured by this profile, and this is to be known of it.
UPDATE epochwatch.run_setups SET profile = %(profile)s, doubts = %(doubts)s WHERE run_id = %(run_id)s;

-- name: grids_under
-- What is asked of a run under a profile.
SELECT id, purpose, body FROM epochwatch.grids
WHERE run_id = %(run_id)s AND body ->> 'profile' = %(profile)s FOR UPDATE;

-- name: put_grid
-- The same wish under another profile.
UPDATE epochwatch.grids SET body = %(body)s, origin = coalesce(%(origin)s::text, origin)
WHERE id = %(grid_id)s;
