-- name: bump
-- Count one change of a topic: it wakes the judge and is the dashboard's cache key.
INSERT INTO epochwatch.rev (topic, n) VALUES (%(topic)s, 1)
ON CONFLICT (topic) DO UPDATE SET n = epochwatch.rev.n + 1;

-- name: all
-- Every topic's counter.
SELECT topic, n FROM epochwatch.rev;
