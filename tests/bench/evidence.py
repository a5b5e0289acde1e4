"""How many images a right choice of epoch takes: adaptive depth against the full grid.

make bench WHICH=evidence
make bench WHICH=evidence ARGS="--each 30 --tuning"
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.rules.curve import fit
from core.rules.deepening import retest_wishes
from tests.bench.bars import hold
from tests.bench.convergence_simulation import (
    EPOCHS,
    FAMILIES,
    JUDGING,
    PROMPTS,
    TUNING,
    Case,
    cases,
    depths_of,
    rows_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WITHIN = 0.25  # points below the best that still count as the right choice


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The epoch that is shipped (1-based), and the images it took."""

    pick: int
    images: int


def main() -> None:
    """Choose the best of ten epochs in every way and print how often that was right as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=300, help="runs of each of the seven families")
    parser.add_argument("--tuning", action="store_true", help="the seeds that rules are tuned on")
    wanted = parser.parse_args()
    runs = list(cases(wanted.each, TUNING if wanted.tuning else JUDGING))
    thrifty, even = depths_of("thrifty"), depths_of("even")
    ways: dict[str, Callable[[Case], Answer]] = {
        "full grid, highest mean": lambda case: by_mean(case, (PROMPTS,) * EPOCHS),
        "full grid, our pick": lambda case: by_fit(case, (PROMPTS,) * EPOCHS),
        "progressive table, highest mean": lambda case: by_mean(case, thrifty),
        "progressive table, our pick": lambda case: by_fit(case, thrifty),
        "five prompts an epoch, our pick": lambda case: by_fit(case, even),
        "the last epoch": lambda _: Answer(pick=EPOCHS, images=0),
        "adaptive, 37 images": lambda case: adaptive(case, 37),
        "adaptive, 50 images": lambda case: adaptive(case, 50),
        "adaptive, 75 images": lambda case: adaptive(case, 75),
        "progressive table, then adaptive, 50 images": lambda case: adaptive(case, 50, thrifty),
    }
    found: dict[str, Any] = {name: _line(runs, way) for name, way in ways.items()}
    print(json.dumps({"runs": len(runs), "within": WITHIN, "ways": found}, indent=1))
    full, third = (
        found[name]["right %"] for name in ("full grid, highest mean", "adaptive, 50 images")
    )
    hold({f"a third of the images within 2 points ({third} and {full} %)": third >= full - 2})


def by_mean(case: Case, depths: Sequence[int]) -> Answer:
    """Ship the highest mean score."""
    means = [case.scores[at, :depth].mean() for at, depth in enumerate(depths)]
    return Answer(pick=int(np.argmax(means)) + 1, images=sum(depths))


def by_fit(case: Case, depths: Sequence[int]) -> Answer:
    """Ship what the trend picks."""
    return Answer(pick=fit(rows_of(case, depths), EPOCHS).pick, images=sum(depths))


def adaptive(case: Case, budget: int, start: Sequence[int] = (1,) * EPOCHS) -> Answer:
    """Test every epoch as ``start`` says, then spend what is left where it tells most."""
    depths = dict(enumerate(start, start=1))
    while True:
        curve = fit(rows_of(case, tuple(depths.values())), EPOCHS)
        spare = budget - sum(depths.values())
        wishes = retest_wishes(curve.p_best, depths, spare=spare, full=PROMPTS)
        if not wishes:
            return Answer(pick=curve.pick, images=sum(depths.values()))
        depths |= wishes


def _line(runs: Sequence[Case], way: Callable[[Case], Answer]) -> dict[str, Any]:
    answers = [way(case) for case in runs]
    lost = np.array(
        [case.truth.max() - case.truth[a.pick - 1] for case, a in zip(runs, answers, strict=True)]
    )
    families = np.array([case.family for case in runs])
    return {
        "right %": round(100 * float((lost <= WITHIN).mean()), 1),
        "regret": round(float(lost.mean()), 3),
        "images": round(float(np.mean([answer.images for answer in answers])), 1),
        "families, right %": {
            family: round(100 * float((lost[families == family] <= WITHIN).mean()), 1)
            for family in FAMILIES
        },
    }


if __name__ == "__main__":
    main()
