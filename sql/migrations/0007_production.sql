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
ALTER TABLE epochwatch.promotions ENABLE ROW LEVEL SECURITY;
