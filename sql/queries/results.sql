-- name: add_image
-- The first image of a sample stands.
INSERT INTO epochwatch.images (sample_id, image_sha256, defect, width, height, seconds, host, provenance)
VALUES (%(sample_id)s, %(image_sha256)s, %(defect)s, %(width)s, %(height)s, %(seconds)s, %(host)s, %(provenance)s)
ON CONFLICT (sample_id) DO NOTHING;

-- name: add_measurement
-- What was measured on a sample under a rubric.
INSERT INTO epochwatch.measurements (sample_id, rubric, visual, style, prompt, body)
VALUES (%(sample_id)s, %(rubric)s, %(visual)s, %(style)s, %(prompt)s, %(body)s)
ON CONFLICT (sample_id, rubric) DO NOTHING;

-- name: of_run
-- Every measured or failed image of a run's own epoch tests, with whether its epoch's test is over.
-- A second look adds its images when it is over; until then the first test stands. What shows bleeding is in no score.
SELECT * FROM (
    SELECT DISTINCT ON (c.position, gs.sample_id)
           c.position, c.sha256, c.source_path, c.file_name, c.is_final, c.saved_at, gs.sample_id, gs.prompt_name,
           gs.category, gs.origin, gs.ordinal, s.prompt, s.seed, s.recipe, i.image_sha256, i.defect, i.seconds, m.body,
           j.finished_at IS NOT NULL OR j.parked_reason IS NOT NULL AS over
    FROM epochwatch.checkpoints c
    JOIN epochwatch.grids g ON g.run_id = c.run_id AND g.purpose IN ('epoch', 'retest')
        AND g.body ->> 'sha256' = c.sha256
    JOIN epochwatch.grid_samples gs ON gs.grid_id = g.id
    JOIN epochwatch.jobs j ON j.grid_id = g.id AND j.stack_key = gs.stack_key
    JOIN epochwatch.samples s ON s.sample_id = gs.sample_id
    LEFT JOIN epochwatch.images i ON i.sample_id = gs.sample_id
    LEFT JOIN epochwatch.measurements m ON m.sample_id = gs.sample_id AND m.rubric = gs.rubric
    WHERE c.run_id = %(run_id)s AND NOT c.superseded AND c.position IS NOT NULL
      AND (g.purpose = 'epoch' OR j.finished_at IS NOT NULL)
      AND gs.category <> 'bleeding (not scored)'
    ORDER BY c.position, gs.sample_id, g.id
) tested
ORDER BY position, ordinal, prompt_name;

-- name: baseline
-- The run's images without any LoRA, by prompt.
SELECT gs.prompt_name, s.seed, i.image_sha256
FROM epochwatch.grids g
JOIN epochwatch.grid_samples gs ON gs.grid_id = g.id
JOIN epochwatch.samples s ON s.sample_id = gs.sample_id
JOIN epochwatch.images i ON i.sample_id = gs.sample_id
WHERE g.run_id = %(run_id)s AND g.purpose = 'baseline' AND i.image_sha256 IS NOT NULL
ORDER BY gs.ordinal;

-- name: save_document
-- A named body, known by its digest.
INSERT INTO epochwatch.documents (digest, kind, name, body) VALUES (%(digest)s, %(kind)s, %(name)s, %(body)s)
ON CONFLICT (digest) DO NOTHING;

-- name: document
-- The body of a document.
SELECT name, body FROM epochwatch.documents WHERE digest = %(digest)s;

-- name: add_score
-- What a person thinks of an epoch.
INSERT INTO epochwatch.scores (run_id, position, judge, visual, style, prompt, note)
VALUES (%(run_id)s, %(position)s, %(judge)s, %(visual)s, %(style)s, %(prompt)s, %(note)s);

-- name: latest_scores
-- Each judge's last word on each epoch.
SELECT DISTINCT ON (position, judge) position, judge, visual, style, prompt, note, created_at
FROM epochwatch.scores WHERE run_id = %(run_id)s ORDER BY position, judge, id DESC;

-- name: current_advice
-- The advice that stands.
SELECT evidence, sentence, body, created_at FROM epochwatch.advice
WHERE run_id = %(run_id)s ORDER BY current_at DESC, id DESC LIMIT 1;

-- name: save_advice
-- Advice on this evidence; the same evidence again becomes current again.
INSERT INTO epochwatch.advice (run_id, evidence, sentence, body, current_at)
VALUES (%(run_id)s, %(evidence)s, %(sentence)s, %(body)s, clock_timestamp())
ON CONFLICT (run_id, evidence) DO UPDATE SET current_at = clock_timestamp(),
    sentence = EXCLUDED.sentence, body = EXCLUDED.body;

-- name: tests_over
-- How many of a run's jobs are over: read before judging it, so that nothing judged is younger.
SELECT concat_ws(' ', count(j.finished_at), count(j.parked_reason)) AS seen
FROM epochwatch.grids g JOIN epochwatch.jobs j ON j.grid_id = g.id WHERE g.run_id = %(run_id)s;

-- name: confirm_advice
-- The advice that stands rests on all these tests.
UPDATE epochwatch.advice SET body = body || jsonb_build_object('tests_over', %(seen)s::text)
WHERE id = (SELECT id FROM epochwatch.advice WHERE run_id = %(run_id)s ORDER BY current_at DESC, id DESC LIMIT 1)
  AND body ->> 'tests_over' IS DISTINCT FROM %(seen)s::text;

-- name: advice_history
-- All advice that was ever given on a run, oldest first.
SELECT sentence, body, created_at FROM epochwatch.advice WHERE run_id = %(run_id)s
ORDER BY current_at, id;
