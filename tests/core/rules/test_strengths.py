"""At which strength a checkpoint is used: paired, with its doubt, never from too little."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from core.rules.strengths import StrengthScore, find_strengths


def sweep(position: int, losses: dict[str, float], units: int = 8) -> list[StrengthScore]:
    """Return a sweep in which each strength loses so much everywhere; units differ by far more."""
    return [
        StrengthScore(
            position=position,
            strength=strength,
            unit=f"prompt{unit}#1",
            score=4 + 0.5 * unit - loss + 0.02 * ((unit * 7) % 5),
        )
        for strength, loss in losses.items()
        for unit in range(units)
    ]


def test_a_strength_that_loses_everywhere_is_not_usable() -> None:
    """0.6 loses a point on each image, 0.8 next to nothing: use it from 0.8 to 1."""
    (finding,) = find_strengths(sweep(4, {"0.60": 1.0, "0.80": 0.05, "1.00": 0.0}))
    assert finding.best == "1.00"
    assert finding.usable == ("0.80", "1.00")
    assert finding.losses["0.60"][0] > 0.9
    assert "from 0.8 to 1" in finding.sentence
    assert "at 0.6 it loses 1.0" in finding.sentence


def test_units_are_compared_only_where_every_strength_has_them() -> None:
    """An image missing at one strength is left out at all, so that a hard prompt favors nobody."""
    scores = sweep(4, {"0.80": 0.0, "1.00": 0.0})
    kept = [each for each in scores if not (each.strength == "0.80" and each.unit == "prompt0#1")]
    (finding,) = find_strengths(kept)
    assert finding.units == 7
    assert finding.means["0.80"] == finding.means["1.00"]


def test_too_little_says_nothing() -> None:
    """One strength, or three images, is no sweep."""
    assert find_strengths(sweep(4, {"1.00": 0.0})) == ()
    assert find_strengths(sweep(4, {"0.80": 1.0, "1.00": 0.0}, units=3)) == ()
    assert find_strengths([]) == ()


def test_scores_that_are_no_numbers_are_left_out() -> None:
    """NaN is not measured, never zero."""
    scores = sweep(4, {"0.80": 0.0, "1.00": 0.0})
    scores[0] = StrengthScore(position=4, strength="0.80", unit="prompt0#1", score=math.nan)
    (finding,) = find_strengths(scores)
    assert finding.units == 7


@given(st.permutations(sweep(3, {"0.60": 0.7, "0.80": 0.1, "1.00": 0.0}, units=5)))
def test_the_order_of_the_rows_changes_nothing(rows: list[StrengthScore]) -> None:
    """Images come in any order."""
    assert find_strengths(rows) == find_strengths(sorted(rows, key=repr))
