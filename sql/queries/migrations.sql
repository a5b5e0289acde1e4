-- name: server
-- The server's version as a number, such as 150018.
SELECT current_setting('server_version_num')::integer AS version;

-- name: lock
-- One migration at a time; held until the transaction ends, so that it works behind poolers too.
SELECT pg_advisory_xact_lock(hashtext('epochwatch/migrate'));

-- name: be_patient
-- Give up rather than queue everybody behind us when somebody holds a table for long.
SELECT set_config('lock_timeout', '10s', TRUE), set_config('search_path', 'pg_catalog', TRUE);

-- name: has_memory
-- Whether anything was ever migrated here. Not by to_regclass: after the wait for the lock it may
-- still answer from this session's cache, made before somebody else migrated.
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'epochwatch' AND c.relname = 'schema_migrations'
) AS known;

-- name: make_schema
-- Our own schema, away from the data API.
CREATE SCHEMA IF NOT EXISTS epochwatch;

-- name: make_memory
-- Which migrations were applied, and the checksum of the file that was run.
CREATE TABLE IF NOT EXISTS epochwatch.schema_migrations (
    version INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    applied_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- name: applied
-- Every applied migration, oldest first.
SELECT version, name, sha256 FROM epochwatch.schema_migrations ORDER BY version;

-- name: remember
-- This file is done.
INSERT INTO epochwatch.schema_migrations (version, name, sha256)
VALUES (%(version)s, %(name)s, %(sha256)s);

-- name: count
-- How many rows one of the owner's tables holds.
SELECT count(*) AS rows FROM public.{table};

-- name: shape
-- What the catalogs hold of the owner's tables and views and of our schema, a line each.
WITH ours AS (
    SELECT c.oid, c.relkind, c.relrowsecurity, c.reloptions, n.nspname || '.' || c.relname AS name
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'v')
      AND (n.nspname = 'epochwatch' OR n.nspname = 'public' AND c.relname = ANY (%(names)s))
)
SELECT name AS owner, CASE relkind WHEN 'r' THEN 'table ' ELSE 'view ' END || name AS line FROM ours
UNION ALL
SELECT o.name, 'column ' || o.name || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
FROM ours o JOIN pg_attribute a ON a.attrelid = o.oid
WHERE o.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT o.name, 'index ' || c.relname || ' on ' || o.name
FROM ours o JOIN pg_index i ON i.indrelid = o.oid JOIN pg_class c ON c.oid = i.indexrelid
UNION ALL
SELECT o.name, 'constraint ' || k.conname || ' on ' || o.name || ': ' || pg_get_constraintdef(k.oid)
FROM ours o JOIN pg_constraint k ON k.conrelid = o.oid
WHERE k.contype <> 'n'
UNION ALL
SELECT o.name, 'trigger ' || t.tgname || ' on ' || o.name
FROM ours o JOIN pg_trigger t ON t.tgrelid = o.oid
WHERE NOT t.tgisinternal
UNION ALL
SELECT name, 'row-level security on ' || name FROM ours WHERE relrowsecurity
UNION ALL
SELECT name, 'rights of whoever reads (security_invoker) on view ' || name
FROM ours WHERE relkind = 'v' AND reloptions && ARRAY['security_invoker=true', 'security_invoker=on']
ORDER BY line;

-- name: losing_access
-- Roles that were granted something and will see no rows once row-level security asks for a policy.
WITH granted AS (
    SELECT c.oid, c.relname, c.relowner, acl.grantee, acl.privilege_type
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL (
        SELECT grantee, privilege_type FROM aclexplode(c.relacl)
        UNION
        SELECT g.grantee, g.privilege_type
        FROM pg_attribute a CROSS JOIN LATERAL aclexplode(a.attacl) g
        WHERE a.attrelid = c.oid
    ) acl
    WHERE n.nspname = 'public' AND c.relname = ANY (%(names)s) AND c.relkind IN ('r', 'v')
      AND NOT c.relrowsecurity
      AND acl.privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
      AND NOT coalesce(
          c.reloptions && ARRAY['security_invoker=true', 'security_invoker=on'], FALSE
      )
)
SELECT coalesce(r.rolname::text, 'PUBLIC') AS role,
       array_agg(DISTINCT g.relname::text ORDER BY g.relname::text) AS relations
FROM granted g
LEFT JOIN pg_roles r ON r.oid = g.grantee
WHERE NOT coalesce(r.rolsuper OR r.rolbypassrls OR pg_has_role(r.oid, g.relowner, 'USAGE'), FALSE)
  AND NOT EXISTS (
      SELECT FROM pg_policy p
      WHERE p.polrelid = g.oid AND (0 = ANY (p.polroles) OR g.grantee = ANY (p.polroles))
  )
GROUP BY 1
ORDER BY 1;
