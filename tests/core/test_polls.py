"""What the votes on a comparison say, asked of a real database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from core.polls import answered
from core.store import voting
from core.store.database import Database
from seeded_comparison import Made, compared

if TYPE_CHECKING:
    from collections.abc import Iterator

    from core.store.database import Connection

SLOTS = ("base", "five", "seven", "nine")


@pytest.fixture(scope="module")
def seeded(server_dsn: str) -> Iterator[tuple[Database, Made]]:
    """A database with one comparison of four slots."""
    with compared(server_dsn, SLOTS) as both:
        yield both


@pytest.fixture
def connection(seeded: tuple[Database, Made]) -> Iterator[Connection]:
    """A connection inside a transaction that is undone."""
    with seeded[0].transaction() as open_connection:
        yield open_connection
        raise psycopg.Rollback


@pytest.fixture
def made(seeded: tuple[Database, Made]) -> Made:
    """The comparison."""
    return seeded[1]


def say(
    connection: Connection,
    made: Made,
    sitting: voting.Session,
    unit: int,
    choice: str = "left",
    *,
    purpose: str = "vote",
    ways: int = 2,
) -> None:
    """Show the first slots of a unit and answer; the side of the base alternates."""
    keys = [slot.key for slot in made.slots[:ways]]
    keys = [keys[0]] * ways if purpose == "gold" else keys if unit % 2 else keys[::-1]
    name = voting.serve(
        connection, sitting, unit=f"u{unit}", category="", slots=keys,
        samples=[made.samples[key, unit % 12] for key in keys], purpose=purpose, expected="tie",
    )  # fmt: skip
    assert name is not None
    ranking = tuple(range(ways)) if ways > 2 else None
    voting.answer(connection, sitting, name, 0, "ranking" if ranking else choice, ranking=ranking)


def verdict(connection: Connection, made: Made) -> tuple[str, int | None]:
    """Return what is said, and the budget it speaks of."""
    found = answered(connection, made.id)
    assert found is not None
    return found.poll.verdict, found.poll.budget


def test_a_budget_is_reached_with_the_answer_that_ends_the_sitting(
    connection: Connection, made: Made
) -> None:
    """Checks and skips count for it, though they are no votes."""
    mara = voting.begin(connection, made.id, "Mara", "local", budget=6)
    for unit in range(3):
        say(connection, made, mara, unit)
    say(connection, made, mara, 3, "tie", purpose="gold")
    say(connection, made, mara, 4, "skip")
    assert verdict(connection, made) == ("continue", 6)
    say(connection, made, mara, 5, "undone")
    assert verdict(connection, made) == ("continue", 6)
    say(connection, made, mara, 6, "tie", purpose="repeat")
    assert verdict(connection, made) == ("budget reached", 6)


def test_votes_of_earlier_sittings_fill_no_new_budget(connection: Connection, made: Made) -> None:
    """A budget belongs to its own sitting."""
    before = voting.begin(connection, made.id, "Mara", "local")
    for unit in range(9):
        say(connection, made, before, unit)
    voting.end(connection, before.id)
    now = voting.begin(connection, made.id, "Mara", "local", budget=4)
    assert verdict(connection, made) == ("continue", 4)
    for unit in range(10, 14):
        say(connection, made, now, unit)
    assert verdict(connection, made) == ("budget reached", 4)


def test_a_ranking_is_one_answer(connection: Connection, made: Made) -> None:
    """Not as many as it has pairs: two of four pictures do not fill ten."""
    mara = voting.begin(connection, made.id, "Mara", "local", budget=10)
    for unit in range(2):
        say(connection, made, mara, unit, ways=4)
    assert verdict(connection, made) == ("continue", 10)


def test_nobody_gives_the_votes_of_another(connection: Connection, made: Made) -> None:
    """Two judges set out; and one who set no number leaves the end open."""
    mara = voting.begin(connection, made.id, "Mara", "local", budget=2)
    ivo = voting.begin(connection, made.id, "Ivo", "local", budget=2)
    for unit in range(4):
        say(connection, made, mara, unit)
    assert verdict(connection, made) == ("continue", 4)
    for unit in range(2):
        say(connection, made, ivo, unit)
    assert verdict(connection, made) == ("budget reached", 4)
    voting.begin(connection, made.id, "Sam", "local")
    assert verdict(connection, made) == ("continue", None)
