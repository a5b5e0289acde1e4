"""Puts together all that the advice on a run rests on, and the form in which it is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from statistics import median
from typing import Any

from core.nouns import unit_of
from core.rules.advice import Advice, Dial, ScoreRow, advise, evidence_digest
from core.rules.gates import GateState, must_pending
from core.rules.learning_rate import Schedule
from core.rules.measured_rate import MeasuredRate, rate_body
from core.rules.scoring import average_of
from core.rules.stopping import gate_stop
from core.rules.strengths import StrengthFinding
from core.rules.timeline import spacing_of
from core.store.database import Row
from core.tested import TestedEpoch
from daemon.actions.stop import state_beside
from daemon.calibrating import Check
from daemon.retest import with_findings


def score_rows(epochs: Mapping[int, TestedEpoch]) -> tuple[ScoreRow, ...]:
    """Return one row per image that has a score: what the advice rests on."""
    return tuple(
        ScoreRow(position=position, unit=f"{found['prompt_name']}#{found['seed']}", score=score)
        for position, epoch in epochs.items()
        for found, measurement in epoch.measured
        if (score := average_of(measurement)) is not None
    )


def _why_unscored(epochs: Mapping[int, TestedEpoch]) -> str | None:
    """Return why no image that is measured has a score, as the first of them says it."""
    measured = [each for epoch in epochs.values() for _, each in epoch.measured]
    return next(iter(measured[0].reasons.values()), None) if measured else None


def advice_on(
    about: Row,
    epochs: Mapping[int, TestedEpoch],
    *,
    ended: bool,
    gates: Sequence[GateState] = (),
    findings: Sequence[StrengthFinding] = (),
    check: Check | None = None,
    schedule: Schedule | MeasuredRate | None = None,
    waiting: int = 0,
) -> tuple[Advice, str]:
    """Return the advice on a run and the digest of all that it rests on.

    ``check`` is how far the score agrees with people's votes; None while there are none.
    ``waiting`` are saved checkpoints that are not tested yet: before they are, no run has ended.

    A must-have gate of the run's plan that is open or failed adds its sentence to the reasons, a gate
    that failed may be the reason to stop, and so does what a second look at the best found out (``findings``).
    """
    evidence_rows = score_rows(epochs)
    unit = unit_of(about["position_unit"])
    planned = about["total_steps"] if unit == "step" else about["max_train_epochs"]
    effective = {
        position: epoch.effective.average
        for position, epoch in epochs.items()
        if epoch.effective.average is not None
    }
    dial: Dial = about["stop"] or "normal"
    price = float(about["price_per_hour"]) if about["price_per_hour"] is not None else None
    seconds = seconds_between(epochs)
    if seconds is not None and unit == "step":
        seconds *= spacing_of(sorted(epochs))  # a save is many steps
    latest = epochs[max(epochs)].rows[0]["source_path"] if epochs else None
    resumable = state_beside(latest) if price is not None else None
    planned_stop = gate_stop(gates)
    advice = advise(
        evidence_rows,
        planned=planned,
        ended=ended,
        dial=dial,
        seconds_per_epoch=seconds,
        price_per_hour=price,
        resumable=resumable,
        basis=check.sentence if check else "unchecked",
        effective=effective,
        must_pending=must_pending(gates),
        unit=unit,
        schedule=schedule,
        unscored=None if evidence_rows else _why_unscored(epochs),
        untested=waiting,
        gate_stop=planned_stop,
    )
    context: dict[str, Any] = {
        "effective": {str(place): score for place, score in effective.items()}
    }
    if price is not None:
        context["bill"] = [price, resumable]
    if advice.untested:
        context["untested"] = advice.untested
    if schedule is not None:
        context["learning_rate"] = asdict(schedule)
    if check is not None:
        context["votes"] = [check.hits, check.pairs, *check.asides]
    said = [gate.sentence for gate in gates if gate.must and gate.state in ("pending", "failed")]
    if gates:
        context["gates"] = said
        advice = replace(advice, reasons=(*advice.reasons, *said))
    if planned_stop is not None:
        context["gate_stop"] = asdict(planned_stop)
    if findings:
        context["strengths"] = [finding.sentence for finding in findings]
        advice = with_findings(advice, findings, epochs)
    return advice, evidence_digest(evidence_rows, planned, ended, dial, context=context)


def seconds_between(epochs: Mapping[int, TestedEpoch]) -> float | None:
    """Return the median seconds that one epoch or step takes; None when the files do not say."""
    stamps = {
        position: found["saved_at"]
        for position, epoch in epochs.items()
        if (found := epoch.rows[0])["saved_at"] is not None
    }
    gaps = [
        (stamps[late] - stamps[early]).total_seconds() / (late - early)
        for early, late in zip(sorted(stamps), sorted(stamps)[1:], strict=False)
    ]
    positive = [gap for gap in gaps if gap > 0]
    return median(positive) if positive else None


def advice_body(
    advice: Advice, epochs: Mapping[int, TestedEpoch], check: Check | None = None
) -> dict[str, Any]:
    """Return what is stored: the printed form, with the curve as pages draw it."""
    votes = check.told if check else "not yet checked against your votes"
    images = sum(len(epoch.measured) for epoch in epochs.values())
    return {
        **advice.as_json(),
        "basis": f"{images} images of {len(epochs)} {advice.unit}s, paired by prompt and seed; "
        f"{votes}",
        "checked": check is not None and check.is_checked,
        "curve": [
            {
                "position": point.position,
                "mean": round(point.mean, 3),
                "low": round(point.fan[0], 3),
                "high": round(point.fan[-1], 3),
                "future": not point.tested,
            }
            for point in advice.chart
        ],
        **rate_body(advice.schedule, [point.position for point in advice.chart]),
    }
