"""Which two images to show next: those that tell most of which slot is best, and some by chance.

The choice looks at past votes only, never at the answer to come, so that the interval of each
pair stays valid; the random share keeps every pair, and the model's own mistakes, under test.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Literal

import numpy as np

from core.rules.davidson import DRAWS, Ranking, rank
from core.rules.votes import ranking_votes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.rules.votes import Vote

Pair = tuple[str, str]
RANDOM_SHARE = 0.2


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """Two images to show, in the order in which to show them."""

    left: str
    right: str
    unit: str
    reason: Literal["information", "chance"]


def next_pair(
    votes: Sequence[Vote],
    slots: Sequence[str],
    units: Sequence[str],
    *,
    judge: str,
    rng: np.random.Generator,
    random_share: float = RANDOM_SHARE,
    ranking: Ranking | None = None,
) -> Proposal | None:
    """Choose the next pair, prompt and seed, and sides for one judge; None when all are answered.

    With chance 1 - random_share it is drawn by how likely its two slots are the best and its
    challenger (``leading``); otherwise any pair alike. Then the least seen prompt and seed, and
    the sides, are drawn. A skip counts as an answer: it is not asked again. ``ranking`` saves the
    fit of ``votes`` where it is known.
    """
    open_units = _open(votes, slots, units, judge)
    if not open_units:
        return None
    by_chance = bool(rng.random() < random_share)
    pairs = sorted(open_units)
    weights = np.ones(len(pairs))
    if not by_chance:
        found = ranking or rank(votes, slots)
        weights = np.array([leading(found, *pair) for pair in pairs])
    pair = pairs[int(rng.choice(len(pairs), p=weights / weights.sum()))]
    unit = _least_seen(open_units[pair], pair, votes, rng)
    left, right = pair if rng.random() < 0.5 else pair[::-1]
    return Proposal(
        left=left, right=right, unit=unit, reason="chance" if by_chance else "information"
    )


def leading(ranking: Ranking, a: str, b: str) -> float:
    """Return the chance that two slots are drawn as the best and its challenger.

    Top-two Thompson sampling (Russo 2016, "Simple Bayesian algorithms for best arm
    identification"): one is drawn by its chance of being best, the other likewise among the rest.
    """
    p, q = (min(max(ranking.p_best[slot], 1 / DRAWS), 1 - 1 / DRAWS) for slot in (a, b))
    return p * q / (1 - p) + q * p / (1 - q)


def _open(
    votes: Sequence[Vote], slots: Sequence[str], units: Sequence[str], judge: str
) -> dict[Pair, list[str]]:
    """Return the units of each pair that this judge has not answered."""
    done = {
        (vote.pair, vote.unit) for vote in votes if vote.judge == judge and vote.purpose == "vote"
    }
    found = {
        pair: [unit for unit in sorted(set(units)) if (pair, unit) not in done]
        for pair in combinations(sorted(set(slots)), 2)
    }
    return {pair: left for pair, left in found.items() if left}


def _least_seen(
    units: list[str], pair: Pair, votes: Sequence[Vote], rng: np.random.Generator
) -> str:
    counted = ranking_votes(votes)
    of_pair = Counter(vote.unit for vote in counted if vote.pair == pair)
    of_all = Counter(vote.unit for vote in counted)
    fewest = min((of_pair[unit], of_all[unit]) for unit in units)
    equals = [unit for unit in units if (of_pair[unit], of_all[unit]) == fewest]
    return equals[rng.integers(len(equals))]
