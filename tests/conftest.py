"""What every test may ask for: a running database server and a new database on it."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

from databases import migrated_database, new_database, running_server

# A test process a core, and a thread each, also in the programs they start: two processes with two
# threads each on two cores wait for each other many times as long as they work.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# In the background of a script Ctrl-C is ignored, and so it would be by all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples every time, and none that fails because the machine was busy just then.
settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")


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


@pytest.fixture
def migrated_dsn(server_dsn: str) -> Iterator[str]:
    """Give a new database with our tables, dropped afterwards."""
    with migrated_database(server_dsn) as dsn:
        yield dsn


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> list[Path]:
    """Give four real checkpoints, trained once by the demo's trainer for all test processes."""
    from whole_program import train  # not above: what it imports starts its threads as told there

    mine = tmp_path_factory.getbasetemp()
    folder = (mine if worker_id == "master" else mine.parent) / "trained"
    with FileLock(f"{folder}.lock"):
        finished = folder / "punk.safetensors"
        if not finished.exists():
            train(folder, epochs=4)
    return [*sorted(folder.glob("punk-*.safetensors")), finished]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the longest files early: the last one to begin should not run alone at the end."""
    long = {item.path for item in items if item.get_closest_marker("story")}
    items.sort(
        key=lambda item: 0 if "browser" in item.path.parts else 1 if item.path in long else 2
    )
