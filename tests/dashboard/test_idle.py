"""What a judge is told when nothing is on the desk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from core.store import voting
from core.store.database import Connection, Database, run
from core.store.migrate import migrate
from dashboard.desk import Answer, answer, desk
from databases import new_database
from seeded_comparison import Made, compare
from seeded_history import MemoryStore


@pytest.fixture(scope="module")
def seeded(server_dsn: str) -> Iterator[tuple[Database, Made, Made]]:
    """Give a comparison that is half drawn, and one of five slots on one prompt and seed."""
    with new_database(server_dsn) as dsn:
        migrate(dsn)
        with psycopg.connect(dsn) as connection:
            half = compare(connection, MemoryStore(), units=2, drawn=1, title="half")
            labels = ("base", "epoch 1", "epoch 2", "epoch 3", "epoch 4")
            five = compare(connection, MemoryStore(), labels, units=1, title="five")
        with Database(dsn) as database:
            yield database, half, five


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


def test_a_pair_is_promised_only_where_something_draws(
    seeded: tuple[Database, Made, Made],
) -> None:
    """Without a machine the judge is told to start one, and a guest, who cannot, to come back."""
    database, half, _ = seeded
    with database.transaction() as connection:
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


def test_pairs_that_make_no_ranking_any_more_are_told_of(
    seeded: tuple[Database, Made, Made],
) -> None:
    """Four of five were ranked at once; the pairs with the fifth can only be judged two by two."""
    database, _, five = seeded
    with database.transaction() as connection:
        found = emptied(connection, five, "local", ways=4)
        assert found["over"] == (
            "No more can be ranked at once; 4 pairs are left. Turn ranking off above to see them."
        )
        assert emptied(connection, five, "local")["over"] == "You have seen every pair."
