-- name: begin
-- A new sitting of a judge; nothing when one is open.
INSERT INTO epochwatch.vote_sessions (comparison, judge, via, blind, budget)
VALUES (%(comparison)s, %(judge)s, %(via)s, %(blind)s, %(budget)s)
ON CONFLICT (comparison, judge) WHERE ended_at IS NULL DO NOTHING
RETURNING id;

-- name: adopt
-- What a judge was shown in an ended sitting and never answered goes on in this one; not what was
-- shown with its names, where this one is blind.
UPDATE epochwatch.servings s SET session_id = %(session_id)s
FROM epochwatch.vote_sessions vs
WHERE vs.id = s.session_id AND vs.ended_at IS NOT NULL AND (vs.blind OR NOT %(blind)s)
  AND s.comparison = %(comparison)s AND s.judge = %(judge)s
  AND coalesce((
      SELECT v.choice FROM epochwatch.votes v WHERE v.serving_id = s.id
      ORDER BY v.revision DESC LIMIT 1
  ), 'undone') = 'undone';

-- name: open_session
-- The open sitting of a judge on a comparison.
SELECT id, comparison, judge, via, blind, budget, began_at, ended_at
FROM epochwatch.vote_sessions
WHERE comparison = %(comparison)s AND judge = %(judge)s AND ended_at IS NULL;

-- name: session
-- One sitting.
SELECT id, comparison, judge, via, blind, budget, began_at, ended_at
FROM epochwatch.vote_sessions WHERE id = %(session_id)s;

-- name: hold_session
-- One sitting, held until the transaction ends, so that two tabs are served one after the other.
SELECT id, comparison, judge, via, blind, budget, began_at, ended_at
FROM epochwatch.vote_sessions WHERE id = %(session_id)s FOR UPDATE;

-- name: sessions
-- Every sitting on a comparison, the oldest first.
SELECT id, comparison, judge, via, blind, budget, began_at, ended_at
FROM epochwatch.vote_sessions WHERE comparison = %(comparison)s ORDER BY id;

-- name: blind_sittings
-- Blind sittings that go on, of no guest, with the runs whose pictures they show and the votes so far.
SELECT vs.id, vs.comparison, vs.judge, vs.via,
       ARRAY(SELECT DISTINCT run.id FROM (
           SELECT g.run_id AS id
           UNION ALL SELECT (slot ->> 'run_id')::int FROM jsonb_array_elements(g.body -> 'slots') slot
       ) run WHERE run.id IS NOT NULL ORDER BY run.id) AS runs,
       g.body -> 'slots' AS slots,
       (SELECT count(*) FROM epochwatch.servings s
        WHERE s.session_id = vs.id AND coalesce((
            SELECT v.choice FROM epochwatch.votes v WHERE v.serving_id = s.id
            ORDER BY v.revision DESC LIMIT 1
        ), 'undone') <> 'undone') AS given
FROM epochwatch.vote_sessions vs
JOIN epochwatch.grids g ON g.id = vs.comparison
WHERE vs.ended_at IS NULL AND vs.blind AND vs.via <> 'guest'
ORDER BY vs.id DESC;

-- name: end
-- End a sitting; ended twice it stays as it was.
UPDATE epochwatch.vote_sessions SET ended_at = now()
WHERE id = %(session_id)s AND ended_at IS NULL;

-- name: serve
-- Keep what is shown, in the order shown; nothing when this judge was asked it before.
INSERT INTO epochwatch.servings
    (id, session_id, comparison, judge, unit, category, slots, samples, purpose, expected, asks)
VALUES (%(id)s, %(session_id)s, %(comparison)s, %(judge)s, %(unit)s, %(category)s, %(slots)s,
        %(samples)s, %(purpose)s, %(expected)s, %(asks)s)
ON CONFLICT (asks) DO NOTHING;

-- name: served
-- Everything served on a comparison with its standing answer, in the order served.
SELECT s.id, s.session_id, s.comparison, s.judge, s.unit, s.category, s.slots, s.samples,
       s.purpose, s.expected, s.served_at, s.number, v.revision, v.choice, v.ranking, v.note,
       v.milliseconds, v.voted_at, vs.via, vs.blind
FROM epochwatch.servings s
JOIN epochwatch.vote_sessions vs ON vs.id = s.session_id
LEFT JOIN LATERAL (
    SELECT revision, choice, ranking, note, milliseconds, voted_at
    FROM epochwatch.votes WHERE serving_id = s.id ORDER BY revision DESC LIMIT 1
) v ON TRUE
WHERE s.comparison = %(comparison)s
ORDER BY s.number;

-- name: served_slots
-- Everything served between these slots in any comparison with its standing answer.
SELECT s.id, s.session_id, s.comparison, s.judge, s.unit, s.category, s.slots, s.samples,
       s.purpose, s.expected, s.served_at, s.number, v.revision, v.choice, v.ranking, v.note,
       v.milliseconds, v.voted_at, vs.via, vs.blind
FROM epochwatch.servings s
JOIN epochwatch.vote_sessions vs ON vs.id = s.session_id
LEFT JOIN LATERAL (
    SELECT revision, choice, ranking, note, milliseconds, voted_at
    FROM epochwatch.votes WHERE serving_id = s.id ORDER BY revision DESC LIMIT 1
) v ON TRUE
WHERE s.slots && %(slots)s::text[]
ORDER BY s.number;

-- name: serving
-- One serving, and the images behind its places from left to right.
SELECT s.id, s.session_id, s.comparison, s.slots, s.purpose, s.expected, vs.ended_at,
       (SELECT array_agg(i.image_sha256::text ORDER BY place.n)
        FROM unnest(s.samples) WITH ORDINALITY place (sample_id, n)
        LEFT JOIN epochwatch.images i ON i.sample_id = place.sample_id) AS images,
       (SELECT sa.recipe ->> 'grid' FROM epochwatch.samples sa
        WHERE sa.sample_id = s.samples[1]) AS grid
FROM epochwatch.servings s
JOIN epochwatch.vote_sessions vs ON vs.id = s.session_id
WHERE s.id = %(serving_id)s;

-- name: answer
-- Keep an answer if it is the next revision of its serving; a revision is stored once.
INSERT INTO epochwatch.votes (serving_id, revision, choice, ranking, note, milliseconds)
SELECT %(serving_id)s, %(revision)s, %(choice)s, %(ranking)s::integer[], %(note)s, %(milliseconds)s
WHERE %(revision)s = (
    SELECT coalesce(max(revision) + 1, 0) FROM epochwatch.votes WHERE serving_id = %(serving_id)s
)
ON CONFLICT (serving_id, revision) DO NOTHING;

-- name: standing
-- The answer that stands for a serving.
SELECT serving_id, revision, choice, ranking, note, milliseconds, voted_at
FROM epochwatch.votes WHERE serving_id = %(serving_id)s ORDER BY revision DESC LIMIT 1;

-- name: revisions
-- Every answer ever given on a comparison, undone and changed ones too.
SELECT v.serving_id, v.revision, v.choice, v.ranking, v.note, v.milliseconds, v.voted_at
FROM epochwatch.votes v
JOIN epochwatch.servings s ON s.id = v.serving_id
WHERE s.comparison = %(comparison)s ORDER BY v.voted_at, v.serving_id, v.revision;

-- name: invite
-- Keep a guest link; only the hash of its token is known here.
INSERT INTO epochwatch.guest_links (token_sha256, comparison, judge, created_by, expires_at)
VALUES (%(token_sha256)s, %(comparison)s, %(judge)s, %(created_by)s,
        now() + make_interval(mins => %(minutes)s))
RETURNING token_sha256, comparison, judge, created_by, created_at, expires_at, revoked_at;

-- name: link
-- A guest link that opens now.
SELECT token_sha256, comparison, judge, created_by, created_at, expires_at, revoked_at
FROM epochwatch.guest_links
WHERE token_sha256 = %(token_sha256)s AND revoked_at IS NULL AND expires_at > now();

-- name: links
-- Every guest link, the newest first.
SELECT token_sha256, comparison, judge, created_by, created_at, expires_at, revoked_at
FROM epochwatch.guest_links ORDER BY created_at DESC LIMIT 500;

-- name: revoke
-- Close the guest links whose hash begins so.
UPDATE epochwatch.guest_links SET revoked_at = now()
WHERE starts_with(token_sha256::text, %(start)s) AND revoked_at IS NULL
RETURNING token_sha256, comparison, judge, created_by, created_at, expires_at, revoked_at;
