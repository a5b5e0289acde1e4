-- name: run_of
-- The run a trainer saves for: the newest it has saved for since it started, by what its command line names.
SELECT c.run_id
FROM epochwatch.checkpoints c JOIN public.training_runs tr ON tr.id = c.run_id
WHERE c.host = %(host)s AND c.admitted_at >= %(started_at)s
  AND (%(output_name)s::text IS NULL OR tr.output_name = %(output_name)s OR tr.run_name = %(output_name)s)
  AND (%(folder)s::text IS NULL OR starts_with(c.source_path, %(folder)s))
  AND (coalesce(%(output_name)s::text, %(folder)s) IS NOT NULL OR NOT EXISTS (
      SELECT FROM epochwatch.trainers t
      WHERE t.host = %(host)s AND t.state = 'training' AND t.seen_at > now() - interval '2 minutes'
        AND (t.pid, t.started_at) <> (%(pid)s, %(started_at)s)))
ORDER BY c.admitted_at DESC LIMIT 1;

-- name: beat
-- A wrapped trainer says how far it is.
INSERT INTO epochwatch.trainers (host, pid, started_at, run_id, command, epoch, step, total_steps, loss, seconds_left, state, ended_at)
VALUES (%(host)s, %(pid)s, %(started_at)s, %(run_id)s, %(command)s, %(epoch)s, %(step)s, %(total_steps)s,
    %(loss)s, %(seconds_left)s, %(state)s, CASE WHEN %(state)s = 'training' THEN NULL ELSE now() END)
ON CONFLICT (host, pid, started_at) DO UPDATE SET
    run_id = coalesce(EXCLUDED.run_id, epochwatch.trainers.run_id), epoch = EXCLUDED.epoch, step = EXCLUDED.step,
    total_steps = EXCLUDED.total_steps, loss = EXCLUDED.loss, seconds_left = EXCLUDED.seconds_left,
    state = EXCLUDED.state, ended_at = EXCLUDED.ended_at, seen_at = now();

-- name: of_run
-- The trainers of a run, the newest first, with how long each was not heard of.
SELECT host, pid, started_at, command, epoch, step, total_steps, loss, seconds_left, state, ended_at, seen_at,
       extract(epoch FROM now() - seen_at)::float AS silent_seconds
FROM epochwatch.trainers WHERE run_id = %(run_id)s ORDER BY started_at DESC;
