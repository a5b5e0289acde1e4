"""Strengths of many slots from votes on pairs, with ties and the pull of one side.

Bradley and Terry's model with Davidson's ties (Davidson 1970, JASA 65:317): the chances of left,
right and tie are as ``pi_l : pi_r : nu sqrt(pi_l pi_r)``, where the left slot's log strength has
the position effect added. The intervals hold for one look, not for peeking.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp, stdtrit

from core.rules.votes import linked, ranking_votes, slots_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from core.rules.one_thread import Floats
    from core.rules.votes import Vote

# Prior standard deviations in log odds. They keep a slot that never lost finite, and hardly move
# one with a dozen votes.
STRENGTH_SD, POSITION_SD, TIE_SD = 2.5, 1.0, 3.0
NEGLIGIBLE = 0.05  # a position effect within this is of no account
DRAWS = 4000


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number of the model, in log odds, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """The slots of a comparison by strength."""

    slots: tuple[str, ...]  # strongest first
    strengths: dict[str, Estimate]  # against the mean of the slots of its group
    p_best: dict[str, float]  # chance of being the strongest of its group
    position: Estimate  # pull of the left side
    ties: float  # nu: 0 when nothing ties; at 1 equals tie one time in three
    groups: tuple[tuple[str, ...], ...]  # slots in two groups were never linked: do not compare
    votes: int

    @property
    def unknown(self) -> frozenset[str]:
        """Slots that no vote compares with another: strength and chance are only the prior's."""
        return frozenset(group[0] for group in self.groups if len(group) == 1)

    @property
    def position_matters(self) -> bool:
        """Whether the pull of one side is proven and large enough to be told."""
        low, high = self.position.low, self.position.high
        return (low > 0 or high < 0) and not (low > -NEGLIGIBLE and high < NEGLIGIBLE)

    def beats(self, a: str, b: str) -> float:
        """Return the chance that ``a`` wins against ``b`` where one wins, sides being drawn."""
        return float(1 / (1 + np.exp(self.strengths[b].value - self.strengths[a].value)))


def rank(votes: Iterable[Vote], slots: Sequence[str] | None = None) -> Ranking:
    """Fit all slots of the votes (or those named) at once, from votes in any order.

    Penalized maximum likelihood by Newton steps (the problem is convex). Intervals are Laplace's,
    widened by the sandwich over prompts and seeds wherever votes on one of them are alike
    (t quantiles with units - 1 degrees of freedom). Slots without votes keep the prior.
    """
    counted = ranking_votes(votes)
    names = sorted(set(slots_of(counted)) | set(slots or ()))
    design, chosen, units = _design(counted, names)
    penalty = _penalty(len(names))
    found = _newton(design, chosen, penalty)
    covariance = _covariance(design, chosen, units, penalty, found)
    cut = float(stdtrit(max(1, len(set(units)) - 1), 0.975))
    return _summarize(counted, names, found, covariance, cut)


def _design(votes: Sequence[Vote], names: list[str]) -> tuple[Floats, Floats, list[str]]:
    """Return what moves each outcome [votes, left-right-tie, parameters] and what happened.

    Parameters are the log strengths, then the position effect, then the log of nu.
    """
    place = {name: index for index, name in enumerate(names)}
    design = np.zeros((len(votes), 3, len(names) + 2))
    chosen = np.zeros((len(votes), 3))
    for row, vote in enumerate(votes):
        left, right = place[vote.left], place[vote.right]
        design[row, 0, [left, -2]] = 1.0
        design[row, 1, right] = 1.0
        design[row, 2, [left, right, -2]] = 0.5
        design[row, 2, -1] = 1.0
        chosen[row, {"left": 0, "right": 1}.get(vote.choice, 2)] = 1.0
    return design, chosen, [vote.unit for vote in votes]


def _penalty(slots: int) -> Floats:
    return np.array([STRENGTH_SD**-2] * slots + [POSITION_SD**-2, TIE_SD**-2])


def _chances(design: Floats, at: Floats) -> tuple[Floats, Floats]:
    """Return the log chances [votes, 3] and each vote's design around its mean [votes, 3, k]."""
    logits = np.einsum("voj,j->vo", design, at)
    logs = logits - logsumexp(logits, axis=1, keepdims=True)
    middle = np.einsum("vo,voj->vj", np.exp(logs), design)
    return logs, design - middle[:, None, :]


def _newton(design: Floats, chosen: Floats, penalty: Floats) -> Floats:
    at = np.zeros(len(penalty))
    loss = np.inf
    for _ in range(100):
        logs, around = _chances(design, at)
        gradient = np.einsum("vo,voj->j", chosen, around) - penalty * at
        step = np.linalg.solve(_curvature(logs, around, penalty), gradient)
        while (lower := _loss(design, chosen, penalty, at + step)) > loss + 1e-12:
            step = step / 2
        at, loss = at + step, lower
        if np.abs(step).max() < 1e-10:
            break
    return at


def _loss(design: Floats, chosen: Floats, penalty: Floats, at: Floats) -> float:
    logs, _ = _chances(design, at)
    return float(0.5 * (penalty * at**2).sum() - (chosen * logs).sum())


def _curvature(logs: Floats, around: Floats, penalty: Floats) -> Floats:
    found: Floats = np.einsum("vo,voj,vok->jk", np.exp(logs), around, around) + np.diag(penalty)
    return found


def _covariance(
    design: Floats, chosen: Floats, units: list[str], penalty: Floats, at: Floats
) -> Floats:
    """Return Laplace's covariance, stretched where the sandwich over units is wider.

    With L = H^-1 = R R' and S = H^-1 G H^-1 (scores summed by unit, times u / (u - 1)), the
    eigenvalues of R^-1 S R^-T below 1 are raised to 1: never surer than with independent votes.
    """
    logs, around = _chances(design, at)
    laplace = np.linalg.inv(_curvature(logs, around, penalty)).astype(np.float64)
    names = sorted(set(units))
    if len(names) < 2:
        return laplace
    scores = np.zeros((len(names), len(at)))
    np.add.at(scores, np.searchsorted(names, units), np.einsum("vo,voj->vj", chosen, around))
    root = np.linalg.cholesky(laplace)
    inner = root.T @ scores.T
    values, vectors = np.linalg.eigh(inner @ inner.T * len(names) / (len(names) - 1))
    wide = root @ vectors * np.sqrt(np.maximum(values, 1.0))
    found: Floats = wide @ wide.T
    return found


def _summarize(
    votes: Sequence[Vote], names: list[str], at: Floats, covariance: Floats, cut: float
) -> Ranking:
    groups = linked(votes, names)
    strengths: dict[str, Estimate] = {}
    p_best: dict[str, float] = {}
    for group in groups:
        places = [names.index(name) for name in group]
        around = np.eye(len(group)) - 1 / len(group)
        mean = around @ at[places]
        spread = around @ covariance[np.ix_(places, places)] @ around
        sds = np.sqrt(np.maximum(np.diag(spread), 0.0))
        best = _p_best(mean, spread)
        for name, value, sd, chance in zip(group, mean, sds, best, strict=True):
            strengths[name] = _estimate(float(value), float(sd), cut)
            p_best[name] = chance
    order = sorted(names, key=lambda name: (-strengths[name].value, name))
    return Ranking(
        slots=tuple(order),
        strengths=strengths,
        p_best=p_best,
        position=_estimate(float(at[-2]), float(np.sqrt(covariance[-2, -2])), cut),
        ties=float(np.exp(at[-1])),
        groups=groups,
        votes=len(votes),
    )


def _estimate(value: float, sd: float, cut: float) -> Estimate:
    return Estimate(value=value, low=value - cut * sd, high=value + cut * sd)


def _p_best(mean: Floats, covariance: Floats) -> list[float]:
    """Return how often each is the largest of 4,000 fixed draws, in mirrored pairs."""
    values, vectors = np.linalg.eigh(covariance)
    half = np.random.default_rng(19700317).standard_normal((DRAWS // 2, len(mean)))
    normals = np.concatenate([half, -half]) * np.sqrt(np.maximum(values, 0.0))
    winners = (mean + normals @ vectors.T).argmax(axis=1)
    return [float(count) / DRAWS for count in np.bincount(winners, minlength=len(mean))]
