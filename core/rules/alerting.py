"""Which change of a run is worth telling a person, once and in words that cannot ping a crowd."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from core.nouns import digest
from core.rules.curve import NEAR_TIE

if TYPE_CHECKING:
    from core.rules.advice import Advice

EventKind = Literal[
    "failure", "run_finished", "stop_advised", "degrading", "plateau", "new_best",
    "trainer_stopped", "stop_failed", "stop_held", "budget", "idle", "silent",
    "gate_failed", "gate_passed", "decision", "look",
]  # fmt: skip
KINDS: tuple[EventKind, ...] = (  # of advice, the most important first
    "failure",
    "run_finished",
    "stop_advised",
    "degrading",
    "plateau",
    "new_best",
)
TITLE_LENGTH = 120  # characters
BODY_LENGTH = 1200
_GAP = "\u200b"  # a zero-width space: a mention with one inside is plain text


@dataclass(frozen=True, kw_only=True)
class Event:
    """One thing to tell; the key is unique, so that it is told once."""

    kind: EventKind
    key: str
    title: str
    body: str
    position: int | None = None  # whose pictures go along, where it is not the pick


@dataclass(frozen=True, kw_only=True)
class Told:
    """As much of earlier advice as decides whether the next is news."""

    status: str
    pick: int | None
    stop: bool
    ended: bool

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Told:
        """Read it from stored advice."""
        return cls(status=body["status"], pick=body["pick"], stop=body["stop"], ended=body["ended"])


def events(
    previous: Told | Advice | None,
    current: Advice,
    *,
    run_name: str,
    run_id: int | str,
    failure: str | None = None,
) -> tuple[Event, ...]:
    """Return what a new advice means for a person: the one event that matters most, or none.

    ``failure`` says in a sentence what broke (a collapsed epoch, a parked checkpoint); it hides
    the news of the advice, so a caller that holds both asks once with and once without it. One
    event a change keeps people from being flooded; the rest is on the page. Keys name run, kind
    and what it is about, so the same news is never told twice, whatever is recomputed.
    """
    if failure is not None:
        return (_failure(failure, run_name=run_name, run_id=run_id),)
    for kind in KINDS[1:]:
        if _happened(kind, previous, current):
            return (_event(kind, current, run_name=run_name, run_id=run_id),)
    return ()


def notice(
    kind: EventKind, about: str, *, title: str, body: str, run_name: str, run_id: int | str
) -> Event:
    """Return an event that no advice gives: a trainer stopped, money spent, a machine idle.

    ``about`` makes it unique within run and kind.
    """
    return Event(
        kind=kind,
        key=f"alert/{run_id}/{kind}/{about}",
        title=safe_title(f"{_short(run_name)}: {title}"),
        body=safe_text(body, BODY_LENGTH),
    )


def safe_text(text: str, limit: int) -> str:
    """Return text that any channel shows as plain words, clipped to ``limit`` characters.

    Mentions (@everyone, <!channel>, <@42>) lose their effect, markup its brackets; control
    characters and direction overrides are dropped. Line breaks stay.
    """
    kept = "".join(
        sign
        for sign in text.replace("\r\n", "\n").replace("\t", " ")
        if sign == "\n" or unicodedata.category(sign) not in ("Cc", "Cf", "Cs")
    )
    plain = kept.replace("<", "\u2039").replace(">", "\u203a")
    plain = re.sub(r"@(?=\S)", "@" + _GAP, plain)
    plain = re.sub(r"\]\(", "]" + _GAP + "(", plain)  # [shown](elsewhere)
    return plain if len(plain) <= limit else plain[: limit - 1].rstrip() + "\u2026"


def safe_title(text: str) -> str:
    """Return a title on one line."""
    return safe_text(" ".join(text.split()), TITLE_LENGTH)


def _happened(kind: EventKind, previous: Told | Advice | None, current: Advice) -> bool:
    if kind == "run_finished":
        return current.ended and not (previous is not None and previous.ended)
    if current.ended:
        return False
    if kind == "stop_advised":
        told = previous is not None and previous.stop and previous.pick == current.pick
        return current.stop and not told
    if current.stop:
        return False  # it has been told to stop; how the scores move since then is no news
    if kind == "new_best":
        return _has_new_best(previous, current)
    return current.status == kind and (previous is None or previous.status != kind)


def _has_new_best(previous: Told | Advice | None, current: Advice) -> bool:
    """Say whether the pick moved by more than a near-tie; the first pick of a run is no news."""
    if previous is None or previous.pick is None or current.pick in (None, previous.pick):
        return False
    means = {point.position: point.mean for point in current.chart}
    before = means.get(previous.pick)
    return before is None or means[current.pick] - before >= NEAR_TIE


def _event(kind: EventKind, advice: Advice, *, run_name: str, run_id: int | str) -> Event:
    best = f"{advice.unit} {advice.pick}"
    titles: dict[EventKind, str] = {
        "failure": "failure",
        "run_finished": "finished" if advice.pick is None else f"finished, {best} is the pick",
        "stop_advised": f"stop, {best} is best",
        "degrading": f"scores are falling, {best} leads",
        "plateau": f"scores hold level, {best} leads",
        "new_best": f"{best} is the new best",
    }
    # A finished run can be reopened by a new checkpoint and finish again with the same pick.
    about = f"{advice.latest}/{advice.pick}" if kind == "run_finished" else f"{advice.pick}"
    body = "\n".join((advice.sentence, *advice.reasons))
    return Event(
        kind=kind,
        key=f"alert/{run_id}/{kind}/{about}",
        title=safe_title(f"{_short(run_name)}: {titles[kind]}"),
        body=safe_text(body, BODY_LENGTH),
    )


def _failure(what: str, *, run_name: str, run_id: int | str) -> Event:
    return Event(
        kind="failure",
        key=f"alert/{run_id}/failure/{digest(what)[:16]}",
        title=safe_title(f"{_short(run_name)}: something failed"),
        body=safe_text(what, BODY_LENGTH),
    )


def _short(run_name: str) -> str:
    """Clip a run's name so that the news still fits behind it."""
    return run_name if len(run_name) <= 60 else run_name[:59] + "\u2026"
