-- name: add_weights
-- A file's content; the first word stands.
INSERT INTO epochwatch.weights (sha256, kind, family, layout, body_sha256, size_bytes, facts)
VALUES (%(sha256)s, %(kind)s, %(family)s, %(layout)s, %(body_sha256)s, %(size_bytes)s, %(facts)s)
ON CONFLICT (sha256) DO NOTHING;

-- name: same_body
-- The first weights with this body: two names for the same tensors are drawn once.
SELECT sha256 FROM epochwatch.weights WHERE body_sha256 = %(body_sha256)s ORDER BY created_at, sha256 LIMIT 1;

-- name: supersede
-- Another file at this position is no longer the current one.
UPDATE epochwatch.checkpoints SET superseded = TRUE
WHERE run_id = %(run_id)s AND position = %(position)s AND sha256 <> %(sha256)s AND NOT superseded;

-- name: add
-- A checkpoint of a run; seen again, nothing changes.
INSERT INTO epochwatch.checkpoints (run_id, sha256, drawn_as, position, epoch, step, is_final, file_name,
    source_path, host, notes, saved_at, closed_at, admitted_at)
VALUES (%(run_id)s, %(sha256)s, %(drawn_as)s, %(position)s, %(epoch)s, %(step)s, %(is_final)s, %(file_name)s,
    %(source_path)s, %(host)s, %(notes)s, %(saved_at)s, %(closed_at)s, %(admitted_at)s)
ON CONFLICT (run_id, sha256) DO NOTHING;

-- name: current
-- The current checkpoints of a run, in order.
SELECT c.*, w.kind, w.family, w.layout, w.size_bytes, w.uri, w.invalid_reason, w.facts
FROM epochwatch.checkpoints c
JOIN epochwatch.weights w USING (sha256)
WHERE c.run_id = %(run_id)s AND NOT c.superseded AND c.position IS NOT NULL
ORDER BY c.position;

-- name: untested
-- Current checkpoints of prepared runs that no epoch test was asked for yet.
SELECT c.run_id, c.sha256, c.drawn_as, c.position, c.is_final, w.kind, w.family, w.invalid_reason,
       s.suite, s.profile, s.base_sha256, s.strength, s.tests, tr.max_train_epochs, tr.total_steps, tr.position_unit
FROM epochwatch.checkpoints c
JOIN epochwatch.weights w USING (sha256)
JOIN epochwatch.run_setups s USING (run_id)
JOIN public.training_runs tr ON tr.id = c.run_id
WHERE NOT c.superseded AND c.position IS NOT NULL
  AND s.blocked_reason IS NULL AND w.invalid_reason IS NULL
  AND NOT EXISTS (
      SELECT FROM epochwatch.grids g
      WHERE g.run_id = c.run_id AND g.purpose = 'epoch' AND g.body ->> 'sha256' = c.sha256
  )
ORDER BY c.run_id, c.position;

-- name: drawn_as
-- Checkpoints that are drawn as these weights, with their runs.
SELECT c.drawn_as, c.file_name, c.notes, w.family, tr.run_name
FROM epochwatch.checkpoints c
JOIN epochwatch.weights w USING (sha256)
JOIN public.training_runs tr ON tr.id = c.run_id
WHERE c.drawn_as = ANY (%(loras)s::text[]) ORDER BY c.run_id, c.position;

-- name: refuse
-- These weights can never be drawn; the reason is for a person.
UPDATE epochwatch.weights SET invalid_reason = %(reason)s WHERE sha256 = %(sha256)s;

-- name: kept
-- Where the file was copied to, so that it outlives the pod.
UPDATE epochwatch.weights SET uri = %(uri)s WHERE sha256 = %(sha256)s;

-- name: uri
-- Where the file was copied to, and its size in bytes.
SELECT uri, size_bytes FROM epochwatch.weights WHERE sha256 = %(sha256)s;

-- name: save_sighting
-- What the watcher sees now.
INSERT INTO epochwatch.sightings (host, path, root, size_bytes, mtime_ns, inode, state, reason, sha256)
VALUES (%(host)s, %(path)s, %(root)s, %(size_bytes)s, %(mtime_ns)s, %(inode)s, %(state)s, %(reason)s, %(sha256)s)
ON CONFLICT (host, path) DO UPDATE SET root = EXCLUDED.root, size_bytes = EXCLUDED.size_bytes,
    mtime_ns = EXCLUDED.mtime_ns, inode = EXCLUDED.inode, state = EXCLUDED.state,
    reason = EXCLUDED.reason, sha256 = EXCLUDED.sha256, seen_at = now();

-- name: sightings
-- What a host has seen: also its cache of hashes.
SELECT root, path, size_bytes, mtime_ns, inode, state, reason, sha256
FROM epochwatch.sightings WHERE host = %(host)s;

-- name: add_trainer_sample
-- An image the trainer itself left.
INSERT INTO epochwatch.trainer_samples (run_id, file_name, epoch, step, ordinal, seed, image_sha256)
VALUES (%(run_id)s, %(file_name)s, %(epoch)s, %(step)s, %(ordinal)s, %(seed)s, %(image_sha256)s)
ON CONFLICT (run_id, file_name) DO NOTHING;

-- name: unit
-- What a run's checkpoints are counted in: steps when it saves by step only, the last save apart.
SELECT CASE WHEN bool_or(epoch IS NULL AND step IS NOT NULL)
             AND NOT coalesce(bool_or(epoch IS NOT NULL AND NOT is_final), FALSE)
            THEN 'step' ELSE 'epoch' END AS unit
FROM epochwatch.checkpoints WHERE run_id = %(run_id)s;

-- name: displaced
-- Checkpoints that stand elsewhere than they belong, in the order they came: at the run's unit. A last save that says
-- neither epoch nor step belongs at the planned end, or after all others where no end is planned or they went past it.
WITH told AS (
    SELECT sha256, position, registered_at, superseded, CASE %(unit)s WHEN 'step' THEN step ELSE epoch END AS wanted,
           is_final AND epoch IS NULL AND step IS NULL AS is_last
    FROM epochwatch.checkpoints WHERE run_id = %(run_id)s
), ends AS (
    SELECT coalesce((SELECT max(wanted) FROM told), 0) AS seen,
           CASE %(unit)s WHEN 'step' THEN total_steps ELSE max_train_epochs END AS planned
    FROM public.training_runs WHERE id = %(run_id)s
), placed AS (
    SELECT t.sha256, t.position, t.registered_at, t.superseded,
           CASE WHEN NOT t.is_last THEN t.wanted WHEN e.planned >= e.seen THEN e.planned ELSE e.seen + 1 END AS wanted
    FROM told t CROSS JOIN ends e
)
SELECT sha256, position, wanted FROM placed
WHERE NOT superseded AND position IS DISTINCT FROM wanted
ORDER BY registered_at, sha256;

-- name: place
-- Give a checkpoint its position.
UPDATE epochwatch.checkpoints SET position = %(position)s WHERE run_id = %(run_id)s AND sha256 = %(sha256)s;

-- name: forget_position
-- Take back what the machine wrote for a position that was counted in the wrong unit.
DELETE FROM public.epoch_results e USING epochwatch.written w
WHERE w.table_name = 'epoch_results' AND w.row_id = e.id
  AND e.training_run_id = %(run_id)s AND e.epoch_number = %(position)s;

-- name: known
-- Whether a run has this file already.
SELECT sha256, host FROM epochwatch.checkpoints WHERE run_id = %(run_id)s AND sha256 = %(sha256)s;
