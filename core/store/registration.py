"""Registers an admitted checkpoint: finds or makes its run, and adds it exactly once."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from core.errors import Retryable
from core.nouns import CheckpointFacts
from core.store import owners_tables
from core.store.database import Connection, bump, row, rows, run

UNKNOWN_BASE = "unknown"


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A checkpoint that was proven whole, on its way into the database."""

    sha256: str
    body_sha256: str
    size_bytes: int
    facts: CheckpointFacts
    facts_json: dict[str, Any]  # the header's own words, for the page of the checkpoint
    host: str
    root: str
    source_path: str
    file_name: str
    closed_at: datetime | None
    admitted_at: datetime
    run_name: str | None = None  # what the person called the run, if they did


def register(connection: Connection, arrival: Arrival) -> int:
    """Add the checkpoint to its run and return the run's id; registering again changes nothing."""
    rows(connection, "runs.lock_registration")
    arrival = _apart_from_other_kinds(connection, arrival)
    run_id = _find_run(connection, arrival) or _new_run(connection, arrival)
    run(connection, "runs.add_source", source=_source(arrival), run_id=run_id)
    known = row(connection, "checkpoints.known", run_id=run_id, sha256=arrival.sha256)
    _add_checkpoint(connection, arrival, run_id)
    unit = _place(connection, run_id)
    _describe_run(connection, arrival, run_id, unit=unit, is_new=known is None)
    bump(connection)
    return run_id


def _source(arrival: Arrival) -> str:
    """Return what ties files together: the trainer's session, else the folder and the stem."""
    if arrival.run_name:
        return f"name:{arrival.run_name}"
    if arrival.facts.session_id:
        return f"session:{arrival.facts.session_id}/{arrival.facts.output_name}"
    what = "models" if arrival.facts.kind == "base" else "folder"  # of one stem there may be both
    return f"{what}:{arrival.host}:{arrival.root}:{arrival.facts.output_name}"


def _apart_from_other_kinds(connection: Connection, arrival: Arrival) -> Arrival:
    """Keep LoRAs and full models out of one run: under a name that is taken by the other kind.

    They are drawn and compared in different ways.
    """
    if not arrival.run_name:
        return arrival
    known = row(connection, "runs.kind_of", run_name=arrival.run_name)
    if known is None or known["kind"] == arrival.facts.kind:
        return arrival
    what = "full models" if arrival.facts.kind == "base" else "LoRAs"
    return replace(arrival, run_name=f"{arrival.run_name} ({what})")


def _find_run(connection: Connection, arrival: Arrival) -> int | None:
    if arrival.run_name:
        named = row(connection, "runs.by_name", run_name=arrival.run_name)
        return int(named["id"]) if named else None
    known = row(connection, "runs.by_source", source=_source(arrival))
    if known:
        return int(known["run_id"])
    facts = arrival.facts
    resumed = row(
        connection,
        "runs.resumable",
        output_name=facts.output_name,
        kind=facts.kind,
        rank=facts.rank,
        alpha=facts.alpha,
        base_model=facts.base_model_name or UNKNOWN_BASE,
        position=facts.epoch if facts.epoch is not None else facts.step,
    )
    return int(resumed["id"]) if resumed else None


def _new_run(connection: Connection, arrival: Arrival) -> int:
    facts = arrival.facts
    wanted = arrival.run_name or facts.output_name or arrival.file_name
    model_type = facts.training.get("model_type") or {"sd1": "SD15", "sdxl": "SDXL"}.get(
        facts.family, "other"
    )
    began = facts.saved_at or arrival.closed_at or arrival.admitted_at
    made = owners_tables.insert_run(
        connection,
        {
            "run_name": _free_name(connection, wanted),
            "run_date": began.astimezone(UTC).replace(tzinfo=None),
            "status": "in_progress",
            "base_model": facts.base_model_name or UNKNOWN_BASE,
            "model_type": model_type,
        },
    )
    if made is None:
        raise Retryable(f"Another program took the run name {wanted!r} at the same moment.")
    return made


def _free_name(connection: Connection, wanted: str) -> str:
    escaped = re.sub(r"([\\%_])", r"\\\1", wanted)
    taken = {
        found["run_name"]
        for found in rows(connection, "runs.names_like", name=wanted, pattern=f"{escaped} (%)")
    }
    names = (wanted, *(f"{wanted} ({number})" for number in range(2, len(taken) + 3)))
    return next(name for name in names if name not in taken)


def _place(connection: Connection, run_id: int) -> str:
    """Give every checkpoint its position in the run's unit, and return the unit.

    A run is counted in epochs unless it saves by step only; a step save between epochs has a
    checkpoint and no position. Only when the first saves were steps and an epoch follows do
    positions change, and what was written for them is taken back.
    """
    found = row(connection, "checkpoints.unit", run_id=run_id)
    unit = str(found["unit"]) if found else "epoch"
    for moved in rows(connection, "checkpoints.displaced", run_id=run_id, unit=unit):
        if moved["position"] is not None:
            run(
                connection,
                "checkpoints.forget_position",
                run_id=run_id,
                position=moved["position"],
            )
        if moved["wanted"] is not None:
            run(
                connection,
                "checkpoints.supersede",
                run_id=run_id,
                position=moved["wanted"],
                sha256=moved["sha256"],
            )
        run(
            connection,
            "checkpoints.place",
            run_id=run_id,
            sha256=moved["sha256"],
            position=moved["wanted"],
        )
    return unit


def _add_checkpoint(connection: Connection, arrival: Arrival, run_id: int) -> None:
    facts = arrival.facts
    run(
        connection,
        "checkpoints.add_weights",
        sha256=arrival.sha256,
        kind=facts.kind,
        family=facts.family,
        layout=facts.layout,
        body_sha256=arrival.body_sha256,
        size_bytes=arrival.size_bytes,
        facts=arrival.facts_json,
    )
    first = row(connection, "checkpoints.same_body", body_sha256=arrival.body_sha256)
    run(
        connection,
        "checkpoints.add",
        run_id=run_id,
        sha256=arrival.sha256,
        drawn_as=first["sha256"] if first else arrival.sha256,
        position=None,
        epoch=facts.epoch,
        step=facts.step,
        is_final=facts.is_final,
        file_name=arrival.file_name,
        source_path=arrival.source_path,
        host=arrival.host,
        notes=list(facts.notes),
        saved_at=facts.saved_at,
        closed_at=arrival.closed_at,
        admitted_at=arrival.admitted_at,
    )


def _describe_run(
    connection: Connection, arrival: Arrival, run_id: int, *, unit: str, is_new: bool
) -> None:
    facts = arrival.facts
    cells = {
        **{name: value for name, value in facts.training.items() if value is not None},
        "output_name": facts.output_name,
        "output_dir": arrival.root,
        "checkpoint_file_size_mb": max(1, round(arrival.size_bytes / 1e6)),
        "max_train_epochs": facts.planned_epochs,
        "total_steps": facts.planned_steps,
        "position_unit": unit,
        "model_family": facts.family,
    }
    if is_new:  # also of a run that was over: it goes on
        cells |= {"status": "in_progress", "overall_verdict": "pending"}
    filled = {name: value for name, value in cells.items() if value is not None}
    owners_tables.write_run(connection, run_id, filled)
