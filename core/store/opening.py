"""Opens what the settings name: the database (an address, or the embedded server) and the image store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from core.errors import Retryable
from core.settings import Settings
from core.store import migrate
from core.store.database import Database, try_again
from core.store.files import ImageStore, open_store


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

    Raises Fixable when somebody else's database has not been migrated yet or refuses the login, and
    Retryable with the reason when it is away.
    """
    with open_dsn(settings) as dsn:
        if settings.database_url is None:
            migrate.migrate(dsn)
        with Database(dsn) as database:
            if settings.database_url is not None:
                try:
                    with database.transaction() as connection:
                        migrate.require_current(connection)
                except Retryable:
                    try_again(dsn)
                    raise
            yield database


def open_image_store(settings: Settings) -> ImageStore:
    """Return the image store the settings name."""
    access, secret = settings.s3_access_key, settings.s3_secret_key
    return open_store(
        settings.store_url,
        access_key=access.get_secret_value() if access else None,
        secret_key=secret.get_secret_value() if secret else None,
    )
