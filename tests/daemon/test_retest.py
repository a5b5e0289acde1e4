"""The second look: asked for once, drawn with everything else, and heard in the advice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from house import House, open_house

from core.rules.advice import advise, read_scores
from core.store.comparisons import comparison, comparisons
from core.store.database import row, rows
from daemon.retest import ask_retest

QUALITY: dict[int | None, float] = {None: 0.2, 1: 0.5, 2: 0.8, 3: 1.0, 4: 0.8, 5: 0.6, 6: 0.4}


@pytest.fixture
def house(migrated_dsn: str, tmp_path: Path) -> Iterator[House]:
    """Give the parts on a migrated database."""
    with open_house(migrated_dsn, tmp_path) as parts:
        yield parts


def trained_to(house: House, last: int) -> int:
    """Let epochs come in and be judged, one after the other."""
    run_id = 0
    for epoch in range(1, last + 1):
        run_id = house.arrive(epoch)
        house.draw(QUALITY)
        house.judge.judge()
    return run_id


def test_a_stop_asks_for_a_second_look_that_names_the_strength(house: House) -> None:
    """The two best are drawn at three strengths beside the base, and the advice says which to use."""
    run_id = trained_to(house, 6)
    house.draw(QUALITY)
    house.judge.judge()
    with house.database.transaction() as connection:
        made = comparisons(connection)
        sweep = comparison(connection, max(m.id for m in made if m.slots == 7))
        advice = row(connection, "results.current_advice", run_id=run_id)
    assert sweep is not None
    assert sweep.slots[0].label == "base"
    assert sweep.wanted == sweep.drawn == 7 * 4
    assert advice is not None
    assert advice["body"]["pick"] == 3
    (said,) = [reason for reason in advice["body"]["reasons"] if "best used" in reason]
    assert said.startswith("Epoch 3 is best used at strength 1")
    assert "at 0.6 it loses" in said


def test_the_loop_is_bounded(house: House) -> None:
    """Judging again and again asks for no third look; the same two are looked at once."""
    run_id = trained_to(house, 6)
    for _ in range(3):
        house.draw(QUALITY)
        house.judge.judge()
    with house.database.transaction() as connection:
        asked = rows(connection, "comparisons.retests_of_run", run_id=run_id)
    pairs = {each["origin"].rpartition("/")[0] for each in asked}
    assert 1 <= len(pairs) <= 2
    assert len(asked) == 4 * len(pairs)  # both in full, the sweep, and the pair to vote on


def test_two_pairs_are_looked_at_again_whatever_becomes_of_the_candidates(house: House) -> None:
    """A third pair would cost as much as the first, and a fourth might follow."""
    for epoch in (1, 2, 3):
        run_id = house.arrive(epoch)
    advice = replace(advise(read_scores("7,8,7"), planned=3), p_best={1: 0.5, 2: 0.4, 3: 0.1})
    assert advice.ended
    with house.database.transaction() as connection:
        about = row(connection, "runs.get", run_id=run_id)
        assert about is not None
        assert ask_retest(connection, about, advice)
        assert ask_retest(connection, about, replace(advice, p_best={2: 0.5, 3: 0.4, 1: 0.1}))
        assert not ask_retest(connection, about, replace(advice, p_best={1: 0.5, 3: 0.4, 2: 0.1}))


def test_an_adaptive_run_looks_at_its_two_best_side_by_side_but_not_in_full(house: House) -> None:
    """Its promise is a third of the images; the strengths and the pair for a vote are asked for."""
    for epoch in (1, 2, 3):
        run_id = house.arrive(epoch, tests="adaptive")
    with house.database.transaction() as connection:
        about = row(connection, "runs.get", run_id=run_id)
        assert about is not None
        assert ask_retest(connection, about, advise(read_scores("7,8,7"), planned=3))
        asked = rows(connection, "comparisons.retests_of_run", run_id=run_id)
    assert sorted(each["origin"].rpartition("/")[2] for each in asked) == ["strengths", "vote"]


def test_before_a_stop_nothing_is_drawn_twice(house: House) -> None:
    """A run that still rises costs no second look."""
    trained_to(house, 3)
    with house.database.transaction() as connection:
        assert comparisons(connection) == ()


def test_an_epoch_stays_tested_while_it_is_looked_at_again(house: House) -> None:
    """The open second look takes no verdict away."""
    run_id = trained_to(house, 6)
    with house.database.transaction() as connection:
        found = rows(connection, "results.of_run", run_id=run_id)
    assert {each["position"] for each in found} == set(range(1, 7))
    assert all(each["over"] for each in found)
    assert len({each["sample_id"] for each in found}) == len(found)


def test_an_adaptive_run_starts_with_one_prompt_and_deepens_the_best(house: House) -> None:
    """Three times fewer images than full tests, most of them where the best epoch may be."""
    run_id = 0
    for epoch in range(1, 7):
        run_id = house.arrive(epoch, tests="adaptive")
        for _ in range(3):
            house.draw(QUALITY)
            house.judge.judge()
    with house.database.transaction() as connection:
        found = rows(connection, "results.of_run", run_id=run_id)
        advice = row(connection, "results.current_advice", run_id=run_id)
    depths = {epoch: sum(each["position"] == epoch for each in found) for epoch in range(1, 7)}
    assert min(depths.values()) == 1
    assert depths[3] == max(depths.values()) > 1
    assert sum(depths.values()) <= 6 * 4 // 3
    assert advice is not None
    assert advice["body"]["pick"] == 3
