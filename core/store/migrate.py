"""Brings a database to this version's schema: files in order, one transaction each, never twice.

An owner's database is adopted in place; ``preview`` says beforehand what that changes for whom.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row

from core.errors import Fixable, Retryable
from core.store.database import Connection, Row, explained, not_connected, row, rows, run
from core.store.statements import SQL, statement

OWNERS_TABLES = (
    "training_runs", "epoch_results", "test_prompts", "prompt_test_results", "caption_versions",
)  # fmt: skip
OWNERS_VIEWS = ("best_training_runs", "production_ready_epochs", "training_comparison")
OLDEST_SERVER = 150000  # security_invoker views
_FILE = re.compile(r"(\d{4})_(\w+)\.sql")


@dataclass(frozen=True, kw_only=True)
class Migration:
    """One file of sql/migrations."""

    version: int
    name: str
    sha256: str  # of the text with "\n" line ends, so that a checkout's line ends do not matter
    text: str


@dataclass(frozen=True, kw_only=True)
class MigrationPlan:
    """What migrating would do to a database, found by doing it and rolling back."""

    pending: tuple[Migration, ...]
    rows: tuple[tuple[str, int], ...]  # the owner's tables that are there, and their rows
    added: tuple[str, ...]  # a line each: "column public.epoch_results.picked boolean"
    removed: tuple[str, ...]
    losing_access: tuple[tuple[str, tuple[str, ...]], ...]  # role, tables and views

    @property
    def has_data(self) -> bool:
        """Whether any of the owner's tables holds rows."""
        return any(count for _, count in self.rows)

    @property
    def lines(self) -> tuple[str, ...]:
        """The plan for a person to read."""
        held = ", ".join(f"{table} {count}" for table, count in self.rows)
        return (
            *([f"rows here, all kept: {held}"] if self.has_data else []),
            *(f"+ {line}" for line in self.added),
            *(f"- {line}" for line in self.removed),
            *(
                f"! {role} will see no rows and change none in {', '.join(relations)}: "
                "no row-level security policy lets it"
                for role, relations in self.losing_access
            ),
        )


def pending(dsn: str) -> tuple[Migration, ...]:
    """Return what is still to be applied, in order.

    Raises Fixable when the database is newer than this program or a file changed after it was
    applied, Retryable when the database is away.
    """
    with _connected(dsn) as connection:
        return _pending(connection)


def migrate(dsn: str) -> tuple[Migration, ...]:
    """Apply what is pending and return it; nothing at all is written when nothing is pending.

    Raises like ``pending``, and Fixable when this role may not change the tables.
    """
    with _connected(dsn) as connection:
        return tuple(wanted for wanted in _pending(connection) if _apply_once(connection, wanted))


def preview(connection: Connection) -> MigrationPlan:
    """Return what ``migrate`` would change; the trial is rolled back and locks tables briefly.

    Raises what ``migrate`` would raise.
    """
    wanted = _pending(connection)
    losing = rows(connection, "migrations.losing_access", names=_names()) if wanted else []
    before, after = _trial(connection, wanted)
    there = [table for table in OWNERS_TABLES if f"table public.{table}" in before]
    counts = tuple((table, _count(connection, table)) for table in there)
    return MigrationPlan(
        pending=wanted,
        rows=counts,
        added=_news(after, before),
        removed=_news(before, after),
        losing_access=tuple((found["role"], tuple(found["relations"])) for found in losing),
    )


def require_current(connection: Connection) -> None:
    """Raise Fixable unless the database has exactly this version's schema."""
    missing = _pending(connection)
    if missing:
        first = missing[0]
        raise Fixable(
            "The database lacks changes that this version needs, beginning with "
            f"{first.version:04d} ({first.name.replace('_', ' ')}), so nothing is written to it. "
            "Run `epochwatch db migrate`."
        )


@cache
def migrations() -> tuple[Migration, ...]:
    """Return every migration this program knows, in order."""
    found = []
    for path in sorted((SQL / "migrations").glob("*.sql")):
        match = _FILE.fullmatch(path.name)
        if match is None:
            raise Fixable(f"{path} is not named like 0001_what_it_does.sql. Rename or remove it.")
        text = path.read_text(encoding="utf-8")
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        found.append(Migration(version=int(match[1]), name=match[2], sha256=sha256, text=text))
    return tuple(found)


@contextmanager
def _connected(dsn: str) -> Iterator[Connection]:
    """Connect without a pool, so that a refused login is told as one."""
    given = conninfo_to_dict(dsn)
    patient = make_conninfo(dsn, connect_timeout=given.get("connect_timeout", 10))
    try:
        connection = psycopg.Connection[Row].connect(
            patient, autocommit=True, prepare_threshold=None, row_factory=dict_row
        )
    except psycopg.Error as trouble:
        raise not_connected(trouble) from trouble
    try:
        with connection:
            yield connection
    except psycopg.Error as trouble:
        raise _told(trouble) from trouble


def _told(trouble: psycopg.Error) -> Exception:
    if isinstance(trouble, psycopg.errors.InsufficientPrivilege):
        return Fixable(
            f"The database role may not do this ({trouble.diag.message_primary}). Nothing was "
            "changed by this step. Migrate as the role that owns the tables (Supabase: postgres)."
        )
    if isinstance(trouble, psycopg.errors.LockNotAvailable):
        return Retryable(
            "A program has held one of the tables for 10 s, so nothing was changed by this step. "
            "Try again when its transaction has ended."
        )
    return explained(trouble)


def _pending(connection: Connection) -> tuple[Migration, ...]:
    applied = _applied(connection)
    known = {migration.version: migration for migration in migrations()}
    for found in applied:
        ours = known.get(found["version"])
        label = f"{found['version']:04d}_{found['name']}"
        if ours is None:
            raise Fixable(
                f"The database is newer than this program: it has {label}, which is unknown here. "
                "Update Epochwatch on this machine; nothing is written until then."
            )
        if ours.sha256 != found["sha256"]:
            raise Fixable(
                f"sql/migrations/{label}.sql is not the file that was applied to this database, so "
                "nothing is written to it. Restore the file, and put changes into a new one."
            )
    done = {found["version"] for found in applied}
    return tuple(migration for version, migration in known.items() if version not in done)


def _applied(connection: Connection) -> list[Row]:
    memory = row(connection, "migrations.has_memory")
    if memory is None or not memory["known"]:
        return []
    return rows(connection, "migrations.applied")


def _apply_once(connection: Connection, wanted: Migration) -> bool:
    """Apply in one transaction; False when somebody else was faster."""
    with connection.transaction():
        run(connection, "migrations.lock")
        if wanted not in _pending(connection):
            return False
        _apply(connection, wanted)
        return True


def _apply(connection: Connection, wanted: Migration) -> None:
    _require_server(connection)
    run(connection, "migrations.be_patient")
    run(connection, "migrations.make_schema")
    run(connection, "migrations.make_memory")
    connection.execute(sql.SQL(wanted.text))
    run(
        connection, "migrations.remember",
        version=wanted.version, name=wanted.name, sha256=wanted.sha256,
    )  # fmt: skip


def _require_server(connection: Connection) -> None:
    server = row(connection, "migrations.server")
    if server is not None and server["version"] < OLDEST_SERVER:
        raise Fixable(
            f"The database server is PostgreSQL {server['version'] // 10000}, and 15 or newer is "
            "needed. Nothing was changed. Upgrade the server, or name another in DATABASE_URL."
        )


def _trial(
    connection: Connection, wanted: tuple[Migration, ...]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the shape before and after ``wanted``, which is rolled back."""
    try:
        with connection.transaction(force_rollback=True):
            run(connection, "migrations.lock")
            run(connection, "migrations.be_patient")
            before = _shape(connection)
            for migration in wanted:
                _apply(connection, migration)
            return before, _shape(connection)
    except psycopg.Error as trouble:
        raise _told(trouble) from trouble


def _shape(connection: Connection) -> dict[str, str]:
    """Return what the catalogs hold: line -> the table or view it belongs to."""
    found = rows(connection, "migrations.shape", names=_names())
    return {line["line"]: line["owner"] for line in found}


def _news(here: dict[str, str], there: dict[str, str]) -> tuple[str, ...]:
    """Return the lines that only ``here`` has; of a new table or view, its own line says enough."""
    known = set(there.values())
    return tuple(
        line
        for line, owner in here.items()
        if line not in there and (owner in known or line in {f"table {owner}", f"view {owner}"})
    )


def _count(connection: Connection, table: str) -> int:
    counting = sql.SQL(statement("migrations.count")).format(table=sql.Identifier(table))
    counted = connection.execute(counting).fetchone()
    return 0 if counted is None else int(counted["rows"])


def _names() -> list[str]:
    return [*OWNERS_TABLES, *OWNERS_VIEWS]
