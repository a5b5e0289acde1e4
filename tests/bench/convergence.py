"""Which rule for stopping saves most and loses least, on simulated runs with known truth.

make bench WHICH=convergence
make bench WHICH=convergence ARGS="--each 30 --tuning"
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.rules.advice import THRESHOLDS
from core.rules.backtest import ALWAYS, Choice, Replay, policies
from core.rules.curve import fit
from core.rules.planning import Spread
from core.rules.score_rows import ScoreRow
from tests.bench.bars import hold
from tests.bench.convergence_simulation import (
    EPOCHS,
    FAMILIES,
    JUDGING,
    PROMPTS,
    SUITE,
    TUNING,
    History,
    cases,
    depths_of,
    rows_of,
    unfold,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SPREADS: tuple[Spread, ...] = ("thrifty", "even", "full")
FALSE_BY = 0.5  # a stop is false when a later epoch is truly better by more than this
RETESTED = "epochwatch normal, top two tested again"
OWN_PICK = "always all, epochwatch's pick"


@dataclass(frozen=True, kw_only=True)
class Score:
    """What one policy did with one run, measured by the truth."""

    saved: float  # share of the epochs
    regret: float  # points below the best of all epochs
    false: bool  # a later epoch is better than the best one tested
    missed: bool  # a later epoch is better than the pick
    images: int


def main() -> None:
    """Judge every policy on every plan and print the table as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=300, help="runs of each of the seven families")
    parser.add_argument("--tuning", action="store_true", help="the seeds that rules are tuned on")
    wanted = parser.parse_args()
    seed = TUNING if wanted.tuning else JUDGING
    started = time.process_time()
    found: dict[str, Any] = {"runs": wanted.each * len(FAMILIES), "seed": seed}
    claims: list[tuple[float, bool]] = []
    for spread in SPREADS:
        depths = depths_of(spread)
        histories = [unfold(case, depths) for case in cases(wanted.each, seed)]
        own = _claims(histories)
        claims += own
        found[spread] = {
            "prompts by epoch": depths,
            "policies": policy_table(histories),
            "P(best): claimed, true, epochs": calibration(own),
        }
    found["cpu ms of one update"] = {
        f"{epochs} x {PROMPTS}": update_ms(epochs) for epochs in (EPOCHS, 100)
    }
    found["P(best) over all plans"] = calibration(claims)
    found["cpu seconds"] = round(time.process_time() - started, 1)
    print(json.dumps(found, indent=1))
    hold(bars({spread: found[spread]["policies"] for spread in SPREADS}, calibration(claims)))


def bars(
    tables: Mapping[str, Mapping[str, Mapping[str, Any]]],
    claimed: Mapping[str, tuple[float, float, int]],
) -> dict[str, bool]:
    """Return what the advice is held to, by plan, and whether it is so."""
    normal = [table["epochwatch normal"] for table in tables.values()]
    saved = float(np.mean([line["saved %"] for line in normal]))
    return {
        **{
            f"less regret than patience at the same savings: {spread}, {dial}": (
                line["regret"] < line["regret of patience at the same savings"]
            )
            for spread, table in tables.items()
            for dial in THRESHOLDS
            for line in [table[f"epochwatch {dial}"]]
        },
        **{
            f"at most 5 % false stops: {spread}": table["epochwatch normal"]["false stops %"] <= 5
            for spread, table in tables.items()
        },
        f"20 % of the epochs saved over all plans ({saved:.1f})": saved >= 20,
        **{
            f"P(best) within 5 points at {claim:.0%}": abs(claim - true) <= 0.05
            for claim, true, _ in claimed.values()
        },
    }


def update_ms(epochs: int, repeats: int = 20) -> float:
    """Return the median CPU time of one fit to ``epochs`` tested in full, in milliseconds."""
    rng = np.random.default_rng(0)
    rows = [
        ScoreRow(position=epoch, unit=prompt.name, score=float(rng.uniform(4, 8)))
        for epoch in range(1, epochs + 1)
        for prompt in SUITE
    ]
    fit(rows, epochs)  # fills what is kept between fits
    times = []
    for _ in range(repeats):
        start = time.process_time()
        fit(rows, epochs)
        times.append(1000 * (time.process_time() - start))
    return round(float(np.median(times)), 1)


def score(history: History, choice: Choice, depths: Sequence[int]) -> Score:
    """Measure a choice by the truth."""
    truth = history.case.truth
    ahead = float(truth[choice.tested :].max(initial=-np.inf))
    picked = float(truth[choice.pick - 1])
    return Score(
        saved=1 - choice.tested / EPOCHS,
        regret=float(truth.max()) - picked,
        false=ahead > float(truth[: choice.tested].max()) + FALSE_BY,
        missed=ahead > picked + FALSE_BY,
        images=sum(depths),
    )


def tested_again(history: History, choice: Choice) -> tuple[Choice, tuple[int, ...]]:
    """Test the two likeliest epochs in full after the stop, and pick once more."""
    chances = history.curves[choice.tested - 1].p_best
    top = sorted(chances, key=lambda place: (-chances[place], place))[:2]
    depths = tuple(
        PROMPTS if epoch in top else depth
        for epoch, depth in enumerate(history.depths[: choice.tested], start=1)
    )
    again = fit(rows_of(history.case, depths), EPOCHS)
    return Choice(tested=choice.tested, pick=again.pick), depths


def calibration(claims: Sequence[tuple[float, bool]]) -> dict[str, tuple[float, float, int]]:
    """Return, by tenths of the claim, the mean claim, how often it was true, and the number."""
    claimed, true = np.array([claim for claim, _ in claims]), np.array([true for _, true in claims])
    bins = np.minimum((claimed * 10).astype(int), 9)
    return {
        f"{place / 10:.1f}": (
            round(float(claimed[bins == place].mean()), 3),
            round(float(true[bins == place].mean()), 3),
            int((bins == place).sum()),
        )
        for place in range(10)
        if (bins == place).any()
    }


def _claims(histories: Sequence[History]) -> list[tuple[float, bool]]:
    """Return every P(best) that was claimed, after any epoch from the third, and whether it was so."""
    found = []
    for history in histories:
        for seen, curve in enumerate(history.curves, start=1):
            if seen >= 3:
                best = int(history.case.truth[:seen].argmax()) + 1
                found += [(chance, place == best) for place, chance in curve.p_best.items()]
    return found


def policy_table(histories: Sequence[History]) -> dict[str, dict[str, Any]]:
    """Return, by policy, what it saved and lost on ``histories``, all and by family."""
    replays = [_replay(history) for history in histories]
    table: dict[str, dict[str, Any]] = {}
    curve: list[tuple[float, float]] = []  # of patience: saved, regret
    for name, decide in policies().items():
        choices = [decide(run) for run in replays]
        scores = [
            score(history, choice, history.depths[: choice.tested])
            for history, choice in zip(histories, choices, strict=True)
        ]
        table[name] = _line(histories, scores)
        if name == ALWAYS or name.startswith("patience"):
            curve.append((table[name]["saved %"], table[name]["regret"]))
        if name == "epochwatch normal":
            again = [tested_again(*pair) for pair in zip(histories, choices, strict=True)]
            pairs = zip(histories, again, strict=True)
            table[RETESTED] = _line(histories, [score(h, *made) for h, made in pairs])
    ended = [Choice(tested=EPOCHS, pick=history.curves[-1].pick) for history in histories]
    pairs_ended = zip(histories, ended, strict=True)
    table[OWN_PICK] = _line(histories, [score(h, made, h.depths) for h, made in pairs_ended])
    saved, regret = zip(*sorted(curve), strict=True)
    for dial in THRESHOLDS:
        line = table[f"epochwatch {dial}"]
        line["regret of patience at the same savings"] = round(
            float(np.interp(line["saved %"], saved, regret)), 3
        )
    return table


def _replay(history: History) -> Replay:
    return Replay(
        positions=tuple(range(1, EPOCHS + 1)),
        averages=history.means,
        single=tuple(depth < 2 for depth in history.depths),
        curves=history.curves,
    )


def _line(histories: Sequence[History], scores: Sequence[Score]) -> dict[str, Any]:
    def row(which: Sequence[Score]) -> dict[str, Any]:
        return {
            "saved %": round(100 * float(np.mean([each.saved for each in which])), 1),
            "regret": round(float(np.mean([each.regret for each in which])), 3),
            "false stops %": round(100 * float(np.mean([each.false for each in which])), 1),
            "later better than pick %": round(
                100 * float(np.mean([each.missed for each in which])), 1
            ),
            "images": round(float(np.mean([each.images for each in which])), 1),
        }

    families: dict[str, Any] = {
        family: row(
            [
                each
                for each, history in zip(scores, histories, strict=True)
                if history.case.family == family
            ]
        )
        for family in FAMILIES
    }
    return row(scores) | {"families": families}


if __name__ == "__main__":
    main()
