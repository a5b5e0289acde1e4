"""Whether a number can tell right from wrong, on numbers whose answer is known."""

import numpy as np
import pytest

from core.metrics.proof import Proof, prove, youden_threshold


def test_what_never_overlaps_has_the_full_area_and_an_honest_interval() -> None:
    """Fifteen against fifteen prove less than a hundred against a hundred."""
    few = prove(np.arange(15) + 100.0, np.arange(15) + 0.0)
    many = prove(np.arange(100) + 200.0, np.arange(100) + 0.0)

    assert few.auc == many.auc == 1
    assert 0.7 < few.low < many.low < 1
    assert few.holds


def test_ties_count_half_and_the_ends_mirror_each_other() -> None:
    """Equal values are chance; swapping the sides turns the area over."""
    same = prove([1.0] * 20, [1.0] * 30)
    one, other = prove([3.0, 1.0, 2.0], [0.0, 1.5]), prove([0.0, 1.5], [3.0, 1.0, 2.0])

    assert same.auc == 0.5
    assert same.low < 0.5 < same.high
    assert one.auc == pytest.approx(5 / 6, abs=1e-4)
    assert one.auc + other.auc == pytest.approx(1, abs=1e-4)
    assert one.low + other.high == pytest.approx(1, abs=1e-4)


def test_the_interval_holds_the_true_area_in_about_nineteen_of_twenty_draws() -> None:
    """Normal values one standard deviation apart have an area of 0.760."""
    dice = np.random.default_rng(5)
    found = [prove(dice.normal(1, 1, 20), dice.normal(0, 1, 60)) for _ in range(400)]

    assert 0.92 < np.mean([each.low <= 0.760 <= each.high for each in found]) < 0.99


@pytest.mark.parametrize(("auc", "low", "holds"), [(0.9, 0.8, True), (0.74, 0.7, False)])
def test_it_holds_from_three_quarters_on(auc: float, low: float, *, holds: bool) -> None:
    """Under 0.75 nothing counts."""
    assert Proof(auc=auc, low=low, high=1, positives=20, negatives=20).holds is holds


def test_a_lucky_few_do_not_prove_anything() -> None:
    """An area of 0.8 on five images leaves chance in the interval."""
    few = prove([1.0, 2.0, 3.0, 4.0, 0.0], [0.5, -1.0, -2.0, -3.0, 0.6])

    assert few.auc >= 0.75
    assert not few.holds


def test_the_threshold_lies_between_the_two_kinds() -> None:
    """Scores of 1 and 3 are parted at 2, and never between equal scores."""
    assert youden_threshold(np.array([1.0, 3.0, 1.0, 3.0]), [False, True, False, True]) == 2
    assert youden_threshold(np.array([1.0, 1.0, 2.0]), [False, True, True]) == 1.5


def test_nothing_on_one_side_is_an_error() -> None:
    """An area needs both kinds of images."""
    with pytest.raises(ValueError, match="both"):
        prove([], [1.0])
