-- How a run's trainer may be stopped, what it may cost, and what its log says.
ALTER TABLE epochwatch.run_setups ADD COLUMN stopping JSONB;
ALTER TABLE epochwatch.run_setups ADD COLUMN budget NUMERIC;
ALTER TABLE epochwatch.run_setups ADD COLUMN gpu_name TEXT;

-- Tests may also start with one prompt an epoch and deepen where it tells most.
ALTER TABLE epochwatch.run_setups DROP CONSTRAINT run_setups_tests_check;
ALTER TABLE epochwatch.run_setups ADD CONSTRAINT run_setups_tests_check
    CHECK (tests IN ('thrifty', 'even', 'full', 'adaptive'));

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
ALTER TABLE epochwatch.trainers ENABLE ROW LEVEL SECURITY;
