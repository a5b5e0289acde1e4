-- name: ask
-- Ask for a grid; the same origin asks once.
INSERT INTO epochwatch.grids (origin, run_id, purpose, position, body, priority, why, by_whom)
VALUES (%(origin)s, %(run_id)s, %(purpose)s, %(position)s, %(body)s, %(priority)s, %(why)s, %(by_whom)s)
ON CONFLICT (origin) DO NOTHING;

-- name: unplanned
-- Grids that have no samples yet, except those whose base models are still looked for.
SELECT id, run_id, purpose, position, body, priority FROM epochwatch.grids
WHERE planned_at IS NULL AND NOT body ? 'wants' ORDER BY priority DESC, id FOR UPDATE SKIP LOCKED;

-- name: add_sample
-- The definition behind a sample id; it never changes.
INSERT INTO epochwatch.samples (sample_id, stack_key, stack, prompt, seed, recipe)
VALUES (%(sample_id)s, %(stack_key)s, %(stack)s, %(prompt)s, %(seed)s, %(recipe)s)
ON CONFLICT (sample_id) DO NOTHING;

-- name: add_grid_sample
-- A sample a grid wants.
INSERT INTO epochwatch.grid_samples (grid_id, sample_id, stack_key, ordinal, prompt_name, category, origin, expect, rubric, profile, weighting)
VALUES (%(grid_id)s, %(sample_id)s, %(stack_key)s, %(ordinal)s, %(prompt_name)s, %(category)s, %(origin)s,
        %(expect)s, %(rubric)s, %(profile)s, %(weighting)s)
ON CONFLICT (grid_id, sample_id) DO NOTHING;

-- name: add_job
-- One merge of one grid.
INSERT INTO epochwatch.jobs (grid_id, stack_key, base_sha256, priority)
VALUES (%(grid_id)s, %(stack_key)s, %(base_sha256)s, %(priority)s)
ON CONFLICT (grid_id, stack_key) DO NOTHING;

-- name: planned
-- This grid has its samples and jobs.
UPDATE epochwatch.grids SET planned_at = now() WHERE id = %(grid_id)s;

-- name: claim
-- Take the most urgent open job whose base this host has. A claim that ran out may be taken again.
UPDATE epochwatch.jobs SET claimed_by = %(host)s, claimed_until = now() + interval '60 seconds',
    attempts = attempts + 1, waiting_reason = NULL
WHERE id = (
    SELECT id FROM epochwatch.jobs
    WHERE finished_at IS NULL AND parked_reason IS NULL AND not_before <= now()
      AND (claimed_until IS NULL OR claimed_until < now())
      AND base_sha256 = ANY (%(bases)s::text[])
    ORDER BY priority DESC, id LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING id, grid_id, stack_key, base_sha256, attempts;

-- name: upcoming
-- What this host would claim next and still has to draw: its base, stack and renderer. Nothing is taken.
SELECT j.base_sha256, s.stack, s.recipe ->> 'renderer' AS renderer
FROM (
    SELECT grid_id, stack_key, base_sha256 FROM epochwatch.jobs
    WHERE finished_at IS NULL AND parked_reason IS NULL AND not_before <= now()
      AND (claimed_until IS NULL OR claimed_until < now())
      AND base_sha256 = ANY (%(bases)s::text[])
    ORDER BY priority DESC, id LIMIT 1
) j
JOIN epochwatch.grid_samples gs ON gs.grid_id = j.grid_id AND gs.stack_key = j.stack_key
JOIN epochwatch.samples s ON s.sample_id = gs.sample_id
WHERE NOT EXISTS (SELECT FROM epochwatch.images i WHERE i.sample_id = gs.sample_id)
LIMIT 1;

-- name: release_host
-- A host that starts has no work in hand: what it held when it died is free again.
UPDATE epochwatch.jobs SET claimed_until = NULL
WHERE claimed_by = %(host)s AND finished_at IS NULL AND claimed_until IS NOT NULL;

-- name: renew
-- Still at it.
UPDATE epochwatch.jobs SET claimed_until = now() + interval '60 seconds'
WHERE id = %(job_id)s AND claimed_by = %(host)s;

-- name: samples_of_job
-- Everything a job has to have, and what is there.
SELECT gs.sample_id, gs.ordinal, gs.prompt_name, gs.expect, gs.rubric, gs.profile, s.prompt, s.seed,
       s.stack, s.recipe, i.image_sha256, i.defect, i.sample_id IS NOT NULL AS has_image,
       m.sample_id IS NOT NULL AS has_measurement
FROM epochwatch.jobs j
JOIN epochwatch.grid_samples gs ON gs.grid_id = j.grid_id AND gs.stack_key = j.stack_key
JOIN epochwatch.samples s ON s.sample_id = gs.sample_id
LEFT JOIN epochwatch.images i ON i.sample_id = gs.sample_id
LEFT JOIN epochwatch.measurements m ON m.sample_id = gs.sample_id AND m.rubric = gs.rubric
WHERE j.id = %(job_id)s
ORDER BY gs.ordinal;

-- name: wishes_for_sample
-- Every rubric a sample is wanted under and not measured by.
SELECT DISTINCT gs.rubric, gs.expect, gs.profile, gs.weighting, s.recipe
FROM epochwatch.grid_samples gs
JOIN epochwatch.samples s ON s.sample_id = gs.sample_id
WHERE gs.sample_id = %(sample_id)s
  AND NOT EXISTS (
      SELECT FROM epochwatch.measurements m WHERE m.sample_id = gs.sample_id AND m.rubric = gs.rubric
  );

-- name: finish
-- Close the job if nothing is missing; say whether it was closed.
UPDATE epochwatch.jobs SET finished_at = now(), claimed_until = NULL
WHERE id = %(job_id)s AND NOT EXISTS (SELECT FROM epochwatch.missing WHERE job_id = %(job_id)s)
RETURNING id;

-- name: retry_later
-- Give the job back for a while, saying why.
UPDATE epochwatch.jobs SET claimed_until = NULL, waiting_reason = %(reason)s,
    not_before = now() + make_interval(secs => %(seconds)s),
    attempts = greatest(0, attempts - %(refund)s)
WHERE id = %(job_id)s;

-- name: park
-- This job will never succeed as it is.
UPDATE epochwatch.jobs SET parked_reason = %(reason)s, claimed_until = NULL WHERE id = %(job_id)s;

-- name: run_of_job
-- The run a job's grid belongs to.
SELECT g.run_id, g.purpose, g.position, g.body, tr.run_name, coalesce(tr.position_unit, 'epoch') AS unit
FROM epochwatch.jobs j JOIN epochwatch.grids g ON g.id = j.grid_id
LEFT JOIN public.training_runs tr ON tr.id = g.run_id WHERE j.id = %(job_id)s;

-- name: renew_host
-- What a living host holds stays its own.
UPDATE epochwatch.jobs SET claimed_until = now() + interval '60 seconds'
WHERE claimed_by = %(host)s AND claimed_until > now() AND finished_at IS NULL;

-- name: open_work
-- Everything that is still to be planned, drawn or done.
SELECT (SELECT count(*) FROM epochwatch.grids WHERE planned_at IS NULL AND NOT body ? 'waiting')
     + (SELECT count(*) FROM epochwatch.jobs WHERE finished_at IS NULL AND parked_reason IS NULL)
     + (SELECT count(*) FROM epochwatch.checkpoints c
        JOIN epochwatch.weights w USING (sha256)
        LEFT JOIN epochwatch.run_setups s USING (run_id)
        WHERE NOT c.superseded AND c.position IS NOT NULL AND w.invalid_reason IS NULL
          AND s.blocked_reason IS NULL
          AND NOT EXISTS (SELECT FROM epochwatch.grids g WHERE g.run_id = c.run_id
                          AND g.purpose = 'epoch' AND g.body ->> 'sha256' = c.sha256))
     + (SELECT count(*) FROM epochwatch.actions
        WHERE state = 'pending' AND tries = 0 AND (host IS NULL OR host = %(host)s)) AS open;

-- name: progress_open
-- Images wanted by open jobs, and how many of them are measured.
SELECT count(*) AS wanted, count(m.sample_id) AS measured
FROM epochwatch.jobs j
JOIN epochwatch.grid_samples gs ON gs.grid_id = j.grid_id AND gs.stack_key = j.stack_key
LEFT JOIN epochwatch.measurements m ON m.sample_id = gs.sample_id AND m.rubric = gs.rubric
WHERE j.parked_reason IS NULL;

-- name: wanting_bases
-- Grids whose base models were named by a person and are not found on every host's disk yet.
SELECT id, body FROM epochwatch.grids WHERE planned_at IS NULL AND body ? 'wants' ORDER BY priority DESC, id;

-- name: lock_wanting
-- One of them, for the host that has found something.
SELECT id, purpose, body FROM epochwatch.grids
WHERE id = %(grid_id)s AND planned_at IS NULL AND body ? 'wants' FOR UPDATE;

-- name: save_body
-- The body of a grid whose base models were looked for.
UPDATE epochwatch.grids SET body = %(body)s WHERE id = %(grid_id)s;

-- name: refuse
-- This grid is never drawn; asked for again it is looked at anew.
WITH refused AS (
    UPDATE epochwatch.grids SET planned_at = now(), origin = origin || '/refused/' || id
    WHERE id = %(grid_id)s RETURNING id
)
INSERT INTO epochwatch.jobs (grid_id, stack_key, base_sha256, priority, parked_reason)
SELECT id, %(stack_key)s, %(base_sha256)s, 0, %(reason)s FROM refused;

-- name: named_bases
-- Base models that were found by a name and are still to be drawn with.
SELECT DISTINCT slot.value ->> 'on' AS name, j.base_sha256
FROM epochwatch.jobs j
JOIN epochwatch.grids g ON g.id = j.grid_id
JOIN LATERAL jsonb_array_elements(g.body -> 'slots') slot ON slot.value #>> '{stack,base}' = j.base_sha256
WHERE j.finished_at IS NULL AND j.parked_reason IS NULL AND slot.value ? 'on';
