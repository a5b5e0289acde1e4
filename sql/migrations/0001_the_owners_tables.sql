-- The five tables, three views, indexes and the trigger of the owner's earlier schema, in public.
-- A database that already has them keeps tables, views and trigger exactly as they are.
-- The TIMESTAMPs without zone are UTC, whatever the session's time zone is.

SELECT set_config(
    'epochwatch.fresh', (to_regclass('public.training_runs') IS NULL)::text, TRUE
);

CREATE TABLE IF NOT EXISTS public.training_runs (
    id SERIAL PRIMARY KEY,
    run_name TEXT UNIQUE NOT NULL,
    run_date TIMESTAMP NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('in_progress', 'completed', 'failed', 'cancelled')),
    base_model TEXT NOT NULL,
    model_type TEXT NOT NULL CHECK (model_type IN ('SD15', 'SDXL', 'other')),
    training_data_path TEXT,
    num_images INTEGER,
    caption_format TEXT,
    caption_version TEXT,
    resolution TEXT,
    network_dim INTEGER,
    network_alpha INTEGER,
    learning_rate FLOAT,
    unet_lr FLOAT,
    text_encoder_lr FLOAT,
    train_batch_size INTEGER,
    gradient_accumulation_steps INTEGER,
    max_train_epochs INTEGER,
    total_steps INTEGER,
    mixed_precision TEXT,
    optimizer_type TEXT,
    lr_scheduler TEXT,
    lr_scheduler_cycles INTEGER,
    noise_offset FLOAT,
    min_snr_gamma INTEGER,
    output_dir TEXT,
    output_name TEXT,
    checkpoint_file_size_mb INTEGER,
    platform TEXT,
    gpu_type TEXT,
    training_duration_hours FLOAT,
    best_epoch INTEGER,
    overall_verdict TEXT CHECK (overall_verdict IN ('success', 'failure', 'partial', 'pending')),
    quality_score INTEGER CHECK (quality_score BETWEEN 0 AND 10),
    production_ready BOOLEAN DEFAULT FALSE,
    key_findings TEXT,
    issues_found TEXT[],
    strengths TEXT[],
    comparison_notes TEXT,
    recommended_for TEXT,
    created_at TIMESTAMP DEFAULT (now() AT TIME ZONE 'utc'),
    updated_at TIMESTAMP DEFAULT (now() AT TIME ZONE 'utc'),
    notes TEXT
);

CREATE TABLE IF NOT EXISTS public.epoch_results (
    id SERIAL PRIMARY KEY,
    training_run_id INTEGER REFERENCES public.training_runs (id) ON DELETE CASCADE,
    epoch_number INTEGER NOT NULL,
    checkpoint_path TEXT,
    checkpoint_file_size_mb INTEGER,
    test_output_dir TEXT,
    num_test_images INTEGER,
    visual_quality_score INTEGER CHECK (visual_quality_score BETWEEN 0 AND 10),
    style_match_score INTEGER CHECK (style_match_score BETWEEN 0 AND 10),
    prompt_adherence_score INTEGER CHECK (prompt_adherence_score BETWEEN 0 AND 10),
    has_wrong_backgrounds BOOLEAN,
    has_random_pixels BOOLEAN,
    has_wrong_colors BOOLEAN,
    is_photorealistic BOOLEAN,
    is_overtrained BOOLEAN,
    issues_detail TEXT[],
    strengths_detail TEXT[],
    verdict TEXT CHECK (verdict IN ('best', 'good', 'acceptable', 'skip', 'failure')),
    production_ready BOOLEAN DEFAULT FALSE,
    observations TEXT,
    comparison_to_previous TEXT,
    test_image_paths TEXT[],
    created_at TIMESTAMP DEFAULT (now() AT TIME ZONE 'utc'),
    notes TEXT,
    UNIQUE (training_run_id, epoch_number)
);

CREATE TABLE IF NOT EXISTS public.test_prompts (
    id SERIAL PRIMARY KEY,
    prompt_name TEXT UNIQUE NOT NULL,
    prompt_text TEXT NOT NULL,
    negative_prompt TEXT,
    purpose TEXT,
    expected_result TEXT,
    created_at TIMESTAMP DEFAULT (now() AT TIME ZONE 'utc')
);

CREATE TABLE IF NOT EXISTS public.prompt_test_results (
    id SERIAL PRIMARY KEY,
    epoch_result_id INTEGER REFERENCES public.epoch_results (id) ON DELETE CASCADE,
    test_prompt_id INTEGER REFERENCES public.test_prompts (id),
    image_path TEXT,
    passed BOOLEAN,
    correct_background_color BOOLEAN,
    correct_hair_color BOOLEAN,
    correct_eye_color BOOLEAN,
    accessories_visible BOOLEAN,
    is_pixel_art BOOLEAN,
    has_random_artifacts BOOLEAN,
    observations TEXT,
    score INTEGER CHECK (score BETWEEN 0 AND 10),
    created_at TIMESTAMP DEFAULT (now() AT TIME ZONE 'utc')
);

CREATE TABLE IF NOT EXISTS public.caption_versions (
    id SERIAL PRIMARY KEY,
    version_name TEXT UNIQUE NOT NULL,
    directory_path TEXT,
    num_caption_files INTEGER,
    format_description TEXT,
    includes_hex_codes BOOLEAN,
    includes_accessories BOOLEAN,
    includes_jewelry BOOLEAN,
    detail_level TEXT CHECK (detail_level IN ('minimal', 'moderate', 'detailed', 'very_detailed')),
    sample_caption TEXT,
    created_date DATE,
    accuracy_verified BOOLEAN,
    used_in_training_runs TEXT[],
    notes TEXT,
    created_at TIMESTAMP DEFAULT (now() AT TIME ZONE 'utc')
);

CREATE INDEX IF NOT EXISTS idx_training_runs_status ON public.training_runs (status);
CREATE INDEX IF NOT EXISTS idx_training_runs_date ON public.training_runs (run_date);
CREATE INDEX IF NOT EXISTS idx_epoch_results_run ON public.epoch_results (training_run_id);
CREATE INDEX IF NOT EXISTS idx_prompt_test_results_epoch ON public.prompt_test_results (epoch_result_id);

DO $$
BEGIN
    -- Adopted tables never get a trigger from us: theirs, or none, is the owner's choice.
    IF current_setting('epochwatch.fresh')::boolean THEN
        IF to_regprocedure('public.update_updated_at_column()') IS NULL THEN
            CREATE FUNCTION public.update_updated_at_column() RETURNS trigger
            LANGUAGE plpgsql SET search_path = ''
            AS 'BEGIN NEW.updated_at = now() AT TIME ZONE ''utc''; RETURN NEW; END';
        END IF;
        CREATE TRIGGER update_training_runs_updated_at BEFORE UPDATE ON public.training_runs
            FOR EACH ROW EXECUTE FUNCTION public.update_updated_at_column();
    END IF;
    IF to_regclass('public.best_training_runs') IS NULL THEN
        CREATE VIEW public.best_training_runs WITH (security_invoker = true) AS
            SELECT run_name, run_date, model_type, network_dim, network_alpha, resolution,
                   caption_version, best_epoch, quality_score, production_ready, key_findings
            FROM public.training_runs
            WHERE overall_verdict = 'success'
            ORDER BY quality_score DESC NULLS LAST, run_date DESC;
    END IF;
    IF to_regclass('public.production_ready_epochs') IS NULL THEN
        CREATE VIEW public.production_ready_epochs WITH (security_invoker = true) AS
            SELECT tr.run_name, tr.model_type, er.epoch_number, er.checkpoint_path,
                   er.visual_quality_score, er.style_match_score, er.prompt_adherence_score,
                   er.verdict, er.observations
            FROM public.epoch_results er
            JOIN public.training_runs tr ON tr.id = er.training_run_id
            WHERE er.production_ready
            ORDER BY er.visual_quality_score DESC NULLS LAST, tr.run_date DESC;
    END IF;
    IF to_regclass('public.training_comparison') IS NULL THEN
        CREATE VIEW public.training_comparison WITH (security_invoker = true) AS
            SELECT tr.id, tr.run_name, tr.run_date, tr.status, tr.model_type, tr.base_model,
                   tr.network_dim, tr.network_alpha, tr.resolution, tr.caption_version,
                   tr.overall_verdict, tr.quality_score, tr.production_ready, tr.best_epoch,
                   count(er.id) AS num_epochs_tested
            FROM public.training_runs tr
            LEFT JOIN public.epoch_results er ON er.training_run_id = tr.id
            GROUP BY tr.id;
    END IF;
END
$$;
