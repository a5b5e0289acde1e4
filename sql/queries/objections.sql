-- name: add
-- A score called wrong, or that word taken back.
INSERT INTO epochwatch.score_objections (sample_id, rubric, score, direction, judge, note)
VALUES (%(sample_id)s, %(rubric)s, %(score)s, %(direction)s, %(judge)s, %(note)s);

-- name: rubric
-- The rubric that a picture of a run is shown under.
SELECT gs.rubric FROM epochwatch.grids g
JOIN epochwatch.grid_samples gs ON gs.grid_id = g.id
JOIN epochwatch.measurements m ON m.sample_id = gs.sample_id AND m.rubric = gs.rubric
WHERE g.run_id = %(run_id)s AND gs.sample_id = %(sample_id)s
ORDER BY g.purpose IN ('epoch', 'retest') DESC, g.id DESC LIMIT 1;

-- name: of_sample
-- What stands against the scores of a picture, under any rubric.
SELECT sample_id, rubric, score, direction, judge, note, created_at FROM (
    SELECT DISTINCT ON (rubric, score, judge) *
    FROM epochwatch.score_objections WHERE sample_id = %(sample_id)s
    ORDER BY rubric, score, judge, id DESC
) latest
WHERE direction <> 'withdrawn' ORDER BY created_at;

-- name: of_run
-- What stands against the scores of a run's pictures.
SELECT o.sample_id, o.rubric, o.score, o.direction, o.judge, o.note, o.created_at,
       p.position, p.prompt_name, p.seed
FROM (
    SELECT DISTINCT ON (sample_id, rubric, score, judge) *
    FROM epochwatch.score_objections
    ORDER BY sample_id, rubric, score, judge, id DESC
) o
JOIN LATERAL (
    SELECT CASE WHEN g.purpose = 'baseline' THEN NULL ELSE g.position END AS position,
           gs.prompt_name, s.seed
    FROM epochwatch.grid_samples gs
    JOIN epochwatch.grids g ON g.id = gs.grid_id AND g.run_id = %(run_id)s
    JOIN epochwatch.samples s ON s.sample_id = gs.sample_id
    WHERE gs.sample_id = o.sample_id
    ORDER BY g.purpose IN ('epoch', 'retest') DESC, g.id DESC LIMIT 1
) p ON TRUE
WHERE o.direction <> 'withdrawn' ORDER BY o.created_at;
