-- name: lock
-- Hold one row while its cells are compared; unlike FOR UPDATE, this leaves foreign keys to it free.
SELECT id FROM public.{table} WHERE id = %(id)s FOR NO KEY UPDATE;

-- name: free_cells
-- Which of the named cells are empty or still hold what the machine wrote. JSON compares numbers by value.
SELECT cell.key AS name
FROM public.{table} t
CROSS JOIN LATERAL jsonb_each(to_jsonb(t)) cell
LEFT JOIN epochwatch.written w ON w.table_name = %(table)s AND w.row_id = t.id
WHERE t.id = %(id)s AND cell.key = ANY (%(names)s)
  AND (cell.value = 'null' OR cell.value = w.cells -> cell.key);

-- name: fill
-- Write cells that differ, and remember them as the database stored them (rounded, in UTC, ...).
WITH stored AS (
    UPDATE public.{table} AS t SET {assignments}
    WHERE t.id = %(id)s AND ({columns}) IS DISTINCT FROM ({values})
    RETURNING t.id, to_jsonb(t) AS cells
)
INSERT INTO epochwatch.written AS w (table_name, row_id, cells)
SELECT %(table)s, stored.id, jsonb_object_agg(cell.key, cell.value)
FROM stored CROSS JOIN LATERAL jsonb_each(stored.cells) cell
WHERE cell.key = ANY (%(names)s)
GROUP BY stored.id
ON CONFLICT (table_name, row_id) DO UPDATE SET cells = w.cells || EXCLUDED.cells;

-- name: insert
-- Add a row unless its key is taken, and remember every given cell; an old memory of this id is void.
WITH stored AS (
    INSERT INTO public.{table} AS t ({columns}) VALUES ({values})
    ON CONFLICT DO NOTHING
    RETURNING t.id, to_jsonb(t) AS cells
), remembered AS (
    INSERT INTO epochwatch.written (table_name, row_id, cells)
    SELECT %(table)s, stored.id, jsonb_object_agg(cell.key, cell.value)
    FROM stored CROSS JOIN LATERAL jsonb_each(stored.cells) cell
    WHERE cell.key = ANY (%(names)s)
    GROUP BY stored.id
    ON CONFLICT (table_name, row_id) DO UPDATE SET cells = EXCLUDED.cells
)
SELECT id FROM stored;

-- name: type_in
-- Write what a person says, whatever stands there.
UPDATE public.{table} SET {assignments} WHERE id = %(id)s;

-- name: forget
-- From now on these cells are a person's.
UPDATE epochwatch.written SET cells = cells - %(names)s::text[]
WHERE table_name = %(table)s AND row_id = %(id)s;

-- name: own
-- From now on these cells are the machine's, as they stand.
INSERT INTO epochwatch.written AS w (table_name, row_id, cells)
SELECT %(table)s, t.id, jsonb_object_agg(cell.key, cell.value)
FROM public.{table} t CROSS JOIN LATERAL jsonb_each(to_jsonb(t)) cell
WHERE t.id = %(id)s AND cell.key = ANY (%(names)s)
GROUP BY t.id
ON CONFLICT (table_name, row_id) DO UPDATE SET cells = w.cells || EXCLUDED.cells;

-- name: still
-- Which cells hold just what was said of them.
SELECT cell.key AS name
FROM public.{table} t
CROSS JOIN LATERAL jsonb_each(to_jsonb(t)) cell
WHERE t.id = %(id)s AND cell.value = %(said)s::jsonb -> cell.key;

-- name: find_epoch_results
-- The row of one tested position, held like `lock` does.
SELECT id FROM public.epoch_results
WHERE training_run_id = %(training_run_id)s AND epoch_number = %(epoch_number)s
FOR NO KEY UPDATE;

-- name: find_prompt_test_results
-- The row of one image, held like `lock` does.
SELECT id FROM public.prompt_test_results
WHERE epoch_result_id = %(epoch_result_id)s AND sample_id = %(sample_id)s
FOR NO KEY UPDATE;

-- name: lock_prompt_text
-- One writer at a time for one pair of texts: the owner's table has no key on them.
SELECT pg_advisory_xact_lock(hashtextextended('epochwatch/prompt/' || %(digest)s, 0));

-- name: prompt_by_text
-- The oldest row with these texts; no negative prompt and an empty one are the same.
SELECT id FROM public.test_prompts
WHERE prompt_text = %(text)s AND coalesce(negative_prompt, '') = %(negative)s
ORDER BY id LIMIT 1;
