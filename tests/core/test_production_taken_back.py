"""What a rollback takes back, on epochs that were really measured."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from house import House, open_house

from core import production
from core.store import promotions, scores
from core.store.database import Connection


@pytest.fixture
def house(migrated_dsn: str, tmp_path: Path) -> Iterator[House]:
    """Give a run of three measured and judged epochs, the last the best."""
    with open_house(migrated_dsn, tmp_path) as parts:
        for epoch in (1, 2, 3):
            parts.arrive(epoch)
            parts.draw({None: 0.2, 1: 0.5, 2: 0.8, 3: 1.0})
        parts.judge.judge()
        yield parts


def _live(connection: Connection, number: int) -> None:
    """Carry a decision out as the daemon does in its transaction, without a file."""
    found = promotions.promotion(connection, number)
    assert found is not None
    assert promotions.went_live(connection, found, host="pod", has_hook=False)
    production.take_back(connection, found)
    assert not promotions.went_live(connection, found, host="pod", has_hook=False)


def test_the_verdict_of_the_test_is_back_and_the_machines_to_change(house: House) -> None:
    """People's scores come first in it; later ones change it, which a person's word forbids."""
    run_id = house.select("SELECT id FROM public.training_runs")[0]["id"]
    told = "SELECT verdict, production_ready FROM public.epoch_results WHERE epoch_number = 1"
    earned = house.select(told)[0]["verdict"]
    with house.database.transaction() as connection:
        for position in (3, 1):
            seen = production.look(connection, run_id, position)
            _live(connection, production.promote(connection, seen, reason="trial", by_whom="ann"))
    assert house.select(told) == [{"verdict": "best", "production_ready": True}]
    with house.database.transaction() as connection:
        number = promotions.roll_back(connection, to=None, reason="worse", by_whom="ann")
        _live(connection, number)
    assert earned != "best"
    assert house.select(told) == [{"verdict": earned, "production_ready": False}]
    with house.database.transaction() as connection:
        scores.add(connection, run_id, 1, "bo", 2, 2, 2)
    house.judge.judge()
    assert house.select(told) == [{"verdict": "skip", "production_ready": False}]
    (run,) = house.select("SELECT best_epoch, production_ready FROM public.training_runs")
    assert (run["best_epoch"], run["production_ready"]) == (3, True)
