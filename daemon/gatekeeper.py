"""Holds a run's plan against its tested epochs for the judge, and tells people what came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import structlog

from core.errors import Fixable
from core.formats.run_plan import RunPlan, plan_from_json
from core.plans import Standing, judged
from core.store.database import Connection, Row, row
from daemon.telling import tell

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


def standing_of(
    connection: Connection,
    about: Row,
    epochs: Mapping[int, TestedEpoch],
    results: Sequence[Row],
    *,
    ended: bool,
) -> Standing | None:
    """Return how the run's plan stands; None without a plan that can be read."""
    plan = plan_of(connection, about["id"])
    if plan is None:
        return None
    return judged(connection, about["id"], plan, epochs, results, ended=ended)


def tell_of_plan(
    connection: Connection, about: Row, standing: Standing | None, *, pick: int | None
) -> None:
    """Have people told of gates that came out, and of points to decide or look at, each once."""
    for event in standing.events(about) if standing else ():
        tell(connection, about["id"], event, pick if event.position is None else event.position)
