"""Simulated runs with known truth, and what each rule for stopping makes of them.

Pure: seeds in, outcomes out. Nothing here was changed to make a rule look better: rules were tuned
on the seeds of TUNING and judged once on those of JUDGING.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from core.formats.prompt_suite import for_tier
from core.nouns import Prompt, Recipe, Suite
from core.rules.curve import fit
from core.rules.planning import Spread, tier_for
from core.rules.score_rows import ScoreRow

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from core.rules.curve import Curve

Floats = npt.NDArray[np.float64]
Family = Literal[
    "rise_plateau",
    "rise_peak_degrade",
    "slow_rise",
    "late_jump",
    "oscillate",
    "flat_fail",
    "early_overfit",
]
FAMILIES: tuple[Family, ...] = (
    "rise_plateau",
    "rise_peak_degrade",
    "slow_rise",
    "late_jump",
    "oscillate",
    "flat_fail",
    "early_overfit",
)
TUNING, JUDGING = 20251101, 20251102
EPOCHS, PROMPTS = 10, 15
NOISE_SD, PROMPT_SD = 1.0, 1.2
# A suite of the shape that the product derives from captions: one quick prompt, five medium.
SUITE = tuple(
    Prompt(
        name=f"p{number:02}",
        text=f"p{number:02}",
        tier="quick" if number < 1 else "medium" if number < 5 else "full",
    )
    for number in range(PROMPTS)
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One simulated run: its true quality (0-10) by epoch, and a score for every image."""

    family: Family
    truth: Floats  # [EPOCHS]
    scores: Floats  # [EPOCHS, PROMPTS]


@dataclass(frozen=True, kw_only=True)
class History:
    """One run as it unfolds under one plan: what is known after each epoch."""

    case: Case
    depths: tuple[int, ...]  # prompts tested, by epoch
    means: tuple[float, ...]  # plain mean of the scores, by epoch
    curves: tuple[Curve, ...]  # after 1, 2, ... epochs


def cases(each: int, seed: int) -> Iterator[Case]:
    """Yield ``each`` runs of every family; the same seed gives the same runs."""
    for number, family in enumerate(FAMILIES):
        for index in range(each):
            rng = np.random.default_rng([seed, number, index])
            truth = np.clip(true_curve(family, rng), 0, 10)
            noise = rng.normal(0, NOISE_SD, (EPOCHS, PROMPTS))
            scores = truth[:, None] + rng.normal(0, PROMPT_SD, PROMPTS) + noise
            yield Case(family=family, truth=truth, scores=np.clip(scores, 0, 10))


def true_curve(family: Family, rng: np.random.Generator) -> Floats:
    """Draw the true quality of each epoch of a run of this family."""
    time = np.arange(EPOCHS, dtype=float)
    if family == "rise_plateau":
        rise = 1 - np.exp(-time / rng.uniform(0.8, 2.5))
        return np.asarray(rng.uniform(4, 6) + rng.uniform(1.5, 3.5) * rise)
    if family == "slow_rise":
        return np.asarray(rng.uniform(4, 5.5) + rng.uniform(0.2, 0.4) * time)
    if family == "late_jump":
        jump = rng.uniform(0.8, 1.8) * (time + 1 >= rng.integers(5, 9))
        return np.asarray(rng.uniform(4.5, 6.5) + 0.5 * (1 - np.exp(-time / 1.5)) + jump)
    if family == "oscillate":
        turns = (-1.0) ** (time + rng.integers(0, 2))
        rise = rng.uniform(0, 0.15) * time
        return np.asarray(rng.uniform(5, 7) + rise + rng.uniform(0.3, 0.8) * turns)
    if family == "flat_fail":
        return np.asarray(rng.uniform(2.5, 5) + rng.uniform(-0.05, 0.05) * time)
    early = family == "early_overfit"
    start, peak = ((5.5, 7.5), (1, 4)) if early else ((4.0, 6.0), (3, 8))
    up, down = ((0.2, 0.5), (0.3, 0.8)) if early else ((0.3, 0.9), (0.25, 0.8))
    return _peaked(rng.uniform(*start), int(rng.integers(*peak)), up, down, rng)


def _peaked(
    start: float,
    peak: int,
    up: tuple[float, float],
    down: tuple[float, float],
    rng: np.random.Generator,
) -> Floats:
    """Rise by a pace of ``up`` an epoch to ``peak`` (1-based), then fall by one of ``down``."""
    from_peak = np.arange(1, EPOCHS + 1) - float(peak)
    before = np.minimum(from_peak, 0) * rng.uniform(*up)
    after = np.maximum(from_peak, 0) * rng.uniform(*down)
    level = min(10.0, start - float(before[0]))
    return np.asarray(level + before - after)


def depths_of(spread: Spread) -> tuple[int, ...]:
    """Return how many prompts the product tests in each epoch under this dial."""
    suite = Suite(name="simulated", recipe=Recipe(), prompts=SUITE)
    tiers = (tier_for(epoch, planned=EPOCHS, dial=spread) for epoch in range(1, EPOCHS + 1))
    return tuple(len(for_tier(suite, tier)) for tier in tiers)


def rows_of(case: Case, depths: Sequence[int]) -> list[ScoreRow]:
    """Return the scores of the tested prompts as the product stores them."""
    return [
        ScoreRow(position=epoch, unit=SUITE[unit].name, score=float(case.scores[epoch - 1, unit]))
        for epoch, depth in enumerate(depths, start=1)
        for unit in range(depth)
    ]


def unfold(case: Case, depths: tuple[int, ...]) -> History:
    """Fit the product's curve after every epoch."""
    return History(
        case=case,
        depths=depths,
        means=tuple(float(case.scores[at, :depth].mean()) for at, depth in enumerate(depths)),
        curves=tuple(
            fit(rows_of(case, depths[:seen]), EPOCHS) for seen in range(1, len(depths) + 1)
        ),
    )
