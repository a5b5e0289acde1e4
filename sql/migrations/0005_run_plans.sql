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
ALTER TABLE epochwatch.run_plans ENABLE ROW LEVEL SECURITY;
