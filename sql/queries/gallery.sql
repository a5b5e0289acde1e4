-- name: runs
-- Every run in one line, runs in progress first, then the newest.
SELECT tr.id, tr.run_name, tr.status, tr.run_date, tr.position_unit, tr.max_train_epochs, tr.model_type,
       tr.network_dim, tr.network_alpha, tr.caption_version, tr.best_epoch, tr.quality_score, tr.convergence_status,
       (SELECT count(*) FROM epochwatch.checkpoints c WHERE c.run_id = tr.id AND NOT c.superseded) AS checkpoints,
       (SELECT count(*) FROM public.epoch_results e
        WHERE e.training_run_id = tr.id AND e.average_score IS NOT NULL) AS scored
FROM public.training_runs tr
ORDER BY tr.status = 'in_progress' DESC, tr.run_date DESC, tr.id DESC
LIMIT 500;

-- name: run
-- One run with everything that is known of it, and what it is tested with.
SELECT tr.*, s.strength, s.tests, s.stop, s.price_per_hour, s.blocked_reason, s.base_sha256, s.doubts
FROM public.training_runs tr
LEFT JOIN epochwatch.run_setups s ON s.run_id = tr.id
WHERE tr.id = %(run_id)s;

-- name: advice
-- The advice that stands.
SELECT sentence, body, created_at,
       (SELECT s.body FROM epochwatch.advice s
        WHERE s.run_id = %(run_id)s AND (s.body ->> 'stop')::boolean
        ORDER BY s.created_at, s.id LIMIT 1) AS first_stop
FROM epochwatch.advice
WHERE run_id = %(run_id)s ORDER BY current_at DESC, id DESC LIMIT 1;

-- name: epochs
-- The effective result of each tested position, in order.
SELECT epoch_number AS position,
       coalesce(visual_score, visual_quality_score) AS visual,
       coalesce(style_score, style_match_score) AS style,
       coalesce(prompt_score, prompt_adherence_score) AS prompt,
       coalesce(average_score,
                round((visual_quality_score + style_match_score + prompt_adherence_score) / 3.0, 2)) AS average,
       verdict, picked, issues_detail, strengths_detail, observations,
       color_accuracy_score, style_quality_score, background_color, unique_colors, num_test_images
FROM public.epoch_results
WHERE training_run_id = %(run_id)s
ORDER BY epoch_number;

-- name: person_scores
-- Each judge's last word on each position.
SELECT DISTINCT ON (position, judge) position, judge, visual, style, prompt, note, created_at
FROM epochwatch.scores WHERE run_id = %(run_id)s
ORDER BY position, judge, id DESC;

-- name: checkpoints
-- Every checkpoint of a run with how far its test has come, the newest position first.
SELECT c.sha256, c.position, c.epoch, c.step, c.is_final, c.superseded, c.file_name, c.host, c.notes,
       c.registered_at, w.size_bytes, w.invalid_reason, t.asked, t.drawn, t.measured, t.defects,
       q.parked_reason, q.waiting_reason, q.drawing, q.attempts
FROM epochwatch.checkpoints c
JOIN epochwatch.weights w USING (sha256)
LEFT JOIN LATERAL (
    SELECT count(*) AS asked, count(i.sample_id) AS drawn, count(m.sample_id) AS measured,
           count(i.defect) AS defects
    FROM epochwatch.grids g
    JOIN epochwatch.grid_samples gs ON gs.grid_id = g.id
    LEFT JOIN epochwatch.images i ON i.sample_id = gs.sample_id
    LEFT JOIN epochwatch.measurements m ON m.sample_id = gs.sample_id AND m.rubric = gs.rubric
    WHERE g.run_id = c.run_id AND g.purpose = 'epoch' AND g.body ->> 'sha256' = c.sha256
) t ON TRUE
LEFT JOIN LATERAL (
    SELECT max(j.parked_reason) AS parked_reason,
           max(j.waiting_reason) FILTER (WHERE j.finished_at IS NULL) AS waiting_reason,
           coalesce(bool_or(j.finished_at IS NULL AND j.claimed_until > now()), FALSE) AS drawing,
           coalesce(max(j.attempts), 0) AS attempts
    FROM epochwatch.grids g
    JOIN epochwatch.jobs j ON j.grid_id = g.id
    WHERE g.run_id = c.run_id AND g.purpose = 'epoch' AND g.body ->> 'sha256' = c.sha256
) q ON TRUE
WHERE c.run_id = %(run_id)s
ORDER BY c.position DESC NULLS LAST, c.registered_at DESC;

-- name: refused
-- Files that the watcher will not use, with the reason it gave, newest first.
SELECT host, path, size_bytes, state, reason, seen_at FROM epochwatch.sightings
WHERE state IN ('refused', 'quarantined', 'blocked', 'incomplete') AND reason <> ''
ORDER BY seen_at DESC LIMIT %(limit)s;

-- name: alerts
-- The newest messages the machine had for a person.
SELECT a.key, a.run_id, a.payload, a.state, a.error, a.created_at, tr.run_name
FROM epochwatch.actions a
LEFT JOIN public.training_runs tr ON tr.id = a.run_id
WHERE a.kind = 'alert' ORDER BY a.created_at DESC LIMIT %(limit)s;

-- name: pictures
-- Every picture of a run's epoch tests and of its baseline (position NULL), in suite order.
SELECT DISTINCT ON (g.purpose = 'baseline', g.position, gs.prompt_name, s.seed)
       CASE WHEN g.purpose = 'baseline' THEN NULL ELSE g.position END AS position,
       gs.ordinal, gs.prompt_name, gs.category, gs.origin, s.prompt AS prompt_text, s.seed,
       gs.sample_id, i.image_sha256, i.defect, m.visual, m.style, m.prompt,
       (m.body ->> 'composite')::float AS composite,
       j.parked_reason IS NOT NULL AS parked
FROM epochwatch.grids g
JOIN epochwatch.grid_samples gs ON gs.grid_id = g.id
JOIN epochwatch.samples s ON s.sample_id = gs.sample_id
LEFT JOIN epochwatch.jobs j ON j.grid_id = g.id AND j.stack_key = gs.stack_key
LEFT JOIN epochwatch.images i ON i.sample_id = gs.sample_id
LEFT JOIN epochwatch.measurements m ON m.sample_id = gs.sample_id AND m.rubric = gs.rubric
WHERE g.run_id = %(run_id)s AND g.purpose IN ('epoch', 'retest', 'baseline')
  AND NOT EXISTS (
      SELECT FROM epochwatch.checkpoints c
      WHERE c.run_id = g.run_id AND c.superseded AND c.sha256 = g.body ->> 'sha256'
  )
ORDER BY g.purpose = 'baseline', g.position, gs.prompt_name, s.seed, i.sample_id IS NULL, g.id DESC;

-- name: newest
-- The images drawn last for a run, newest first.
SELECT CASE WHEN g.purpose = 'baseline' THEN NULL ELSE g.position END AS position,
       gs.ordinal, gs.prompt_name, gs.category, gs.origin, s.prompt AS prompt_text, s.seed,
       gs.sample_id, i.image_sha256, i.defect, m.visual, m.style, m.prompt,
       (m.body ->> 'composite')::float AS composite, FALSE AS parked
FROM epochwatch.grids g
JOIN epochwatch.grid_samples gs ON gs.grid_id = g.id
JOIN epochwatch.samples s ON s.sample_id = gs.sample_id
JOIN epochwatch.images i ON i.sample_id = gs.sample_id
LEFT JOIN epochwatch.measurements m ON m.sample_id = gs.sample_id AND m.rubric = gs.rubric
WHERE g.run_id = %(run_id)s AND g.purpose IN ('epoch', 'retest', 'baseline')
ORDER BY i.created_at DESC, gs.ordinal DESC LIMIT %(limit)s;

-- name: picture
-- One picture of a run with everything that was measured on it.
SELECT CASE WHEN g.purpose = 'baseline' THEN NULL ELSE g.position END AS position,
       gs.ordinal, gs.prompt_name, gs.category, gs.origin, s.prompt AS prompt_text, s.seed,
       gs.sample_id, i.image_sha256, i.defect, m.visual, m.style, m.prompt,
       (m.body ->> 'composite')::float AS composite, FALSE AS parked,
       m.body, s.recipe, s.stack, gs.expect, i.seconds, i.host, i.width, i.height, i.created_at,
       coalesce((SELECT u.doubts FROM epochwatch.run_setups u WHERE u.run_id = g.run_id), '{}') AS doubts
FROM epochwatch.grids g
JOIN epochwatch.grid_samples gs ON gs.grid_id = g.id
JOIN epochwatch.samples s ON s.sample_id = gs.sample_id
LEFT JOIN epochwatch.images i ON i.sample_id = gs.sample_id
LEFT JOIN epochwatch.measurements m ON m.sample_id = gs.sample_id AND m.rubric = gs.rubric
WHERE g.run_id = %(run_id)s AND gs.sample_id = %(sample_id)s
ORDER BY g.purpose IN ('epoch', 'retest') DESC, g.id DESC LIMIT 1;

-- name: work
-- How many of a run's drawing jobs are open, being drawn, waiting, parked and finished.
SELECT count(*) FILTER (WHERE j.finished_at IS NULL AND j.parked_reason IS NULL) AS open,
       count(*) FILTER (WHERE j.finished_at IS NULL AND j.parked_reason IS NULL
                          AND j.claimed_until > now()) AS drawing,
       count(*) FILTER (WHERE j.parked_reason IS NOT NULL) AS parked,
       count(*) FILTER (WHERE j.finished_at IS NOT NULL) AS finished,
       max(j.waiting_reason) FILTER (WHERE j.finished_at IS NULL AND j.parked_reason IS NULL) AS waiting_reason,
       max(j.parked_reason) AS parked_reason
FROM epochwatch.grids g
JOIN epochwatch.jobs j ON j.grid_id = g.id
WHERE g.run_id = %(run_id)s;

-- name: trainer_samples
-- Images the trainer itself left, the latest position first.
SELECT file_name, epoch, step, ordinal, image_sha256 FROM epochwatch.trainer_samples
WHERE run_id = %(run_id)s
ORDER BY epoch DESC NULLS LAST, step DESC NULLS LAST, ordinal LIMIT %(limit)s;

-- name: hosts
-- Every machine that reported, the one heard last first, and for how long it has been silent.
SELECT name, state, doing, detail, last_seen,
       extract(epoch FROM now() - last_seen)::float AS silent_seconds
FROM epochwatch.hosts ORDER BY last_seen DESC LIMIT 20;
