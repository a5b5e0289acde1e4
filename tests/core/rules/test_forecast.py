"""How many votes are missing, and how many would undo a result."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.rules.betting import e_better, e_mean_above
from core.rules.forecast import units_needed, units_to_flip, votes_needed, votes_to_flip


@pytest.mark.parametrize(
    ("rate", "median"), [(0.65, 63), (0.70, 37), (0.73, 26), (0.80, 17), (0.90, 11)]
)
def test_the_median_votes_to_a_proof_are_those_of_a_long_simulation(
    rate: float, median: int
) -> None:
    """200 futures come within a seventh of the medians of thousands of sessions."""
    needed = votes_needed(0, 0, rate=rate)
    assert needed == pytest.approx(median, rel=0.15)


def test_a_nearly_decided_comparison_needs_few_and_an_even_one_many() -> None:
    """One more win decides 16 of 19; an even hundred needs many more."""
    few, many = votes_needed(16, 19), votes_needed(50, 100)
    assert few is not None
    assert few <= 5
    assert many is None or many > 50
    assert votes_needed(0, 0, rate=0.53) is None or votes_needed(0, 0, rate=0.53) > 200


def test_units_needed_fall_as_units_agree() -> None:
    """Units of one mind need fewer more than units that are split."""
    agreeing, split = units_needed([1.0] * 6), units_needed([1.0, 0.0] * 3)
    assert agreeing is not None
    assert split is None or agreeing < split


@given(st.integers(0, 80), st.integers(0, 80))
@settings(max_examples=40, deadline=None)
def test_votes_to_flip_is_the_fewest_that_undo_the_result(wins: int, losses: int) -> None:
    """One fewer leaves it standing."""
    votes, ahead = wins + losses, max(wins, losses)
    flips = votes_to_flip(wins, votes)
    if wins == losses:
        assert flips is None
        return
    assert flips is not None

    def stands(turned: int) -> bool:
        if e_better(ahead, votes) >= 20:
            return e_better(ahead - turned, votes) >= 20
        return 2 * (ahead - turned) > votes

    assert stands(flips - 1)
    assert not stands(flips)


def test_units_to_flip_turns_the_strongest_first() -> None:
    """A proof over 30 units that all say the same falls when some of them turn."""
    outcomes = [1.0] * 30
    turned = units_to_flip(outcomes)
    assert turned is not None
    assert e_mean_above([0.0] * turned + [1.0] * (30 - turned)) < 20
    assert e_mean_above([0.0] * (turned - 1) + [1.0] * (31 - turned)) >= 20
    assert units_to_flip([0.5, 0.5]) is None
    assert units_to_flip([0.75, 0.5]) == 1
