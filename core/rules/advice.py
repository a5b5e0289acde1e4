"""Advice on a run: whether to go on, which position to ship, and how sure that is.

Rows in, decision and its reasons out. The labels come from ``core.rules.convergence``, the
probabilities from ``core.rules.curve``, the words from ``core.rules.wording``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from core.nouns import Unit, digest
from core.rules import convergence, wording
from core.rules.curve import Curve, fit
from core.rules.score_rows import OVERALL, ScoreRow, averages, read_scores, usable
from core.rules.wording import Facts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from core.rules.convergence import Convergence, Label, Status
    from core.rules.learning_rate import Schedule
    from core.rules.measured_rate import MeasuredRate
    from core.rules.stopping import GateStop
    from core.rules.timeline import Planned

__all__ = ["Advice", "ChartPoint", "ScoreRow", "advise", "evidence_digest", "read_scores"]

Dial = Literal["careful", "normal", "eager"]
RULES_VERSION = 3  # raise it when the same rows would get other advice
THRESHOLDS: dict[Dial, float] = {"careful": 0.2, "normal": 0.3, "eager": 0.4}
FIRST_STOP = 3  # tested positions before a stop may be advised


@dataclass(frozen=True, kw_only=True)
class ChartPoint:
    """One position of the chart. Scores are 0-10; the fan is drawn within the scale."""

    position: int
    tested: bool
    average: float | None  # plain mean of its scores; None when not tested
    rolling: float | None  # trailing mean of three of the averages that the labels use
    mean: float  # posterior
    sd: float
    fan: tuple[float, ...]  # quantiles 5, 25, 50, 75, 95 %
    p_best_of_all: float  # chance of being the best of all, those to come included


@dataclass(frozen=True, kw_only=True)
class Advice:
    """The decision of one moment, with everything that a page or a script shows of it."""

    label: Label
    label_confidence: float | None  # chance that the true slope has this label
    status: Status
    pick: int | None
    best_observed: int | None  # the highest plain mean
    best_by_label: int | None  # what the owner's rule of thumb names
    p_best: dict[int, float]  # over tested positions
    p_later_better: float | None  # None while nothing is scored; 0 when nothing is to come
    expected_gain: float | None  # points
    stop: bool
    sentence: str
    reasons: tuple[str, ...]
    epochs_saved: int | None  # by stopping now; None when the plan is not known
    estimated_best: tuple[int, int] | None
    oscillating: bool
    ended: bool
    latest: int | None
    chart: tuple[ChartPoint, ...]
    basis: str
    dial: Dial
    unit: Unit
    schedule: Schedule | MeasuredRate | None = None  # of the learning rate, where it is known
    untested: int = 0  # saved positions it waits for although training is over
    rules_version: int = RULES_VERSION

    @property
    def top_two(self) -> tuple[int, ...]:
        """The two likeliest best positions, the likelier first: those worth a full re-test."""
        ranked = sorted(self.p_best, key=lambda place: (-self.p_best[place], place))
        return tuple(ranked[:2])

    def as_json(self) -> dict[str, Any]:
        """Return the form of ``epochwatch converge --json``: keys of p_best are strings."""
        return {
            "label": self.label,
            "status": self.status,
            "pick": self.pick,
            "p_best": {str(place): round(p, 4) for place, p in self.p_best.items()},
            "p_later_better": _rounded(self.p_later_better),
            "stop": self.stop,
            "sentence": self.sentence,
            "reasons": list(self.reasons),
            "label_confidence": _rounded(self.label_confidence),
            "best_observed": self.best_observed,
            "best_by_label": self.best_by_label,
            "expected_gain": _rounded(self.expected_gain),
            "epochs_saved": self.epochs_saved,
            "estimated_best": list(self.estimated_best) if self.estimated_best else None,
            "oscillating": self.oscillating,
            "ended": self.ended,
            "latest": self.latest,
            "chart": [_point_json(point) for point in self.chart],
            "basis": self.basis,
            "dial": self.dial,
            "unit": self.unit,
            "rules_version": self.rules_version,
        }


def advise(
    rows: Sequence[ScoreRow],
    *,
    planned: Planned,
    ended: bool = False,
    dial: Dial = "normal",
    seconds_per_epoch: float | None = None,
    price_per_hour: float | None = None,
    resumable: bool | None = None,
    basis: str = "unchecked",
    effective: Mapping[int, float] | None = None,
    must_pending: str | None = None,
    unit: Unit = "epoch",
    schedule: Schedule | MeasuredRate | None = None,
    unscored: str | None = None,
    untested: int = 0,
    gate_stop: GateStop | None = None,
) -> Advice:
    """Judge a run by its scores (0-10), one row per position and unit, in any order.

    ``planned`` is the last planned position, or all of them, or None (three more are looked at).
    ``basis`` says what the score was checked against: "unchecked", or words that end a sentence,
    such as "the score agrees with your votes on 60 of 84 pairs". ``effective`` are the epoch
    averages that label and status use where a person's scores come first; else plain means.
    ``must_pending`` names a must-have criterion that still fails before its gate: a plateau is
    then no reason to stop. ``seconds_per_epoch`` is per save when positions are steps.
    ``resumable`` tells whether the trainer's saved state was seen beside its checkpoints; it is
    said, with what ends the bill, where there is a price. ``unscored`` says why images that are
    measured have no score, such as with votes only. ``schedule`` is the learning rate's, as planned
    or as logged: a drop right after a restart stops nothing, and a stop while the rate is high says so.
    ``untested`` are saved checkpoints that are still to be tested: a run has not ended before they
    are, however late the latest tested position is (a finished folder is tested first, middle, last).
    ``gate_stop`` is what the plan does about a failed gate: it advises a stop from its position on,
    whatever the trend says.

    A stop is advised when the chance that a later position beats the pick by 0.25 is below the
    dial's threshold, from the third tested position on, and never on one noisy image: the latest
    position needs two units, or one overall score of a person, or the position before it must
    have said the same. No score at all is the label "insufficient", not an error.
    """
    clean, notes = usable(rows)
    last = _last(planned)
    planned = planned if last is not None else None
    latest = clean[-1].position if clean else None
    trained = ended or (last is not None and latest is not None and latest >= last)
    ended = trained and not untested
    waits_for = untested if trained else 0
    means = dict(effective) if effective is not None else averages(clean)
    words = convergence.judge(means, ended=ended)
    if latest is None:
        if unscored:
            nothing = f"The machine gives no score here ({unscored}): people's votes decide."
        else:
            nothing = f"No {unit} has a measured score yet, so there is nothing to judge."
        return _without_scores(
            words, nothing, ended=ended, basis=basis, dial=dial, unit=unit, notes=notes
        )

    curve = fit(clean, planned, ended=trained)
    threshold = THRESHOLDS[dial]
    below = says_stop(curve, threshold)
    confirmed = below and _is_confirmed(clean, planned, threshold)
    blocked = must_pending is not None and words.label == "plateau"
    restarted = _fell_after_restart(averages(clean), schedule)
    planned_stop = gate_stop is not None and curve.to_come and latest >= gate_stop.stop_at
    stop = planned_stop or (confirmed and not blocked and not restarted)
    saved = _saved(curve, last, latest, stop=stop, unit=unit)
    rest = curve.positions[-1] - latest if unit == "epoch" else len(curve.positions) - curve.tested
    facts = Facts(
        curve=curve,
        words=words,
        averages=means,
        stop=stop,
        gate_stop=gate_stop if planned_stop else None,
        unconfirmed=below and not confirmed and not planned_stop,
        blocked_by=must_pending if confirmed and blocked else None,
        ended=ended,
        needed=FIRST_STOP,
        planned_known=last is not None,
        saved=saved,
        seconds=None if seconds_per_epoch is None or not saved else saved * seconds_per_epoch,
        rest_seconds=None if seconds_per_epoch is None else rest * seconds_per_epoch,
        price_per_hour=price_per_hour,
        resumable=resumable,
        threshold=threshold,
        basis=basis,
        unit=unit,
        rate=None if schedule is None else schedule.share_for(latest),
        restarted=restarted and not trained and not planned_stop,
        untested=waits_for,
    )
    return Advice(
        label=words.label,
        label_confidence=_label_confidence(words.label, curve),
        status=words.status,
        pick=curve.pick,
        best_observed=curve.best_observed,
        best_by_label=words.best,
        p_best=curve.p_best,
        p_later_better=curve.p_later_better,
        expected_gain=curve.expected_gain,
        stop=stop,
        sentence=wording.sentence(facts),
        reasons=wording.reasons(facts) + notes,
        epochs_saved=saved,
        estimated_best=curve.window,
        oscillating=words.oscillating,
        ended=ended,
        latest=latest,
        chart=_chart(curve, words),
        basis=basis,
        dial=dial,
        unit=unit,
        schedule=schedule,
        untested=waits_for,
    )


def evidence_digest(
    rows: Sequence[ScoreRow],
    planned: Planned,
    ended: bool,  # noqa: FBT001 - a part of the evidence, not a switch
    dial: Dial,
    *,
    context: Mapping[str, Any] | None = None,
) -> str:
    """Return the SHA-256 of all that the advice rests on, whatever the order of the rows.

    ``context`` is for what else the sentence depends on (basis, price, a person's scores) and
    must be plain JSON.
    """
    clean, notes = usable(rows)
    return digest(
        {
            "rules": RULES_VERSION,
            "rows": [[row.position, row.unit, row.score] for row in clean],
            "notes": list(notes),
            "planned": planned if planned is None or isinstance(planned, int) else sorted(planned),
            "ended": ended,
            "dial": dial,
            "context": dict(context or {}),
        }
    )


def _last(planned: Planned) -> int | None:
    if planned is None or isinstance(planned, int):
        return planned
    return max(planned, default=None)


def says_stop(curve: Curve, threshold: float) -> bool:
    """Say whether something better is too unlikely to wait for; never before the third position."""
    return curve.to_come and curve.tested >= FIRST_STOP and curve.p_later_better < threshold


def _is_confirmed(rows: Sequence[ScoreRow], planned: Planned, threshold: float) -> bool:
    """Say whether a stop rests on more than one noisy image; takes usable rows."""
    latest = rows[-1].position
    units = {row.unit for row in rows if row.position == latest}
    if len(units) >= 2 or units == {OVERALL}:
        return True
    before = [row for row in rows if row.position != latest]
    return says_stop(fit(before, planned), threshold)


def _fell_after_restart(
    means: Mapping[int, float], schedule: Schedule | MeasuredRate | None
) -> bool:
    """Say whether the latest mean is below the one before, with a restart of the rate between."""
    if schedule is None or len(means) < 2:
        return False
    before, latest = sorted(means)[-2:]
    return means[latest] < means[before] and schedule.restarted_between(before, latest)


def _saved(curve: Curve, last: int | None, latest: int, *, stop: bool, unit: Unit) -> int | None:
    if last is None:
        return None
    if not stop:
        return 0
    return last - latest if unit == "epoch" else len(curve.positions) - curve.tested


def _label_confidence(label: Label, curve: Curve) -> float | None:
    if curve.p_slopes is None or label == "insufficient":
        return None
    down, flat, up = curve.p_slopes
    return {"degrading": down, "plateau": flat, "improving": up}[label]


def _chart(curve: Curve, words: Convergence) -> tuple[ChartPoint, ...]:
    return tuple(
        ChartPoint(
            position=position,
            tested=place < curve.tested,
            average=curve.averages.get(position),
            rolling=words.rolling.get(position),
            mean=curve.mean[place],
            sd=curve.sd[place],
            fan=tuple(min(10.0, max(0.0, level)) for level in curve.fan[place]),
            p_best_of_all=curve.p_best_of_all[position],
        )
        for place, position in enumerate(curve.positions)
    )


def _without_scores(
    words: Convergence,
    sentence: str,
    *,
    ended: bool,
    basis: str,
    dial: Dial,
    unit: Unit,
    notes: tuple[str, ...],
) -> Advice:
    return Advice(
        label=words.label,
        label_confidence=None,
        status=words.status,
        pick=None,
        best_observed=None,
        best_by_label=words.best,
        p_best={},
        p_later_better=None,
        expected_gain=None,
        stop=False,
        sentence=sentence,
        reasons=notes,
        epochs_saved=None,
        estimated_best=None,
        oscillating=words.oscillating,
        ended=ended,
        latest=None,
        chart=(),
        basis=basis,
        dial=dial,
        unit=unit,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _point_json(point: ChartPoint) -> dict[str, Any]:
    return {
        "position": point.position,
        "tested": point.tested,
        "average": _rounded(point.average),
        "rolling": _rounded(point.rolling),
        "mean": _rounded(point.mean),
        "sd": _rounded(point.sd),
        "fan": [round(level, 4) for level in point.fan],
        "p_best_of_all": round(point.p_best_of_all, 4),
    }
