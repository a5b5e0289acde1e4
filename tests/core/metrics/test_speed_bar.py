"""The benchmark of `measure` fails when it has become slow."""

from __future__ import annotations

import pytest

from core.metrics import measure, shrink_to_cells
from tests.bench.bars import hold
from tests.bench.metrics import OWNERS, SAME, _pictures, _same_answers, bars
from tests.bench.same_loops import same_loops


def timed(small: float, large: float) -> dict[str, dict[str, dict[str, float]]]:
    """Return what the benchmark prints, with the ratios at 24 and at 512 pixels."""
    return {
        "24 px": {SAME: {"times measure_many": small}, OWNERS: {"times measure_many": 1.0}},
        "512 px": {SAME: {"times measure": 1.0}, OWNERS: {"times measure": large}},
    }


def test_a_hundred_times_at_24_pixels_and_fifty_at_512_are_enough() -> None:
    """It ends as usual."""
    hold(bars(timed(100.0, 50.0)))


@pytest.mark.parametrize(
    ("small", "large", "missed"),
    [
        (99.9, 50.0, r"100 times .* at 24 px \(99.9\)"),
        (100.0, 49.9, r"50 times .* at 512 px \(49.9\)"),
    ],
)
def test_less_ends_it_with_what_was_missed(small: float, large: float, missed: str) -> None:
    """A message instead of a number ends a program with 1."""
    with pytest.raises(SystemExit, match=missed) as ended:
        hold(bars(timed(small, large)))
    assert isinstance(ended.value.code, str)


def test_the_loops_give_the_same_numbers() -> None:
    """A peer that answered another question, or fewer, would prove no speed."""
    [(pixels, expect)] = _pictures(1, 4.0)
    small = shrink_to_cells(pixels(), 24)
    told = same_loops(small, expect, 24)

    _same_answers(told, measure(small, expect=expect, grid=24))
    with pytest.raises(SystemExit, match="banding"):
        _same_answers({**told, "banding": 1.0}, measure(small, expect=expect, grid=24))
