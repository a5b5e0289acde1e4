"""A prompt without the trigger word is drawn and looked at, and no score counts it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import house as houses
import numpy as np
import pytest
from house import House, open_house

from core import tested
from core.bleeding import bleeding_of, bleeding_words
from core.formats.caption_suite import UNCALLED
from core.nouns import BLEEDING, Expectation, Prompt
from core.store import comparisons, gallery, set_level
from core.store.database import rows
from core.wishes import ask_comparison
from daemon.planner import plan

QUALITY: dict[int | None, float] = {None: 0.2, 1: 0.9, 2: 0.9}
FIRST = houses.SUITE.prompts[0]
WITH_UNCALLED = replace(
    houses.SUITE,
    prompts=(
        *houses.SUITE.prompts,
        # The very worst of its epoch: one look at a mean would tell that it is counted.
        Prompt(name=FIRST.name + UNCALLED, text="portrait 3", category=BLEEDING,
               expect=Expectation(background="#00ff00")),
    ),
)  # fmt: skip


@pytest.fixture
def house(migrated_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """Give a run whose suite has a prompt without its trigger word; two epochs are tested."""
    monkeypatch.setattr(houses, "SUITE", WITH_UNCALLED)
    with open_house(migrated_dsn, tmp_path) as parts:
        parts.arrive(1)
        parts.arrive(2)
        parts.draw(QUALITY)
        parts.judge.judge()
        yield parts


def test_it_is_shown_and_in_no_score(house: House) -> None:
    """Five pictures an epoch, four of them in its results, and none voted on unless it is named."""
    with house.database.transaction() as connection:
        shown = gallery.pictures(connection, 1)
        known = tested.tested_epochs(rows(connection, "results.of_run", run_id=1), [])
        asked = [
            ask_comparison(connection, run_id=1, slots=["1", "2"], by_whom="me", prompts=names)
            for names in ((), (FIRST.name + UNCALLED,))
        ]
    assert sum(each.position == 1 for each in shown) == 5
    uncalled = [each for each in shown if each.category == BLEEDING]
    assert len(uncalled) == 3
    assert all(each.image_sha256 and each.average is None for each in uncalled)
    assert [epoch.summary.score.images for epoch in known.values()] == [4, 4]
    plan(house.database)
    with house.database.transaction() as connection:
        both = [comparisons.comparison(connection, each) for each in asked]
    assert [each and each.wanted for each in both] == [8, 2]


def test_what_stayed_as_the_base_model_draws_it_is_measured(house: House) -> None:
    """The picture that is the base model's stayed whole; one in other colors did not stay at all."""
    with house.database.transaction() as connection:
        drawn = gallery.pictures(connection, 1)
        base = next(each for each in drawn if each.position is None and each.category == BLEEDING)
        for each in drawn:
            if each.category == BLEEDING:
                gray = np.full((24, 24, 3), 240 if each.position == 2 else 20, dtype=np.uint8)
                connection.execute(
                    b"DELETE FROM epochwatch.cells WHERE sample_id = %s", (each.sample_id,)
                )
                set_level.keep_cells(connection, each.sample_id, gray)
        found = bleeding_of(connection, 1)
    assert base.image_sha256
    assert found is not None
    assert [(each.position, each.uncalled) for each in found] == [(1, 1.0), (2, 0.0)]
    assert found[-1].called is not None
    assert bleeding_words(found, "epoch").startswith("At epoch 2, 0 % of its cells stayed as")


def test_a_run_without_such_a_prompt_says_nothing_of_it(migrated_dsn: str, tmp_path: Path) -> None:
    """Old suites stay as they were."""
    with open_house(migrated_dsn, tmp_path) as parts:
        parts.arrive(1)
        parts.draw(QUALITY)
        with parts.database.transaction() as connection:
            assert bleeding_of(connection, 1) is None
