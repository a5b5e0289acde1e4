"""What every test may ask for: a running database server and a new database on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from databases import new_database, running_server
from whole_program import train


@pytest.fixture(scope="session")
def server_dsn() -> Iterator[str]:
    """Give a superuser's DSN of a running embedded server."""
    with running_server() as dsn:
        yield dsn


@pytest.fixture
def fresh_dsn(server_dsn: str) -> Iterator[str]:
    """Give a new empty database, dropped afterwards."""
    with new_database(server_dsn) as dsn:
        yield dsn


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Give four real checkpoints, trained once by the demo's trainer on the demo's model."""
    return train(tmp_path_factory.mktemp("trained"), epochs=4)
