-- name: save_cells
-- The cells of one picture; read again, they replace what was kept.
INSERT INTO epochwatch.cells (sample_id, rows, columns, rgb)
VALUES (%(sample_id)s, %(rows)s, %(columns)s, %(rgb)s)
ON CONFLICT (sample_id) DO UPDATE SET
    rows = EXCLUDED.rows, columns = EXCLUDED.columns, rgb = EXCLUDED.rgb;

-- name: cells
-- The cells of these pictures, as far as they were kept.
SELECT sample_id, rows, columns, rgb FROM epochwatch.cells
WHERE sample_id = ANY (%(sample_ids)s::text[]);

-- name: have_cells
-- Which of these pictures have their cells kept.
SELECT sample_id FROM epochwatch.cells WHERE sample_id = ANY (%(sample_ids)s::text[]);

-- name: set_up
-- The training images of a run as cells; the weights its score was first set up with stay.
UPDATE epochwatch.run_setups SET
    training_cells = %(training_cells)s,
    weighting = coalesce(weighting, %(weighting)s)
WHERE run_id = %(run_id)s;

-- name: training
-- The training images of a run as cells.
SELECT s.training_cells AS digest, d.body
FROM epochwatch.run_setups s
JOIN epochwatch.documents d ON d.digest = s.training_cells
WHERE s.run_id = %(run_id)s;

-- name: save
-- What all pictures of a position say together; returns nothing when it was said before.
INSERT INTO epochwatch.set_levels (run_id, position, body)
VALUES (%(run_id)s, %(position)s, %(body)s)
ON CONFLICT (run_id, position) DO UPDATE SET body = EXCLUDED.body
WHERE epochwatch.set_levels.body <> EXCLUDED.body;

-- name: of_run
-- What all pictures of each position of a run say together.
SELECT position, body FROM epochwatch.set_levels WHERE run_id = %(run_id)s ORDER BY position;
