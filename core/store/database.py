"""The door to Postgres: one small pool, short transactions, errors sorted into the three kinds of trouble."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool, PoolTimeout

from core.errors import Fixable, Permanent, Retryable
from core.store.statements import statement

Row = dict[str, Any]
Connection = psycopg.Connection[Row]

# SQLSTATE classes that pass by themselves: connection, resources, operator action, rollback.
_PASSING = ("08", "53", "57", "40")
_READ_ONLY = "25006"


class Database:
    """A pool of at most five connections; safe behind any pooler (no prepared statements)."""

    def __init__(self, dsn: str, *, max_size: int = 5, wait_seconds: float = 5.0) -> None:
        """Open lazily: a database that is away does not stop the start."""
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            _with_timeouts(dsn),
            min_size=1,
            max_size=max_size,
            timeout=wait_seconds,
            max_lifetime=1800,
            kwargs={"row_factory": dict_row, "prepare_threshold": None},
            check=ConnectionPool.check_connection,
            open=True,
        )

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Yield a connection inside one transaction.

        Raises Retryable when the database is away or busy, Fixable when it refuses us, and Permanent
        when a statement itself is wrong.
        """
        try:
            with self._pool.connection() as connection, connection.transaction():
                yield connection
        except (psycopg.Error, PoolTimeout) as trouble:
            raise explained(trouble) from trouble

    def close(self) -> None:
        """Give all connections back to the server."""
        self._pool.close()

    def __enter__(self) -> Self:
        """Return itself: whoever opens it closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()


def _with_timeouts(dsn: str) -> str:
    """Add timeouts the address does not set; never through `options`, which poolers refuse."""
    try:
        present = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError as trouble:
        raise Fixable("DATABASE_URL is not an address PostgreSQL understands.") from trouble
    wanted: dict[str, int | str] = {
        "connect_timeout": 5,
        "keepalives_idle": 30,
        "tcp_user_timeout": 15000,
        "application_name": "epochwatch",
    }
    return make_conninfo(dsn, **{key: value for key, value in wanted.items() if key not in present})


def explained(trouble: Exception) -> Exception:
    """Return the kind of trouble a driver error is, in words for a person."""
    state = getattr(trouble, "sqlstate", None) or ""
    refused = psycopg.errors.InvalidPassword | psycopg.errors.InvalidAuthorizationSpecification
    if isinstance(trouble, refused) or "authentication failed" in str(trouble):
        return Fixable("The database refused the login. Check user and password in DATABASE_URL.")
    if state == _READ_ONLY:
        return Retryable(
            "The database is read-only (a full disk at the provider?). Results wait on this "
            "machine's disk and are sent when it accepts writes again."
        )
    if isinstance(trouble, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
        return Fixable(
            f"The database lacks something this version needs ({_first_line(trouble)}). "
            "Run `epochwatch db migrate`."
        )
    if isinstance(trouble, psycopg.DataError | psycopg.ProgrammingError) and not state:
        # Refused by the driver, before anything was sent: a NUL in a text, say.
        return Permanent(f"The database cannot take this: {_first_line(trouble)}")
    if isinstance(trouble, PoolTimeout) or not state or state.startswith(_PASSING):
        return Retryable(
            "The database cannot be reached. What a daemon has in hand goes on, and its results wait "
            "on its disk."
        )
    return Permanent(f"The database refused a statement: {_first_line(trouble)}")


def not_connected(trouble: psycopg.Error) -> Exception:
    """Return why no connection could be made, in the server's or the system's own words.

    They name host, port, user and database, and never the password.
    """
    known = explained(trouble)
    if isinstance(known, Fixable):
        return known
    return Retryable(
        f"The database cannot be reached: {_first_line(trouble)}. Check DATABASE_URL and whether the "
        "server is up. A daemon that is at work goes on with what it has in hand, and its results "
        "wait on its disk."
    )


def try_again(dsn: str) -> None:
    """Connect once without the pool, which knows no more than that it waited.

    Raises Fixable or Retryable with the reason when it is away.
    """
    try:
        psycopg.connect(_with_timeouts(dsn)).close()
    except psycopg.Error as trouble:
        raise not_connected(trouble) from trouble


def _first_line(trouble: Exception) -> str:
    return (str(trouble).splitlines() or [type(trouble).__name__])[0]


def rows(connection: Connection, name: str, /, **values: Any) -> list[Row]:
    """Run the statement called ``group.name`` and return its rows; dictionaries travel as JSON."""
    return connection.execute(statement(name), _adapted(values)).fetchall()


def row(connection: Connection, name: str, /, **values: Any) -> Row | None:
    """Run the named statement and return its first row, if any."""
    return connection.execute(statement(name), _adapted(values)).fetchone()


def run(connection: Connection, name: str, /, **values: Any) -> int:
    """Run the named statement and return how many rows it touched."""
    return connection.execute(statement(name), _adapted(values)).rowcount


def _adapted(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: Jsonb(value) if isinstance(value, dict) else value for key, value in values.items()
    }


def storable(text: str, longest: int) -> str:
    """Return text of a person that a database takes, on its first ``longest`` characters.

    NUL and halves of characters, which only a program sends, are left out.
    """
    return text.encode(errors="ignore").decode().replace("\x00", "").strip()[:longest]


def bump(connection: Connection, topic: str = "results") -> None:
    """Say, in the same transaction, that something people look at has changed."""
    run(connection, "rev.bump", topic=topic)
