"""How many more votes decide a comparison, and how many turned votes would undo its result.

Both are read from simulated futures with fixed random numbers: the same votes give the same answer.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, log
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from core.rules.betting import (
    ALPHA,
    e_better,
    e_mean_above,
    log_e_better,
    log_mixture,
    wealth_paths,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Counts = npt.NDArray[np.int64]
EQUAL = (0.4, 0.6)  # an interval inside these is called equivalent
PATHS = 200
VOTES_AHEAD = 1000  # further than a person would go
UNITS_AHEAD = 300
_SEED = 20211055


def votes_needed(
    wins: int, votes: int, *, rate: float | None = None, alpha: float = ALPHA
) -> int | None:
    """Return the median number of further decisive votes until they decide.

    Each of 200 futures draws its rate from what the votes leave open (Beta(1 + wins, 1 + losses)),
    or takes ``rate``. None when more than half of them are undecided after 1,000 votes.
    """
    rng = np.random.default_rng(_SEED)
    ahead = max(wins, votes - wins)  # the leader's side, so that a mirrored pair reads the same
    if rate is None:
        rates = rng.beta(1 + ahead, 1 + votes - ahead, PATHS)
    else:
        rates = np.full(PATHS, max(rate, 1 - rate))
    won = ahead + np.cumsum(rng.random((PATHS, VOTES_AHEAD)) < rates[:, None], axis=1)
    seen = votes + np.arange(1, VOTES_AHEAD + 1)
    size = 1000 * ceil(seen[-1] / 1000)
    least, low, high = (line[seen] for line in _lines(size, alpha))
    better = (won >= least) | (seen - won >= least)
    return _median_end(better | ((won >= low) & (won <= high)))


def units_needed(outcomes: Sequence[float], *, alpha: float = ALPHA) -> int | None:
    """Return the median number of further units until they decide.

    Futures resample the units seen so far and one each of 0, ½ and 1, so that few units do not
    look surer than they are. None when more than half are undecided after 300 units.
    """
    rng = np.random.default_rng(_SEED)
    seen = np.asarray(outcomes, dtype=float)
    if seen.sum() < len(seen) / 2:
        seen = 1 - seen
    pool = np.sort(np.concatenate([seen, [0.0, 0.5, 1.0]]))
    future = rng.choice(pool, (PATHS, UNITS_AHEAD))
    past = np.repeat(seen[None], PATHS, axis=0)
    up, down = wealth_paths(np.concatenate([past, future], axis=1), np.array([0.5, *EQUAL]), alpha)
    better = np.maximum(up[0], down[0]) >= -log(alpha)
    equal = (up[1] - log(2) >= -log(alpha)) & (down[2] - log(2) >= -log(alpha))
    return _median_end((better | equal)[:, len(seen) :])


def votes_to_flip(wins: int, votes: int, *, alpha: float = ALPHA) -> int | None:
    """Return how many of the winner's votes, given to the other, undo the result.

    Undone is a proof (e >= 1 / alpha) that falls below it or, without one, a leader that is ahead
    no more. None when nobody leads.
    """
    ahead = max(wins, votes - wins)
    if 2 * ahead == votes:
        return None
    if e_better(ahead, votes) < 1 / alpha:
        return (2 * ahead - votes + 1) // 2
    return next(k for k in range(1, ahead + 1) if e_better(ahead - k, votes) < 1 / alpha)


def units_to_flip(outcomes: Sequence[float], *, alpha: float = ALPHA) -> int | None:
    """Return how many units must turn round to undo the result, the strongest ones first."""
    lead = sum(outcomes) - len(outcomes) / 2
    if abs(lead) < 1e-9:
        return None
    toward = [x if lead > 0 else 1 - x for x in outcomes]
    proven = e_mean_above(toward, alpha=alpha) >= 1 / alpha
    for turned, place in enumerate(sorted(range(len(toward)), key=lambda i: -toward[i]), start=1):
        toward[place] = 1 - toward[place]
        if proven and e_mean_above(toward, alpha=alpha) < 1 / alpha:
            return turned
        if not proven and sum(toward) <= len(toward) / 2 + 1e-9:
            return turned
    return len(toward)


@lru_cache(maxsize=16)
def _lines(size: int, alpha: float) -> tuple[Counts, Counts, Counts]:
    """Return, for 0 to ``size`` votes, the wins that decide: at least so many, or from-to equal."""
    votes = np.arange(size + 1)

    def proven(wins: Counts) -> Counts:
        return np.asarray(log_e_better(wins, votes) >= -log(alpha))

    def past(wins: Counts) -> Counts:
        excluded = log_mixture(wins, votes, EQUAL[0]) >= -log(alpha)
        return np.asarray((wins > EQUAL[0] * votes) & excluded)

    from_ = _fewest(votes, past)
    return _fewest(votes, proven), from_, votes - from_


def _fewest(votes: Counts, holds: Callable[[Counts], Counts]) -> Counts:
    """Return the fewest wins of each number of votes for which a rising rule holds; else one more."""
    low, high = np.zeros_like(votes), votes + 1
    while (low < high).any():
        middle = (low + high) // 2
        good = holds(np.minimum(middle, votes)) | (middle > votes)
        low, high = np.where(good, low, middle + 1), np.where(good, middle, high)
        low = np.minimum(low, high)
    return low


def _median_end(decided: npt.NDArray[np.bool_]) -> int | None:
    """Return the median place, from 1, of the first True of each path; None if beyond the end."""
    ends = np.where(decided.any(axis=1), decided.argmax(axis=1) + 1, decided.shape[1] + 1)
    middle = int(np.ceil(np.median(ends)))
    return middle if middle <= decided.shape[1] else None
