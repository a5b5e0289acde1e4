"""Positions of a curve: epochs, steps, gaps and what is still to come."""

from __future__ import annotations

import pytest

from core.rules.timeline import MAX_AHEAD, Planned, lay_out


@pytest.mark.parametrize(
    ("tested", "planned", "ahead", "steps"),
    [
        ((1, 2, 3), 5, (4, 5), (0, 1, 2, 3, 4)),
        ((1, 2, 3), None, (4, 5, 6), (0, 1, 2, 3, 4, 5)),
        ((1, 5), 7, (6, 7), (0, 4, 5, 6)),
        ((2, 4), 10, (6, 8, 10), (0, 1, 2, 3, 4)),
        ((500, 1000), 2000, (1500, 2000), (0, 1, 2, 3)),
        ((500, 1000), 1700, (1500, 1700), (0, 1, 2, 3)),
        ((500, 1000, 1500, 1714), 1714, (), (0, 1, 2, 3)),
        ((500, 1000), (500, 1000, 1500, 1714), (1500, 1714), (0, 1, 2, 3)),
        ((7,), 10, (10,), (0, 1)),
        ((3, 1), 2, (), (0, 2)),
    ],
)
def test_steps_of_the_trend_are_saves(
    tested: tuple[int, ...], planned: Planned, ahead: tuple[int, ...], steps: tuple[int, ...]
) -> None:
    """Epochs and steps give the same curve when the saves are the same."""
    line = lay_out(tested, planned)
    assert line.ahead == ahead
    assert line.steps == steps


def test_an_ended_run_has_nothing_ahead() -> None:
    """Whatever was planned."""
    assert lay_out((1, 2), 10, ended=True).ahead == ()


def test_absurd_plans_stay_small() -> None:
    """A plan in steps beside epochs, or wild positions, does not blow the curve up."""
    assert len(lay_out((1, 2, 3), 1_000_000).ahead) == MAX_AHEAD
    assert lay_out((1, 10_000_019), None).steps[1] <= 20
