"""What of a plan is worth telling a person: gates that came out, and points at which to decide or to look."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from core.nouns import digest
from core.rules.alerting import Event, notice
from core.rules.gates import decisions_due

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.formats.run_plan import Decision, Gate, RunPlan
    from core.rules.gate_evidence import Evidence
    from core.rules.gates import GateState


def plan_events(
    plan: RunPlan,
    states: Sequence[GateState],
    evidence: Evidence,
    *,
    run_name: str,
    run_id: int | str,
) -> tuple[Event, ...]:
    """Return every failed gate, passed must-have gate, decision point reached and epoch to look at.

    The keys name what a gate or a decision says, not the plan: what stands unchanged in a changed
    plan is not told again, and what was changed is something new.
    """
    came_out = [
        _gate_event(gate, state, run_name=run_name, run_id=run_id)
        for gate, state in zip(plan.gates, states, strict=True)
        if state.state == "failed" or (state.state == "passed" and state.must)
    ]
    decide = [
        _decision_event(decisions, run_name=run_name, run_id=run_id)
        for decisions in _points(decisions_due(plan, states, evidence), evidence)
    ]
    tested = {epoch.position for epoch in evidence.epochs if epoch.over}
    looks = [
        _look_event(epoch, run_name=run_name, run_id=run_id)
        for epoch in plan.look_at
        if epoch in tested
    ]
    return (*came_out, *decide, *looks)


def decision_case(decision: Decision) -> str:
    """Return in which case a decision is meant: its gate's outcome, or words."""
    return f"{decision.gate} {decision.outcome}" if decision.gate else decision.when


def _points(due: Sequence[Decision], evidence: Evidence) -> list[tuple[Decision, ...]]:
    """Return one point for each gate that came out, and one an epoch for all cases in words.

    A person who has to tell which case it is needs results: such a point waits for its test.
    """
    tested = max((epoch.position for epoch in evidence.epochs if epoch.over), default=0)
    in_words: dict[int, list[Decision]] = {}
    for each in due:
        if each.gate is None and (evidence.ended or tested >= each.after_epoch):
            in_words.setdefault(each.after_epoch, []).append(each)
    by_gate = [(each,) for each in due if each.gate is not None]
    return [*by_gate, *(tuple(each) for each in in_words.values())]


def _gate_event(gate: Gate, state: GateState, *, run_name: str, run_id: int | str) -> Event:
    failed = state.state == "failed"
    fallen = "\nIt is a must: the hypothesis does not hold." if failed and state.must else ""
    return notice(
        "gate_failed" if failed else "gate_passed",
        digest(asdict(gate))[:16],
        title=f"gate {state.state}: {gate.name}",
        body=f"{state.sentence}{fallen}",
        run_name=run_name,
        run_id=run_id,
    )


def _look_event(epoch: int, *, run_name: str, run_id: int | str) -> Event:
    told = notice(
        "look",
        str(epoch),
        title=f"epoch {epoch} is tested: please look",
        body=(
            f"The plan asks a person to look at epoch {epoch}. Its pictures are on the run's page; "
            f"what you think of it: epochwatch log {epoch} VISUAL STYLE PROMPT --run {run_name}"
        ),
        run_name=run_name,
        run_id=run_id,
    )
    return replace(told, position=epoch)


def _decision_event(decisions: tuple[Decision, ...], *, run_name: str, run_id: int | str) -> Event:
    cases = [
        "\n".join((f"If {case}:" if not each.gate else f"{case}:", *(f"- {do}" for do in each.do)))
        for each in decisions
        for case in (decision_case(each),)
    ]
    return notice(
        "decision",
        digest([asdict(each) for each in decisions])[:16],
        title=f"epoch {decisions[0].after_epoch} is reached: time to decide",
        body="\n".join(cases),
        run_name=run_name,
        run_id=run_id,
    )
