-- People correcting the machine: scores called wrong, and weights of the score that were adopted.
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

CREATE TABLE epochwatch.weightings (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest epochwatch.sha256 NOT NULL REFERENCES epochwatch.documents (digest),
    adopted_by TEXT NOT NULL,
    adopted_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
ALTER TABLE epochwatch.score_objections ENABLE ROW LEVEL SECURITY;
ALTER TABLE epochwatch.weightings ENABLE ROW LEVEL SECURITY;
