"""What page, command line and judge do about plans: register one, and see how it stands.

The one place where the memory of plans and the rules about them meet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.formats.run_plan import Decision, RunPlan, plan_from_json, plan_of_text, plan_to_json
from core.rules.alerting import Event
from core.rules.gate_evidence import EpochEvidence, Evidence, epoch_evidence, is_metric
from core.rules.gates import (
    ExpectationState,
    GateState,
    decisions_due,
    judge_expectations,
    judge_gates,
)
from core.rules.plan_news import plan_events
from core.store.database import Connection, Row, bump, row, rows, run
from core.store.documents import save_document
from core.tested import TestedEpoch, has_ended, is_complete, tested_epochs


@dataclass(frozen=True, kw_only=True)
class Registration:
    """When a plan was registered, and what was known then."""

    digest: str
    name: str
    registered_at: datetime
    after_results: bool
    by_whom: str


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A plan held against all that is known of its run."""

    plan: RunPlan
    evidence: Evidence
    gates: tuple[GateState, ...]
    expectations: tuple[ExpectationState, ...]

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """Decision points that are reached."""
        return decisions_due(self.plan, self.gates, self.evidence)

    def events(self, about: Mapping[str, Any]) -> tuple[Event, ...]:
        """Return what of it is worth telling, each with the key that keeps it from coming twice."""
        return plan_events(
            self.plan,
            self.gates,
            self.evidence,
            run_name=about["run_name"],
            run_id=about["id"],
        )


def read_text(text: str, *, name: str) -> RunPlan:
    """Understand a plan typed on a page. Raises Fixable that names every problem with its line."""
    return plan_of_text(text, source="text", name=name, is_metric=is_metric)


def register(connection: Connection, run_id: int, plan: RunPlan, *, by_whom: str) -> bool | None:
    """Make a plan the run's; tell whether the run had results, or None where it stands already.

    What the results say already is marked as told: nobody is alerted of the past.
    """
    key = save_document(connection, "plan", plan.name, plan_to_json(plan))
    done = row(connection, "plans.register", run_id=run_id, digest=key, by_whom=by_whom)
    if done is None:
        return None
    about = row(connection, "runs.get", run_id=run_id)
    seen = look(connection, run_id)
    if done["after_results"] and about is not None and seen is not None:
        for event in seen.events(about):
            run(connection, "plans.known", key=event.key, run_id=run_id, event=event.kind)
    bump(connection)
    return bool(done["after_results"])


def history(connection: Connection, run_id: int) -> tuple[Registration, ...]:
    """Return every plan a run ever had, oldest first."""
    return tuple(
        Registration(**found) for found in rows(connection, "plans.history", run_id=run_id)
    )


def look(connection: Connection, run_id: int) -> Standing | None:
    """Hold a run's plan against its results; None without a plan.

    Raises:
        Fixable: when the stored plan cannot be read.
    """
    found = row(connection, "plans.current", run_id=run_id)
    about = row(connection, "runs.get", run_id=run_id)
    if found is None or about is None:
        return None
    results = rows(connection, "results.of_run", run_id=run_id)
    epochs = tested_epochs(results, rows(connection, "results.latest_scores", run_id=run_id))
    return judged(
        connection,
        run_id,
        plan_from_json(found["body"]),
        epochs,
        results,
        ended=has_ended(about, complete=is_complete(connection, run_id, results)),
    )


def judged(
    connection: Connection,
    run_id: int,
    plan: RunPlan,
    epochs: Mapping[int, TestedEpoch],
    results: Sequence[Row],
    *,
    ended: bool,
) -> Standing:
    """Hold a plan against tested epochs and the images of all (``results``)."""
    evidence = _evidence(connection, run_id, epochs, results, ended=ended)
    return Standing(
        plan=plan,
        evidence=evidence,
        gates=judge_gates(plan, evidence),
        expectations=judge_expectations(plan, evidence),
    )


def _evidence(
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
