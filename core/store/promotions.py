"""Promotions: what was in production when, who decided it and why; a history nobody rewrites.

A decision is a row and an action in one transaction; it is live when the action was done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from core.errors import Fixable
from core.store import owners_tables
from core.store.database import Connection, Row, bump, row, rows, run, storable

SHOWN = 100  # decisions
# What a live epoch's row is told, as the owner's guide has it: "best" is the word of who promotes.
EPOCH_WORDS: Mapping[str, Any] = {"verdict": "best", "production_ready": True}


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """One decision about production, and how far it has come."""

    id: int
    run_id: int | None
    run_name: str
    position: int
    sha256: str
    record: Mapping[str, Any]
    checklist: Sequence[Mapping[str, Any]]
    overridden: Sequence[str]  # keys of criteria that a person set aside
    reason: str
    by_whom: str
    rolled_back_from: int | None
    decided_at: datetime
    live_at: datetime | None  # None: not (or not yet) in production
    host: str | None  # whose production folder it went to
    state: str | None  # of its action: pending, done, failed
    error: str | None  # what the action said last
    tries: int | None
    wanted_host: str | None  # who has to do it; None: whoever comes first
    hook_state: str | None
    hook_said: str | None

    @property
    def became(self) -> str:
        """What became of it, in a word or two; what is live now was live."""
        if self.state == "done":
            return "was live" if self.live_at is not None else "overtaken"
        return {"pending": "on its way", "failed": "failed"}.get(self.state or "", "")


@dataclass(frozen=True, kw_only=True)
class CandidateRows:
    """Everything the database knows of a checkpoint that somebody wants in production."""

    about: Row  # the run
    checkpoint: Row
    epoch: Row | None
    images: list[Row]
    people: list[Row]
    suite: Row | None  # name and body
    current: Promotion | None


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a person decided."""

    run_id: int | None
    run_name: str
    position: int
    sha256: str
    record: Mapping[str, Any]
    checklist: Sequence[Mapping[str, Any]]
    overridden: Sequence[str]
    reason: str
    by_whom: str
    rolled_back_from: int | None = None
    host: str | None = None  # who is to do it; None: any host that has the file


def history(connection: Connection) -> tuple[Promotion, ...]:
    """Return every decision about production, the newest first (at most 100)."""
    return tuple(Promotion(**found) for found in rows(connection, "promotions.all", limit=SHOWN))


def promotion(connection: Connection, promotion_id: int) -> Promotion | None:
    """Return one decision; None when there is none of this number."""
    found = row(connection, "promotions.get", promotion_id=promotion_id)
    return Promotion(**found) if found else None


def current(connection: Connection) -> Promotion | None:
    """Return what is in production now."""
    found = row(connection, "comparisons.production")
    return promotion(connection, found["id"]) if found else None


def candidate(connection: Connection, run_id: int, position: int) -> CandidateRows:
    """Return what is known of one position of a run.

    Raises:
        Fixable: when there is no such run or checkpoint.
    """
    about = row(connection, "runs.get", run_id=run_id)
    if about is None:
        raise Fixable("There is no such run any more. See: epochwatch runs list")
    where = {"run_id": run_id, "position": position}
    checkpoint = row(connection, "promotions.checkpoint", **where)
    if checkpoint is None:
        known = rows(connection, "checkpoints.current", run_id=run_id)
        there = ", ".join(str(each["position"]) for each in known) or "none"
        raise Fixable(f"{about['run_name']} has no checkpoint {position}; it has: {there}.")
    suite = about["suite"]
    return CandidateRows(
        about=about,
        checkpoint=checkpoint,
        epoch=row(connection, "promotions.epoch", **where),
        images=rows(connection, "promotions.candidate_images", **where),
        people=rows(connection, "promotions.people", **where),
        suite=row(connection, "results.document", digest=suite) if suite else None,
        current=current(connection),
    )


def decide(connection: Connection, decision: Decision) -> int:
    """Store a decision with the action that carries it out; return its number.

    One that still waits for its machine gives way: it would never end where that machine is gone.

    Raises:
        Fixable: when it is in production already, or on its way.
    """
    rows(connection, "promotions.lock")
    live = current(connection)
    if live is not None and live.sha256 == decision.sha256:
        raise Fixable(
            f"{decision.run_name} {decision.position} is in production already, since "
            f"{live.live_at:%Y-%m-%d %H:%M} UTC."
        )
    for waiting in [each for each in history(connection) if each.state == "pending"]:
        if waiting.sha256 == decision.sha256:
            raise Fixable(
                f"{waiting.run_name} {waiting.position} is on its way to production already "
                f"(number {waiting.id})."
            )
        _withdraw(connection, waiting, decision)
    return _decided(connection, decision)


def _withdraw(connection: Connection, waiting: Promotion, decision: Decision) -> None:
    """Let a decision that nobody has carried out yet give way to a newer one."""
    run(
        connection,
        "actions.again",
        key=action_key(waiting.id),
        error=f"withdrawn: {decision.by_whom} decided for {decision.run_name} {decision.position}",
        state="failed",
        seconds=0,
    )


def _decided(connection: Connection, decision: Decision) -> int:
    cells: dict[str, Any] = dict(vars(decision))
    host = cells.pop("host")
    cells["overridden"] = list(decision.overridden)
    cells["record"] = dict(decision.record)
    cells["checklist"] = Jsonb(list(decision.checklist))
    found = row(connection, "promotions.decide", **cells)
    assert found is not None  # an INSERT that returns its row
    run(
        connection,
        "actions.decide",
        key=action_key(found["id"]),
        kind="promote",
        run_id=decision.run_id,
        payload={"promotion": found["id"]},
        host=host,
    )
    bump(connection)
    return int(found["id"])


def action_key(promotion_id: int) -> str:
    """Return the key of the action that carries a decision out."""
    return f"promote/{promotion_id}"


def rollback_target(connection: Connection, to: int | None) -> Promotion:
    """Return the decision that a rollback goes back to: ``to``, else what was live before.

    Raises:
        Fixable: when there is nothing to go back to.
    """
    live = current(connection)
    if live is None:
        raise Fixable("Nothing is in production, so there is nothing to go back from.")
    known = [each for each in history(connection) if each.live_at is not None]
    if to is None:
        before = [each for each in known if each.id < live.id and each.sha256 != live.sha256]
        if not before:
            raise Fixable(
                "Nothing was in production before this, so there is nothing to go back to."
            )
        return before[0]
    for each in known:
        if each.id == to:
            return each
    there = ", ".join(str(each.id) for each in known)
    raise Fixable(f"Number {to} was never in production. These were: {there}.")


def roll_back(connection: Connection, *, to: int | None, reason: str, by_whom: str) -> int:
    """Decide to go back to what was in production before, or to ``to``; return the new number.

    Raises:
        Fixable: when there is nothing to go back to.
    """
    target, live = rollback_target(connection, to), current(connection)
    return decide(
        connection,
        Decision(
            run_id=target.run_id,
            run_name=target.run_name,
            position=target.position,
            sha256=target.sha256,
            record=target.record,
            checklist=target.checklist,
            overridden=target.overridden,
            reason=storable(reason, 2000),
            by_whom=storable(by_whom, 200) or "somebody",
            rolled_back_from=live.id if live else None,
            host=live.host if live else None,
        ),
    )


def went_live(connection: Connection, promoted: Promotion, *, host: str, has_hook: bool) -> bool:
    """Say that the pointer leads to it, and write what that means as the words of who decided it.

    A run that was deleted meanwhile is no trouble: the decision holds all it needs by value.
    Returns whether it was not live before.
    """
    if not run(connection, "promotions.live", promotion_id=promoted.id, host=host):
        return False
    if promoted.run_id is not None and row(connection, "runs.get", run_id=promoted.run_id):
        _tell_owner(connection, promoted, promoted.run_id)
    if has_hook:
        run(
            connection,
            "actions.decide",
            key=f"hook/{action_key(promoted.id)}",
            kind="hook",
            run_id=promoted.run_id,
            payload={"promotion": promoted.id},
            host=host,
        )
    bump(connection)
    return True


def run_words(promoted: Promotion) -> dict[str, Any]:
    """Return what the row of a live epoch's run is told."""
    cells: dict[str, Any] = {"best_epoch": promoted.position, "production_ready": True}
    score = promoted.record.get("score")
    if score is not None:
        cells["quality_score"] = int(score)
    return cells


def _tell_owner(connection: Connection, promoted: Promotion, run_id: int) -> None:
    """Mark epoch and run as the owner's guide does."""
    owners_tables.type_epoch(connection, run_id, promoted.position, EPOCH_WORDS)
    owners_tables.type_run(connection, run_id, run_words(promoted))


def pinned(connection: Connection) -> frozenset[str]:
    """Return the weights that must stay on a machine: running, pick, runner-up, compared, live."""
    return frozenset(found["sha256"] for found in rows(connection, "promotions.pinned"))
