"""How far judges agree with each other, and which images divide them.

Between equally good checkpoints judges cannot agree beyond chance, and need not: an alpha near 0
is then what should be seen, and no fault of anybody.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from core.rules.votes import ranking_votes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from core.rules.one_thread import Floats
    from core.rules.votes import Vote

RESAMPLES = 1000
Reading = Literal["firm", "tentative", "weak"]


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Krippendorff's alpha of the judges: 1 is full agreement, 0 is chance, below is worse."""

    alpha: float | None  # None where no two judges saw the same images, or all said the same
    low: float | None  # 95 % interval by resampling the image pairs
    high: float | None
    judged: int  # image pairs that two judges or more answered
    judges: int

    @property
    def reading(self) -> Reading | None:
        """Krippendorff's own bounds (2004): firm from .8, tentative from .667; None without alpha."""
        if self.alpha is None:
            return None
        if self.alpha >= 0.8:
            return "firm"
        return "tentative" if self.alpha >= 0.667 else "weak"


@dataclass(frozen=True, kw_only=True)
class Controversy:
    """One pair of images that judges answered differently."""

    pair: tuple[str, str]
    unit: str
    first: int  # votes for pair[0]
    second: int
    even: int  # ties and "both bad"

    @property
    def division(self) -> float:
        """Share of the pairs of judges who differ, 0 to 1."""
        counts = (self.first, self.second, self.even)
        total = sum(counts)
        return 1 - sum(n * (n - 1) for n in counts) / (total * (total - 1))


def alpha_nominal(units: Iterable[Sequence[str]]) -> float | None:
    """Return Krippendorff's alpha for names, from the answers that each unit got.

    Alpha is 1 - D_observed / D_expected (Krippendorff 2011, "Computing Krippendorff's
    Alpha-Reliability"). Units with one answer say nothing. None where no unit has two, or where
    only one name was ever used, so that chance cannot be told from agreement.
    """
    counts = _table([unit for unit in units if len(unit) > 1])
    found = _alphas(counts, np.ones((1, len(counts))))[0]
    return None if np.isnan(found) else float(found)


def agreement(votes: Iterable[Vote]) -> Agreement:
    """Judge the agreement on who won each pair of images; "both bad" is a tie."""
    counted = ranking_votes(votes)
    answers = [values for _, values in sorted(_answers(counted).items()) if len(values) > 1]
    counts = _table(answers)
    alpha = alpha_nominal(answers)
    low = high = None
    if alpha is not None and len(counts) > 1:
        rng = np.random.default_rng(2011)
        share = np.full(len(counts), 1 / len(counts))
        alphas = _alphas(counts, rng.multinomial(len(counts), share, RESAMPLES).astype(float))
        if not np.isnan(alphas).all():
            low, high = (float(end) for end in np.nanquantile(alphas, (0.025, 0.975)))
    return Agreement(
        alpha=alpha,
        low=low,
        high=high,
        judged=len(answers),
        judges=len({vote.judge for vote in counted}),
    )


def controversies(votes: Iterable[Vote]) -> list[Controversy]:
    """Return the pairs of images that divide their judges, the most divided first."""
    found = []
    for (pair, unit), answers in _answers(ranking_votes(votes)).items():
        counts = Counter(answers)
        if len(counts) > 1:
            found.append(
                Controversy(
                    pair=pair,
                    unit=unit,
                    first=counts[pair[0]],
                    second=counts[pair[1]],
                    even=counts[""],
                )
            )
    return sorted(
        found,
        key=lambda at: (-at.division, -(at.first + at.second + at.even), at.pair, at.unit),
    )


def _answers(votes: Sequence[Vote]) -> Mapping[tuple[tuple[str, str], str], list[str]]:
    """Return who won each pair of images, an answer a judge: the last one stored counts."""
    latest: dict[tuple[tuple[str, str], str], dict[str, str]] = {}
    for vote in votes:
        latest.setdefault((vote.pair, vote.unit), {})[vote.judge] = vote.winner or ""
    return {key: sorted(given.values()) for key, given in latest.items()}


def _table(units: Sequence[Sequence[str]]) -> Floats:
    """Return how often each name was given, [units, names]."""
    names = sorted({value for unit in units for value in unit})
    place = {name: index for index, name in enumerate(names)}
    counts = np.zeros((len(units), len(names)))
    for row, unit in enumerate(units):
        for value in unit:
            counts[row, place[value]] += 1
    return counts


def _alphas(counts: Floats, weights: Floats) -> Floats:
    """Return alpha [resamples] of units [units, names] taken so many times [resamples, units]."""
    given = counts.sum(axis=1)
    differing = (given**2 - (counts**2).sum(axis=1)) / np.maximum(given - 1, 1)
    observed = weights @ differing
    totals = weights @ counts
    n = totals.sum(axis=1)
    expected = n**2 - (totals**2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = np.where(expected > 0, 1 - (n - 1) * observed / expected, np.nan)
    return found
