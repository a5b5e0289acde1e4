"""What each rule for stopping would have made of a run that is already tested.

Pure: the scores of a run in, the decision of every policy out. Each policy sees the positions in
order and knows only those it has seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import t as student

from core.rules.advice import THRESHOLDS, says_stop
from core.rules.convergence import label_of
from core.rules.curve import Curve, fit
from core.rules.score_rows import OVERALL, ScoreRow, averages, usable

if TYPE_CHECKING:
    from core.rules.timeline import Planned

FEWEST = 4  # tested positions before a replay can tell policies apart
ALWAYS = "always all"


@dataclass(frozen=True, kw_only=True)
class Replay:
    """A run as it unfolded. Everything is by tested position, in order."""

    positions: tuple[int, ...]
    averages: tuple[float, ...]  # plain mean score (0-10)
    single: tuple[bool, ...]  # rests on one image: its stop must be confirmed by the test before
    curves: tuple[Curve, ...]  # fitted to this position and those before


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a policy did: the number of positions it waited for, and the one it would ship."""

    tested: int
    pick: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one policy would have saved and lost in one run."""

    policy: str
    stopped_after: int | None  # position; None when it went to the end
    pick: int
    positions_saved: int
    seconds_saved: float | None  # None when the files do not tell the time of an epoch
    money_saved: float | None  # in the currency of the price; None without a price or a time
    lost: float  # points (0-10): best pick by all scores minus this one; below 0 it is the better
    interval: (
        tuple[float, float] | None
    )  # 95 % of ``lost``; None for the same pick or too few units
    units: int  # prompts that both picks were drawn with


Decide = Callable[[Replay], Choice]


def replay(rows: Sequence[ScoreRow], planned: Planned = None) -> Replay:
    """Fit the curve after each position of a run, as it would have been fitted then.

    Without a plan the last tested position is the end.

    Raises:
        Fixable: when no row holds a score.
    """
    clean, _ = usable(rows)
    means = averages(clean)
    positions = tuple(means)
    units = {at: {row.unit for row in clean if row.position == at} for at in positions}
    end = planned if planned is not None else (positions[-1] if positions else None)
    curves = tuple(fit([row for row in clean if row.position <= at], end) for at in positions)
    return Replay(
        positions=positions,
        averages=tuple(means.values()),
        single=tuple(len(units[at]) < 2 and units[at] != {OVERALL} for at in positions),
        curves=curves or (fit(clean),),
    )


def all_of_them(run: Replay) -> Choice:
    """Test every position and ship the highest mean."""
    return _highest(run, len(run.positions))


def patience(run: Replay, patience: int) -> Choice:
    """Stop once ``patience`` positions in a row did not beat the best mean (Keras, Lightning)."""
    best, waited = -math.inf, 0
    for tested, average in enumerate(run.averages, start=1):
        waited = 0 if average > best else waited + 1
        best = max(best, average)
        if waited >= patience and tested > 1:
            return _highest(run, tested)
    return all_of_them(run)


def patient_pruner(run: Replay, patience: int) -> Choice:
    """Stop as Optuna's ``PatientPruner(None, patience)`` prunes.

    That is when the last ``patience + 1`` means are all below the best of those before.
    """
    for tested in range(patience + 2, len(run.averages) + 1):
        before = run.averages[: tested - patience - 1]
        if max(before) > max(run.averages[tested - patience - 1 : tested]):
            return _highest(run, tested)
    return all_of_them(run)


def by_label(run: Replay, labels: tuple[str, ...]) -> Choice:
    """Stop at the first of these labels of the last three means, as the owner's rule of thumb."""
    for tested in range(1, len(run.averages) + 1):
        if label_of(run.averages[:tested]) in labels:
            return _highest(run, tested)
    return all_of_them(run)


def by_trend(run: Replay, threshold: float) -> Choice:
    """Stop as the product advises it, and ship its pick."""
    said = [says_stop(curve, threshold) for curve in run.curves]
    for tested, now in enumerate(said, start=1):
        confirmed = not run.single[tested - 1] or (tested > 1 and said[tested - 2])
        if now and confirmed and tested < len(run.positions):
            return Choice(tested=tested, pick=run.curves[tested - 1].pick)
    return Choice(tested=len(run.positions), pick=run.curves[-1].pick)


def policies() -> dict[str, Decide]:
    """Return every policy that is compared, by its name."""
    found: dict[str, Decide] = {ALWAYS: all_of_them}
    found |= {f"patience {k}": partial(patience, patience=k) for k in range(1, 7)}
    found |= {f"Optuna patient {k}": partial(patient_pruner, patience=k) for k in range(6)}
    found["plateau or degrading"] = partial(by_label, labels=("plateau", "degrading"))
    found["degrading"] = partial(by_label, labels=("degrading",))
    for dial, threshold in THRESHOLDS.items():
        found[f"epochwatch {dial}"] = partial(by_trend, threshold=threshold)
    return found


def backtest(
    rows: Sequence[ScoreRow],
    *,
    planned: Planned = None,
    seconds_per_position: float | None = None,
    price_per_hour: float | None = None,
) -> tuple[Outcome, ...]:
    """Return what each policy would have saved and lost, by name of the policy in fixed order.

    The best is the pick of the curve fitted to all scores. What a policy lost is the mean
    difference of both picks over the prompts that both were drawn with, with Student's interval:
    noise that comes with a prompt cancels. The best was found in the same scores, so that the
    loss is rather too large than too small.

    Raises:
        Fixable: when no row holds a score.
    """
    clean, _ = usable(rows)
    run = replay(clean, planned)
    best = fit(clean, ended=True).pick
    return tuple(
        _outcome(name, decide(run), run, clean, best, seconds_per_position, price_per_hour)
        for name, decide in policies().items()
    )


def difference(
    rows: Sequence[ScoreRow], better: int, other: int
) -> tuple[float, tuple[float, float] | None, int]:
    """Return the mean score difference of two positions, its 95 % interval and the shared units.

    Without a shared unit it is the difference of the plain means, and nothing bounds it.
    """
    if better == other:
        return 0.0, None, len({row.unit for row in rows if row.position == better})
    first = {row.unit: row.score for row in rows if row.position == better}
    second = {row.unit: row.score for row in rows if row.position == other}
    shared = sorted(first.keys() & second.keys())
    if not shared:
        return (
            math.fsum(first.values()) / len(first) - math.fsum(second.values()) / len(second),
            None,
            0,
        )
    gaps = np.array([first[unit] - second[unit] for unit in shared])
    mean = float(gaps.mean())
    if len(gaps) < 2:
        return mean, None, 1
    half = float(student.ppf(0.975, len(gaps) - 1) * gaps.std(ddof=1) / math.sqrt(len(gaps)))
    return mean, (mean - half, mean + half), len(gaps)


def _outcome(
    name: str,
    choice: Choice,
    run: Replay,
    rows: Sequence[ScoreRow],
    best: int,
    seconds: float | None,
    price: float | None,
) -> Outcome:
    saved = len(run.positions) - choice.tested
    lost, interval, units = difference(rows, best, choice.pick)
    time = None if seconds is None else _steps_saved(run, choice.tested) * seconds
    return Outcome(
        policy=name,
        stopped_after=run.positions[choice.tested - 1] if saved else None,
        pick=choice.pick,
        positions_saved=saved,
        seconds_saved=time,
        money_saved=None if time is None or price is None else price * time / 3600,
        lost=lost,
        interval=interval,
        units=units,
    )


def _steps_saved(run: Replay, tested: int) -> float:
    """Return how many units of position (epochs, steps) lie after the last one that was tested."""
    return sum(after - before for before, after in pairwise(run.positions[tested - 1 :]))


def _highest(run: Replay, tested: int) -> Choice:
    seen = run.averages[:tested]
    return Choice(tested=tested, pick=run.positions[seen.index(max(seen))])


def as_json(outcome: Outcome) -> Mapping[str, Any]:
    """Return an outcome as plain JSON."""
    return {
        "policy": outcome.policy,
        "stopped_after": outcome.stopped_after,
        "pick": outcome.pick,
        "positions_saved": outcome.positions_saved,
        "seconds_saved": outcome.seconds_saved,
        "money_saved": outcome.money_saved,
        "lost": round(outcome.lost, 3),
        "interval": None if outcome.interval is None else [round(x, 3) for x in outcome.interval],
        "units": outcome.units,
    }
