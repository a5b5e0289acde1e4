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

-- The training images as cells, the weights a run is scored with, and when it was scored anew.
ALTER TABLE epochwatch.run_setups ADD COLUMN training_cells epochwatch.sha256;
ALTER TABLE epochwatch.run_setups ADD COLUMN weighting epochwatch.sha256;
ALTER TABLE epochwatch.run_setups ADD COLUMN rescored_at TIMESTAMPTZ;
ALTER TABLE epochwatch.grid_samples ADD COLUMN weighting epochwatch.sha256;

ALTER TABLE epochwatch.score_objections ENABLE ROW LEVEL SECURITY;
ALTER TABLE epochwatch.weightings ENABLE ROW LEVEL SECURITY;
ALTER TABLE epochwatch.cells ENABLE ROW LEVEL SECURITY;
ALTER TABLE epochwatch.set_levels ENABLE ROW LEVEL SECURITY;
