"""Brings a run's plan and its tested epochs together, so that its gates can be judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import structlog

from core.errors import Fixable
from core.formats.run_plan import RunPlan, plan_from_json
from core.rules.gate_evidence import EpochEvidence, Evidence, epoch_evidence
from core.rules.gates import GateState, judge_gates
from core.store.database import Connection, Row, row, rows

if TYPE_CHECKING:
    from core.tested import TestedEpoch

log = structlog.get_logger()


def plan_of(connection: Connection, run_id: int) -> RunPlan | None:
    """Return the plan that stands, or None where there is none that can be read."""
    found = row(connection, "plans.current", run_id=run_id)
    if found is None:
        return None
    try:
        return plan_from_json(found["body"])
    except Fixable as trouble:  # a run can be tested and judged without it
        log.warning("plan", run=run_id, trouble=str(trouble))
        return None


def gates_of(
    connection: Connection,
    about: Row,
    epochs: Mapping[int, TestedEpoch],
    results: Sequence[Row],
    *,
    ended: bool,
) -> tuple[GateState, ...]:
    """Return the states of the gates of the run's plan; none without a plan that can be read."""
    plan = plan_of(connection, about["id"])
    if plan is None:
        return ()
    return judge_gates(plan, plan_evidence(connection, about["id"], epochs, results, ended=ended))


def plan_evidence(
    connection: Connection,
    run_id: int,
    epochs: Mapping[int, TestedEpoch],
    results: Sequence[Row],
    *,
    ended: bool,
) -> Evidence:
    """Return what a plan is judged by; saved epochs that are not tested yet are still to come."""
    checkpoints = rows(connection, "checkpoints.current", run_id=run_id)
    saved = {found["position"] for found in checkpoints if found["invalid_reason"] is None}
    over = {found["position"] for found in results if found["over"]}
    tested = [
        epoch_evidence(
            position,
            [(found["prompt_name"], measurement) for found, measurement in epoch.measured],
            epoch.effective,
        )
        for position, epoch in epochs.items()
    ]
    rest = [EpochEvidence(position=one, over=one in over) for one in sorted(saved - set(epochs))]
    return Evidence(epochs=(*tested, *rest), ended=ended)
