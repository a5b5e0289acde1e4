-- In which ways a run is tested otherwise than it was trained, a sentence each.
ALTER TABLE epochwatch.run_setups ADD COLUMN doubts TEXT[] NOT NULL DEFAULT '{}';
