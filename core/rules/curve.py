"""The paired Bayesian trend: one Gaussian model of the quality curve of a run.

Numbers in, probabilities out. It knows nothing of files, clocks or databases, and gives the same
answer for the same rows in whatever order they come.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from core.errors import Fixable
from core.rules.convergence import TOLERANCE
from core.rules.one_thread import Floats, cholesky, multiply, solve_lower
from core.rules.score_rows import OVERALL, ScoreRow, averages, usable
from core.rules.timeline import Planned, Timeline, lay_out

if TYPE_CHECKING:
    from collections.abc import Sequence

DAMPING = 0.88  # how much of its pace a curve keeps from one save to the next
START_MEAN, START_SD = 6.0, 2.0  # the first position, points
PACE_MEAN, PACE_SD = 0.25, 0.4  # the first step, points
PROMPT_SD = 1.5  # how much prompts differ in difficulty, points
NOISE = 0.8  # of one image's score, where the rows cannot tell
OVERALL_NOISE = 0.5  # of one score that a person gave to a whole epoch
NOISE_WEIGHT = 5  # the prior noise counts as this many residuals
MARGIN = 0.25  # a later position must beat the pick by this much to be worth the wait
NEAR_TIE = 0.10  # posterior means closer than this are settled by the paired effect
DRAWS = 2000
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
# Shapes that are averaged over: sd of level and pace per step, and prior weight. The last two are
# jumpy curves, and a little less likely beforehand. Of the grids that keep the worked numbers, this
# one with this damping came nearest to P(best) meaning what it says (docs/convergence.md).
SHAPES: tuple[tuple[float, float, float], ...] = (
    (0.01, 0.03, 1.0),
    (0.01, 0.12, 1.0),
    (0.01, 0.30, 1.0),
    (0.10, 0.03, 1.0),
    (0.10, 0.12, 1.0),
    (0.10, 0.30, 1.0),
    (0.60, 0.03, 0.7),
    (0.60, 0.12, 0.7),
)


@dataclass(frozen=True, kw_only=True)
class Curve:
    """What is known of the true quality (0-10) of each position, tested or still to come."""

    positions: tuple[int, ...]  # tested, then to come
    tested: int  # how many of them are tested
    mean: tuple[float, ...]  # posterior mean, by place in positions
    sd: tuple[float, ...]  # posterior standard deviation
    fan: tuple[tuple[float, ...], ...]  # the QUANTILES of each position
    p_best: dict[int, float]  # chance of being the best of the tested positions
    p_best_of_all: dict[int, float]  # the same with those to come
    averages: dict[int, float]  # plain mean score
    effects: dict[int, float]  # mean score with the difficulty of the prompts taken out
    pick: int
    best_observed: int  # the highest plain mean, the earliest of equals
    p_later_better: float  # chance that one to come beats the pick by MARGIN
    expected_gain: float  # points the best one to come is expected to add to the pick, at least 0
    window: tuple[int, int]  # shortest run of positions holding half of p_best_of_all
    p_slopes: tuple[float, float, float] | None  # true slope down, flat, up; None with fewer than 3
    noise: float  # sd of one score, points
    notes: tuple[str, ...]

    @property
    def to_come(self) -> bool:
        """Whether something is still to be trained."""
        return self.tested < len(self.positions)


@dataclass(frozen=True, kw_only=True)
class _Evidence:
    """The rows as sums: their size is positions x units, whatever the number of rows."""

    counts: Floats  # [tested, units], 1 where a unit was scored at a position
    scores: Floats  # [tested, units], 0 where it was not
    effects: Floats  # [tested]
    paired: bool  # every position is linked to every other by shared units
    noise: float
    difficulty: float  # sd of the units


@dataclass(frozen=True, kw_only=True)
class _Posterior:
    mean: Floats  # [shapes, positions]
    root: Floats  # [shapes, positions, positions]; root @ root.T is the covariance
    weights: Floats  # [shapes], sum 1


def fit(rows: Sequence[ScoreRow], planned: Planned = None, *, ended: bool = False) -> Curve:
    """Fit the curve of one run to its scores.

    A score is ``level[position] + difficulty[unit] + noise``; one overall score per position has
    no difficulty and less noise. The level follows a damped local
    linear trend (ETS(A,Ad,N); Gardner and McKenzie 1985), averaged over eight shapes by their
    marginal likelihood. Units tested in only some positions, uneven depth and single positions
    need no special case. Steps as positions: see ``core.rules.timeline.lay_out``.

    Raises:
        Fixable: when no row holds a score.
    """
    clean, notes = usable(rows)
    if not clean:
        raise Fixable("No position has a score yet, so there is no curve to judge.")
    line = lay_out(sorted({row.position for row in clean}), planned, ended=ended)
    evidence = _sum_up(clean, line)
    posterior = _solve(line, evidence)
    means = averages(clean)
    return _summarize(line, evidence, posterior, means, notes)


def _sum_up(rows: Sequence[ScoreRow], line: Timeline) -> _Evidence:
    place = {position: index for index, position in enumerate(line.positions[: line.tested])}
    units = {unit: index for index, unit in enumerate(sorted({row.unit for row in rows}))}
    counts = np.zeros((len(place), len(units)))
    scores = np.zeros_like(counts)
    for row in rows:
        counts[place[row.position], units[row.unit]] = 1.0
        scores[place[row.position], units[row.unit]] = row.score
    overall = set(units) == {OVERALL}
    prior = OVERALL_NOISE if overall else NOISE
    effects, rank, rss = _two_way(counts, scores)
    spare = len(rows) - len(units) - rank
    variance = prior**2
    if spare > 0:
        variance = (NOISE_WEIGHT * variance + rss) / (NOISE_WEIGHT + spare)
    return _Evidence(
        counts=counts,
        scores=scores,
        effects=effects,
        paired=rank == len(place) - 1,
        noise=float(np.sqrt(variance)),
        difficulty=0.0 if overall else PROMPT_SD,
    )


def _two_way(counts: Floats, scores: Floats) -> tuple[Floats, int, float]:
    """Fit position + unit by least squares: effects (mean as the scores'), rank, residual sum."""
    per_unit = counts.sum(axis=0)
    unit_means = scores.sum(axis=0) / per_unit
    centered = (scores - unit_means) * counts
    normal = np.diag(counts.sum(axis=1)) - multiply(counts / per_unit, counts.T)
    groups = _linked(counts)
    # One constant in each group of linked positions is free; fixing it at 0 makes this solvable.
    whole = normal + multiply(groups.T, groups)
    half = solve_lower(cholesky(whole[None]), np.eye(len(whole))[None])[0]
    effects = np.einsum("ji,j->i", half, np.einsum("ij,j->i", half, centered.sum(axis=1)))
    shift = (counts * effects[:, None]).sum(axis=0) / per_unit
    residuals = (centered - effects[:, None] + shift) * counts
    level = float((unit_means - shift).mean())
    return effects + level, len(counts) - len(groups), float((residuals**2).sum())


def _linked(counts: Floats) -> Floats:
    """Return the groups [groups, positions] of positions that shared units link, as 0 and 1."""
    groups: list[tuple[npt.NDArray[np.bool_], Floats]] = []  # units of a group, its positions
    for place, units in enumerate(counts > 0):
        members = np.zeros(len(counts))
        members[place] = 1.0
        touched = [group for group in groups if (group[0] & units).any()]
        groups = [group for group in groups if not (group[0] & units).any()]
        for others, more in touched:
            units, members = units | others, members + more  # noqa: PLW2901 - grows as it merges
        groups.append((units, members))
    return np.array([members for _, members in groups])


@lru_cache(maxsize=32)
def _priors(steps: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Return the prior mean [positions] and the roots of its covariance [shapes, n, n]."""
    last = steps[-1]
    decay = np.concatenate([[0.0], np.cumsum(DAMPING ** np.arange(last))])  # pace -> level
    gap = np.subtract.outer(np.arange(last + 1), np.arange(1, last + 1))
    late = np.where(gap > 0, decay[np.maximum(gap, 0)], 0.0)  # a change of pace acts a step later
    at = np.array(steps)
    pace, late = decay[at], late[at]
    level_noise = np.minimum.outer(at, at).astype(float)
    fixed = START_SD**2 + PACE_SD**2 * np.outer(pace, pace)
    pace_noise = multiply(late, late.T)
    tiny = 1e-9 * np.eye(len(at))
    covariances = [fixed + sl**2 * level_noise + sd**2 * pace_noise + tiny for sl, sd, _ in SHAPES]
    return START_MEAN + PACE_MEAN * pace, cholesky(np.array(covariances))


def _solve(line: Timeline, evidence: _Evidence) -> _Posterior:
    """Condition on the scores with the units' difficulties integrated out.

    With V = noise + difficulty covariance and H the design of positions, only H'V^-1 H and
    H'V^-1 (y - m) enter. Both come from the table of sums (Woodbury), so that the largest matrix
    has one row per position and none has one per score.
    """
    prior_mean, root = _priors(line.steps)
    size, tested = len(line.positions), line.tested
    counts, variance = evidence.counts, evidence.noise**2
    difficulty = evidence.difficulty**2
    shrink = difficulty / (variance + difficulty * counts.sum(axis=0))
    residuals = (evidence.scores - prior_mean[:tested, None]) * counts
    precision = np.zeros((size, size))
    precision[:tested, :tested] = np.diag(counts.sum(axis=1)) - multiply(counts * shrink, counts.T)
    pull = np.zeros(size)
    pull[:tested] = residuals.sum(axis=1) - (counts * (shrink * residuals.sum(axis=0))).sum(axis=1)
    precision, pull = precision / variance, pull / variance

    turned = root.transpose(0, 2, 1)
    lower = cholesky(np.eye(size) + multiply(multiply(turned, precision), root))
    half = solve_lower(lower, turned)  # [shapes, size, size]
    scaled = np.einsum("kij,j->ki", half, pull)
    mean = prior_mean + np.einsum("kji,kj->ki", half, scaled)
    log_determinant = np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1)
    evidence_log = 0.5 * (scaled**2).sum(axis=1) - log_determinant
    evidence_log = evidence_log + np.log([weight for _, _, weight in SHAPES])
    weights = np.exp(evidence_log - evidence_log.max())
    return _Posterior(mean=mean, root=half.transpose(0, 2, 1), weights=weights / weights.sum())


@lru_cache(maxsize=8)
def _normals(size: int) -> Floats:
    """Return the same [DRAWS, size] standard normal numbers each time, in mirrored pairs.

    A longer curve keeps the numbers of a shorter one and adds its own.
    """
    half = np.random.default_rng(20251110).standard_normal((size, DRAWS // 2))
    return np.stack([half, -half], axis=2).reshape(size, DRAWS).T.copy()


def _draw(posterior: _Posterior) -> Floats:
    """Return DRAWS curves [DRAWS, positions], each shape holding its share of them.

    The triangular roots keep the draws of tested positions free of what is planned after them.
    """
    normals = _normals(posterior.mean.shape[1])
    covariance = multiply(posterior.root, posterior.root.transpose(0, 2, 1))
    roots = cholesky(covariance + 1e-9 * np.eye(covariance.shape[1]))
    edges = np.rint(np.cumsum(posterior.weights) * DRAWS).astype(int)
    draws = np.empty_like(normals)
    start = 0
    for mean, root, end in zip(posterior.mean, roots, edges, strict=True):
        if end > start:
            draws[start:end] = mean + multiply(normals[start:end], root.T)
        start = end
    return draws


def _summarize(
    line: Timeline,
    evidence: _Evidence,
    posterior: _Posterior,
    means: dict[int, float],
    notes: tuple[str, ...],
) -> Curve:
    draws = _draw(posterior)
    past = line.positions[: line.tested]
    mean = posterior.weights @ posterior.mean
    spread = (posterior.root**2).sum(axis=2) + posterior.mean**2
    sd = np.sqrt(np.maximum(posterior.weights @ spread - mean**2, 0.0))
    effects = evidence.effects if evidence.paired else mean[: line.tested]
    place = _pick(mean[: line.tested], effects)
    later, gain = _later(draws, mean, line.tested, place)
    shares_of_all = _shares_of_best(draws)
    return Curve(
        positions=line.positions,
        tested=line.tested,
        mean=_floats(mean),
        sd=_floats(sd),
        fan=tuple(_floats(row) for row in np.quantile(draws, QUANTILES, axis=0).T),
        p_best=dict(zip(past, _shares_of_best(draws[:, : line.tested]), strict=True)),
        p_best_of_all=dict(zip(line.positions, shares_of_all, strict=True)),
        averages=means,
        effects=dict(zip(past, _floats(effects), strict=True)),
        pick=past[place],
        best_observed=max(past, key=lambda position: (means[position], -position)),
        p_later_better=later,
        expected_gain=gain,
        window=_window(line.positions, shares_of_all),
        p_slopes=_slopes(draws[:, : line.tested]),
        noise=evidence.noise,
        notes=notes,
    )


def _floats(values: Floats) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _shares_of_best(draws: Floats) -> tuple[float, ...]:
    wins = np.bincount(draws.argmax(axis=1), minlength=draws.shape[1])
    return _floats(wins / len(draws))


def _pick(mean: Floats, effects: Floats) -> int:
    """Return the place of the highest mean; near-ties go to the paired effect, then the earliest.

    This keeps the owner's "best epoch 6 (7.3)" over an epoch 7 at 7.0.
    """
    near = np.flatnonzero(mean >= mean.max() - NEAR_TIE)
    best = np.round(effects[near], 9)
    return int(near[best.argmax()])


def _later(draws: Floats, mean: Floats, tested: int, place: int) -> tuple[float, float]:
    """Return the chance that a position to come beats the pick by MARGIN, and the expected gain.

    No gain is larger than what the pick leaves below 10, since the scale ends there.
    """
    if tested == draws.shape[1]:
        return 0.0, 0.0
    room = max(0.0, 10.0 - float(mean[place]))
    gain = np.clip(draws[:, tested:].max(axis=1) - draws[:, place], 0.0, room)
    return float((gain > MARGIN).mean()), float(gain.mean())


def _window(positions: Sequence[int], shares: Sequence[float]) -> tuple[int, int]:
    """Return the ends of the shortest run of positions that holds at least half of the chance."""
    sums = np.concatenate([[0.0], np.cumsum(shares)])
    for length in range(1, len(positions) + 1):
        held = sums[length:] - sums[:-length]
        if held.max() >= 0.5 - 1e-9:
            start = int(held.argmax())
            return positions[start], positions[start + length - 1]
    return positions[0], positions[-1]


def _slopes(draws: Floats) -> tuple[float, float, float] | None:
    """Return the chances that the true slope of the last three positions is down, flat or up."""
    if draws.shape[1] < 3:
        return None
    slope = (draws[:, -1] - draws[:, -3]) / 2
    down, up = float((slope < -TOLERANCE).mean()), float((slope > TOLERANCE).mean())
    return down, 1.0 - down - up, up
