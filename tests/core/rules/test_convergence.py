"""The labels and statuses of the owner's documents."""

from __future__ import annotations

import pytest

from core.rules import convergence


@pytest.mark.parametrize(
    ("scores", "label", "status"),
    [
        ((6, 7, 7), "improving", "continue"),
        ((7, 7, 7), "plateau", "plateau"),
        ((9, 8, 6), "degrading", "degrading"),
        ((7, 9, 8), "improving", "optimal"),
        ((7, 9, 7), "plateau", "optimal"),
        ((8, 9, 6), "degrading", "degrading"),
        ((7, 7.25, 7.5), "plateau", "plateau"),
        ((6,), "insufficient", "continue"),
        ((), "insufficient", "continue"),
        ((1, 2, 6, 7, 7), "improving", "continue"),
    ],
)
def test_labels_and_statuses_are_the_owners(
    scores: tuple[float, ...], label: str, status: str
) -> None:
    """Three averages decide; the examples of the process document hold."""
    assert convergence.label_of(scores) == label
    assert convergence.status_of(scores) == status


def test_an_ended_run_is_optimal_whatever_its_label() -> None:
    """The end of a run comes first."""
    assert convergence.status_of((9, 8, 6), ended=True) == "optimal"


def test_degrading_names_the_epoch_before_the_fall() -> None:
    """Epochs 7, 8, 9 at 9, 8, 6: use 7."""
    judged = convergence.judge({9: 6, 7: 9, 8: 8})
    assert (judged.status, judged.best, judged.slope) == ("degrading", 7, -1.5)


def test_a_peak_in_the_middle_is_named_even_below_an_older_best() -> None:
    """The optimal epoch is the middle one of the window."""
    assert convergence.judge({1: 10, 2: 7, 3: 9, 4: 8}).best == 3


def test_equal_averages_name_the_earliest() -> None:
    """The earliest of equals is the best."""
    assert convergence.judge({1: 6, 2: 7, 3: 7}).best == 2


def test_the_rolling_mean_trails_three() -> None:
    """It starts with what is there."""
    assert convergence.rolling_mean((6, 7, 8, 9)) == (6, 6.5, 7, 8)
    assert convergence.judge({}).rolling == {}


@pytest.mark.parametrize(
    ("scores", "swings"),
    [
        ((6, 8, 6, 8, 6), True),
        ((6, 7, 8, 9, 8), False),
        ((6, 6.2, 6, 6.2, 6), False),
        ((6, 8, 6.5, 8), True),
        ((6, 8, 6, 8, 8, 8, 8, 8), False),
    ],
)
def test_oscillation_is_two_large_turns_in_the_last_four_steps(
    scores: tuple[float, ...], *, swings: bool
) -> None:
    """Small steps and old turns do not count."""
    assert convergence.is_oscillating(scores) is swings


def test_a_criterion_flips_when_it_changes_twice() -> None:
    """Green, not green, green again."""
    assert convergence.flips([True, False, True])
    assert not convergence.flips([False, False, True])
