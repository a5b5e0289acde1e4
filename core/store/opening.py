"""Opens the database the settings name: an address, or the embedded server, which migrates itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from core.settings import Settings
from core.store import migrate
from core.store.database import Database


@contextmanager
def open_dsn(settings: Settings) -> Iterator[str]:
    """Yield the address of the database; the embedded server stays up as long as this is held."""
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    from core.store import embedded  # only when it is needed: it looks for server binaries

    with embedded.attach(settings.home) as server:
        yield server.dsn


@contextmanager
def open_database(settings: Settings) -> Iterator[Database]:
    """Yield the database, migrated if it is our own.

    Raises Fixable when somebody else's database has not been migrated yet.
    """
    with open_dsn(settings) as dsn:
        if settings.database_url is None:
            migrate.migrate(dsn)
        with Database(dsn) as database:
            if settings.database_url is not None:
                with database.transaction() as connection:
                    migrate.require_current(connection)
            yield database
