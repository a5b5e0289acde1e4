-- The whole schema, for reading: what the files in migrations/ add up to on a new database.
-- Programs never run this file; `epochwatch db migrate` runs the migrations, and a test holds both equal.

-- In public: the owner's tables and views, a projection of our results where people's words come first.
-- TIMESTAMPs without zone are UTC.

CREATE TABLE public.training_runs (
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
    notes TEXT,
    -- beside the owner's columns
    parent_run_id INTEGER REFERENCES public.training_runs (id) ON DELETE SET NULL,
    starting_checkpoint TEXT,
    convergence_status TEXT,
    convergence_epoch INTEGER,
    position_unit TEXT,
    model_family TEXT
);

CREATE TABLE public.epoch_results (
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
    -- beside the owner's columns
    visual_score NUMERIC,
    style_score NUMERIC,
    prompt_score NUMERIC,
    average_score NUMERIC,
    color_accuracy_score NUMERIC,
    style_quality_score NUMERIC,
    background_color TEXT,
    unique_colors INTEGER,
    convergence_status TEXT,
    picked BOOLEAN,
    updated_at TIMESTAMP,
    UNIQUE (training_run_id, epoch_number)
);

CREATE TABLE public.test_prompts (
    id SERIAL PRIMARY KEY,
    prompt_name TEXT UNIQUE NOT NULL,
    prompt_text TEXT NOT NULL,
    negative_prompt TEXT,
    purpose TEXT,
    expected_result TEXT,
    created_at TIMESTAMP DEFAULT (now() AT TIME ZONE 'utc')
);

CREATE TABLE public.prompt_test_results (
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
    created_at TIMESTAMP DEFAULT (now() AT TIME ZONE 'utc'),
    -- beside the owner's columns
    seed BIGINT,
    sample_id TEXT,
    score_exact NUMERIC
);

CREATE TABLE public.caption_versions (
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

CREATE INDEX idx_training_runs_status ON public.training_runs (status);
CREATE INDEX idx_training_runs_date ON public.training_runs (run_date);
CREATE INDEX idx_epoch_results_run ON public.epoch_results (training_run_id);
CREATE INDEX idx_prompt_test_results_epoch ON public.prompt_test_results (epoch_result_id);
CREATE UNIQUE INDEX prompt_test_results_once
    ON public.prompt_test_results (epoch_result_id, sample_id);

CREATE FUNCTION public.update_updated_at_column() RETURNS trigger
LANGUAGE plpgsql SET search_path = ''
AS 'BEGIN NEW.updated_at = now() AT TIME ZONE ''utc''; RETURN NEW; END';

CREATE TRIGGER update_training_runs_updated_at BEFORE UPDATE ON public.training_runs
    FOR EACH ROW EXECUTE FUNCTION public.update_updated_at_column();

CREATE VIEW public.best_training_runs WITH (security_invoker = true) AS
    SELECT run_name, run_date, model_type, network_dim, network_alpha, resolution,
           caption_version, best_epoch, quality_score, production_ready, key_findings
    FROM public.training_runs
    WHERE overall_verdict = 'success'
    ORDER BY quality_score DESC NULLS LAST, run_date DESC;

CREATE VIEW public.production_ready_epochs WITH (security_invoker = true) AS
    SELECT tr.run_name, tr.model_type, er.epoch_number, er.checkpoint_path,
           er.visual_quality_score, er.style_match_score, er.prompt_adherence_score,
           er.verdict, er.observations
    FROM public.epoch_results er
    JOIN public.training_runs tr ON tr.id = er.training_run_id
    WHERE er.production_ready
    ORDER BY er.visual_quality_score DESC NULLS LAST, tr.run_date DESC;

CREATE VIEW public.training_comparison WITH (security_invoker = true) AS
    SELECT tr.id, tr.run_name, tr.run_date, tr.status, tr.model_type, tr.base_model,
           tr.network_dim, tr.network_alpha, tr.resolution, tr.caption_version,
           tr.overall_verdict, tr.quality_score, tr.production_ready, tr.best_epoch,
           count(er.id) AS num_epochs_tested
    FROM public.training_runs tr
    LEFT JOIN public.epoch_results er ON er.training_run_id = tr.id
    GROUP BY tr.id;

-- Our own schema: facts, wishes, plans and derived results; "done" is a query, never a column.

CREATE SCHEMA epochwatch;
REVOKE ALL ON SCHEMA epochwatch FROM PUBLIC;

-- Which files of migrations/ were applied, and the checksum of what was run.
CREATE TABLE epochwatch.schema_migrations (
    version INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    applied_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE DOMAIN epochwatch.sha256 AS TEXT CHECK (VALUE ~ '^[0-9a-f]{64}$');

-- A file's content, whatever it is called and wherever it lies.
CREATE TABLE epochwatch.weights (
    sha256 epochwatch.sha256 PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('lora', 'base')),
    family TEXT NOT NULL,
    layout TEXT NOT NULL,
    body_sha256 epochwatch.sha256 NOT NULL,
    size_bytes BIGINT NOT NULL,
    facts JSONB NOT NULL DEFAULT '{}',
    uri TEXT,
    invalid_reason TEXT,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX weights_body ON epochwatch.weights (body_sha256);

-- Which run a trainer's session, or a folder and stem, belongs to.
CREATE TABLE epochwatch.run_sources (
    source TEXT PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES public.training_runs (id) ON DELETE CASCADE
);

-- What a run is tested with.
CREATE TABLE epochwatch.run_setups (
    run_id INTEGER PRIMARY KEY REFERENCES public.training_runs (id) ON DELETE CASCADE,
    suite epochwatch.sha256,
    profile epochwatch.sha256,
    base_sha256 epochwatch.sha256,
    strength TEXT NOT NULL DEFAULT '1.00',
    tests TEXT NOT NULL DEFAULT 'full' CHECK (tests IN ('thrifty', 'even', 'full', 'adaptive')),
    stop TEXT NOT NULL DEFAULT 'normal' CHECK (stop IN ('careful', 'normal', 'eager')),
    price_per_hour NUMERIC,
    blocked_reason TEXT,
    doubts TEXT[] NOT NULL DEFAULT '{}',
    stopping JSONB,
    budget NUMERIC,
    gpu_name TEXT,
    training_cells epochwatch.sha256, -- the training images as cells
    weighting epochwatch.sha256, -- weights of the score; NULL: the plain mean of the three scores
    rescored_at TIMESTAMPTZ
);

CREATE TABLE epochwatch.checkpoints (
    run_id INTEGER NOT NULL REFERENCES public.training_runs (id) ON DELETE CASCADE,
    sha256 epochwatch.sha256 NOT NULL REFERENCES epochwatch.weights (sha256),
    drawn_as epochwatch.sha256 NOT NULL,
    position INTEGER,
    epoch INTEGER,
    step INTEGER,
    is_final BOOLEAN NOT NULL DEFAULT FALSE,
    superseded BOOLEAN NOT NULL DEFAULT FALSE,
    file_name TEXT NOT NULL,
    source_path TEXT NOT NULL,
    host TEXT NOT NULL,
    notes TEXT[] NOT NULL DEFAULT '{}',
    saved_at TIMESTAMPTZ,
    closed_at TIMESTAMPTZ,
    admitted_at TIMESTAMPTZ NOT NULL,
    registered_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id, sha256)
);
CREATE UNIQUE INDEX checkpoints_one_current ON epochwatch.checkpoints (run_id, position)
    WHERE NOT superseded AND position IS NOT NULL;

-- What the watcher saw on each host. No foreign key: it survives the deletion of a run.
CREATE TABLE epochwatch.sightings (
    host TEXT NOT NULL,
    path TEXT NOT NULL,
    root TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    mtime_ns BIGINT NOT NULL,
    inode BIGINT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    sha256 TEXT,
    seen_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (host, path)
);

CREATE TABLE epochwatch.documents (
    digest epochwatch.sha256 PRIMARY KEY,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    body JSONB NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- The only request to draw anything.
CREATE TABLE epochwatch.grids (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    origin TEXT NOT NULL UNIQUE,
    run_id INTEGER REFERENCES public.training_runs (id) ON DELETE CASCADE,
    purpose TEXT NOT NULL CHECK (purpose IN ('epoch', 'baseline', 'compare', 'retest', 'try')),
    position INTEGER,
    body JSONB NOT NULL,
    priority INTEGER NOT NULL DEFAULT 0,
    why TEXT NOT NULL DEFAULT '',
    by_whom TEXT NOT NULL DEFAULT 'epochwatch',
    planned_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX grids_run ON epochwatch.grids (run_id, purpose, position);
CREATE INDEX grids_unplanned ON epochwatch.grids (id) WHERE planned_at IS NULL;

-- The definition behind each sample id.
CREATE TABLE epochwatch.samples (
    sample_id epochwatch.sha256 PRIMARY KEY,
    stack_key epochwatch.sha256 NOT NULL,
    stack JSONB NOT NULL,
    prompt TEXT NOT NULL,
    seed BIGINT NOT NULL,
    recipe JSONB NOT NULL
);

CREATE TABLE epochwatch.grid_samples (
    grid_id BIGINT NOT NULL REFERENCES epochwatch.grids (id) ON DELETE CASCADE,
    sample_id epochwatch.sha256 NOT NULL REFERENCES epochwatch.samples (sample_id),
    stack_key epochwatch.sha256 NOT NULL,
    ordinal INTEGER NOT NULL,
    prompt_name TEXT NOT NULL,
    category TEXT NOT NULL DEFAULT '',
    origin TEXT,
    expect JSONB NOT NULL DEFAULT '{}',
    rubric epochwatch.sha256 NOT NULL,
    profile epochwatch.sha256,
    weighting epochwatch.sha256,
    PRIMARY KEY (grid_id, sample_id)
);
CREATE INDEX grid_samples_sample ON epochwatch.grid_samples (sample_id);

-- One merge, one job. The claim only avoids waste: drawing twice changes nothing.
CREATE TABLE epochwatch.jobs (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    grid_id BIGINT NOT NULL REFERENCES epochwatch.grids (id) ON DELETE CASCADE,
    stack_key epochwatch.sha256 NOT NULL,
    base_sha256 epochwatch.sha256 NOT NULL,
    priority INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    claimed_by TEXT,
    claimed_until TIMESTAMPTZ,
    not_before TIMESTAMPTZ NOT NULL DEFAULT now(),
    parked_reason TEXT,
    waiting_reason TEXT,
    finished_at TIMESTAMPTZ,
    UNIQUE (grid_id, stack_key)
);
CREATE INDEX jobs_open ON epochwatch.jobs (priority DESC, id)
    WHERE finished_at IS NULL AND parked_reason IS NULL;

-- The first write of a sample wins; a defect says why there is no picture.
CREATE TABLE epochwatch.images (
    sample_id epochwatch.sha256 PRIMARY KEY REFERENCES epochwatch.samples (sample_id),
    image_sha256 epochwatch.sha256,
    defect TEXT,
    width INTEGER,
    height INTEGER,
    seconds REAL,
    host TEXT NOT NULL,
    provenance JSONB NOT NULL DEFAULT '{}',
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CHECK ((image_sha256 IS NULL) <> (defect IS NULL))
);
CREATE INDEX images_created ON epochwatch.images (created_at DESC);

CREATE TABLE epochwatch.measurements (
    sample_id epochwatch.sha256 NOT NULL REFERENCES epochwatch.samples (sample_id),
    rubric epochwatch.sha256 NOT NULL,
    visual NUMERIC CHECK (visual >= 0 AND visual <= 10),
    style NUMERIC CHECK (style >= 0 AND style <= 10),
    prompt NUMERIC CHECK (prompt >= 0 AND prompt <= 10),
    body JSONB NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (sample_id, rubric)
);

-- People's scores only, append-only: they stand beside the machine's and are never overwritten.
CREATE TABLE epochwatch.scores (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES public.training_runs (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    judge TEXT NOT NULL,
    visual NUMERIC NOT NULL CHECK (visual >= 0 AND visual <= 10),
    style NUMERIC NOT NULL CHECK (style >= 0 AND style <= 10),
    prompt NUMERIC NOT NULL CHECK (prompt >= 0 AND prompt <= 10),
    note TEXT NOT NULL DEFAULT '',
    created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX scores_run ON epochwatch.scores (run_id, position, id);

CREATE TABLE epochwatch.advice (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES public.training_runs (id) ON DELETE CASCADE,
    evidence epochwatch.sha256 NOT NULL,
    sentence TEXT NOT NULL,
    body JSONB NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    current_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    UNIQUE (run_id, evidence)
);

-- Everything that must happen once, written in the transaction of the decision. The key makes it once.
CREATE TABLE epochwatch.actions (
    key TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('alert', 'keep', 'promote', 'stop', 'hook')),
    run_id INTEGER,
    payload JSONB NOT NULL DEFAULT '{}',
    state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'done', 'failed')),
    host TEXT,
    tries INTEGER NOT NULL DEFAULT 0,
    not_before TIMESTAMPTZ NOT NULL DEFAULT now(),
    error TEXT,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    done_at TIMESTAMPTZ
);
CREATE INDEX actions_pending ON epochwatch.actions (not_before) WHERE state = 'pending';

CREATE TABLE epochwatch.hosts (
    name TEXT PRIMARY KEY,
    last_seen TIMESTAMPTZ NOT NULL DEFAULT now(),
    state TEXT NOT NULL,
    doing TEXT NOT NULL DEFAULT '',
    detail JSONB NOT NULL DEFAULT '{}'
);

-- What the machine last wrote into the owner's tables: it may replace that, and nothing else.
CREATE TABLE epochwatch.written (
    table_name TEXT NOT NULL,
    row_id BIGINT NOT NULL,
    cells JSONB NOT NULL DEFAULT '{}',
    PRIMARY KEY (table_name, row_id)
);

-- Images the trainer itself left beside its checkpoints. Looked at, never scored.
CREATE TABLE epochwatch.trainer_samples (
    run_id INTEGER NOT NULL REFERENCES public.training_runs (id) ON DELETE CASCADE,
    file_name TEXT NOT NULL,
    epoch INTEGER,
    step INTEGER,
    ordinal INTEGER,
    seed BIGINT,
    image_sha256 epochwatch.sha256 NOT NULL,
    seen_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id, file_name)
);

-- Plans as they were registered, append-only: the newest of a run stands, and the rest is its history.
CREATE TABLE epochwatch.run_plans (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES public.training_runs (id) ON DELETE CASCADE,
    digest epochwatch.sha256 NOT NULL REFERENCES epochwatch.documents (digest),
    registered_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    after_results BOOLEAN NOT NULL,
    by_whom TEXT NOT NULL
);
CREATE INDEX run_plans_run ON epochwatch.run_plans (run_id, id);

-- One judge's sitting on one comparison: identities stay hidden until it has ended.
CREATE TABLE epochwatch.vote_sessions (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    comparison BIGINT NOT NULL, -- a grid, by value: votes outlive what they were about
    judge TEXT NOT NULL,
    via TEXT NOT NULL CHECK (via IN ('local', 'account', 'guest')),
    blind BOOLEAN NOT NULL DEFAULT TRUE,
    budget INTEGER CHECK (budget > 0), -- votes this judge set out to give; NULL: as many as wanted
    began_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    ended_at TIMESTAMPTZ
);
CREATE UNIQUE INDEX vote_sessions_open ON epochwatch.vote_sessions (comparison, judge)
    WHERE ended_at IS NULL;
CREATE INDEX vote_sessions_comparison ON epochwatch.vote_sessions (comparison, judge);

-- What was shown to whom, in the order it was shown.
CREATE TABLE epochwatch.servings (
    id TEXT PRIMARY KEY, -- random: it is the address of its images
    session_id BIGINT NOT NULL,
    comparison BIGINT NOT NULL,
    judge TEXT NOT NULL,
    unit TEXT NOT NULL, -- prompt and seed
    category TEXT NOT NULL DEFAULT '',
    slots TEXT[] NOT NULL, -- slot keys from left to right
    samples TEXT[] NOT NULL, -- sample ids from left to right
    purpose TEXT NOT NULL DEFAULT 'vote' CHECK (purpose IN ('vote', 'repeat', 'gold')),
    expected TEXT, -- the right answer to a gold
    asks TEXT UNIQUE, -- what one judge is asked once: comparison, judge, unit and slots; no golds
    number BIGINT GENERATED ALWAYS AS IDENTITY,
    served_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX servings_comparison ON epochwatch.servings (comparison);
CREATE INDEX servings_session ON epochwatch.servings (session_id);

-- Answers, append-only: the last revision of a serving stands, an undo is a revision.
CREATE TABLE epochwatch.votes (
    serving_id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    choice TEXT NOT NULL
        CHECK (choice IN ('left', 'right', 'tie', 'both_bad', 'skip', 'ranking', 'undone')),
    ranking INTEGER[], -- of more than two: places from best to worst
    note TEXT NOT NULL DEFAULT '',
    milliseconds INTEGER,
    voted_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (serving_id, revision)
);

-- Links that let somebody without an account vote on one comparison.
CREATE TABLE epochwatch.guest_links (
    token_sha256 epochwatch.sha256 PRIMARY KEY,
    comparison BIGINT NOT NULL,
    judge TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    expires_at TIMESTAMPTZ NOT NULL,
    revoked_at TIMESTAMPTZ
);

-- What was in production when, by value, so that the history survives the deletion of a run.
CREATE TABLE epochwatch.promotions (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id INTEGER,
    run_name TEXT NOT NULL,
    position INTEGER NOT NULL,
    sha256 epochwatch.sha256 NOT NULL,
    channel TEXT NOT NULL DEFAULT 'production',
    record JSONB NOT NULL, -- the production record as it lies beside the file
    checklist JSONB NOT NULL DEFAULT '[]', -- each criterion with what was found
    overridden TEXT[] NOT NULL DEFAULT '{}', -- criteria that a person set aside
    reason TEXT NOT NULL DEFAULT '',
    by_whom TEXT NOT NULL,
    rolled_back_from BIGINT, -- what was in production when somebody went back to this
    decided_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    live_at TIMESTAMPTZ, -- when the pointer led to it; NULL: not yet
    host TEXT -- whose production folder that was
);
CREATE INDEX promotions_channel ON epochwatch.promotions (channel, id);

-- Promotions and overrides are a history: nobody rewrites them, and only their going live is added.
CREATE FUNCTION epochwatch.keep_promotions() RETURNS trigger
LANGUAGE plpgsql SET search_path = ''
AS 'BEGIN
    IF TG_OP = ''UPDATE'' AND OLD.live_at IS NULL
        AND to_jsonb(NEW) - ''live_at'' - ''host'' = to_jsonb(OLD) - ''live_at'' - ''host''
    THEN RETURN NEW; END IF;
    RAISE EXCEPTION ''promotions are kept as they were decided'';
END';
CREATE TRIGGER keep_promotions BEFORE UPDATE OR DELETE ON epochwatch.promotions
    FOR EACH ROW EXECUTE FUNCTION epochwatch.keep_promotions();

-- What a trainer's log says, as far as somebody follows it.
CREATE TABLE epochwatch.trainers (
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started_at TIMESTAMPTZ NOT NULL,
    run_id INTEGER,
    command TEXT NOT NULL DEFAULT '',
    epoch INTEGER,
    step INTEGER,
    total_steps INTEGER,
    loss REAL,
    seconds_left REAL,
    state TEXT NOT NULL CHECK (state IN ('training', 'ended', 'failed', 'stopped', 'lost')),
    seen_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    ended_at TIMESTAMPTZ,
    PRIMARY KEY (host, pid, started_at)
);

-- People correcting the machine: scores called wrong, and weights of the score that were adopted.
-- The last word of a judge on one score of one picture stands; withdrawing is a word of its own.
CREATE TABLE epochwatch.score_objections (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sample_id epochwatch.sha256 NOT NULL,
    rubric epochwatch.sha256 NOT NULL,
    score TEXT NOT NULL CHECK (score IN ('visual', 'style', 'prompt')),
    direction TEXT NOT NULL CHECK (direction IN ('too_high', 'too_low', 'withdrawn')),
    judge TEXT NOT NULL,
    note TEXT NOT NULL DEFAULT '',
    created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX score_objections_sample ON epochwatch.score_objections (sample_id, id);

-- Which weights of the score new runs get: the last row stands, the history stays.
CREATE TABLE epochwatch.weightings (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest epochwatch.sha256 NOT NULL REFERENCES epochwatch.documents (digest),
    adopted_by TEXT NOT NULL,
    why TEXT NOT NULL DEFAULT '',
    adopted_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- The cells of each picture, for what only several pictures tell together.
CREATE TABLE epochwatch.cells (
    sample_id epochwatch.sha256 PRIMARY KEY REFERENCES epochwatch.samples (sample_id),
    rows INTEGER NOT NULL CHECK (rows > 0),
    columns INTEGER NOT NULL CHECK (columns > 0),
    rgb BYTEA NOT NULL -- zlib of rows x columns x 3 bytes
);

-- What all pictures of a position say together: diversity, copies of training images, the gap.
CREATE TABLE epochwatch.set_levels (
    run_id INTEGER NOT NULL REFERENCES public.training_runs (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    body JSONB NOT NULL,
    PRIMARY KEY (run_id, position)
);

CREATE TABLE epochwatch.rev (
    topic TEXT PRIMARY KEY,
    n BIGINT NOT NULL DEFAULT 0
);
INSERT INTO epochwatch.rev (topic) VALUES ('results'), ('hosts');

-- What each job still lacks: the only definition of "done" there is.
CREATE VIEW epochwatch.missing WITH (security_invoker = true) AS
    SELECT j.id AS job_id, gs.grid_id, gs.sample_id, gs.ordinal,
           i.sample_id IS NULL AS lacks_image,
           i.sample_id IS NOT NULL AND i.defect IS NULL AND m.sample_id IS NULL AS lacks_measurement
    FROM epochwatch.jobs j
    JOIN epochwatch.grid_samples gs ON gs.grid_id = j.grid_id AND gs.stack_key = j.stack_key
    LEFT JOIN epochwatch.images i ON i.sample_id = gs.sample_id
    LEFT JOIN epochwatch.measurements m ON m.sample_id = gs.sample_id AND m.rubric = gs.rubric
    WHERE i.sample_id IS NULL OR (i.defect IS NULL AND m.sample_id IS NULL);

-- No policy at all: only the owner sees rows, until somebody writes a policy.
ALTER TABLE public.training_runs ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.epoch_results ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.test_prompts ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.prompt_test_results ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.caption_versions ENABLE ROW LEVEL SECURITY;
ALTER TABLE epochwatch.schema_migrations ENABLE ROW LEVEL SECURITY;
ALTER TABLE epochwatch.weights ENABLE ROW LEVEL SECURITY;
ALTER TABLE epochwatch.run_sources ENABLE ROW LEVEL SECURITY;
ALTER TABLE epochwatch.run_setups ENABLE ROW LEVEL SECURITY;
ALTER TABLE epochwatch.checkpoints ENABLE ROW LEVEL SECURITY;
ALTER TABLE epochwatch.sightings ENABLE ROW LEVEL SECURITY;
ALTER TABLE epochwatch.documents ENABLE ROW LEVEL SECURITY;
ALTER TABLE epochwatch.grids ENABLE ROW LEVEL SECURITY;
ALTER TABLE epochwatch.samples ENABLE ROW LEVEL SECURITY;
ALTER TABLE epochwatch.grid_samples ENABLE ROW LEVEL SECURITY;
ALTER TABLE epochwatch.jobs ENABLE ROW LEVEL SECURITY;
ALTER TABLE epochwatch.images ENABLE ROW LEVEL SECURITY;
ALTER TABLE epochwatch.measurements ENABLE ROW LEVEL SECURITY;
ALTER TABLE epochwatch.scores ENABLE ROW LEVEL SECURITY;
ALTER TABLE epochwatch.advice ENABLE ROW LEVEL SECURITY;
ALTER TABLE epochwatch.actions ENABLE ROW LEVEL SECURITY;
ALTER TABLE epochwatch.hosts ENABLE ROW LEVEL SECURITY;
ALTER TABLE epochwatch.written ENABLE ROW LEVEL SECURITY;
ALTER TABLE epochwatch.trainer_samples ENABLE ROW LEVEL SECURITY;
ALTER TABLE epochwatch.run_plans ENABLE ROW LEVEL SECURITY;
ALTER TABLE epochwatch.vote_sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE epochwatch.servings ENABLE ROW LEVEL SECURITY;
ALTER TABLE epochwatch.votes ENABLE ROW LEVEL SECURITY;
ALTER TABLE epochwatch.guest_links ENABLE ROW LEVEL SECURITY;
ALTER TABLE epochwatch.promotions ENABLE ROW LEVEL SECURITY;
ALTER TABLE epochwatch.trainers ENABLE ROW LEVEL SECURITY;
ALTER TABLE epochwatch.score_objections ENABLE ROW LEVEL SECURITY;
ALTER TABLE epochwatch.weightings ENABLE ROW LEVEL SECURITY;
ALTER TABLE epochwatch.cells ENABLE ROW LEVEL SECURITY;
ALTER TABLE epochwatch.set_levels ENABLE ROW LEVEL SECURITY;
ALTER TABLE epochwatch.rev ENABLE ROW LEVEL SECURITY;
