-- name: all
-- The newest tries with how far their images have come.
SELECT g.id, g.run_id, g.body, g.by_whom, g.created_at, t.wanted, t.drawn, t.defects, q.drawing,
       q.parked_reason, coalesce(q.waiting_reason, g.body ->> 'waiting') AS waiting_reason, q.finished
FROM epochwatch.grids g
LEFT JOIN LATERAL (
    SELECT count(*) AS wanted, count(i.sample_id) AS drawn, count(i.defect) AS defects
    FROM epochwatch.grid_samples gs
    LEFT JOIN epochwatch.images i ON i.sample_id = gs.sample_id
    WHERE gs.grid_id = g.id
) t ON TRUE
LEFT JOIN LATERAL (
    SELECT max(j.parked_reason) AS parked_reason,
           max(j.waiting_reason) FILTER (WHERE j.finished_at IS NULL) AS waiting_reason,
           coalesce(bool_or(j.finished_at IS NULL AND j.claimed_until > now()), FALSE) AS drawing,
           coalesce(bool_and(j.finished_at IS NOT NULL), FALSE) AS finished
    FROM epochwatch.jobs j WHERE j.grid_id = g.id
) q ON TRUE
WHERE g.purpose = 'try' ORDER BY g.id DESC LIMIT %(limit)s;

-- name: one
-- One try with how far its images have come.
SELECT g.id, g.run_id, g.body, g.by_whom, g.created_at, t.wanted, t.drawn, t.defects, q.drawing,
       q.parked_reason, coalesce(q.waiting_reason, g.body ->> 'waiting') AS waiting_reason, q.finished
FROM epochwatch.grids g
LEFT JOIN LATERAL (
    SELECT count(*) AS wanted, count(i.sample_id) AS drawn, count(i.defect) AS defects
    FROM epochwatch.grid_samples gs
    LEFT JOIN epochwatch.images i ON i.sample_id = gs.sample_id
    WHERE gs.grid_id = g.id
) t ON TRUE
LEFT JOIN LATERAL (
    SELECT max(j.parked_reason) AS parked_reason,
           max(j.waiting_reason) FILTER (WHERE j.finished_at IS NULL) AS waiting_reason,
           coalesce(bool_or(j.finished_at IS NULL AND j.claimed_until > now()), FALSE) AS drawing,
           coalesce(bool_and(j.finished_at IS NOT NULL), FALSE) AS finished
    FROM epochwatch.jobs j WHERE j.grid_id = g.id
) q ON TRUE
WHERE g.purpose = 'try' AND g.id = %(grid_id)s;

-- name: failed
-- How many grids of this origin, or of an attempt after it, were given up.
SELECT count(DISTINCT g.id) AS n FROM epochwatch.grids g
JOIN epochwatch.jobs j ON j.grid_id = g.id AND j.parked_reason IS NOT NULL
WHERE g.origin = %(origin)s OR starts_with(g.origin, %(origin)s || '/');
