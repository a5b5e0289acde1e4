-- name: votes
-- Every standing blind answer to a pair, of one run's comparisons or of all, with what was measured.
SELECT s.id, s.judge, s.unit, s.slots, a.sample_id, sa.prompt, sa.seed, v.choice, v.voted_at,
       a.expect, ma.body AS left_body, mb.body AS right_body
FROM epochwatch.servings s
JOIN epochwatch.grids g ON g.id = s.comparison
JOIN epochwatch.vote_sessions vs ON vs.id = s.session_id AND vs.blind
JOIN LATERAL (
    SELECT choice, voted_at FROM epochwatch.votes
    WHERE serving_id = s.id ORDER BY revision DESC LIMIT 1
) v ON v.choice IN ('left', 'right', 'tie', 'both_bad')
JOIN epochwatch.grid_samples a ON a.grid_id = g.id AND a.sample_id = s.samples[1]
JOIN epochwatch.grid_samples b ON b.grid_id = g.id AND b.sample_id = s.samples[2]
JOIN epochwatch.samples sa ON sa.sample_id = a.sample_id
LEFT JOIN epochwatch.measurements ma ON ma.sample_id = a.sample_id AND ma.rubric = a.rubric
LEFT JOIN epochwatch.measurements mb ON mb.sample_id = b.sample_id AND mb.rubric = b.rubric
WHERE s.purpose = 'vote' AND cardinality(s.samples) = 2
  AND (%(run_id)s::int IS NULL OR g.run_id = %(run_id)s)
  AND (%(since)s::timestamptz IS NULL OR v.voted_at > %(since)s)
ORDER BY v.voted_at, s.id;

-- name: rankings
-- Every standing blind answer to more than two pictures at once, with what was measured on each from left to right.
SELECT s.id, s.judge, s.unit, s.slots, sa.prompt, sa.seed, v.choice, v.ranking, v.voted_at,
       a.expect,
       (SELECT array_agg(m.body ORDER BY place.n)
        FROM unnest(s.samples) WITH ORDINALITY place (sample_id, n)
        LEFT JOIN epochwatch.grid_samples gs ON gs.grid_id = g.id AND gs.sample_id = place.sample_id
        LEFT JOIN epochwatch.measurements m ON m.sample_id = gs.sample_id AND m.rubric = gs.rubric
       ) AS bodies
FROM epochwatch.servings s
JOIN epochwatch.grids g ON g.id = s.comparison
JOIN epochwatch.vote_sessions vs ON vs.id = s.session_id AND vs.blind
JOIN LATERAL (
    SELECT choice, ranking, voted_at FROM epochwatch.votes
    WHERE serving_id = s.id ORDER BY revision DESC LIMIT 1
) v ON v.choice IN ('ranking', 'tie', 'both_bad')
JOIN epochwatch.grid_samples a ON a.grid_id = g.id AND a.sample_id = s.samples[1]
JOIN epochwatch.samples sa ON sa.sample_id = a.sample_id
WHERE s.purpose = 'vote' AND cardinality(s.samples) > 2
  AND (%(run_id)s::int IS NULL OR g.run_id = %(run_id)s)
  AND (%(since)s::timestamptz IS NULL OR v.voted_at > %(since)s)
ORDER BY v.voted_at, s.id;

-- name: named
-- How many answers were given with the names shown, to one run's comparisons or to all.
SELECT count(*) AS votes
FROM epochwatch.servings s
JOIN epochwatch.grids g ON g.id = s.comparison
JOIN epochwatch.vote_sessions vs ON vs.id = s.session_id AND NOT vs.blind
JOIN LATERAL (
    SELECT choice FROM epochwatch.votes WHERE serving_id = s.id ORDER BY revision DESC LIMIT 1
) v ON v.choice NOT IN ('skip', 'undone')
WHERE s.purpose = 'vote' AND (%(run_id)s::int IS NULL OR g.run_id = %(run_id)s);

-- name: comparisons
-- The comparisons, of one run or of all, on which pictures were served.
SELECT DISTINCT s.comparison
FROM epochwatch.servings s JOIN epochwatch.grids g ON g.id = s.comparison
WHERE %(run_id)s::int IS NULL OR g.run_id = %(run_id)s
ORDER BY s.comparison;

-- name: objections
-- Pictures whose score is called wrong, beside the picture of the same prompt and seed with the
-- nearest score, of another stack: by the person, the one is better and the other worse than that.
SELECT o.judge, o.direction, o.score, s.prompt, s.seed, m.body, n.body AS near_body, n.expect
FROM (
    SELECT DISTINCT ON (sample_id, rubric, score, judge) *
    FROM epochwatch.score_objections
    ORDER BY sample_id, rubric, score, judge, id DESC
) o
JOIN epochwatch.samples s ON s.sample_id = o.sample_id
JOIN epochwatch.measurements m ON m.sample_id = o.sample_id AND m.rubric = o.rubric
JOIN LATERAL (
    SELECT b.body, gs.expect
    FROM epochwatch.samples other
    JOIN epochwatch.grid_samples gs ON gs.sample_id = other.sample_id
    JOIN epochwatch.grids g ON g.id = gs.grid_id
    JOIN epochwatch.measurements b ON b.sample_id = gs.sample_id AND b.rubric = gs.rubric
    WHERE other.prompt = s.prompt AND other.seed = s.seed AND other.sample_id <> s.sample_id
      AND (%(run_id)s::int IS NULL OR g.run_id = %(run_id)s)
    ORDER BY abs(coalesce(b.visual, 0) + coalesce(b.style, 0) + coalesce(b.prompt, 0)
                 - coalesce(m.visual, 0) - coalesce(m.style, 0) - coalesce(m.prompt, 0)),
             other.sample_id
    LIMIT 1
) n ON TRUE
WHERE o.direction <> 'withdrawn'
  AND (%(run_id)s::int IS NULL OR EXISTS (
      SELECT FROM epochwatch.grid_samples gs JOIN epochwatch.grids g ON g.id = gs.grid_id
      WHERE gs.sample_id = o.sample_id AND g.run_id = %(run_id)s))
ORDER BY o.id;

-- name: adopt
-- New runs are scored with these weights from now on.
INSERT INTO epochwatch.weightings (digest, adopted_by, why)
VALUES (%(digest)s, %(adopted_by)s, %(why)s);

-- name: current
-- The weights that stand.
SELECT w.digest, d.body, w.adopted_by, w.adopted_at, w.why
FROM epochwatch.weightings w JOIN epochwatch.documents d USING (digest)
ORDER BY w.id DESC LIMIT 1;

-- name: history
-- Every adoption and every fall back, the newest first.
SELECT w.digest, d.body, w.adopted_by, w.adopted_at, w.why
FROM epochwatch.weightings w JOIN epochwatch.documents d USING (digest) ORDER BY w.id DESC;

-- name: of_run
-- The weights that a run is scored with.
SELECT d.digest, d.body FROM epochwatch.run_setups s
JOIN epochwatch.documents d ON d.digest = s.weighting
WHERE s.run_id = %(run_id)s;

-- name: votes_since
-- Clear blind answers given after a moment; a ranking of k pictures is k - 1 of them.
SELECT coalesce(sum(cardinality(s.slots) - 1), 0) AS votes FROM epochwatch.servings s
JOIN epochwatch.vote_sessions vs ON vs.id = s.session_id AND vs.blind
JOIN LATERAL (
    SELECT choice, voted_at FROM epochwatch.votes
    WHERE serving_id = s.id ORDER BY revision DESC LIMIT 1
) v ON v.choice IN ('left', 'right', 'ranking') AND v.voted_at > %(since)s
WHERE s.purpose = 'vote';

-- name: grids_of_run
-- Everything that was ever asked of a run, with what each picture is measured under and shows.
SELECT gs.grid_id, gs.sample_id, gs.expect, gs.rubric, gs.profile, gs.weighting, g.purpose,
       CASE WHEN g.purpose IN ('epoch', 'retest') THEN g.position END AS position,
       s.recipe, i.image_sha256, m.body
FROM epochwatch.grids g
JOIN epochwatch.grid_samples gs ON gs.grid_id = g.id
JOIN epochwatch.samples s ON s.sample_id = gs.sample_id
LEFT JOIN epochwatch.images i ON i.sample_id = gs.sample_id
LEFT JOIN epochwatch.measurements m ON m.sample_id = gs.sample_id AND m.rubric = gs.rubric
WHERE g.run_id = %(run_id)s
ORDER BY g.position NULLS FIRST, gs.grid_id, gs.ordinal, gs.sample_id;

-- name: measured_under
-- Whether a picture has a measurement under a rubric.
SELECT body FROM epochwatch.measurements WHERE sample_id = %(sample_id)s AND rubric = %(rubric)s;

-- name: put_under
-- From now on this picture of a grid is read under another rubric; the old measurement stays.
UPDATE epochwatch.grid_samples
SET rubric = %(rubric)s, profile = %(profile)s, weighting = %(weighting)s
WHERE grid_id = %(grid_id)s AND sample_id = %(sample_id)s;

-- name: rescored
-- The run was scored anew: its epochs are judged again.
UPDATE epochwatch.run_setups SET rescored_at = now(), weighting = %(weighting)s
WHERE run_id = %(run_id)s;
