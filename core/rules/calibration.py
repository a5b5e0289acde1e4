"""Weights of the automatic score learned from people's votes, and whether they earn their place.

P(A beats B) = sigmoid(w . (f_A - f_B)) over the parts of the score, w >= 0, held near the default
weights at a free scale. Votes on one prompt never help to judge themselves: agreement is counted
on prompts that were left out of the fit.

A ranking of k images is a vote on each of its k (k - 1) / 2 pairs, but they follow from each other:
it takes k - 1 choices to make it (the best, then the best of the rest: Beggs, Cardell and Hausman
1981, J. Econometrics 17:1). So its pairs weigh 2 / k each, k - 1 together, in the fit and in every
count: a weighted composite likelihood (Varin, Reid and Firth 2011, Statistica Sinica 21:5).
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from core.rules.composite import DEFAULT_WEIGHTS
from core.rules.merging_parts import MOST_PARTS, merge_parts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from core.rules.one_thread import Floats

FEWEST_VOTES, FEWEST_UNITS, FEWEST_PROMPTS = 80, 20, 5  # before weights can be adopted
STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0)  # of the pull towards the default weights
FOLDS = 5
MANY_UNITS = 200  # from which Wilson's interval is used instead of resampled prompts
OBJECTION_WEIGHT = 0.5
_RESAMPLES = 2000
_STEPS = 50

__all__ = [
    "MOST_PARTS", "Agreement", "Calibration", "PairVote", "agreement_of", "calibrate",
    "pair_weight", "wilson",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PairVote:
    """What one judge said of two images of the same prompt and seed, A and B."""

    prompt: str
    unit: str  # prompt and seed
    judge: str
    parts_a: Mapping[str, float]  # sub-scores 0-10, see ``core.rules.composite``
    parts_b: Mapping[str, float]
    gap: float | None  # plain average of A less that of B; None when either has none
    outcome: float  # 1 A is better, 0 B is better, 0.5 neither
    pair: str = ""  # which two slots, so that judges can be compared
    is_objection: bool = False  # a score called wrong, weighed less and never counted
    weight: float = 1.0  # of a vote, see ``pair_weight``

    @property
    def is_decisive(self) -> bool:
        """Whether a side was chosen in a vote."""
        return self.outcome != 0.5 and not self.is_objection


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """On how many decisive votes a score agrees with people; an equal score counts as half."""

    hits: float
    votes: float  # whole but for pairs of rankings, which weigh less than one
    low: float  # 95 % interval of the share
    high: float

    @property
    def share(self) -> float:
        """0-1."""
        return self.hits / self.votes

    def as_json(self) -> dict[str, Any]:
        """Return the form that is stored and printed."""
        return {
            "hits": round(self.hits, 4),
            "votes": round(self.votes, 4),
            "share": round(self.share, 4),
            "low": round(self.low, 4),
            "high": round(self.high, 4),
        }


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What votes say about the weights of the score."""

    decisive: int  # a ranking of k images is k - 1 of them
    units: int
    prompts: int
    objections: int
    default: Agreement | None  # None: no decisive vote on images with scores
    learned: Agreement | None  # on prompts left out of the fit; None: too few to fit
    gain: float | None  # of the share, learned less default, on the same votes
    gain_low: float | None  # 90 % interval of resampled prompts
    gain_high: float | None
    ceiling: float | None  # share of pairs of judges who agree; None: nobody judged the same twice
    ceiling_pairs: int
    weights: Mapping[str, float] | None  # learned from all votes, they sum to 1
    strength: float | None  # the pull towards the default that was chosen
    adopt: bool
    reason: str  # why the weights are proposed, or the default stays

    def as_json(self) -> dict[str, Any]:
        """Return the form that is stored and printed."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name in ("default", "learned"):
            plain[name] = plain[name].as_json() if plain[name] else None
        plain["weights"] = dict(self.weights) if self.weights else None
        return plain


@dataclass(frozen=True, kw_only=True)
class _Table:
    """Votes as arrays: merged parts A less B (n, k), outcomes, weights, prompt of each."""

    parts: Floats
    outcome: Floats
    weight: Floats
    group: np.ndarray[Any, np.dtype[np.int64]]
    default: Floats  # (k,) default weights of the merged parts
    members: Floats  # (k, parts) how a merged weight is spread over its parts again

    def only(self, chosen: np.ndarray[Any, np.dtype[np.bool_]]) -> _Table:
        return _Table(
            parts=self.parts[chosen],
            outcome=self.outcome[chosen],
            weight=self.weight[chosen],
            group=self.group[chosen],
            default=self.default,
            members=self.members,
        )


def pair_weight(places: int) -> float:
    """Return what each pair weighs of an answer to that many images at once; 1 for two."""
    return 2 / places


def calibrate(votes: Sequence[PairVote]) -> Calibration:
    """Fit weights and say whether they should be adopted: the gain must be sure, not just there."""
    decisive = [vote for vote in votes if vote.is_decisive and vote.gap is not None]
    prompts = {vote.prompt for vote in decisive}
    shared: dict[str, Any] = {
        "decisive": _whole(sum(vote.weight for vote in decisive)),
        "units": len({vote.unit for vote in decisive}),
        "prompts": len(prompts),
        "objections": sum(vote.is_objection for vote in votes),
        "default": agreement_of(decisive),
    }
    ceiling, pairs = human_ceiling(votes)
    if len(prompts) < 2:
        why = "Votes on at least two prompts are needed before anything can be learned."
        return Calibration(
            **shared, learned=None, gain=None, gain_low=None, gain_high=None, ceiling=ceiling,
            ceiling_pairs=pairs, weights=None, strength=None, adopt=False, reason=why,
        )  # fmt: skip
    table = _table(votes)
    chosen = np.array([vote.is_decisive and vote.gap is not None for vote in votes])
    predicted = _predict_left_out(table)[chosen]
    sides = np.array([vote.outcome for vote in decisive])
    learned = _hits(predicted, sides)
    default = _hits(np.array([vote.gap for vote in decisive], dtype=float), sides)
    groups, weight = table.group[chosen], table.weight[chosen]
    low, high = _resampled_mean(learned - default, weight, groups, 0.90)
    strength = _best_strength(table)
    fitted = _fit(table, strength)
    gain = float(np.average(learned - default, weights=weight))
    adopt, reason = _verdict(shared, gain, low)
    return Calibration(
        **shared,
        learned=_agreement(learned, weight, groups, len({vote.unit for vote in decisive})),
        gain=gain,
        gain_low=low,
        gain_high=high,
        ceiling=ceiling,
        ceiling_pairs=pairs,
        weights=_spread(table, fitted),
        strength=strength,
        adopt=adopt,
        reason=reason,
    )


def agreement_of(votes: Sequence[PairVote]) -> Agreement | None:
    """Return how often the plain average agrees with decisive votes; None without any."""
    decisive = [vote for vote in votes if vote.is_decisive and vote.gap is not None]
    if not decisive:
        return None
    gaps = np.array([vote.gap for vote in decisive], dtype=float)
    groups = _numbered([vote.prompt for vote in decisive])
    hits = _hits(gaps, np.array([vote.outcome for vote in decisive]))
    weight = np.array([vote.weight for vote in decisive])
    return _agreement(hits, weight, groups, len({vote.unit for vote in decisive}))


def human_ceiling(votes: Sequence[PairVote]) -> tuple[float | None, int]:
    """Return the share of pairs of judges who chose the same side of the same pair, and their number.

    No score can agree with people more than they agree with each other. Two answers weigh as much
    as the lesser of them.
    """
    sides: dict[tuple[str, str], list[PairVote]] = defaultdict(list)
    for vote in votes:
        if vote.is_decisive:
            sides[vote.unit, vote.pair].append(vote)
    same = total = 0.0
    for answers in sides.values():
        for one, other in combinations(answers, 2):
            weight = min(one.weight, other.weight)
            total += weight
            same += weight * (one.outcome == other.outcome)
    return (same / total if total else None), _whole(total)


def _whole(weight: float) -> int:
    """Return how many whole votes a weight is: sums of thirds are a hair off."""
    return math.floor(weight + 1e-9)


def _verdict(counts: Mapping[str, Any], gain: float, low: float) -> tuple[bool, str]:
    short = [
        f"{counts[name]} of {least} {words}"
        for name, least, words in (
            ("decisive", FEWEST_VOTES, "decisive votes"),
            ("units", FEWEST_UNITS, "prompts with seeds"),
            ("prompts", FEWEST_PROMPTS, "prompts"),
        )
        if counts[name] < least
    ]
    if short:
        return False, f"The default stays: there are only {', '.join(short)}."
    said = f"the learned weights agree with {100 * gain:+.1f} % of the votes"
    if low > 0:
        return True, f"They can be adopted: {said}, and surely more (90 % interval above 0)."
    return False, f"The default stays: {said}, which may be chance."


def _table(votes: Sequence[PairVote]) -> _Table:
    names = list(DEFAULT_WEIGHTS)
    parts = np.array(
        [
            [
                vote.parts_a[name] - vote.parts_b[name]
                if name in vote.parts_a and name in vote.parts_b
                else 0.0
                for name in names
            ]
            for vote in votes
        ]
    )
    default = np.array([DEFAULT_WEIGHTS[name] for name in names])
    members = merge_parts(parts, default)
    return _Table(
        parts=parts @ members.T,
        outcome=np.array([vote.outcome for vote in votes]),
        weight=np.array([OBJECTION_WEIGHT if vote.is_objection else vote.weight for vote in votes]),
        group=_numbered([vote.prompt for vote in votes]),
        default=(members > 0) @ default,
        members=members,
    )


def _spread(table: _Table, fitted: Floats) -> dict[str, float]:
    """Return the weight of each single part; together they are 1."""
    weights = fitted @ table.members
    total = weights.sum()
    if total <= 0:
        return dict(DEFAULT_WEIGHTS)
    return {
        name: round(float(w), 6) for name, w in zip(DEFAULT_WEIGHTS, weights / total, strict=True)
    }


def _fit(table: _Table, strength: float) -> Floats:
    """Return the weights (k,) that explain the votes, pulled towards the default's direction.

    Only the direction is pulled: the scale of the default is free, and its best value is put into
    the penalty. Newton's method with weights held at 0 or above (Bertsekas 1982, "Projected Newton
    methods"); the loss is convex and has at most six weights.
    """
    ahead = table.default / np.linalg.norm(table.default)
    pull = 2 * strength * (np.eye(len(ahead)) - np.outer(ahead, ahead))
    weights = table.default.astype(float)
    loss = _loss(table, pull, weights)
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(table.parts @ weights, -40, 40)))
        slope = table.parts.T @ (table.weight * (chance - table.outcome)) + pull @ weights
        free = (weights > 0) | (slope < 0)
        if np.abs(slope[free]).max(initial=0) < 1e-6:
            break
        bend = (table.parts.T * (table.weight * chance * (1 - chance))) @ table.parts + pull
        step = np.zeros_like(weights)
        ridge = 1e-9 * np.eye(int(free.sum()))
        step[free] = np.linalg.solve(bend[np.ix_(free, free)] + ridge, slope[free])
        for halving in range(30):
            tried = np.maximum(weights - step / 2**halving, 0)
            if (now := _loss(table, pull, tried)) < loss:
                break
        else:
            break
        settled = loss - now < 1e-9
        weights, loss = tried, now
        if settled:
            break
    return np.asarray(weights)


def _loss(table: _Table, pull: Floats, weights: Floats) -> float:
    z = table.parts @ weights
    votes = table.weight @ (np.logaddexp(0, z) - table.outcome * z)
    return float(votes + weights @ pull @ weights / 2)


def _best_strength(table: _Table) -> float:
    """Return the pull under which prompts that were left out are predicted best."""
    folds = _folds(table.group, FOLDS - 1)
    losses = []
    for strength in STRENGTHS:
        total = 0.0
        for left_out in folds:
            weights = _fit(table.only(~left_out), strength)
            rest = table.only(left_out)
            z = rest.parts @ weights
            total += float(np.sum(rest.weight * (np.logaddexp(0, z) - rest.outcome * z)))
        losses.append(total)
    # of pulls that predict alike the strongest: it strays least from the default
    best = min(losses)
    return max(s for s, loss in zip(STRENGTHS, losses, strict=True) if loss <= best + 1e-3)


def _predict_left_out(table: _Table) -> Floats:
    """Return the log odds of A for each vote, from weights that never saw its prompt."""
    predicted = np.zeros(len(table.outcome))
    for left_out in _folds(table.group, FOLDS):
        train = table.only(~left_out)
        predicted[left_out] = table.parts[left_out] @ _fit(train, _best_strength(train))
    return predicted


def _folds(
    groups: np.ndarray[Any, np.dtype[np.int64]], count: int
) -> list[np.ndarray[Any, np.dtype[np.bool_]]]:
    """Return masks of votes to leave out: whole prompts, by a fixed shuffle."""
    names = np.unique(groups)
    order = np.random.default_rng(4).permutation(names)
    parts = np.array_split(order, min(count, len(names)))
    return [np.isin(groups, part) for part in parts if len(part) < len(names)]


def _hits(predicted: Floats, outcome: Floats) -> Floats:
    """Return 1 where the sign is right, 0.5 where it is 0."""
    return np.where(predicted == 0, 0.5, (predicted > 0) == (outcome == 1)).astype(float)


def _numbered(names: Sequence[str]) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.asarray(np.unique(np.array(names), return_inverse=True)[1]).astype(np.int64)


def _agreement(hits: Floats, weight: Floats, groups: np.ndarray[Any, Any], units: int) -> Agreement:
    agreed, votes = float(hits @ weight), float(weight.sum())
    low, high = (
        wilson(agreed, votes)
        if units > MANY_UNITS or len(np.unique(groups)) < FEWEST_PROMPTS
        else _resampled_mean(hits, weight, groups, 0.95)
    )
    return Agreement(hits=agreed, votes=votes, low=low, high=high)


def wilson(hits: float, total: float) -> tuple[float, float]:
    """Return the 95 % interval of a rate (Wilson 1927, JASA 22:209)."""
    z = 1.959964
    share = hits / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + (z / (2 * total)) ** 2)
    return max(0.0, middle - half), min(1.0, middle + half)


def _resampled_mean(
    values: Floats, weight: Floats, groups: np.ndarray[Any, Any], level: float
) -> tuple[float, float]:
    """Return the interval of a mean over votes when whole prompts are drawn anew."""
    _, of = np.unique(groups, return_inverse=True)
    sums, counts = np.bincount(of, values * weight), np.bincount(of, weight)
    drawn = np.random.default_rng(5).integers(0, len(sums), (_RESAMPLES, len(sums)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
