-- name: remember
-- How the trainer of this host's runs may be stopped: what a person said when the daemon was started.
UPDATE epochwatch.run_setups s SET stopping = %(stopping)s
FROM public.training_runs tr
WHERE tr.id = s.run_id AND tr.status = 'in_progress' AND s.stopping IS DISTINCT FROM %(stopping)s
  AND EXISTS (SELECT FROM epochwatch.checkpoints c WHERE c.run_id = s.run_id AND c.host = %(host)s);

-- name: set
-- How the trainer of one run may be stopped.
UPDATE epochwatch.run_setups SET stopping = %(stopping)s
WHERE run_id = %(run_id)s AND stopping IS DISTINCT FROM %(stopping)s;

-- name: candidates
-- Runs in progress whose trainer this host may tell to stop and has not.
SELECT s.run_id, s.stopping ->> 'how' AS how
FROM epochwatch.run_setups s JOIN public.training_runs tr ON tr.id = s.run_id
WHERE tr.status = 'in_progress' AND s.stopping IS NOT NULL
  AND (s.stopping ->> 'host' = %(host)s OR s.stopping ->> 'how' = 'trainer')
  AND NOT EXISTS (SELECT FROM epochwatch.actions a WHERE a.key = concat('stop/', s.run_id,
      CASE WHEN (s.stopping ->> 'dry_run')::boolean THEN '/dry-run' ELSE '' END));

-- name: situation
-- Everything a stop of a run is judged by.
SELECT tr.id AS run_id, tr.run_name, tr.position_unit, tr.status, s.stopping, a.sentence, a.body,
    (SELECT count(DISTINCT gs.sample_id)
     FROM epochwatch.grids g
     JOIN epochwatch.grid_samples gs ON gs.grid_id = g.id
     JOIN epochwatch.measurements m ON m.sample_id = gs.sample_id AND m.rubric = gs.rubric
     JOIN epochwatch.checkpoints c ON c.run_id = g.run_id AND c.sha256 = g.body ->> 'sha256' AND NOT c.superseded
     WHERE g.run_id = tr.id AND g.purpose = 'epoch' AND g.position = (a.body ->> 'latest')::int
       AND gs.category <> 'bleeding (not scored)'
       AND coalesce(m.visual, m.style, m.prompt) IS NOT NULL) AS units_in_latest,
    coalesce((SELECT (b.body ->> 'stop')::boolean FROM epochwatch.advice b
     WHERE b.run_id = tr.id AND (b.body ->> 'latest')::int < (a.body ->> 'latest')::int
     ORDER BY (b.body ->> 'latest')::int DESC, b.current_at DESC, b.id DESC LIMIT 1), FALSE) AS advised_before,
    EXISTS (SELECT FROM epochwatch.actions x WHERE x.key = concat('stop/', tr.id)) AS stopped_before,
    EXISTS (SELECT FROM epochwatch.actions x WHERE x.key = concat('alert/', tr.id, '/budget/', round(s.budget, 4), '/100')) AS budget_spent,
    l.source_path, l.last_saved,
    NOT EXISTS (SELECT FROM epochwatch.checkpoints o
        WHERE o.run_id <> tr.id AND o.host = l.host AND o.admitted_at > l.admitted_at) AS is_newest
FROM public.training_runs tr
JOIN epochwatch.run_setups s ON s.run_id = tr.id
LEFT JOIN LATERAL (SELECT sentence, body FROM epochwatch.advice
    WHERE run_id = tr.id ORDER BY current_at DESC, id DESC LIMIT 1) a ON TRUE
LEFT JOIN LATERAL (SELECT source_path, host, admitted_at,
        least(admitted_at, coalesce(saved_at, closed_at)) AS last_saved FROM epochwatch.checkpoints
    WHERE run_id = tr.id ORDER BY admitted_at DESC, registered_at DESC LIMIT 1) l ON TRUE
WHERE tr.id = %(run_id)s;

-- name: begin
-- From here on it counts as done, whatever becomes of us: nobody begins it again.
UPDATE epochwatch.actions SET payload = payload || jsonb_build_object('began', now())
WHERE key = %(key)s AND state = 'pending' AND NOT payload ? 'began'
  AND created_at > now() - interval '10 minutes'
RETURNING key;

-- name: told
-- The stop that a wrapped trainer is asked for and has not begun.
SELECT key, kind, run_id, payload, created_at FROM epochwatch.actions
WHERE host = %(host)s AND kind = 'stop' AND state = 'pending' AND NOT payload ? 'began';
