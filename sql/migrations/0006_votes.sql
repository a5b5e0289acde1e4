-- People's judgement: comparisons are grids of their own kind, and every answer is kept.
ALTER TABLE epochwatch.grids DROP CONSTRAINT grids_purpose_check;
ALTER TABLE epochwatch.grids ADD CONSTRAINT grids_purpose_check
    CHECK (purpose IN ('epoch', 'baseline', 'compare', 'retest', 'try'));

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

ALTER TABLE epochwatch.vote_sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE epochwatch.servings ENABLE ROW LEVEL SECURITY;
ALTER TABLE epochwatch.votes ENABLE ROW LEVEL SECURITY;
ALTER TABLE epochwatch.guest_links ENABLE ROW LEVEL SECURITY;
