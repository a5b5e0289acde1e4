-- Three finished runs with thirteen epochs and two caption versions, to try the queries on.
-- Loading it again changes nothing. Only columns of the earlier schema are used, so it loads there too.

INSERT INTO public.caption_versions (
    version_name, directory_path, num_caption_files, format_description, includes_hex_codes,
    includes_accessories, includes_jewelry, detail_level, sample_caption, created_date,
    accuracy_verified, used_in_training_runs, notes
) VALUES
    ('civitai_v2_7_training', 'training_data', 203, 'comma-separated tags with hex codes', TRUE,
     TRUE, TRUE, 'very_detailed',
     'pixel art, 24x24, portrait, bright green background (#00ff00), pink hair (#ff66cc), gold crown',
     '2025-11-06', TRUE,
     ARRAY['SD15_PERFECT_Nov9', 'SD15_bespoke_baby_Nov7', 'SDXL_Current'], 'every hex code checked'),
    ('sd15_training_512', 'sd15_training_512', 203, 'short tags', FALSE, TRUE, FALSE, 'moderate',
     'pixel art portrait, green background, pink hair, crown', '2025-11-01', FALSE, ARRAY[]::text[], NULL)
ON CONFLICT (version_name) DO NOTHING;

INSERT INTO public.training_runs (
    run_name, run_date, status, base_model, model_type, training_data_path, num_images,
    caption_format, caption_version, resolution, network_dim, network_alpha, learning_rate, unet_lr,
    text_encoder_lr, train_batch_size, max_train_epochs, mixed_precision, optimizer_type, lr_scheduler,
    output_name, checkpoint_file_size_mb, platform, gpu_type, training_duration_hours, best_epoch,
    overall_verdict, quality_score, production_ready, key_findings, issues_found, strengths,
    recommended_for, notes
) VALUES
    ('SD15_PERFECT_Nov9', '2025-11-09 10:00', 'completed', 'runwayml/stable-diffusion-v1-5', 'SD15',
     'training_data', 203, 'txt', 'civitai_v2_7_training', '512x512', 32, 16, 1e-4, 1e-4, 5e-5, 4, 10,
     'fp16', 'AdamW8bit', 'cosine_with_restarts', 'bespoke_punks_SD15_PERFECT', 36, 'RunPod', 'RTX 4090',
     1.9, 7, 'success', 9, TRUE, 'A small network is forced to simplify: clean pixel art from epoch 5 on.',
     ARRAY[]::text[], ARRAY['pixel art style', 'accurate colors', 'solid backgrounds'], 'production', NULL),
    ('SD15_bespoke_baby_Nov7', '2025-11-07 18:30', 'completed', 'runwayml/stable-diffusion-v1-5', 'SD15',
     'training_data', 203, 'txt', 'civitai_v2_7_training', '512x512', 64, 32, 1e-4, 1e-4, 5e-5, 4, 10,
     'fp16', 'AdamW8bit', 'cosine', 'bespoke_baby_sd15_lora', 72, 'RunPod', 'RTX 4090',
     2.1, NULL, 'failure', 0, FALSE, 'The larger network lets the base model through: photorealistic babies.',
     ARRAY['photorealistic', 'wrong backgrounds'], ARRAY[]::text[], 'discard', NULL),
    ('SDXL_Current', '2025-11-08 09:15', 'in_progress', 'stabilityai/stable-diffusion-xl-base-1.0', 'SDXL',
     'training_data', 203, 'txt', 'civitai_v2_7_training', '1024x1024', 128, 64, 5e-5, 5e-5, NULL, 2, 10,
     'bf16', 'Adafactor', 'constant', 'bespoke_punks_sdxl', 680, 'RunPod', 'A100',
     6.5, 4, 'partial', 4, FALSE, 'A stronger model struggles with a simple style.',
     ARRAY['random pixels', 'wrong backgrounds'], ARRAY['pixel art style'], NULL, 'epochs 9 and 10 to come')
ON CONFLICT (run_name) DO NOTHING;

INSERT INTO public.epoch_results (
    training_run_id, epoch_number, checkpoint_path, checkpoint_file_size_mb, num_test_images,
    visual_quality_score, style_match_score, prompt_adherence_score, has_wrong_backgrounds,
    has_random_pixels, has_wrong_colors, is_photorealistic, is_overtrained, issues_detail, verdict,
    production_ready, observations
)
SELECT tr.id, e.epoch, format('%s-%s.safetensors', tr.output_name, lpad(e.epoch::text, 6, '0')),
       tr.checkpoint_file_size_mb, 6, e.visual, e.style, e.prompt, e.wrong_background,
       e.random_pixels, e.wrong_colors, e.photo, e.overtrained, e.issues, e.verdict,
       e.verdict = 'best', e.seen
FROM (VALUES
    ('SD15_PERFECT_Nov9', 5, 8, 8, 7, FALSE, FALSE, TRUE, FALSE, FALSE, ARRAY['crown too dark'],
     'good', 'Clean pixels, background right.'),
    ('SD15_PERFECT_Nov9', 7, 9, 9, 9, FALSE, FALSE, FALSE, FALSE, FALSE, ARRAY[]::text[],
     'best', 'Everything the prompt asks for.'),
    ('SD15_PERFECT_Nov9', 8, 8, 9, 8, FALSE, FALSE, FALSE, FALSE, TRUE, ARRAY['faces alike'],
     'good', 'Begins to repeat faces.'),
    ('SD15_bespoke_baby_Nov7', 1, 1, 0, 2, TRUE, FALSE, TRUE, TRUE, FALSE, ARRAY['photorealistic'],
     'failure', 'A photo of a baby.'),
    ('SD15_bespoke_baby_Nov7', 10, 1, 0, 1, TRUE, FALSE, TRUE, TRUE, TRUE, ARRAY['photorealistic'],
     'failure', 'Still a photo of a baby.'),
    ('SDXL_Current', 1, 3, 3, 3, TRUE, TRUE, TRUE, FALSE, FALSE, ARRAY['noise'], 'skip', 'Noise.'),
    ('SDXL_Current', 2, 3, 4, 3, TRUE, TRUE, TRUE, FALSE, FALSE, ARRAY['noise'], 'skip', 'Less noise.'),
    ('SDXL_Current', 3, 4, 4, 4, TRUE, TRUE, FALSE, FALSE, FALSE, ARRAY['background gray'], 'skip',
     'Hair color arrives.'),
    ('SDXL_Current', 4, 5, 5, 4, TRUE, TRUE, FALSE, FALSE, FALSE, ARRAY['background gray'],
     'acceptable', 'The best so far.'),
    ('SDXL_Current', 5, 4, 5, 4, TRUE, TRUE, FALSE, FALSE, FALSE, ARRAY['background gray'], 'skip',
     'No better.'),
    ('SDXL_Current', 6, 4, 4, 4, TRUE, TRUE, FALSE, FALSE, FALSE, ARRAY['background gray'], 'skip',
     'No better.'),
    ('SDXL_Current', 7, 4, 4, 3, TRUE, TRUE, TRUE, FALSE, FALSE, ARRAY['two-toned hair'], 'skip',
     'Two-toned hair.'),
    ('SDXL_Current', 8, 4, 4, 3, TRUE, TRUE, TRUE, FALSE, TRUE, ARRAY['two-toned hair'], 'skip',
     'Overdone.')
) AS e (
    run_name, epoch, visual, style, prompt, wrong_background, random_pixels, wrong_colors, photo,
    overtrained, issues, verdict, seen
)
JOIN public.training_runs tr ON tr.run_name = e.run_name
ON CONFLICT (training_run_id, epoch_number) DO NOTHING;
