-- name: runs
-- Every run with its parameters and its outcome, oldest first.
SELECT tr.run_name, tr.run_date, tr.status, tr.model_type, tr.base_model, tr.num_images, tr.resolution,
       tr.network_dim, tr.network_alpha, tr.learning_rate, tr.unet_lr, tr.text_encoder_lr,
       tr.train_batch_size, tr.max_train_epochs, tr.total_steps, tr.optimizer_type, tr.lr_scheduler,
       tr.noise_offset, tr.min_snr_gamma, tr.caption_version, tr.best_epoch, tr.quality_score,
       tr.overall_verdict, tr.production_ready, tr.convergence_status, tr.key_findings, tr.notes,
       (SELECT count(*) FROM public.epoch_results e WHERE e.training_run_id = tr.id) AS epochs_tested
FROM public.training_runs tr
WHERE %(run_id)s::int IS NULL OR tr.id = %(run_id)s::int
ORDER BY tr.run_date, tr.id;

-- name: epochs
-- Every tested epoch with its scores.
SELECT tr.run_name, e.epoch_number AS epoch, e.visual_score, e.style_score, e.prompt_score, e.average_score,
       e.visual_quality_score, e.style_match_score, e.prompt_adherence_score, e.color_accuracy_score,
       e.style_quality_score, e.background_color, e.unique_colors, e.num_test_images, e.verdict,
       e.picked, e.production_ready, e.issues_detail, e.strengths_detail, e.observations, e.notes,
       e.checkpoint_path
FROM public.epoch_results e
JOIN public.training_runs tr ON tr.id = e.training_run_id
WHERE %(run_id)s::int IS NULL OR tr.id = %(run_id)s::int
ORDER BY tr.run_date, tr.id, e.epoch_number;

-- name: prompts
-- Every test image of a run's own epochs.
SELECT tr.run_name, e.epoch_number AS epoch, t.prompt_name, t.prompt_text, p.seed, p.score_exact AS score,
       p.passed, p.correct_background_color, p.correct_hair_color, p.is_pixel_art,
       p.has_random_artifacts, p.observations, p.image_path
FROM public.prompt_test_results p
JOIN public.epoch_results e ON e.id = p.epoch_result_id
JOIN public.training_runs tr ON tr.id = e.training_run_id
JOIN public.test_prompts t ON t.id = p.test_prompt_id
WHERE %(run_id)s::int IS NULL OR tr.id = %(run_id)s::int
ORDER BY tr.run_date, tr.id, e.epoch_number, t.prompt_name, p.seed;

-- name: log
-- One line a run, as the owner's training log has it, with the stacks of its pick and its base.
SELECT tr.run_name AS version, tr.run_date::date AS date, tr.num_images AS dataset_size,
       tr.total_steps AS steps, coalesce(tr.notes, tr.key_findings) AS notes,
       s.base_sha256, coalesce(s.strength, '1.00') AS strength, c.drawn_as, w.kind
FROM public.training_runs tr
LEFT JOIN epochwatch.run_setups s ON s.run_id = tr.id
LEFT JOIN epochwatch.checkpoints c ON c.run_id = tr.id AND c.position = tr.best_epoch AND NOT c.superseded
LEFT JOIN epochwatch.weights w USING (sha256)
WHERE %(run_id)s::int IS NULL OR tr.id = %(run_id)s::int
ORDER BY tr.run_date, tr.id;
