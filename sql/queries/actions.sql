-- name: decide
-- Something that must happen once.
INSERT INTO epochwatch.actions (key, kind, run_id, payload, host) VALUES (%(key)s, %(kind)s, %(run_id)s, %(payload)s, %(host)s)
ON CONFLICT (key) DO NOTHING;

-- name: due
-- What this host can do now: its own actions, and those that any host may do.
SELECT key, kind, run_id, payload, tries, created_at FROM epochwatch.actions
WHERE state = 'pending' AND not_before <= now() AND (host IS NULL OR host = %(host)s)
ORDER BY created_at LIMIT 20;

-- name: one
-- One action, whatever became of it.
SELECT key, kind, run_id, payload, state, error, host, tries, created_at FROM epochwatch.actions
WHERE key = %(key)s;

-- name: take
-- Hold an action for a minute; one row changed means it is ours.
UPDATE epochwatch.actions SET not_before = now() + interval '60 seconds', tries = tries + 1
WHERE key = %(key)s AND state = 'pending' AND not_before <= now();

-- name: done
-- It happened.
UPDATE epochwatch.actions SET state = 'done', done_at = now(), error = %(note)s WHERE key = %(key)s;

-- name: again
-- It did not happen: later again, or failed for good.
UPDATE epochwatch.actions SET error = %(error)s, state = %(state)s,
    not_before = now() + make_interval(secs => %(seconds)s) WHERE key = %(key)s;

-- name: recent
-- The newest actions of a kind.
SELECT key, kind, run_id, payload, state, error, tries, created_at, done_at FROM epochwatch.actions
WHERE kind = %(kind)s ORDER BY created_at DESC LIMIT %(limit)s;

-- name: beat
-- A host says what it is doing.
INSERT INTO epochwatch.hosts (name, last_seen, state, doing, detail)
VALUES (%(name)s, now(), %(state)s, %(doing)s, %(detail)s)
ON CONFLICT (name) DO UPDATE SET last_seen = now(), state = EXCLUDED.state, doing = EXCLUDED.doing,
    detail = EXCLUDED.detail;
