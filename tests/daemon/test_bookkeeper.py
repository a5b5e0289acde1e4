"""Money on a real database: what a run cost, the alerts it gives, and the command that shows it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from house import House, open_house

from core.settings import Settings
from core.store.costs import CostRows, run_costs
from core.store.database import row
from daemon.bookkeeper import Bookkeeper, cost_of
from dashboard.parts.cost import section
from whole_program import REPOSITORY

QUALITY: dict[int | None, float] = {None: 0.2, 1: 0.4, 2: 1.0, 3: 0.6}


@pytest.fixture
def house(migrated_dsn: str, tmp_path: Path) -> Iterator[House]:
    """Give a run with three tested epochs, 11 minutes each, its images drawn after them."""
    with open_house(migrated_dsn, tmp_path) as found:
        for epoch in (1, 2, 3):
            found.arrive(epoch, planned=6)
        found.draw(QUALITY)
        found.judge.judge()
        yield found


def _settings(home: Path, **more: object) -> Settings:
    return Settings(home=home, host_name="pod", **more)  # type: ignore[arg-type]


def _alerts(house: House) -> dict[str, str]:
    found = house.select("SELECT key, payload FROM epochwatch.actions WHERE kind = 'alert'")
    return {each["key"].split("/", 2)[2]: each["payload"]["body"] for each in found}


def _is_spent(house: House) -> bool:
    """Tell whether a trainer would be stopped for its budget."""
    with house.database.transaction() as connection:
        found = row(connection, "stopping.situation", run_id=1)
    assert found is not None
    return bool(found["budget_spent"])


def _do(house: House, statement: str) -> None:
    with house.database.transaction() as connection:
        connection.execute(statement.encode())


def test_a_runs_cost_is_its_epochs_and_the_drawing_after_them(house: House, tmp_path: Path) -> None:
    """Two epochs of 11 minutes are known, the first is not; 16 images took half a second each."""
    with house.database.transaction() as connection:
        cost = cost_of(connection, 1, _settings(tmp_path))
    assert cost is not None
    assert [each.training for each in cost.epochs] == [None, 660, 660]
    assert cost.drawing == pytest.approx(8.0)
    assert cost.cost == pytest.approx((1320 + 8) / 3600 * 0.44)


def test_images_drawn_while_and_where_it_trained_are_not_paid_twice(
    house: House, tmp_path: Path
) -> None:
    """The meter runs once for both; on another machine it runs for itself."""
    _do(house, "UPDATE epochwatch.grids SET created_at = '2026-11-21 03:00+00'")
    _do(house, "UPDATE epochwatch.images SET created_at = '2026-11-21 03:20+00'")
    with house.database.transaction() as connection:
        here = cost_of(connection, 1, _settings(tmp_path))
    _do(house, "UPDATE epochwatch.images SET host = 'other'")
    with house.database.transaction() as connection:
        elsewhere = cost_of(connection, 1, _settings(tmp_path))
    assert here is not None
    assert elsewhere is not None
    assert (here.drawing, elsewhere.drawing) == (0, pytest.approx(8.0))


def test_the_budget_is_told_once_at_each_mark(house: House, tmp_path: Path) -> None:
    """The settings fill what nobody said; a person's word stays."""
    keeper = Bookkeeper(database=house.database, settings=_settings(tmp_path, budget=0.16))
    keeper.look()
    assert "100" not in _alerts(house)
    assert "is spent: $0.16 of $0.16" in _alerts(house)["budget/0.1600/100"]
    count = len(_alerts(house))
    keeper.look()
    assert len(_alerts(house)) == count
    Bookkeeper(database=house.database, settings=_settings(tmp_path, budget=99)).look()
    assert float(house.select("SELECT budget FROM epochwatch.run_setups")[0]["budget"]) == 0.16
    assert _is_spent(house)
    _do(house, "UPDATE epochwatch.run_setups SET budget = 0.2")
    keeper.look()
    assert "$0.20" in _alerts(house)["budget/0.2000/80"]
    assert not _is_spent(house)


def test_a_machine_that_idles_is_told_once_unless_a_trainer_is_at_work(
    house: House, tmp_path: Path
) -> None:
    """Nothing saved and nothing drawn for hours."""
    keeper = Bookkeeper(database=house.database, settings=_settings(tmp_path))
    keeper.look()
    assert not any(key.startswith("idle") for key in _alerts(house))
    _do(house, "UPDATE epochwatch.images SET created_at = now() - interval '2 h'")
    _do(house, "UPDATE epochwatch.checkpoints SET admitted_at = now() - interval '3 h'")
    _do(house, "INSERT INTO epochwatch.trainers (host, pid, started_at, state)"
        " VALUES ('pod', 1, now(), 'training')")  # fmt: skip
    keeper.look()
    assert not any(key.startswith("idle") for key in _alerts(house))
    _do(house, "UPDATE epochwatch.trainers SET state = 'ended'")
    keeper.look()
    keeper.look()
    [words] = [words for key, words in _alerts(house).items() if key.startswith("idle")]
    assert "for 2.0 h" in words
    assert "$0.44 an hour" in words


@pytest.mark.parametrize("wrapped", ["", "a wrapped trainer at work"])
def test_a_trainer_that_falls_silent_is_told_once_without_any_price(
    house: House, tmp_path: Path, wrapped: str
) -> None:
    """It has crashed or hangs, and nobody looks: the run goes on for all we know."""
    keeper = Bookkeeper(database=house.database, settings=_settings(tmp_path))
    _do(house, "UPDATE epochwatch.run_setups SET price_per_hour = NULL, gpu_name = NULL")
    _do(house, "UPDATE epochwatch.images SET created_at = now() - interval '31 min'")
    _do(house, "UPDATE epochwatch.checkpoints SET admitted_at = now() - interval '50 min'")
    if wrapped:
        _do(house, "INSERT INTO epochwatch.trainers (host, pid, started_at, state)"
            " VALUES ('pod', 1, now(), 'training')")  # fmt: skip
    keeper.look()
    assert not any(key.startswith("silent") for key in _alerts(house)), "three times 11 minutes"
    _do(house, "UPDATE epochwatch.images SET created_at = now() - interval '40 min'")
    keeper.look()
    keeper.look()
    [words] = [words for key, words in _alerts(house).items() if key.startswith("silent")]
    assert words.startswith("Nothing was saved or drawn for 40 min; an epoch usually takes 11 min")
    _do(house, "DELETE FROM epochwatch.actions")
    _do(house, "UPDATE training_runs SET status = 'completed'")
    keeper.look()
    assert not any(key.startswith("silent") for key in _alerts(house)), "a run that is over"


def test_the_command_shows_one_run_and_all_and_keeps_a_price(
    house: House, tmp_path: Path, migrated_dsn: str
) -> None:
    """As a table, and as JSON with null for what is not known."""
    env = {**os.environ, "DATABASE_URL": migrated_dsn, "EPOCHWATCH_HOME": str(tmp_path / "home"),
           "PYTHONPATH": str(REPOSITORY)}  # fmt: skip

    def say(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "daemon.cli.main", "costs", *words],
            env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    told = json.loads(say("punk", "--price", "2", "--budget", "5", "--json"))
    assert told["price_per_hour"] == 2
    assert told["cost"] == pytest.approx(1328 / 3600 * 2)
    assert told["epochs"][0]["training_seconds"] is None
    assert "15 %" in say("punk")
    assert "Runs that failed: $0.00" in say()
    assert "RTX 4090" in say("--list-prices")


def test_the_page_says_how_to_set_a_price_when_there_is_none(house: House) -> None:
    """The empty states, and what a run's name or GPU cannot do to the page."""
    assert "Nothing is saved yet" in section(None)
    with house.database.transaction() as connection:
        found = run_costs(connection, 1)
    assert found is not None
    assert "$0.16" in section(found)
    bare = CostRows(
        about={**found.about, "price_per_hour": None}, saves=found.saves, drawn=found.drawn
    )
    assert "No price set: " in section(bare)
    listed = CostRows(
        about={**found.about, "price_per_hour": None, "gpu_name": "RTX 4090 <b>"},
        saves=found.saves,
        drawn=found.drawn,
    )
    assert "&lt;b&gt;: list price of" in section(listed)
