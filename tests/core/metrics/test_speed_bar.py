"""The benchmark of `measure` fails when it has become slow."""

from __future__ import annotations

import pytest

from tests.bench.bars import hold
from tests.bench.metrics import bars


def timed(ratio: float) -> dict[str, dict[str, dict[str, float]]]:
    """Return what the benchmark prints, with a ratio at 512 pixels."""
    small = {"loops with CIEDE2000": {"ratio": 3.0}}
    return {"24 px": small, "512 px": {"loops with CIEDE2000": {"ratio": ratio}}}


def test_fifty_times_the_loops_at_512_pixels_is_enough() -> None:
    """It ends as usual."""
    hold(bars(timed(50.0)))


def test_less_ends_it_with_what_was_missed() -> None:
    """A message instead of a number ends a program with 1."""
    with pytest.raises(SystemExit, match=r"50 times .* at 512 px \(49.9\)") as ended:
        hold(bars(timed(49.9)))
    assert isinstance(ended.value.code, str)
