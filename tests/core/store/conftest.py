"""Databases for the tests of the store: on the shipped and the oldest server, new and adopted."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from databases import new_database, old_database, running_server

OLDEST = Path("/usr/lib/postgresql/15/bin")


@pytest.fixture(scope="session", params=["shipped", "postgresql 15"])
def any_server_dsn(request: pytest.FixtureRequest) -> Iterator[str]:
    """Give a superuser's DSN of the shipped server, then of the oldest supported one."""
    if request.param == "shipped":
        yield request.getfixturevalue("server_dsn")
        return
    if not OLDEST.is_dir():
        pytest.skip("PostgreSQL 15 is not installed on this machine")
    with running_server(OLDEST) as dsn:
        yield dsn


@pytest.fixture
def owned_dsn(any_server_dsn: str) -> Iterator[str]:
    """Give a new empty database of a plain owner who is no superuser."""
    with new_database(any_server_dsn, owner="plain_owner") as dsn:
        yield dsn


@pytest.fixture
def old_dsn(any_server_dsn: str) -> Iterator[str]:
    """Give the owner's live database as the earlier schema made it, with rows, not migrated."""
    with old_database(any_server_dsn) as dsn:
        yield dsn
