"""At which strength to use a checkpoint: a sweep's scores in, the range that loses nothing out.

Strengths are compared on the same prompts and seeds, so that what is hard for all of them cancels
out.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.rules.paired import compare_paired

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MARGIN = 0.25  # points (0-10) that are worth a difference, as where epochs are compared
LEVEL = 0.90  # of the two-sided intervals
FEWEST_UNITS = 4  # of fewer nothing is concluded


@dataclass(frozen=True, kw_only=True)
class StrengthScore:
    """One image of a sweep. Scores are 0-10."""

    position: int
    strength: str  # decimal text such as "0.80"
    unit: str  # prompt and seed
    score: float


@dataclass(frozen=True, kw_only=True)
class StrengthFinding:
    """What a sweep says of one position."""

    position: int
    best: str
    means: Mapping[str, float]  # strength -> plain mean score, 0-10
    losses: Mapping[
        str, tuple[float, float, float]
    ]  # strength -> points lost to the best: mean, low, high
    usable: tuple[str, ...]  # strengths that are not shown to lose the margin, in order
    units: int

    @property
    def sentence(self) -> str:
        """Say it in words."""
        low, high = self.usable[0], self.usable[-1]
        span = (
            f"at strength {_short(low)}" if low == high else f"from {_short(low)} to {_short(high)}"
        )
        told = [
            f"at {_short(strength)} it loses {loss[0]:.1f}"
            for strength, loss in self.losses.items()
            if strength not in self.usable
        ]
        lost = f"; {', '.join(told)}" if told else ""
        return (
            f"{self.position} is best used {span}{lost} "
            f"(paired over {self.units} images, 90 % intervals)."
        )


def find_strengths(scores: Sequence[StrengthScore]) -> tuple[StrengthFinding, ...]:
    """Return what a sweep says of each position; positions with too few common units are left out.

    The best strength has the highest mean over the units that every strength has. Another one is
    usable unless it loses more than the margin against the best, and the interval of the paired
    loss (Student's t) excludes zero. The best of several means flatters itself a little: losses
    are upper bounds.
    """
    by_position: dict[int, dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for each in scores:
        if math.isfinite(each.score):
            by_position[each.position][each.strength][each.unit] = each.score
    found = (_finding(position, sweep) for position, sweep in sorted(by_position.items()))
    return tuple(each for each in found if each is not None)


def _finding(position: int, sweep: Mapping[str, Mapping[str, float]]) -> StrengthFinding | None:
    order = sorted(sweep, key=float)
    strongest_first = {strength: sweep[strength] for strength in reversed(order)}
    paired = compare_paired(strongest_first, level=LEVEL)
    if paired is None or paired.units < FEWEST_UNITS:
        return None
    losses = {strength: paired.losses[strength] for strength in order}
    return StrengthFinding(
        position=position,
        best=paired.best,
        means={strength: paired.means[strength] for strength in order},
        losses=losses,
        usable=tuple(s for s in order if not (losses[s][0] > MARGIN and losses[s][1] > 0)),
        units=paired.units,
    )


def _short(strength: str) -> str:
    return f"{float(strength):g}"
