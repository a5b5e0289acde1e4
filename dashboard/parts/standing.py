"""The sentence a person came for, whatever state a run is in; pure, knows no page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.nouns import unit_of
from core.store.gallery import Advice, CheckpointLine, EpochResult, Work
from dashboard.parts import words
from dashboard.parts.words import Said


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What is said first."""

    sentence: str
    status: str | None  # a convergence status, once there is advice
    chance: float | None  # 0-1, that the pick is the best one
    basis: str
    reasons: tuple[str, ...]
    hindrance: Said | None  # why nothing moves, when nothing does


def of_run(
    facts: Mapping[str, Any],
    advice: Advice | None,
    work: Work,
    checkpoints: Sequence[CheckpointLine],
    results: Sequence[EpochResult] = (),
) -> Standing:
    """Return what to say of a run."""
    hindrance = _hindrance(facts, work)
    if advice is None:
        return Standing(
            sentence=_without_advice(facts, work, checkpoints, results),
            status=None,
            chance=None,
            basis="",
            reasons=(),
            hindrance=hindrance,
        )
    body = advice.body
    return Standing(
        sentence=advice.sentence,
        status=str(body.get("status") or "insufficient"),
        chance=chances(body).get(body.get("pick") or -1),
        basis=str(body.get("basis") or ""),
        reasons=(
            *(str(reason) for reason in body.get("reasons") or ()),
            *(("Scores go up and down from epoch to epoch.",) if body.get("oscillating") else ()),
            *_went_on(body, advice.first_stop),
        ),
        hindrance=hindrance,
    )


def _went_on(body: Mapping[str, Any], stop: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return what was trained after a stop was advised, once the run has ended."""
    if not body.get("ended") or not stop or None in (stop.get("latest"), body.get("latest")):
        return ()
    unit, more = unit_of(body.get("unit")), int(body["latest"]) - int(stop["latest"])
    if more <= 0:
        return ()
    trained = f"1 more {unit} was" if more == 1 else f"{more} more {unit}s were"
    return (
        (
            f"A stop was advised after {unit} {stop['latest']}, naming {unit} {stop['pick']}; "
            f"{trained} trained."
        ),
    )


def chances(body: Mapping[str, Any]) -> dict[int, float]:
    """Return P(best) by position."""
    return {int(position): float(chance) for position, chance in (body.get("p_best") or {}).items()}


def _hindrance(facts: Mapping[str, Any], work: Work) -> Said | None:
    if facts.get("blocked_reason"):
        return Said(tone="bad", words="Blocked", detail=str(facts["blocked_reason"]))
    if work.parked:
        tests = "1 test" if work.parked == 1 else f"{work.parked} tests"
        return Said(tone="bad", words=f"{tests} failed", detail=str(work.parked_reason or ""))
    if work.waiting_reason and not work.drawing:
        return Said(tone="warn", words="Waiting", detail=str(work.waiting_reason))
    return None


def _without_advice(
    facts: Mapping[str, Any],
    work: Work,
    checkpoints: Sequence[CheckpointLine],
    results: Sequence[EpochResult],
) -> str:
    scored = {each.position: each.average for each in results if each.average is not None}
    if not scored or facts.get("status") == "in_progress":
        return _before_advice(facts, work, checkpoints)
    unit = unit_of(facts.get("position_unit"))
    best = max(scored, key=lambda position: (scored[position], -position))
    chosen = facts.get("best_epoch") or best
    said = "was chosen as the best" if facts.get("best_epoch") else "has the best score on record"
    score = words.score(scored.get(chosen))
    return f"{unit.capitalize()} {chosen} {said}, {score}."


def _before_advice(
    facts: Mapping[str, Any], work: Work, checkpoints: Sequence[CheckpointLine]
) -> str:
    unit = unit_of(facts.get("position_unit"))
    current = [line for line in checkpoints if not line.superseded]
    if facts.get("blocked_reason"):
        return "Nothing can be tested yet."
    if not current:
        waits = facts.get("status") == "in_progress"
        return f"{'Waiting for the first checkpoint' if waits else 'No checkpoint came in'}."
    if work.parked and not work.open:
        return "The tests failed: there is no advice."
    return _first_test(current, unit)


def _first_test(current: Sequence[CheckpointLine], unit: str) -> str:
    moving = next((line for line in current if 0 < line.drawn < line.asked), None)
    if moving is not None:
        done = f"{moving.drawn} of {moving.asked} images"
        return f"Drawing the test of {unit} {moving.position}: {done}."
    if any(line.measured for line in current):
        return "Measured; the advice follows in a moment."
    received = "1 checkpoint is" if len(current) == 1 else f"{len(current)} checkpoints are"
    return f"{received} here; the first test is about to start."


def progress(facts: Mapping[str, Any], checkpoints: Sequence[CheckpointLine], scored: int) -> str:
    """Return where a run is: saved and tested positions, of how many planned."""
    unit = unit_of(facts.get("position_unit"))
    latest = max((line.position or 0 for line in checkpoints if not line.superseded), default=0)
    planned = facts.get("max_train_epochs") if unit == "epoch" else facts.get("total_steps")
    saved = (
        f"{unit} {latest}" + (f" of {planned}" if planned else "") + " saved"
        if latest
        else "nothing saved yet"
    )
    state = {"in_progress": "training"}.get(str(facts.get("status")), str(facts.get("status")))
    return f"{state}, {saved}, {scored} tested"
