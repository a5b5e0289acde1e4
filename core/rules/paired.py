"""Scores of several candidates on the same units: who is best, and what the others lose to it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy.special import stdtrit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FEWEST = 2  # units: one difference has no spread


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Candidates over the units that all of them have; scores and losses in points."""

    best: str
    means: Mapping[str, float]
    losses: Mapping[str, tuple[float, float, float]]  # points lost to the best: mean, low, high
    units: int

    def is_behind(self, name: str) -> bool:
        """Say whether the interval of what it loses to the best excludes nothing."""
        return self.losses[name][1] > 0


def common_units(scores: Mapping[str, Mapping[str, float]]) -> tuple[str, ...]:
    """Return the units that every candidate has a score on, sorted."""
    if not scores:
        return ()
    return tuple(sorted(set.intersection(*(set(units) for units in scores.values()))))


def compare_paired(scores: Mapping[str, Mapping[str, float]], *, level: float) -> Paired | None:
    """Return the best of ``scores`` (candidate -> unit -> score) by its mean over common units.

    Differences are paired by unit, so that what is hard for all of them cancels out; intervals are
    Student's t, two-sided at ``level``. The best of several means flatters itself a little: losses
    are upper bounds. Of equal means the first is the best. None for fewer than two candidates or
    units in common.
    """
    common = common_units(scores)
    if len(scores) < 2 or len(common) < FEWEST:
        return None
    means = {
        name: math.fsum(units[unit] for unit in common) / len(common)
        for name, units in scores.items()
    }
    best = max(means, key=lambda name: means[name])
    losses = {
        name: _interval([scores[best][unit] - units[unit] for unit in common], level)
        for name, units in scores.items()
    }
    return Paired(best=best, means=means, losses=losses, units=len(common))


def _interval(differences: Sequence[float], level: float) -> tuple[float, float, float]:
    """Return mean, low and high of paired differences (Student's t)."""
    n = len(differences)
    mean = math.fsum(differences) / n
    spread = math.sqrt(math.fsum((each - mean) ** 2 for each in differences) / (n - 1))
    half = float(stdtrit(n - 1, (1 + level) / 2)) * spread / math.sqrt(n)
    return mean, mean - half, mean + half
