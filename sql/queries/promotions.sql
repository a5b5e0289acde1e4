-- name: candidate_images
-- Every scored image of the epoch test of one position, with what was measured.
SELECT gs.sample_id, gs.prompt_name, gs.category, gs.expect, s.recipe, i.image_sha256, i.defect, i.seconds, m.body
FROM epochwatch.checkpoints c
JOIN epochwatch.grids g ON g.run_id = c.run_id AND g.purpose = 'epoch' AND g.body ->> 'sha256' = c.sha256
JOIN epochwatch.grid_samples gs ON gs.grid_id = g.id
JOIN epochwatch.samples s ON s.sample_id = gs.sample_id
LEFT JOIN epochwatch.images i ON i.sample_id = gs.sample_id
LEFT JOIN epochwatch.measurements m ON m.sample_id = gs.sample_id AND m.rubric = gs.rubric
WHERE c.run_id = %(run_id)s AND c.position = %(position)s AND NOT c.superseded
  AND gs.category <> 'bleeding (not scored)'
ORDER BY gs.ordinal;

-- name: people
-- Each judge's last word on one position.
SELECT DISTINCT ON (judge) judge, visual, style, prompt, note FROM epochwatch.scores
WHERE run_id = %(run_id)s AND position = %(position)s ORDER BY judge, id DESC;

-- name: epoch
-- The owner's row of one position.
SELECT coalesce(average_score,
           round((visual_quality_score + style_match_score + prompt_adherence_score) / 3.0, 2)) AS average,
       verdict, issues_detail, strengths_detail, production_ready, is_photorealistic
FROM public.epoch_results WHERE training_run_id = %(run_id)s AND epoch_number = %(position)s;

-- name: checkpoint
-- The current checkpoint of one position, where it came from and where a copy was kept.
SELECT c.sha256, c.drawn_as, c.position, c.epoch, c.step, c.file_name, c.source_path, c.host, w.kind, w.family, w.layout, w.size_bytes,
       w.uri, w.invalid_reason, w.facts
FROM epochwatch.checkpoints c JOIN epochwatch.weights w USING (sha256)
WHERE c.run_id = %(run_id)s AND c.position = %(position)s AND NOT c.superseded;

-- name: decide
-- Somebody decided what goes to production; it is live when a daemon has put it there.
INSERT INTO epochwatch.promotions
    (run_id, run_name, position, sha256, record, checklist, overridden, reason, by_whom, rolled_back_from)
VALUES (%(run_id)s, %(run_name)s, %(position)s, %(sha256)s, %(record)s, %(checklist)s, %(overridden)s,
        %(reason)s, %(by_whom)s, %(rolled_back_from)s)
RETURNING id;

-- name: live
-- The pointer of this host's production folder leads to it.
UPDATE epochwatch.promotions SET live_at = clock_timestamp(), host = %(host)s
WHERE id = %(promotion_id)s AND live_at IS NULL;

-- name: all
-- Everything that was ever decided about production, the newest first, with how far it has come.
SELECT p.id, p.run_id, p.run_name, p.position, p.sha256, p.record, p.checklist, p.overridden, p.reason,
       p.by_whom, p.rolled_back_from, p.decided_at, p.live_at, p.host,
       a.state, a.error, a.tries, a.host AS wanted_host, h.state AS hook_state, h.error AS hook_said
FROM epochwatch.promotions p
LEFT JOIN epochwatch.actions a ON a.key = 'promote/' || p.id
LEFT JOIN epochwatch.actions h ON h.key = 'hook/promote/' || p.id
WHERE p.channel = 'production' ORDER BY p.id DESC LIMIT %(limit)s;

-- name: get
-- One decision.
SELECT p.id, p.run_id, p.run_name, p.position, p.sha256, p.record, p.checklist, p.overridden, p.reason,
       p.by_whom, p.rolled_back_from, p.decided_at, p.live_at, p.host,
       a.state, a.error, a.tries, a.host AS wanted_host, h.state AS hook_state, h.error AS hook_said
FROM epochwatch.promotions p
LEFT JOIN epochwatch.actions a ON a.key = 'promote/' || p.id
LEFT JOIN epochwatch.actions h ON h.key = 'hook/promote/' || p.id
WHERE p.id = %(promotion_id)s;

-- name: lock
-- One decision about production at a time, until the transaction ends.
SELECT pg_advisory_xact_lock(hashtext('epochwatch/production'));

-- name: pinned
-- Weights that somebody still looks at: running, pick, runner-up, compared, in production.
SELECT u.sha256 FROM epochwatch.checkpoints c
JOIN LATERAL unnest(ARRAY[c.sha256::text, c.drawn_as::text]) u (sha256) ON TRUE
JOIN public.training_runs tr ON tr.id = c.run_id
LEFT JOIN LATERAL (
    SELECT a.body FROM epochwatch.advice a WHERE a.run_id = c.run_id ORDER BY a.current_at DESC, a.id DESC LIMIT 1
) a ON TRUE
WHERE NOT c.superseded AND (
    c.position = tr.best_epoch OR c.position = (a.body ->> 'pick')::int
    OR c.position::text IN (
        SELECT p.key FROM jsonb_each(a.body -> 'p_best') p ORDER BY p.value::numeric DESC LIMIT 2)
    OR (c.position IS NOT NULL AND NOT EXISTS (
        SELECT FROM epochwatch.grids g WHERE g.run_id = c.run_id AND g.purpose = 'epoch'
        AND g.body ->> 'sha256' = c.sha256)))
UNION
SELECT used.sha256 FROM epochwatch.grids g
JOIN LATERAL jsonb_array_elements(coalesce(g.body -> 'slots', jsonb_build_array(g.body))) slot ON TRUE
JOIN LATERAL (
    SELECT w.sha256 FROM epochwatch.weights w WHERE w.sha256 = slot.value #>> '{stack,base}' -- a full model is its own base
    UNION ALL
    SELECT lora.value ->> 0 FROM jsonb_array_elements(slot.value #> '{stack,loras}') lora
) used ON TRUE
WHERE g.purpose IN ('compare', 'retest', 'try') OR g.planned_at IS NULL
    OR EXISTS (SELECT FROM epochwatch.jobs j
               WHERE j.grid_id = g.id AND j.finished_at IS NULL AND j.parked_reason IS NULL)
UNION
SELECT p.sha256 FROM epochwatch.promotions p
WHERE p.live_at IS NULL OR p.id IN (
    SELECT id FROM epochwatch.promotions WHERE live_at IS NOT NULL ORDER BY id DESC LIMIT 2);
