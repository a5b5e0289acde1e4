"""The labels and statuses that the owner's documents name, from epoch averages alone.

They are always shown and need no model; what advises a stop is the trend in ``core.rules.curve``.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Label = Literal["insufficient", "improving", "plateau", "degrading"]
Status = Literal["continue", "plateau", "degrading", "optimal"]
TOLERANCE = 0.25  # points per epoch; the owner's examples hold with it
WINDOW = 3


@dataclass(frozen=True, kw_only=True)
class Convergence:
    """What the last epochs say, in the owner's words."""

    label: Label
    status: Status
    best: int | None  # the highest average, the earliest of equals; the middle when it is the peak
    slope: float | None  # points per tested epoch over the last three; None with fewer
    rolling: dict[int, float]  # trailing mean of up to three averages, by position
    oscillating: bool


def label_of(scores: Sequence[float], tolerance: float = TOLERANCE) -> Label:
    """Return the label of the last three scores a, b, c: the sign of (c - a) / 2.

    That is the least-squares slope of three points. (6, 7, 7) is improving, (7, 7, 7) plateau and
    (9, 8, 6) degrading, as the owner's process document has them.
    """
    slope = slope_of(scores)
    if slope is None:
        return "insufficient"
    if slope > tolerance:
        return "improving"
    return "degrading" if slope < -tolerance else "plateau"


def slope_of(scores: Sequence[float]) -> float | None:
    """Return the least-squares slope of the last three scores; None with fewer than three."""
    if len(scores) < WINDOW:
        return None
    return (scores[-1] - scores[-3]) / 2


def peaks_in_the_middle(scores: Sequence[float], tolerance: float = TOLERANCE) -> bool:
    """Say whether the middle one of the last three scores stands above both, such as (7, 9, 8)."""
    if len(scores) < WINDOW:
        return False
    before, middle, after = scores[-WINDOW:]
    return middle - before > tolerance and middle - after > tolerance


def status_of(
    scores: Sequence[float], *, ended: bool = False, tolerance: float = TOLERANCE
) -> Status:
    """Return the status: continue, plateau, degrading or optimal, tested in a fixed order."""
    label = label_of(scores, tolerance)
    if ended:
        return "optimal"
    if label == "degrading":
        return "degrading"
    if peaks_in_the_middle(scores, tolerance):
        return "optimal"
    return "plateau" if label == "plateau" else "continue"


def rolling_mean(scores: Sequence[float], window: int = WINDOW) -> tuple[float, ...]:
    """Return the trailing mean of up to ``window`` scores: for the chart, it decides nothing."""
    tails = (scores[max(0, end - window) : end] for end in range(1, len(scores) + 1))
    return tuple(sum(tail) / len(tail) for tail in tails)


def is_oscillating(scores: Sequence[float], tolerance: float = TOLERANCE) -> bool:
    """Say whether the last four steps turn at least twice, counting steps above the tolerance."""
    steps = [after - before for before, after in pairwise(scores)][-4:]
    large = [step for step in steps if abs(step) > tolerance]
    turns = sum(before * after < 0 for before, after in pairwise(large))
    return turns >= 2


def flips(passed: Sequence[bool]) -> bool:
    """Say whether a yes-or-no criterion, such as a green background, changed at least twice."""
    return sum(before != after for before, after in pairwise(passed)) >= 2


def judge(
    averages: Mapping[int, float], *, ended: bool = False, tolerance: float = TOLERANCE
) -> Convergence:
    """Return label, status, best position and rolling mean of the averages (0-10) by position."""
    positions = sorted(averages)
    scores = [averages[position] for position in positions]
    status = status_of(scores, ended=ended, tolerance=tolerance)
    best = max(positions, key=lambda place: (averages[place], -place)) if positions else None
    if status == "optimal" and not ended:
        best = positions[-2]
    return Convergence(
        label=label_of(scores, tolerance),
        status=status,
        best=best,
        slope=slope_of(scores),
        rolling=dict(zip(positions, rolling_mean(scores), strict=True)),
        oscillating=is_oscillating(scores, tolerance),
    )
