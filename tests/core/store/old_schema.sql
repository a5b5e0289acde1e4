-- A live database as the owner's earlier schema made it, written by another hand than ours:
-- other names of indexes, views with other columns, a column we do not know, a grant to the API's role.

CREATE TABLE training_runs (
    id SERIAL PRIMARY KEY,
    run_name TEXT UNIQUE NOT NULL,
    run_date TIMESTAMP NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('in_progress', 'completed', 'failed', 'cancelled')),
    base_model TEXT NOT NULL,
    model_type TEXT NOT NULL CHECK (model_type IN ('SD15', 'SDXL', 'other')),
    training_data_path TEXT,
    num_images INT,
    caption_format TEXT,
    caption_version TEXT,
    resolution TEXT,
    network_dim INT,
    network_alpha INT,
    learning_rate FLOAT,
    unet_lr FLOAT,
    text_encoder_lr FLOAT,
    train_batch_size INT,
    gradient_accumulation_steps INT,
    max_train_epochs INT,
    total_steps INT,
    mixed_precision TEXT,
    optimizer_type TEXT,
    lr_scheduler TEXT,
    lr_scheduler_cycles INT,
    noise_offset FLOAT,
    min_snr_gamma INT,
    output_dir TEXT,
    output_name TEXT,
    checkpoint_file_size_mb INT,
    platform TEXT,
    gpu_type TEXT,
    training_duration_hours FLOAT,
    best_epoch INT,
    overall_verdict TEXT CHECK (overall_verdict IN ('success', 'failure', 'partial', 'pending')),
    quality_score INT CHECK (quality_score >= 0 AND quality_score <= 10),
    production_ready BOOL DEFAULT FALSE,
    key_findings TEXT,
    issues_found TEXT[],
    strengths TEXT[],
    comparison_notes TEXT,
    recommended_for TEXT,
    created_at TIMESTAMP DEFAULT NOW(),
    updated_at TIMESTAMP DEFAULT NOW(),
    notes TEXT,
    mood VARCHAR(20) DEFAULT 'hopeful'
);
CREATE TABLE epoch_results (
    id SERIAL PRIMARY KEY,
    training_run_id INT REFERENCES training_runs(id) ON DELETE CASCADE,
    epoch_number INT NOT NULL,
    checkpoint_path TEXT,
    checkpoint_file_size_mb INT,
    test_output_dir TEXT,
    num_test_images INT,
    visual_quality_score INT CHECK (visual_quality_score >= 0 AND visual_quality_score <= 10),
    style_match_score INT CHECK (style_match_score >= 0 AND style_match_score <= 10),
    prompt_adherence_score INT CHECK (prompt_adherence_score >= 0 AND prompt_adherence_score <= 10),
    has_wrong_backgrounds BOOL,
    has_random_pixels BOOL,
    has_wrong_colors BOOL,
    is_photorealistic BOOL,
    is_overtrained BOOL,
    issues_detail TEXT[],
    strengths_detail TEXT[],
    verdict TEXT CHECK (verdict IN ('best', 'good', 'acceptable', 'skip', 'failure')),
    production_ready BOOL DEFAULT FALSE,
    observations TEXT,
    comparison_to_previous TEXT,
    test_image_paths TEXT[],
    created_at TIMESTAMP DEFAULT NOW(),
    notes TEXT,
    UNIQUE(training_run_id, epoch_number)
);
CREATE TABLE test_prompts (
    id SERIAL PRIMARY KEY,
    prompt_name TEXT UNIQUE NOT NULL,
    prompt_text TEXT NOT NULL,
    negative_prompt TEXT,
    purpose TEXT,
    expected_result TEXT,
    created_at TIMESTAMP DEFAULT NOW()
);
CREATE TABLE prompt_test_results (
    id SERIAL PRIMARY KEY,
    epoch_result_id INT REFERENCES epoch_results(id) ON DELETE CASCADE,
    test_prompt_id INT REFERENCES test_prompts(id),
    image_path TEXT,
    passed BOOL,
    correct_background_color BOOL,
    correct_hair_color BOOL,
    correct_eye_color BOOL,
    accessories_visible BOOL,
    is_pixel_art BOOL,
    has_random_artifacts BOOL,
    observations TEXT,
    score INT CHECK (score >= 0 AND score <= 10),
    created_at TIMESTAMP DEFAULT NOW()
);
CREATE TABLE caption_versions (
    id SERIAL PRIMARY KEY,
    version_name TEXT UNIQUE NOT NULL,
    directory_path TEXT,
    num_caption_files INT,
    format_description TEXT,
    includes_hex_codes BOOL,
    includes_accessories BOOL,
    includes_jewelry BOOL,
    detail_level TEXT CHECK (detail_level IN ('minimal', 'moderate', 'detailed', 'very_detailed')),
    sample_caption TEXT,
    created_date DATE,
    accuracy_verified BOOL,
    used_in_training_runs TEXT[],
    notes TEXT,
    created_at TIMESTAMP DEFAULT NOW()
);
CREATE INDEX training_runs_by_quality ON training_runs(quality_score);
CREATE INDEX epochs_by_run ON epoch_results(training_run_id);

CREATE FUNCTION update_updated_at_column() RETURNS TRIGGER AS $$
BEGIN
    NEW.updated_at = CURRENT_TIMESTAMP;
    RETURN NEW;
END;
$$ LANGUAGE plpgsql;
CREATE TRIGGER touch_training_runs BEFORE UPDATE ON training_runs
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

CREATE VIEW best_training_runs AS
    SELECT run_name, quality_score, mood FROM training_runs
    WHERE overall_verdict = 'success' ORDER BY quality_score DESC;
CREATE VIEW production_ready_epochs WITH (security_invoker = true) AS
    SELECT tr.run_name, er.* FROM epoch_results er JOIN training_runs tr ON tr.id = er.training_run_id
    WHERE er.production_ready = TRUE;
CREATE VIEW training_comparison AS
    SELECT tr.run_name, tr.run_date, tr.mood, COUNT(er.id) AS num_epochs_tested,
           MAX(er.visual_quality_score) AS best_visual
    FROM training_runs tr LEFT JOIN epoch_results er ON er.training_run_id = tr.id
    GROUP BY tr.id, tr.run_name, tr.run_date, tr.mood;

GRANT USAGE ON SCHEMA public TO anon, authenticated;
GRANT SELECT ON training_runs, epoch_results, training_comparison TO anon;
GRANT SELECT, UPDATE (notes) ON training_runs TO authenticated;
