-- name: about
-- What a run's cost is reckoned from, besides times.
SELECT tr.id, tr.run_name, tr.status, tr.overall_verdict, tr.position_unit, s.price_per_hour, s.budget, s.gpu_name, s.tests,
    (SELECT sum(w.size_bytes) FROM epochwatch.weights w
     WHERE w.uri IS NOT NULL AND w.sha256 IN (SELECT c.sha256 FROM epochwatch.checkpoints c WHERE c.run_id = tr.id)) AS kept_bytes,
    (SELECT min((a.body ->> 'latest')::int) FROM epochwatch.advice a
     WHERE a.run_id = tr.id AND (a.body ->> 'stop')::boolean) AS first_stop
FROM public.training_runs tr LEFT JOIN epochwatch.run_setups s ON s.run_id = tr.id
WHERE tr.id = %(run_id)s;

-- name: saves
-- When each current checkpoint was saved, and when its training began.
SELECT c.position, coalesce(c.saved_at, c.closed_at) AS saved_at, w.facts ->> 'ss_training_started_at' AS began
FROM epochwatch.checkpoints c JOIN epochwatch.weights w USING (sha256)
WHERE c.run_id = %(run_id)s AND NOT c.superseded AND c.position IS NOT NULL
ORDER BY c.position;

-- name: drawn
-- Seconds of drawing by position, each image once and only what was drawn for this run; `beside` was drawn where and while it trained.
SELECT x.position, sum(x.seconds) AS seconds, count(*) FILTER (WHERE x.seconds IS NULL) AS unknown,
    sum(x.seconds) FILTER (WHERE EXISTS (
        SELECT FROM epochwatch.checkpoints c WHERE c.run_id = %(run_id)s AND c.host = x.host
        HAVING x.created_at BETWEEN min(coalesce(c.saved_at, c.closed_at)) AND max(coalesce(c.saved_at, c.closed_at)))) AS beside
FROM (
    SELECT DISTINCT ON (i.sample_id) g.position, i.seconds, i.host, i.created_at
    FROM epochwatch.grids g
    JOIN epochwatch.grid_samples gs ON gs.grid_id = g.id
    JOIN epochwatch.images i ON i.sample_id = gs.sample_id AND i.created_at >= g.created_at
    WHERE g.run_id = %(run_id)s AND i.image_sha256 IS NOT NULL
    ORDER BY i.sample_id, g.id) x
GROUP BY x.position;

-- name: fill
-- What the settings of this machine say of money goes to its runs that say nothing themselves.
UPDATE epochwatch.run_setups s SET price_per_hour = coalesce(s.price_per_hour, %(price)s),
    budget = coalesce(s.budget, %(budget)s), gpu_name = coalesce(s.gpu_name, %(gpu_name)s)
FROM public.training_runs tr
WHERE tr.id = s.run_id AND tr.status = 'in_progress'
  AND ((s.price_per_hour IS NULL AND %(price)s::numeric IS NOT NULL) OR (s.budget IS NULL AND %(budget)s::numeric IS NOT NULL)
    OR (s.gpu_name IS NULL AND %(gpu_name)s::text IS NOT NULL))
  AND EXISTS (SELECT FROM epochwatch.checkpoints c WHERE c.run_id = s.run_id AND c.host = %(host)s);

-- name: type_in
-- What a person says of a run's money; what is not said stays.
UPDATE epochwatch.run_setups SET price_per_hour = coalesce(%(price)s, price_per_hour),
    budget = coalesce(%(budget)s, budget), gpu_name = coalesce(%(gpu_name)s, gpu_name)
WHERE run_id = %(run_id)s;

-- name: watched
-- Runs of this machine whose money is looked after, with when something last happened on it.
SELECT tr.id, tr.run_name, tr.status,
    greatest((SELECT max(c.admitted_at) FROM epochwatch.checkpoints c WHERE c.host = %(host)s),
             (SELECT max(i.created_at) FROM epochwatch.images i WHERE i.host = %(host)s)) AS last_activity,
    now() AS now,
    EXISTS (SELECT FROM epochwatch.trainers t WHERE t.host = %(host)s AND t.state = 'training'
            AND t.seen_at > now() - interval '2 minutes') AS is_training
FROM public.training_runs tr
WHERE EXISTS (SELECT FROM epochwatch.checkpoints c WHERE c.run_id = tr.id AND c.host = %(host)s)
ORDER BY (SELECT max(c.admitted_at) FROM epochwatch.checkpoints c WHERE c.run_id = tr.id) DESC LIMIT 5;
