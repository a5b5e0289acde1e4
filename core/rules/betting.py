"""Intervals and e-values that stay valid however often a person looks at them.

An e-value is the wealth of a bettor who starts with 1 and bets against a claim. Where the claim is
true, the chance that it ever reaches 20 in a whole session is at most 5 % (Ville 1939).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import betaincc, betaln, xlog1py, xlogy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.rules.one_thread import Floats

Numbers = npt.NDArray[np.int64] | npt.NDArray[np.float64]
ALPHA = 0.05
PROOF = 20.0  # the e-value at which "95 % confidence" may be said
GRID = 1001  # candidates for a mean, 0 to 1
_LARGEST = 700.0  # exp of more is no float
_SMALLEST = 1e-290  # a tail below it has lost its digits


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Ends of an interval, as shares of 1."""

    low: float
    high: float

    def within(self, low: float, high: float) -> bool:
        """Say whether all of it lies strictly between two values."""
        return low < self.low and self.high < high

    def __str__(self) -> str:
        """Return it in percent, as it is shown beside a rate."""
        return f"{100 * self.low:.1f} to {100 * self.high:.1f} %"


def confidence_sequence(
    wins: int, votes: int, alpha: float = ALPHA, *, a: float = 1.0, b: float = 1.0
) -> Interval:
    """Return the interval of a rate that holds at every look together, with chance 1 - alpha.

    Beta(a, b) mixture of likelihood ratios (Robbins 1970; Howard, Ramdas, McAuliffe and Sekhon
    2021, Annals of Statistics 49:1055). ``votes`` are decisive ones: a tie is a bet of 0.
    """
    losses = votes - wins
    if votes == 0:
        return Interval(low=0.0, high=1.0)
    level = betaln(a + wins, b + losses) - betaln(a, b) + log(alpha)

    def excess(rate: float) -> float:
        return float(level - xlogy(wins, rate) - xlog1py(losses, -rate))

    low = 0.0 if wins == 0 else brentq(excess, 1e-300, wins / votes)
    high = 1.0 if losses == 0 else brentq(excess, wins / votes, 1 - 1e-16)
    return Interval(low=float(low), high=float(high))


def e_better(wins: int, votes: int, p0: float = 0.5, *, a: float = 1.0, b: float = 1.0) -> float:
    """Return the e-value against "the rate is at most ``p0``": Beta(a, b) cut to rates above it."""
    logs = log_e_better(np.array([wins]), np.array([votes]), p0, a=a, b=b)
    return exp(min(_LARGEST, float(logs[0])))


def log_e_better(
    wins: Numbers, votes: Numbers, p0: float = 0.5, *, a: float = 1.0, b: float = 1.0
) -> Floats:
    """Return the logarithms of ``e_better`` for arrays of equal shape.

    Far below ``p0`` the tail of the Beta is too small for a float. Its series has positive terms
    only, so that the first one, used there, errs on the side of too little proof.
    """
    x, y = a + wins, b + votes - wins
    tail = betaincc(x, y, p0)
    safe = np.log(np.maximum(tail, _SMALLEST)) + betaln(x, y)
    first = xlogy(x, p0) + xlog1py(y, -p0) - np.log(y)
    mass = np.where(tail > _SMALLEST, safe, first)
    prior = betaln(a, b) + np.log(betaincc(a, b, p0))
    found: Floats = mass - prior - xlogy(wins, p0) - xlog1py(votes - wins, -p0)
    return found


def log_mixture(wins: Numbers, votes: Numbers, rate: float) -> Floats:
    """Return the log likelihood ratio of the uniform mixture to one rate, for arrays."""
    losses = votes - wins
    found: Floats = betaln(1 + wins, 1 + losses) - xlogy(wins, rate) - xlog1py(losses, -rate)
    return found


def mean_sequence(outcomes: Sequence[float], alpha: float = ALPHA) -> Interval:
    """Return the interval of the mean of outcomes in [0, 1] that holds at every look together.

    Hedged betting (Waudby-Smith and Ramdas 2024, JRSS-B 86:1). One outcome is one unit, the mean
    of all its votes, in the order in which units first came: clicks on one image pair are alike,
    and would pass for more evidence than they are.
    """
    means = np.linspace(0.0, 1.0, GRID)
    up, down = log_wealth(np.asarray(outcomes, dtype=float), means, alpha)
    kept = means[np.maximum(up, down) - log(2) < -log(alpha)]
    step = 1 / (GRID - 1)  # one step outwards, so that rounding to the grid never excludes
    return Interval(low=max(0.0, float(kept[0]) - step), high=min(1.0, float(kept[-1]) + step))


def e_mean_above(outcomes: Sequence[float], mean: float = 0.5, alpha: float = ALPHA) -> float:
    """Return the e-value against "the mean outcome is at most ``mean``".

    It is valid for any ``alpha``; stakes are laid so that 1 / alpha is soon reached.
    """
    up, _ = log_wealth(np.asarray(outcomes, dtype=float), np.array([mean]), alpha)
    return exp(min(_LARGEST, float(up[0])))


def log_wealth(outcomes: Floats, means: Floats, alpha: float = ALPHA) -> tuple[Floats, Floats]:
    """Return the log wealth [means] of bets that the mean is higher, and that it is lower."""
    up, down = wealth_paths(outcomes[None], means, alpha)
    if not outcomes.size:
        return np.zeros(len(means)), np.zeros(len(means))
    return up[:, 0, -1], down[:, 0, -1]


def wealth_paths(outcomes: Floats, means: Floats, alpha: float = ALPHA) -> tuple[Floats, Floats]:
    """Return the log wealth [means, paths, units] after each unit of outcomes [paths, units].

    Each stake rests on the units before it alone, and risks at most half of the wealth.
    """
    units = np.arange(1, outcomes.shape[1] + 1)
    seen = (0.5 + np.cumsum(outcomes, axis=1)) / (units + 1)
    variance = (0.25 + np.cumsum((outcomes - seen) ** 2, axis=1)) / (units + 1)
    before = np.concatenate([np.full((len(outcomes), 1), 0.25), variance[:, :-1]], axis=1)
    stake = np.sqrt(2 * log(2 / alpha) / (before * units * np.log(units + 1)))
    at = means[:, None, None]
    with np.errstate(divide="ignore"):
        up = np.minimum(stake, 0.5 / at)
        down = np.minimum(stake, 0.5 / (1 - at))
    gain = outcomes - at
    return (
        np.cumsum(np.log1p(up * gain), axis=2),
        np.cumsum(np.log1p(-down * gain), axis=2),
    )
