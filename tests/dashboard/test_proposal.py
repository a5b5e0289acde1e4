"""The result of a vote says when the votes teach better weights for the automatic score."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from streamlit.testing.v1 import AppTest

from core import learning
from core.metrics.tables import metric_value
from core.nouns import Measurement
from core.store import voting
from core.store.comparisons import comparison
from core.store.database import Connection, Database
from seeded_comparison import Made, compare
from seeded_history import MemoryStore, sha

VIEW = Path(__file__).resolve().parents[2] / "dashboard" / "views" / "vote.py"
JUDGES = ("ann", "bo", "cleo", "dee")  # each answers 25 pairs


@pytest.fixture
def made(own_dsn: str) -> Iterator[tuple[Database, Made]]:
    """Give a comparison whose pictures differ in how straight their grid is, and by chance."""
    with psycopg.connect(own_dsn) as connection:
        drawn = compare(connection, MemoryStore(), units=25)
        chance = random.Random(4)
        for sample in drawn.samples.values():
            connection.execute(
                "INSERT INTO epochwatch.measurements (sample_id, rubric, body) VALUES (%s, %s, %s)",
                (sample, sha("rubric"), Jsonb(_measured(chance).as_json())),
            )
    with Database(own_dsn) as database:
        yield database, drawn


def _measured(chance: random.Random) -> Measurement:
    """Return a measurement whose promises say little and vary much."""
    straight = chance.uniform(0, 0.95)
    style = 35 * straight / 0.95 + 25 + 25 + 15
    values = {"grid_alignment": straight, "cell_flatness": 0.98, "style_quality": style}
    return Measurement(
        visual_quality=None, style_match=style / 10, prompt_adherence=chance.uniform(0, 10),
        reasons={}, issues=(), strengths=(), background_hex=None, unique_colors=9,
        metrics={name: metric_value(name, value, "x") for name, value in values.items()},
    )  # fmt: skip


def _vote_for_the_straighter(database: Database, drawn: Made, *, blind: bool) -> None:
    with database.transaction() as connection:
        found = comparison(connection, drawn.id)
        assert found is not None
        straight = _straightness(connection)
        for judge in JUDGES:
            session = voting.begin(connection, drawn.id, judge, "local", blind=blind)
            for number, unit in enumerate(found.units):
                slots = [slot.key for slot in drawn.slots]
                if number % 2:
                    slots.reverse()
                samples = [unit.pictures[slot].sample_id for slot in slots]
                name = voting.serve(
                    connection, session, unit=unit.key, category="", slots=slots, samples=samples
                )
                assert name is not None
                left, right = (straight[sample] for sample in samples)
                voting.answer(connection, session, name, 0, "left" if left > right else "right")
            voting.end(connection, session.id)


def _straightness(connection: Connection) -> dict[str, Any]:
    found = connection.execute(b"SELECT sample_id, body FROM epochwatch.measurements").fetchall()
    return {each["sample_id"]: each["body"]["metrics"]["grid_alignment"]["value"] for each in found}


def _words_of(page: AppTest) -> str:
    page.run()
    assert not page.exception
    return " ".join(str(each.proto) for each in page.main)


def test_the_result_proposes_weights_until_they_are_adopted(made: tuple[Database, Made]) -> None:
    """Names shown propose nothing; blind votes do, with the command, and no more once adopted."""
    database, drawn = made
    _vote_for_the_straighter(database, drawn, blind=False)
    with database.transaction() as connection:
        assert learning.proposal(connection) is None
        connection.execute(b"TRUNCATE epochwatch.servings, epochwatch.votes")
    _vote_for_the_straighter(database, drawn, blind=True)
    page = AppTest.from_file(str(VIEW), default_timeout=240)
    page.query_params["id"] = str(drawn.id)
    page.session_state[f"reveal-{drawn.id}"] = True
    said = _words_of(page)
    assert "calibrate --adopt" in said
    assert "of 100 clear votes" in said
    with database.transaction() as connection:
        found = learning.proposal(connection)
        assert found is not None
        learning.adopt(connection, found, "ann")
        assert learning.proposal(connection) is None
    assert "calibrate --adopt" not in _words_of(page)
