"""The production page: pictures of what is live, and of nothing else."""

from __future__ import annotations

from house import House
from opened_pages import opened, words_of

from core import production
from core.store import promotions

TOLD = "The trainer has written this epoch again since"


def test_pictures_of_a_newer_file_are_not_shown_as_those_of_what_is_live(house: House) -> None:
    """An epoch that is written again is another model; the page says so in their place."""
    run_id = house.arrive(4)
    with house.database.transaction() as connection:
        seen = production.look(connection, run_id, 3)
        number = production.promote(connection, seen, reason="trial", by_whom="ann")
        found = promotions.promotion(connection, number)
        assert found is not None
        promotions.went_live(connection, found, host="pod", has_hook=False)
    assert TOLD not in words_of(opened("production"))
    with house.database.transaction() as connection:
        connection.execute(
            b"UPDATE epochwatch.checkpoints SET superseded = TRUE WHERE position = 3"
        )
        connection.execute(b"UPDATE epochwatch.checkpoints SET position = 3 WHERE position = 4")
        connection.execute(b"UPDATE epochwatch.rev SET n = n + 1")
    assert TOLD in words_of(opened("production"))
