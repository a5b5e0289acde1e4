"""What a judge is told when nothing is on the desk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from core.store import voting
from core.store.database import Connection, Database, run
from dashboard.desk import Answer, answer, desk
from databases import migrated_database
from seeded_comparison import Made, compare
from seeded_history import MemoryStore


@dataclass(frozen=True, kw_only=True)
class Seeded:
    """A database with three comparisons."""

    database: Database
    half: Made  # of its two prompts and seeds one is drawn
    five: Made  # five slots on one prompt and seed
    lost: Made  # nothing is drawn


@pytest.fixture(scope="module")
def seeded(server_dsn: str) -> Iterator[Seeded]:
    """Give these comparisons."""
    with migrated_database(server_dsn) as dsn:
        with psycopg.connect(dsn) as connection:
            half = compare(connection, MemoryStore(), units=2, drawn=1, title="half")
            labels = ("base", "epoch 1", "epoch 2", "epoch 3", "epoch 4")
            five = compare(connection, MemoryStore(), labels, units=1, title="five")
            lost = compare(connection, MemoryStore(), units=2, drawn=0, title="lost")
        with Database(dsn) as database:
            yield Seeded(database=database, half=half, five=five, lost=lost)


def emptied(
    connection: Connection, made: Made, via: voting.Via, *, ways: int = 2
) -> dict[str, Any]:
    """Answer whatever is served and return the desk that is left."""
    session = voting.begin(connection, made.id, f"{via} of {made.id}", via)
    while True:
        found = desk(connection, session.id, base="/blind", ways=ways)
        if not found["servings"]:
            return found
        for each in found["servings"]:
            places = len(each["pictures"])
            answer(
                connection,
                session.id,
                Answer(
                    serving=each["id"],
                    revision=each["revision"],
                    choice="tie" if places == 2 else "ranking",
                    ranking=None if places == 2 else tuple(range(places)),
                    note="",
                    milliseconds=900,
                ),
            )


def test_a_pair_is_promised_only_where_something_draws(seeded: Seeded) -> None:
    """Without a machine the judge is told to start one, and a guest, who cannot, to come back."""
    half = seeded.half
    with seeded.database.transaction() as connection:
        found = emptied(connection, half, "local")
        assert found["over"].startswith("2 of 4 images are drawn, and no machine that draws is at")
        assert "epochwatch watch PATH" in found["over"]
        assert (found["waiting"], found["finished"]) == (True, False)
        guest = emptied(connection, half, "guest")["over"]
        assert guest.endswith("nothing draws now. Come back later: your votes are kept.")
        run(connection, "actions.beat", name="clerk", state="deciding", doing="", detail={})
        assert "no machine" in emptied(connection, half, "local")["over"]
        run(connection, "actions.beat", name="pod", state="watching", doing="", detail={})
        drawn = emptied(connection, half, "local")["over"]
        assert drawn == "2 of 4 images are drawn. The next pair appears here by itself."


def test_pairs_that_make_no_ranking_any_more_are_told_of(seeded: Seeded) -> None:
    """Four of five were ranked at once; the pairs with the fifth can only be judged two by two."""
    with seeded.database.transaction() as connection:
        found = emptied(connection, seeded.five, "local", ways=4)
        assert found["over"] == (
            "No more can be ranked at once; 4 pairs are left. Turn ranking off above to see them."
        )
        assert emptied(connection, seeded.five, "local")["over"] == "You have seen every pair."


def test_a_comparison_that_could_not_be_drawn_was_not_seen(seeded: Seeded) -> None:
    """Nobody has seen every pair where there was none."""
    with seeded.database.transaction() as connection:
        for sample in seeded.lost.samples.values():
            run(
                connection, "results.add_image", sample_id=sample, image_sha256=None,
                defect="black", width=None, height=None, seconds=1.0, host="pod", provenance={},
            )  # fmt: skip
        found = emptied(connection, seeded.lost, "local")
        assert found["over"].startswith("No two images of one prompt could be drawn.")
        assert (found["waiting"], found["finished"]) == (False, True)
