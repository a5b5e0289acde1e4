"""Intervals and e-values: published vectors, and what they miss when looked at all the time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from core.rules.betting import (
    Interval,
    confidence_sequence,
    e_better,
    e_mean_above,
    log_mixture,
    mean_sequence,
)
from tests.bench.votes import (
    best_of_equals,
    false_proof,
    interval_missed,
    units_missed,
    wilson_missed,
)


@pytest.mark.parametrize(
    ("wins", "votes", "low", "high", "proof"),
    [
        (8, 10, 0.353, 0.990, 4.0),
        (14, 20, 0.373, 0.925, 2.48),
        (60, 100, 0.441, 0.746, 1.78),
        (73, 100, 0.575, 0.855, 13092),
        (120, 200, 0.484, 0.709, 9.68),
    ],
)
def test_known_vectors_come_out(
    wins: int, votes: int, low: float, high: float, proof: float
) -> None:
    """73 of 100 is proof, 60 of 100 proves nothing."""
    interval = confidence_sequence(wins, votes)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.0006)
    assert e_better(wins, votes) == pytest.approx(proof, rel=0.003)


def test_no_vote_knows_nothing() -> None:
    """Everything is possible and nothing is proven."""
    assert confidence_sequence(0, 0) == mean_sequence([]) == Interval(low=0.0, high=1.0)
    assert e_better(0, 0) == pytest.approx(1.0)
    assert e_mean_above([]) == 1.0


@given(st.integers(0, 60), st.integers(0, 60), st.sampled_from([0.4, 0.5, 0.6]))
@settings(max_examples=25, deadline=None)
def test_the_e_value_is_the_mean_likelihood_ratio_above_the_claim(
    wins: int, losses: int, claim: float
) -> None:
    """Numerical integration of the definition gives the same."""

    def ratio(rate: float) -> float:
        return float((rate / claim) ** wins * ((1 - rate) / (1 - claim)) ** losses)

    found = quad(ratio, claim, 1, points=[min(0.999, max(claim, wins / (wins + losses + 1)))])[0]
    assert e_better(wins, wins + losses, claim) == pytest.approx(found / (1 - claim), rel=1e-5)


@pytest.mark.parametrize(("wins", "votes"), [(10, 2010), (600, 3000), (0, 5000)])
def test_a_clear_loser_is_never_proven_better(wins: int, votes: int) -> None:
    """The tail of the Beta underflows there; the plain formula would call that huge proof."""
    assert 0 < e_better(wins, votes) < 0.01


@given(st.integers(0, 300), st.integers(0, 300))
@settings(max_examples=40, deadline=None)
def test_the_interval_is_mirrored_and_holds_the_rate(wins: int, losses: int) -> None:
    """Swapping the sides turns it round; its ends are where the likelihood ratio is 20."""
    votes = wins + losses
    one, other = confidence_sequence(wins, votes), confidence_sequence(losses, votes)
    assert (one.low, one.high) == pytest.approx((1 - other.high, 1 - other.low), abs=1e-8)
    if wins and losses:
        assert one.low < wins / votes < one.high
        ratio = log_mixture(np.array([wins]), np.array([votes]), one.low)[0]
        assert np.exp(ratio) == pytest.approx(20, rel=1e-5)


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=40))
@settings(max_examples=25, deadline=None)
def test_the_interval_of_a_mean_is_mirrored(outcomes: list[float]) -> None:
    """Swapping the sides turns it round here too, and a proof is outside the interval."""
    one, other = mean_sequence(outcomes), mean_sequence([1 - x for x in outcomes])
    assert (one.low, one.high) == pytest.approx((1 - other.high, 1 - other.low), abs=1e-6)
    if one.low > 0.502:
        assert e_mean_above(outcomes) >= 20


def test_looked_at_after_every_vote_they_miss_at_most_one_session_in_twenty() -> None:
    """2,000 sessions of 1,000 looks each; Wilson's interval misses far more."""
    for rate in (0.5, 0.73, 0.9):
        assert interval_missed(2000, rate) <= 0.05
    assert false_proof(2000)["b"] <= 0.05
    assert wilson_missed(2000, 0.5) > 0.4


@pytest.mark.parametrize("others", [1, 5, 11])
def test_of_many_equals_the_best_is_hardly_ever_called_better(others: int) -> None:
    """2,000 sessions with a look after each of 60 votes a pair; without the higher bar far more."""
    found = best_of_equals(2000, others)
    assert found["the first and the best"] <= 0.05
    assert found["any two"] <= 0.05
    if others > 1:
        assert found["the first and the best, as one claim"] > 0.1
        assert found["any two, as one claim"] > 0.4


def test_prompts_that_come_again_are_counted_once() -> None:
    """Where prompts differ, taking clicks for independent misses; counting units does not."""
    found = units_missed(300, 15, 8, 2.0)
    assert found["by units"] <= 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5
    assert found["by clicks"] > 0.12
