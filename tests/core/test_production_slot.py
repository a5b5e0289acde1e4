"""What the slot "production" stands for once the epoch's file has been written anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from house import House, open_house

from core import production
from core.formats.slot_text import read_slot
from core.store import comparisons, promotions


@pytest.fixture
def house(migrated_dsn: str, tmp_path: Path) -> Iterator[House]:
    """Give a run of two measured epochs, the second of which is live."""
    with open_house(migrated_dsn, tmp_path) as parts:
        for epoch in (1, 2):
            run_id = parts.arrive(epoch)
            parts.draw({None: 0.2, 1: 0.5, 2: 0.8})
        parts.judge.judge()
        with parts.database.transaction() as connection:
            seen = production.look(connection, run_id, 2)
            number = production.promote(connection, seen, reason="trial", by_whom="ann")
            found = promotions.promotion(connection, number)
            assert found is not None
            promotions.went_live(connection, found, host="pod", has_hook=False)
        yield parts


def test_it_is_the_live_file_and_not_a_newer_one_of_the_same_epoch(house: House) -> None:
    """A trainer that writes an epoch again leaves what is live as it is, and comparable with it."""
    run_id = house.arrive(3)
    with house.database.transaction() as connection:
        connection.execute(
            b"UPDATE epochwatch.checkpoints SET superseded = TRUE WHERE position = 2"
        )
        connection.execute(b"UPDATE epochwatch.checkpoints SET position = 2 WHERE position = 3")
        live, newer = (
            comparisons.find_slot(connection, read_slot(text), run_id)
            for text in ("production", "2")
        )
        seen = production.look(connection, run_id, 2)
    assert live.stack.loras == ((f"{2:064x}", "1.00"),)
    assert newer.stack.loras == ((f"{3:064x}", "1.00"),)
    gate = next(each for each in seen.checked.criteria if each.key == "production")
    assert gate.found == "No blind votes yet between the two: compare them and vote."
