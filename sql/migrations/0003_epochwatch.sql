-- Everything that is ours alone. Facts, wishes, plans and derived results; "done" is a query, never a column.

CREATE SCHEMA IF NOT EXISTS epochwatch;
REVOKE ALL ON SCHEMA epochwatch FROM PUBLIC;

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
    tests TEXT NOT NULL DEFAULT 'full' CHECK (tests IN ('thrifty', 'even', 'full')),
    stop TEXT NOT NULL DEFAULT 'normal' CHECK (stop IN ('careful', 'normal', 'eager')),
    price_per_hour NUMERIC,
    blocked_reason TEXT
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
    purpose TEXT NOT NULL CHECK (purpose IN ('epoch', 'baseline', 'compare', 'try')),
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

CREATE TABLE epochwatch.rev (
    topic TEXT PRIMARY KEY,
    n BIGINT NOT NULL DEFAULT 0
);
INSERT INTO epochwatch.rev (topic) VALUES ('results'), ('hosts') ON CONFLICT DO NOTHING;

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

DO $$
DECLARE
    ours RECORD;
BEGIN
    FOR ours IN SELECT tablename FROM pg_tables WHERE schemaname = 'epochwatch' LOOP
        EXECUTE format('ALTER TABLE epochwatch.%I ENABLE ROW LEVEL SECURITY', ours.tablename);
    END LOOP;
END
$$;
