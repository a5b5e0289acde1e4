-- name: all
-- Every comparison with how far its images have come, the newest first.
SELECT g.id, g.run_id, tr.run_name, g.body ->> 'title' AS title,
       jsonb_array_length(g.body -> 'slots') AS slots, g.by_whom, g.created_at, t.wanted, t.drawn,
       t.defects, q.parked_reason, coalesce(q.waiting_reason, g.body ->> 'waiting') AS waiting_reason,
       (SELECT count(*) FROM epochwatch.servings s
        WHERE s.comparison = g.id AND s.purpose = 'vote' AND (
            SELECT v.choice FROM epochwatch.votes v WHERE v.serving_id = s.id
            ORDER BY v.revision DESC LIMIT 1
        ) NOT IN ('undone', 'skip')) AS votes
FROM epochwatch.grids g
LEFT JOIN public.training_runs tr ON tr.id = g.run_id
LEFT JOIN LATERAL (
    SELECT count(*) AS wanted, count(i.sample_id) AS drawn, count(i.defect) AS defects
    FROM epochwatch.grid_samples gs
    LEFT JOIN epochwatch.images i ON i.sample_id = gs.sample_id
    WHERE gs.grid_id = g.id
) t ON TRUE
LEFT JOIN LATERAL (
    SELECT max(j.parked_reason) AS parked_reason,
           max(j.waiting_reason) FILTER (WHERE j.finished_at IS NULL) AS waiting_reason
    FROM epochwatch.jobs j WHERE j.grid_id = g.id
) q ON TRUE
WHERE g.purpose = 'compare'
ORDER BY g.id DESC LIMIT 200;

-- name: get
-- One comparison as it was asked for.
SELECT g.id, g.purpose, g.run_id, tr.run_name, g.body, g.by_whom, g.created_at,
       g.planned_at IS NOT NULL AS planned,
       coalesce((SELECT max(j.parked_reason) FROM epochwatch.jobs j WHERE j.grid_id = g.id),
                g.body ->> 'waiting') AS trouble
FROM epochwatch.grids g
LEFT JOIN public.training_runs tr ON tr.id = g.run_id
WHERE g.id = %(grid_id)s AND g.purpose IN ('compare', 'try');

-- name: by_origin
-- The grid that was asked for under this origin.
SELECT id FROM epochwatch.grids WHERE origin = %(origin)s;

-- name: pictures
-- Every image a comparison asks for, drawn or not, in the suite's order.
SELECT gs.sample_id, gs.stack_key, gs.ordinal, gs.prompt_name, gs.category, gs.expect, gs.rubric,
       s.prompt AS prompt_text, s.seed, s.recipe, i.image_sha256, i.defect, i.seconds,
       m.visual, m.style, m.prompt, (m.body ->> 'composite')::float AS composite, j.parked_reason
FROM epochwatch.grid_samples gs
JOIN epochwatch.samples s ON s.sample_id = gs.sample_id
LEFT JOIN epochwatch.images i ON i.sample_id = gs.sample_id
LEFT JOIN epochwatch.measurements m ON m.sample_id = gs.sample_id AND m.rubric = gs.rubric
LEFT JOIN epochwatch.jobs j ON j.grid_id = gs.grid_id AND j.stack_key = gs.stack_key
WHERE gs.grid_id = %(grid_id)s
ORDER BY gs.ordinal, s.seed, gs.stack_key;

-- name: drawn_of
-- How many of these images need not be drawn any more.
SELECT count(*) AS drawn FROM epochwatch.images WHERE sample_id = ANY (%(sample_ids)s::text[]);

-- name: production
-- What is in production now.
SELECT id, run_id, run_name, position, sha256, record FROM epochwatch.promotions
WHERE channel = 'production' AND live_at IS NOT NULL ORDER BY id DESC LIMIT 1;

-- name: live_checkpoint
-- What is live, by its content: a newer file may have taken its place in the run meanwhile.
SELECT c.*, w.kind
FROM epochwatch.checkpoints c
JOIN epochwatch.weights w USING (sha256)
WHERE c.run_id = %(run_id)s AND c.sha256 = %(sha256)s;

-- name: retests_of_run
-- Second looks and deeper tests that were asked for.
SELECT g.origin, g.position,
       g.planned_at IS NULL OR EXISTS (
           SELECT FROM epochwatch.jobs j
           WHERE j.grid_id = g.id AND j.finished_at IS NULL AND j.parked_reason IS NULL
       ) AS is_open
FROM epochwatch.grids g
WHERE g.run_id = %(run_id)s AND (g.purpose = 'retest' OR starts_with(g.origin, 'retest/'));

-- name: sweep_of_run
-- Every measured image of the run's checkpoints alone on its base model, at any strength, as far as a comparison asked for it.
SELECT DISTINCT ON (c.position, strength, gs.sample_id)
       c.position, s.stack #>> '{loras,0,1}' AS strength, gs.prompt_name, s.seed, m.body
FROM epochwatch.grids g
JOIN epochwatch.grid_samples gs ON gs.grid_id = g.id
JOIN epochwatch.samples s ON s.sample_id = gs.sample_id
JOIN epochwatch.run_setups u ON u.run_id = g.run_id AND u.base_sha256 = s.stack ->> 'base'
JOIN epochwatch.checkpoints c ON c.run_id = g.run_id AND NOT c.superseded
    AND c.position IS NOT NULL AND c.drawn_as = s.stack #>> '{loras,0,0}'
JOIN epochwatch.measurements m ON m.sample_id = gs.sample_id AND m.rubric = gs.rubric
JOIN epochwatch.jobs j ON j.grid_id = g.id AND j.stack_key = gs.stack_key
WHERE g.run_id = %(run_id)s AND g.purpose = 'compare' AND j.finished_at IS NOT NULL
  AND jsonb_array_length(s.stack -> 'loras') = 1
ORDER BY c.position, strength, gs.sample_id;
