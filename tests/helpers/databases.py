"""Real servers and databases for tests; every server ends and every database is dropped."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from core.store import embedded, migrate
from core.store.embedded_home import Layout, admin_dsn
from core.store.statements import SQL

STORE_TESTS = Path(__file__).resolve().parents[1] / "core" / "store"
EXAMPLE_DATA = SQL / "example_data.sql"
_numbers = count(1)


@contextmanager
def running_server(programs: Path | None = None) -> Iterator[str]:
    """Yield a superuser's DSN of an embedded server, run with ``programs`` if given."""
    home = Path(tempfile.mkdtemp(prefix="ew-", dir="/tmp"))
    home.chmod(0o755)
    try:
        with pytest.MonkeyPatch.context() as patch:
            if programs is not None:
                patch.setenv("PG_BIN", str(programs))
            server = embedded.attach(home, timeout_s=300)
        with server:
            dsn = admin_dsn(Layout.of(home))
            _hurry(dsn)
            yield dsn
        embedded.stop(home, timeout_s=300)
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def new_database(
    server_dsn: str, owner: str = "postgres", template: str = "template1"
) -> Iterator[str]:
    """Yield the DSN of a new empty database for ``owner``, a plain role made when it is missing."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(server_dsn, autocommit=True) as connection:
        make_role(connection, owner)
        _create(connection, name, owner, template)
    try:
        yield make_conninfo(server_dsn, dbname=name, user=owner)
    finally:
        with psycopg.connect(server_dsn, autocommit=True) as connection:
            connection.execute(
                sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            )


@contextmanager
def migrated_database(server_dsn: str) -> Iterator[str]:
    """Yield the DSN of a new database with our tables: a copy, made in a fifth of the time."""
    with new_database(server_dsn, template=_migrated(server_dsn)) as dsn:
        yield dsn


@cache
def _migrated(server_dsn: str) -> str:
    """Make a database that copies are made of; return its name. Nobody may be connected to it."""
    name = f"migrated_{os.getpid()}"
    with psycopg.connect(server_dsn, autocommit=True) as connection:
        _create(connection, name, "postgres", "template1")
        migrate.migrate(make_conninfo(server_dsn, dbname=name))
        connection.execute(
            sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name))
        )
        users = "SELECT FROM pg_stat_activity WHERE datname = %s"
        while connection.execute(users, (name,)).rowcount:
            time.sleep(0.02)
    return name


def _create(
    connection: psycopg.Connection[tuple[object, ...]], name: str, owner: str, template: str
) -> None:
    """Copy a database file by file: writing a log of each page would take four times as long."""
    connection.execute(
        sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {} STRATEGY file_copy").format(
            *map(sql.Identifier, (name, owner, template))
        )
    )


@contextmanager
def old_database(server_dsn: str) -> Iterator[str]:
    """Yield the owner's live database as the earlier schema made it, with rows, not migrated."""
    with new_database(server_dsn, owner="plain_owner") as dsn:
        with psycopg.connect(server_dsn, autocommit=True) as connection:
            make_role(connection, "anon")
            make_role(connection, "authenticated")
        load(dsn, STORE_TESTS / "old_schema.sql", EXAMPLE_DATA, STORE_TESTS / "old_rows.sql")
        yield dsn


def load(dsn: str, *paths: Path) -> None:
    """Run SQL files, all or none."""
    with psycopg.connect(dsn) as connection:
        for path in paths:
            connection.execute(sql.SQL(path.read_text(encoding="utf-8")))


def _hurry(dsn: str) -> None:
    """Never wait for the disk: these databases need not survive a power cut."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            connection.execute(sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(setting)))
        connection.execute("SELECT pg_reload_conf()")


def make_role(connection: psycopg.Connection[tuple[object, ...]], name: str) -> None:
    """Make a role that may log in and nothing else, unless it is there."""
    known = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (name,)).fetchone()
    if known is None:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
