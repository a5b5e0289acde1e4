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
    rolled_back_from BIGINT,
    decided_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    live_at TIMESTAMPTZ -- when the pointer led to it; NULL: not yet
);
CREATE INDEX promotions_channel ON epochwatch.promotions (channel, id);
ALTER TABLE epochwatch.promotions ENABLE ROW LEVEL SECURITY;
