"""Rankings of several images: broken into votes on pairs, and strengths fitted to them directly.

Plackett and Luce's model (Plackett 1975, JRSS-C 24:193): the best is drawn by strength, then the
best of the rest, and so on. Under it the chance that one stands before another is that of a vote
between the two, so every pair of a ranking is a vote; breaking into all pairs, unlike into
neighbors only, is consistent (Azari Soufiani et al. 2013, "Generalized method-of-moments for rank
aggregation"). The pairs of one ranking are alike: intervals must group them by prompt and seed.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from core.errors import Fixable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.rules.one_thread import Floats

STRENGTH_SD = 2.5  # prior standard deviation in log odds, as for votes on pairs


def pairs_of(ranking: Sequence[int], places: int) -> list[tuple[int, int]]:
    """Return (better, worse) places for every pair of a ranking from best to worst.

    Raises:
        Fixable: when it does not name each of the places 0 to ``places`` - 1 once.
    """
    if sorted(ranking) != list(range(places)):
        raise Fixable(
            f"A ranking of {places} images names each place from 0 to {places - 1} once, "
            f"not {list(ranking)}."
        )
    return list(combinations(ranking, 2))


def strengths(
    rankings: Sequence[Sequence[str]], slots: Sequence[str], *, sd: float = STRENGTH_SD
) -> dict[str, float]:
    """Return the log strengths of all slots, mean 0, from rankings (best first) of some of them.

    Penalized maximum likelihood by Newton steps (concave); ``sd`` of the prior keeps a slot that
    always comes first finite.
    """
    place = {slot: index for index, slot in enumerate(slots)}
    choices = [
        [place[slot] for slot in ranking[start:]]
        for ranking in rankings
        for start in range(len(ranking) - 1)
    ]
    at = np.zeros(len(slots))
    for _ in range(200):
        gradient, curvature = _slopes(choices, at, sd)
        step = np.linalg.solve(curvature, gradient)
        at = at + step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-10:
            break
    centered = at - at.mean()
    return {slot: float(centered[index]) for slot, index in place.items()}


def _slopes(choices: Sequence[Sequence[int]], at: Floats, sd: float) -> tuple[Floats, Floats]:
    """Return gradient and curvature; each choice is the chosen index and then those not chosen."""
    gradient = -at / sd**2
    curvature = np.eye(len(at)) / sd**2
    for rest in choices:
        odds = np.exp(at[list(rest)] - at[list(rest)].max())
        share = odds / odds.sum()
        gradient[rest[0]] += 1
        gradient[list(rest)] -= share
        curvature[np.ix_(rest, rest)] += np.diag(share) - np.outer(share, share)
    return gradient, curvature
