"""The learning rate as the trainer logged it, laid over a run's positions.

Pure: logs and saves in, shares of the peak out. What was measured comes before what a scheduler's
settings say, and is known for optimizers that set their own rate.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

from core.formats.tensorboard_log import Rate, RateLog
from core.rules.learning_rate import Schedule, course

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Point = tuple[float, float]  # position, rate

LATE = 600.0  # seconds: a save may come that long after the last line of its log
_MOST_POINTS = 480
_JUMP = 0.2  # of the peak: a fall and a rise of as much are a restart
_AGREES = 0.05  # of the peak: how near the settings must come to be believed for what is ahead
_ADAPTED = re.compile(r"\bd[*_]lr\b")  # kohya's "lr/d*lr/unet"; some writers replace the star
_SAME = 1e-6  # positions that differ by less are one


@dataclass(frozen=True, kw_only=True)
class Save:
    """A checkpoint of the run: where it stands and when it was saved."""

    position: int
    step: int | None
    times: tuple[float, ...]  # Unix seconds, by its metadata and by the file: either may be right


@dataclass(frozen=True, kw_only=True)
class MeasuredRate:
    """The rate over positions, as shares of the highest there was. Answers as a Schedule does."""

    tag: str
    peak: float
    points: tuple[Point, ...]  # position and share, at least one, in order
    planned: Schedule | None = None  # what the settings say of later positions, where they agree

    def share_for(self, position: float) -> float:
        """Return the share of the peak in the last step before a position was saved."""
        place = bisect_left(self.points, (position - _SAME,))
        return self.points[max(0, place - 1)][1]

    @cached_property
    def restarts(self) -> tuple[float, ...]:
        """The positions at which the rate rose again after it had fallen."""
        found = []
        top = low = self.points[0][1]
        after = 0
        for number, (_, share) in enumerate(self.points):
            if share <= low:
                low, after = share, number + 1
            elif min(top, share) - low >= _JUMP:
                found.append(self.points[after][0])
                top = low = share
            elif share > top:
                top = low = share
        return tuple(found)

    def restarted_between(self, before: float, after: float) -> bool:
        """Say whether the rate was restarted between the saves of two positions."""
        return any(before - _SAME <= place < after - _SAME for place in self.restarts)


def measured_rate(
    logs: Sequence[RateLog], saves: Sequence[Save], *, per_position: float | None, latest: int
) -> MeasuredRate | None:
    """Return the rate up to position ``latest``; None where no log is this run's.

    A log is the run's when one of its ``saves`` was made while it was written, at the step that the
    log says for that moment; two trainers side by side hardly agree in both. ``per_position`` are
    the steps of one position. Of logs that overlap, as after a resume, the later one counts.
    """
    if per_position is None or per_position <= 0:
        return None
    tag, joined = "", list[Point]()
    for rates, name in sorted(
        (found for log in logs if (found := _best(log))), key=lambda found: found[0][0].time
    ):
        anchor = _anchor(rates, saves)
        if anchor is None:
            continue
        position, step = anchor
        placed = [(position + (rate.step - step) / per_position, rate.value) for rate in rates]
        joined = [point for point in joined if point[0] < placed[0][0]] + placed
        tag = name
    known = sorted(point for point in joined if 0 <= point[0] <= latest + _SAME)
    peak = max((value for _, value in known), default=0.0)
    if peak <= 0:
        return None
    points = tuple((round(at, 4), round(value / peak, 4)) for at, value in _thinned(known))
    return MeasuredRate(tag=tag, peak=peak, points=points)


def steps_per_position(run: Mapping[str, Any], saves: Sequence[Save]) -> float | None:
    """Return how many steps a position has, by the saves themselves, else by the run's plan."""
    if run.get("position_unit") == "step":
        return 1.0
    told = [(0, 0), *((save.position, save.step) for save in saves if save.step is not None)]
    paces = [(s2 - s1) / (p2 - p1) for (p1, s1), (p2, s2) in pairwise(told) if p2 > p1 and s2 > s1]
    if paces:
        return median(paces)
    steps, epochs = run.get("total_steps"), run.get("max_train_epochs")
    return steps / epochs if steps and epochs else None


def reaching(rate: MeasuredRate | None, tested: Sequence[int]) -> MeasuredRate | None:
    """Return the rate only where it is known past the last position but one that was tested."""
    needed = sorted(tested)[-2:-1] or [0]
    return rate if rate is not None and rate.points[-1][0] > needed[0] else None


def continued(rate: MeasuredRate, planned: Schedule | None) -> MeasuredRate:
    """Add what the settings say of later positions, where they agree with the last that is known."""
    place, share = rate.points[-1]
    if planned is None or abs(planned.share_at(planned.step_of(place)) - share) > _AGREES:
        return rate
    return replace(rate, planned=planned)


def rate_body(rate: Schedule | MeasuredRate | None, positions: Sequence[int]) -> dict[str, Any]:
    """Return what is stored and drawn: the rate over the positions, and where it is known from."""
    if rate is None:
        return {"rates": []}
    if isinstance(rate, Schedule):
        return {
            "rates": _rows(course(rate, positions, points=60)),
            "rates_from": "by its settings",
        }
    known = [{"position": at, "share": share} for at, share in rate.points]
    ahead = [] if rate.planned is None else course(rate.planned, positions, points=60)
    later = _rows([row for row in ahead if row["position"] > rate.points[-1][0]])
    said = f"measured (TensorBoard, {rate.tag[:30]})"
    return {
        "rates": known + later,
        "rates_from": f"{said}, then by its settings" if later else said,
        "measured_rate": {"tag": rate.tag, "peak": rate.peak, "points": len(known)},
    }


def stored_rate(body: Mapping[str, Any]) -> MeasuredRate | None:
    """Build it back from ``rate_body``, for those who cannot see the log; None if none was there."""
    told = body.get("measured_rate")
    if not told:
        return None
    points = tuple(
        (float(row["position"]), float(row["share"])) for row in body["rates"][: told["points"]]
    )
    return MeasuredRate(tag=told["tag"], peak=told["peak"], points=points)


def _rows(drawn: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
    return [{"position": row["position"], "share": round(row["share"], 4)} for row in drawn]


def _best(log: RateLog) -> tuple[list[Rate], str] | None:
    """Return the rates that stand for the run, in order of time, with their tag.

    What Prodigy and D-Adaptation make of the rate they were given comes before that rate, and the
    image model's before the text encoders'.
    """
    alive = [tag for tag, rates in log.rates.items() if any(rate.value > 0 for rate in rates)]
    if not alive:
        return None

    def rank(tag: str) -> tuple[bool, bool, bool, int, str]:
        low = tag.lower()
        is_main = "unet" in low or "transformer" in low
        return not _ADAPTED.search(low), "text" in low, not is_main, len(low), low

    tag = min(alive, key=rank)
    return sorted(log.rates[tag], key=lambda rate: rate.time), tag


def _anchor(rates: Sequence[Rate], saves: Sequence[Save]) -> tuple[int, int] | None:
    """Return position and step of the last save that was made while these rates were logged.

    One that does not tell its step counts only where no other is there.
    """
    for save in sorted(saves, key=lambda save: (save.step is None, -save.position)):
        for moment in save.times:
            low, high = _steps_at(rates, moment)
            if low is None:
                continue
            if save.step is None:
                return save.position, low
            if low - 1 <= save.step <= high + 1:
                return save.position, save.step
    return None


def _steps_at(rates: Sequence[Rate], moment: float) -> tuple[int | None, float]:
    """Return the lowest and the highest step there can have been; None outside of the log."""
    first, last = rates[0], rates[-1]
    spacing = (last.time - first.time) / max(1, len(rates) - 1)
    if not first.time <= moment <= last.time + max(LATE, 3 * spacing):
        return None, 0
    at = bisect_right(rates, moment, key=lambda rate: rate.time)
    low = rates[at - 1].step
    if at < len(rates):
        return low, rates[at].step
    # Writers keep their last lines back for a while: the trainer is ahead of its log.
    pace = (last.step - first.step) / max(1e-3, last.time - first.time)
    return low, low + 2 * pace * (moment - last.time)


def _thinned(points: Sequence[Point]) -> Iterator[Point]:
    """Yield at most 480 points: the first, lowest, highest and last of each stretch."""
    size = max(1, -(-4 * len(points) // _MOST_POINTS))
    for start in range(0, len(points), size):
        part = points[start : start + size]
        places = range(len(part))
        low = min(places, key=lambda place: part[place][1])
        high = max(places, key=lambda place: part[place][1])
        yield from (part[place] for place in sorted({0, low, high, len(part) - 1}))
