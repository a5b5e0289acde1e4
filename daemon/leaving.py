"""Looks whether everything of a run is safe in the store, so that its machine may be left."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.errors import EpochwatchError
from core.nouns import digest
from core.rules.leaving import Kept, Machine, Seen, missing
from core.store.database import Connection, Database, Row, row, rows
from core.store.files import ImageStore

_IMAGES = 24  # of a run that are read back, besides those of the pick
_NAMED = 5  # runs, for whom a name was mistyped
_NO_WORK = ("alert", "hook")  # actions that any other machine can still do
_PATIENT = 5  # tries after which an alert is not waited for any longer
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Look:
    """What is missing at one moment; nothing missing is the only good news."""

    missing: tuple[str, ...]
    run_id: int | None = None
    mark: str = ""  # changes with the run's checkpoints


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What the database says of a run."""

    seen: Seen
    run_id: int
    pick: int | None
    wanted: Mapping[str, str | None]  # name of a kept file -> its address
    mark: str


def look(database: Database, store: ImageStore, run_name: str, out: Path) -> Look:
    """Return what is missing before the machine may be left; ``out`` is this machine's outbox.

    Reads files back from the store only when nothing else is missing. Trouble counts as missing.
    """
    try:
        with database.transaction() as connection:
            found = _found(connection, run_name)
            images = _images(connection, found) if found else []
            known = [] if found else rows(connection, "runs.all")
        if found is None:
            return Look(missing=(_unknown(run_name, known),))
        lacking = missing(found.seen) + _own_outbox(out)
        if not lacking:
            lacking = missing(_verified(found, store)) + _unreadable(store, images)
    except (EpochwatchError, OSError) as trouble:
        return Look(missing=(f"It could not be looked at: {trouble}",))
    return Look(missing=lacking, run_id=found.run_id, mark=found.mark)


def _unknown(run_name: str, known: Sequence[Row]) -> str:
    newest = ", ".join(each["run_name"] for each in known[:_NAMED]) or "none"
    return (
        f"There is no run called {run_name!r} yet. It is waited for, in vain if that is mistyped; the "
        f"newest runs: {newest}."
    )


def still_ready(connection: Connection, run_name: str, mark: str) -> bool:
    """Tell, in the transaction of the claim, whether nothing has come up since the last look."""
    found = _found(connection, run_name)
    return found is not None and found.mark == mark and not missing(found.seen)


def _found(connection: Connection, run_name: str) -> _Found | None:
    about = row(connection, "leaving.run", run_name=run_name)
    if about is None:
        return None
    run_id, advice = about["id"], about["advice"] or {}
    checkpoints = rows(connection, "leaving.checkpoints", run_id=run_id)
    actions = rows(connection, "leaving.actions", run_id=run_id)
    production = rows(connection, "leaving.production", run_id=run_id)
    open_work = {
        each["purpose"]: int(each["open"])
        for each in rows(connection, "leaving.open_work", run_id=run_id)
    }
    has_final = any(each["is_final"] for each in checkpoints)
    kept, wanted = _kept(about, advice, checkpoints, production, actions)
    seen = Seen(
        status=about["status"],
        blocked=about["blocked_reason"],
        checkpoints=len(checkpoints),
        has_final=has_final,
        untested=[
            f"{about['unit']} {each['position']}"
            for each in checkpoints
            if each["position"] is not None and not each["over"]
        ],
        unsettled=[
            Path(each["path"]).name for each in rows(connection, "leaving.unsettled", run_id=run_id)
        ],
        open_tests=open_work.pop("epoch", 0) + open_work.pop("baseline", 0),
        open_retests=open_work.pop("retest", 0),
        open_others=sum(open_work.values()),
        is_judged=_is_judged(about, advice, has_final=has_final),
        trainers=[
            (each["state"], each["silent_seconds"])
            for each in rows(connection, "trainers.of_run", run_id=run_id)
        ],
        machines=[_machine(each) for each in rows(connection, "leaving.machines", run_id=run_id)],
        pending=[_words(each) for each in actions if _is_waited_for(each)]
        + [f"{each['position']} to production" for each in production if not each["live"]],
        kept=kept,
        has_pick=advice.get("pick") is not None,
        unit=about["unit"],
    )
    mark = digest([[each["sha256"], each["position"]] for each in checkpoints])
    return _Found(seen=seen, run_id=run_id, pick=advice.get("pick"), wanted=wanted, mark=mark)


def _is_judged(about: Row, advice: Mapping[str, Any], *, has_final: bool) -> bool:
    """Tell whether the advice rests on every test and, where the end is known, on the end."""
    if about["last_scored"] is None:
        return True  # nothing was scored, so there is nothing to judge
    if advice.get("tests_over") != about["tests_over"]:
        return False  # a second look, or an epoch before the last, is over and was not looked at
    if not advice or (advice.get("latest") or -1) < about["last_scored"]:
        return False
    return bool(advice.get("ended")) or not (has_final or about["status"] != "in_progress")


def _machine(found: Row) -> Machine:
    detail = found["detail"] or {}
    watched = detail.get("roots") or {}
    states = [(watched.get(root) or [None])[0] for root in found["roots"]]
    outbox = detail.get("outbox")
    return Machine(
        name=found["name"],
        state=found["state"],
        silent_seconds=found["silent_seconds"],
        outbox=outbox if isinstance(outbox, int) else None,
        root=next((each for each in states if each not in ("live", "polling")), "live")
        if states
        else None,
    )


def _kept(
    about: Row,
    advice: Mapping[str, Any],
    checkpoints: Sequence[Row],
    production: Sequence[Row],
    actions: Sequence[Row],
) -> tuple[list[Kept], dict[str, str | None]]:
    """Return the files that must outlive the machine, and the address of each."""
    live = {each["sha256"] for each in production}
    said = {each["key"]: _why_undone(each) for each in actions if each["kind"] == "keep"}
    kept, wanted = [], {}
    for each in checkpoints:
        roles = ["the pick"] if each["position"] == advice.get("pick") else []
        roles += ["in production"] if each["sha256"] in live else []
        if each["chosen"] and not roles:
            roles = ["to be kept"]  # the runner-up, the last one, or the pick of an earlier day
        if roles:
            name = f"{about['unit']} {each['position']}, {' and '.join(roles)}"
            trouble = said.get(f"keep/{each['sha256']}")
            kept.append(Kept(name=name, stored=bool(each["uri"]), trouble=trouble))
            wanted[name] = each["uri"]
    return kept, wanted


def _why_undone(action: Row) -> str | None:
    """Return what copying said last; where it was given up, that only a person can help."""
    if action["error"] is None:
        return None
    said = str(action["error"])
    if action["state"] != "failed":
        return said
    said = said.rstrip(".")
    return f"{said}. It is not tried again: save the file by hand, and do not wait for it."


def _is_waited_for(action: Row) -> bool:
    if action["state"] == "failed" or action["kind"] == "stop":
        return False  # what it leaves undone shows by itself: a file not kept, a trainer not ended
    return action["kind"] not in _NO_WORK or action["tries"] < _PATIENT


def _words(action: Row) -> str:
    words = {
        "keep": "a checkpoint to the store",
        "alert": "an alert",
        "hook": "an alert's delivery",
    }
    words |= {"promote": "a promotion"}
    return words.get(str(action["kind"]), "something")


def _images(connection: Connection, found: _Found) -> list[str]:
    wanted = rows(connection, "leaving.images", run_id=found.run_id, pick=found.pick, most=_IMAGES)
    return [each["image_sha256"] for each in wanted]


def _own_outbox(out: Path) -> tuple[str, ...]:
    waiting = len(list(out.glob("*.json"))) if out.is_dir() else 0
    return (f"{waiting} images in {out} are not in the store yet.",) if waiting else ()


def _verified(found: _Found, store: ImageStore) -> Seen:
    """Return what was seen with each kept file looked for in the store under its own name."""
    kept = []
    for each in found.seen.kept:
        names = _HASH.findall(found.wanted[each.name] or "")
        there = bool(names) and store.has("checkpoints", names[-1])
        kept.append(replace(each, readable=there))
    return replace(found.seen, kept=kept)


def _unreadable(store: ImageStore, images: Sequence[str]) -> tuple[str, ...]:
    """Read images back; the store compares each with its hash."""
    for sha256 in images:
        try:
            store.get("images", sha256)
        except EpochwatchError as trouble:
            return (f"An image cannot be read back: {trouble}",)
    return ()
