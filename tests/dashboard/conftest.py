"""A run of three tested epochs, shown by a dashboard of its own, and a blind sitting on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from house import House, open_house

from core.store import voting
from core.wishes import ask_comparison
from daemon.planner import plan
from dashboard import access, link

QUALITY: dict[int | None, float] = {None: 0.2, 1: 0.5, 2: 0.8, 3: 1.0}


@pytest.fixture(autouse=True)
def _patient_first_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the first page of a process wait for the database however slow the machine is."""
    monkeypatch.setattr(link, "_FIRST_WAIT_S", 240.0)


@pytest.fixture
def own_dsn(migrated_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Let the views of this process speak to a database of their own."""
    monkeypatch.setenv("DATABASE_URL", migrated_dsn)
    monkeypatch.setenv("EPOCHWATCH_HOME", str(tmp_path))
    link.shared_link.cache_clear()
    access.shared_key.cache_clear()
    yield migrated_dsn
    link.shared_link().close()
    link.shared_link.cache_clear()


@pytest.fixture
def house(own_dsn: str, tmp_path: Path) -> Iterator[House]:
    """Give a run of three tested epochs to a dashboard of its own."""
    with open_house(own_dsn, tmp_path) as parts:
        for epoch in (1, 2, 3):
            parts.arrive(epoch)
            parts.draw(QUALITY)
            parts.judge.judge()
        yield parts


@pytest.fixture
def sitting(house: House) -> voting.Session:
    """Give Ann's blind sitting on a comparison that is drawn."""
    with house.database.transaction() as connection:
        run_id = connection.execute(b"SELECT id FROM public.training_runs").fetchall()[0]["id"]
        made = ask_comparison(connection, run_id=run_id, slots=["base", "3"], by_whom="ann")
    plan(house.database)
    with house.database.transaction() as connection:
        return voting.begin(connection, made, "Ann", "local", budget=20)
