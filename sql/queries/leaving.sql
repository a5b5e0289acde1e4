-- name: run
-- A run as far as it decides whether its machine may be left.
SELECT tr.id, tr.run_name, tr.status, coalesce(tr.position_unit, 'epoch') AS unit, tr.output_dir, s.blocked_reason,
    a.body AS advice,
    (SELECT concat_ws(' ', count(j.finished_at), count(j.parked_reason))
     FROM epochwatch.grids g JOIN epochwatch.jobs j ON j.grid_id = g.id WHERE g.run_id = tr.id) AS tests_over,
    (SELECT max(g.position) FROM epochwatch.grids g
     JOIN epochwatch.jobs j ON j.grid_id = g.id AND j.finished_at IS NOT NULL
     JOIN epochwatch.grid_samples gs ON gs.grid_id = g.id
     JOIN epochwatch.measurements m ON m.sample_id = gs.sample_id AND m.rubric = gs.rubric
     JOIN epochwatch.checkpoints c ON c.run_id = g.run_id AND c.sha256 = g.body ->> 'sha256'
        AND NOT c.superseded AND c.position IS NOT NULL
     WHERE g.run_id = tr.id AND g.purpose = 'epoch'
       AND coalesce(m.visual, m.style, m.prompt) IS NOT NULL) AS last_scored
FROM public.training_runs tr
LEFT JOIN epochwatch.run_setups s ON s.run_id = tr.id
LEFT JOIN LATERAL (SELECT body FROM epochwatch.advice
    WHERE run_id = tr.id ORDER BY current_at DESC, id DESC LIMIT 1) a ON TRUE
WHERE tr.run_name = %(run_name)s;

-- name: checkpoints
-- Its current checkpoints, and whether the test of each is over.
SELECT c.sha256, c.position, c.is_final, c.host, w.uri, w.invalid_reason,
    EXISTS (SELECT FROM epochwatch.actions a WHERE a.key = concat('keep/', c.sha256)) AS chosen,
    w.invalid_reason IS NOT NULL OR (
        EXISTS (SELECT FROM epochwatch.grids g
            WHERE g.run_id = c.run_id AND g.purpose = 'epoch' AND g.body ->> 'sha256' = c.sha256)
        AND NOT EXISTS (SELECT FROM epochwatch.grids g LEFT JOIN epochwatch.jobs j ON j.grid_id = g.id
            WHERE g.run_id = c.run_id AND g.purpose = 'epoch' AND g.body ->> 'sha256' = c.sha256
              AND (g.planned_at IS NULL OR (j.finished_at IS NULL AND j.parked_reason IS NULL)))) AS over
FROM epochwatch.checkpoints c JOIN epochwatch.weights w USING (sha256)
WHERE c.run_id = %(run_id)s AND NOT c.superseded AND (c.position IS NOT NULL OR c.is_final)
ORDER BY c.position, c.sha256;

-- name: open_work
-- Its grids that are not over, by what they are for.
SELECT g.purpose, count(DISTINCT coalesce(j.id, -g.id)) AS open
FROM epochwatch.grids g LEFT JOIN epochwatch.jobs j ON j.grid_id = g.id
WHERE g.run_id = %(run_id)s AND (g.planned_at IS NULL OR (j.id IS NOT NULL AND j.finished_at IS NULL AND j.parked_reason IS NULL))
GROUP BY g.purpose;

-- name: machines
-- The machines its checkpoints came from, and when each was heard last.
SELECT h.name, h.state, h.detail, extract(epoch FROM now() - h.last_seen)::float AS silent_seconds,
    ARRAY(SELECT DISTINCT s.root FROM epochwatch.sightings s
          JOIN epochwatch.checkpoints c ON c.host = s.host AND c.source_path = s.path
          WHERE c.run_id = %(run_id)s AND c.host = h.name) AS roots
FROM epochwatch.hosts h
WHERE EXISTS (SELECT FROM epochwatch.checkpoints c WHERE c.run_id = %(run_id)s AND c.host = h.name)
ORDER BY h.name;

-- name: unsettled
-- Files in its folder that may still become checkpoints.
SELECT s.path FROM epochwatch.sightings s
WHERE s.state IN ('settling', 'incomplete', 'blocked') AND (s.host, s.root) IN (
    SELECT o.host, o.root FROM epochwatch.sightings o
    JOIN epochwatch.checkpoints c ON c.host = o.host AND c.source_path = o.path
    WHERE c.run_id = %(run_id)s)
ORDER BY s.path;

-- name: actions
-- What was decided about it and is not done, or could not be.
SELECT key, kind, state, error, tries, payload FROM epochwatch.actions
WHERE run_id = %(run_id)s AND state <> 'done';

-- name: production
-- What of it is in production, or was decided to be.
SELECT DISTINCT p.sha256, p.position, p.live_at IS NOT NULL AS live FROM epochwatch.promotions p
WHERE p.run_id = %(run_id)s AND p.id = (SELECT max(id) FROM epochwatch.promotions o WHERE o.channel = p.channel);

-- name: images
-- The hashes of its images: all of the pick's, and of the others a sample.
(SELECT i.image_sha256 FROM epochwatch.grids g
 JOIN epochwatch.grid_samples gs ON gs.grid_id = g.id
 JOIN epochwatch.images i ON i.sample_id = gs.sample_id
 WHERE g.run_id = %(run_id)s AND g.position = %(pick)s AND i.image_sha256 IS NOT NULL)
UNION
(SELECT i.image_sha256 FROM epochwatch.grids g
 JOIN epochwatch.grid_samples gs ON gs.grid_id = g.id
 JOIN epochwatch.images i ON i.sample_id = gs.sample_id
 WHERE g.run_id = %(run_id)s AND i.image_sha256 IS NOT NULL
 ORDER BY random() LIMIT %(most)s);

-- name: claim
-- The command that follows is run by whoever's word stands here; the first one does.
INSERT INTO epochwatch.actions (key, kind, run_id, payload, state, host, done_at)
VALUES (%(key)s, 'hook', %(run_id)s, %(payload)s, 'done', %(host)s, now())
ON CONFLICT (key) DO UPDATE SET key = EXCLUDED.key
RETURNING payload ->> 'token' AS token, host, error, created_at;

-- name: outcome
-- How the command ended.
UPDATE epochwatch.actions SET error = %(note)s WHERE key = %(key)s;
