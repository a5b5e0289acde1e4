"""Votes: who sat down to judge what, what was shown, and every answer ever given."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from core.errors import Fixable
from core.nouns import Slot
from core.store.database import Connection, Row, bump, row, rows, run, storable

Via = Literal["local", "account", "guest"]
ANSWERS = ("left", "right", "tie", "both_bad", "skip", "ranking", "undone")
LONGEST_NAME, LONGEST_NOTE = 80, 2000
_HOUR_MS = 3_600_000


@dataclass(frozen=True, kw_only=True)
class Session:
    """One judge's sitting on one comparison."""

    id: int
    comparison: int
    judge: str
    via: Via
    blind: bool
    budget: int | None  # votes the judge set out to give; None: as many as wanted
    began_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class BlindSitting:
    """A blind sitting that goes on, of somebody who can see the other pages too: no guest."""

    id: int
    comparison: int
    judge: str
    via: Via
    runs: tuple[int, ...]  # whose pictures are voted on
    slots: tuple[str, ...]  # the comparison's slots, whose figures move with its votes
    given: int  # votes so far


@dataclass(frozen=True, kw_only=True)
class Serving:
    """What was shown to a judge, with the answer that stands (None: none was given)."""

    id: str
    session_id: int
    comparison: int
    judge: str
    unit: str
    category: str
    slots: tuple[str, ...]  # from left to right
    samples: tuple[str, ...]
    purpose: str
    expected: str | None
    served_at: datetime
    number: int
    revision: int | None
    choice: str | None
    ranking: tuple[int, ...] | None
    note: str
    milliseconds: int | None
    voted_at: datetime | None
    via: Via
    blind: bool


@dataclass(frozen=True, kw_only=True)
class BlindPlaces:
    """What stands behind a serving's addresses."""

    session_id: int
    comparison: int
    images: tuple[str | None, ...]  # image names from left to right; None: not there any more
    gold: bool
    expected: str | None
    grid: int | None  # cells along the width; None when it is not pixel art
    open: bool  # whether its sitting goes on


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What became of an answer: the one that stands, and whether it is the one just given."""

    revision: int
    choice: str
    accepted: bool


def begin(
    connection: Connection,
    comparison: int,
    judge: str,
    via: Via,
    *,
    blind: bool = True,
    budget: int | None = None,
    anew: bool = False,
) -> Session:
    """Return the judge's open sitting, begun if there is none; begun twice at once it is one.

    An open one goes on as it was begun, whatever is asked for now, unless it shall be ``anew``: then
    it ends first.

    A new one begins with what the judge was shown before and left unanswered. A blind one does not
    begin with what was shown with its names, which waits for another sitting that shows them.

    Raises:
        Fixable: without a name, for a budget below one vote, or when somebody would sit down in
            the place of a person who came another way: by a guest's link, an account, a typed name.
    """
    judge = storable(judge, LONGEST_NAME)
    if not judge:
        raise Fixable("Say who you are, so that your votes stay yours.")
    if budget is not None and budget < 1:
        raise Fixable("A budget is a number of votes: at least 1.")
    before = open_session(connection, comparison, judge) if anew else None
    if before is not None:
        refuse_other_person(before, via)
        end(connection, before.id)
    begun = run(
        connection,
        "voting.begin",
        comparison=comparison,
        judge=judge,
        via=via,
        blind=blind,
        budget=budget,
    )
    found = open_session(connection, comparison, judge)
    assert found is not None  # begun here or before
    refuse_other_person(found, via)
    if begun:
        run(
            connection,
            "voting.adopt",
            session_id=found.id,
            comparison=comparison,
            judge=judge,
            blind=blind,
        )
        bump(connection)
    return found


def open_session(connection: Connection, comparison: int, judge: str) -> Session | None:
    """Return the judge's open sitting on a comparison."""
    found = row(connection, "voting.open_session", comparison=comparison, judge=judge)
    return Session(**found) if found else None


def session(connection: Connection, session_id: int, *, hold: bool = False) -> Session | None:
    """Return a sitting; ``hold`` makes others who hold it wait until this transaction ends."""
    name = "voting.hold_session" if hold else "voting.session"
    found = row(connection, name, session_id=session_id)
    return Session(**found) if found else None


def sessions(connection: Connection, comparison: int) -> tuple[Session, ...]:
    """Return every sitting on a comparison, the oldest first."""
    return tuple(
        Session(**found) for found in rows(connection, "voting.sessions", comparison=comparison)
    )


def end(connection: Connection, session_id: int) -> None:
    """End a sitting: its judge may now see which slot was which."""
    if run(connection, "voting.end", session_id=session_id):
        bump(connection)


def blind_sittings(connection: Connection) -> tuple[BlindSitting, ...]:
    """Return the blind sittings that go on, but those of guests, the newest first."""
    return tuple(
        BlindSitting(
            **{
                **found,
                "runs": tuple(found["runs"]),
                "slots": tuple(Slot.from_json(slot).key for slot in found["slots"]),
            }
        )
        for found in rows(connection, "voting.blind_sittings")
    )


def show_names(connection: Connection, session_id: int) -> None:
    """End a blind sitting and let its judge go on in one that is not, with the votes left to give.

    So what was voted before counts as blind, and what comes after does not. One that has ended, or
    is not blind, stays as it is.
    """
    found = session(connection, session_id, hold=True)
    if found is None or found.ended_at is not None or not found.blind:
        return
    given = next(each.given for each in blind_sittings(connection) if each.id == session_id)
    left = None if found.budget is None else max(1, found.budget - given)
    end(connection, session_id)
    begin(connection, found.comparison, found.judge, found.via, blind=False, budget=left)


def serve(
    connection: Connection,
    session: Session,
    *,
    unit: str,
    category: str,
    slots: Sequence[str],
    samples: Sequence[str],
    purpose: str = "vote",
    expected: str | None = None,
    asks: str | None = None,
) -> str | None:
    """Keep what a judge is shown, in the order shown, and return its random name.

    None when this judge was asked the same before (``asks``).
    """
    name = secrets.token_urlsafe(18)
    kept = run(
        connection,
        "voting.serve",
        id=name,
        session_id=session.id,
        comparison=session.comparison,
        judge=session.judge,
        unit=unit,
        category=category,
        slots=list(slots),
        samples=list(samples),
        purpose=purpose,
        expected=expected,
        asks=None if asks is None else f"{session.comparison}/{session.judge}/{asks}",
    )
    return name if kept else None


def served(connection: Connection, comparison: int) -> tuple[Serving, ...]:
    """Return everything served on a comparison with its standing answer, in the order served."""
    return _servings(rows(connection, "voting.served", comparison=comparison))


def served_slots(connection: Connection, slots: Sequence[str]) -> tuple[Serving, ...]:
    """Return everything served that shows one of these slots, in whichever comparison."""
    return _servings(rows(connection, "voting.served_slots", slots=list(slots)))


def places(connection: Connection, serving_id: str) -> BlindPlaces | None:
    """Return what stands behind a serving's addresses; None when there is no such serving."""
    found = row(connection, "voting.serving", serving_id=storable(serving_id, LONGEST_NAME))
    if found is None:
        return None
    return BlindPlaces(
        session_id=found["session_id"],
        comparison=found["comparison"],
        images=tuple(found["images"]),
        gold=found["purpose"] == "gold",
        expected=found["expected"],
        grid=int(found["grid"]) if found["grid"] else None,
        open=found["ended_at"] is None,
    )


def answer(
    connection: Connection,
    session: Session,
    serving_id: str,
    revision: int,
    choice: str,
    *,
    ranking: Sequence[int] | None = None,
    note: str = "",
    milliseconds: int | None = None,
) -> Standing:
    """Store an answer as the next revision of its serving, once, and return what stands.

    The same revision again (a double click, a second tab, a repeated request) stores nothing;
    ``accepted`` says whether what stands is what was given. An undo is the choice "undone".

    Raises:
        Fixable: for an answer that cannot be taken, or to somebody else's or an ended sitting.
    """
    serving_id = storable(serving_id, LONGEST_NAME)
    about = row(connection, "voting.serving", serving_id=serving_id)
    if about is None or about["session_id"] != session.id:
        raise Fixable("This pair belongs to no sitting of yours; load the page again.")
    _check(choice, ranking, len(about["slots"]))
    stored = 0
    if session.ended_at is None:
        stored = run(
            connection,
            "voting.answer",
            serving_id=serving_id,
            revision=revision,
            choice=choice,
            ranking=None if ranking is None else list(ranking),
            note=storable(note, LONGEST_NOTE),
            milliseconds=None if milliseconds is None else max(0, min(milliseconds, _HOUR_MS)),
        )
    if stored:
        bump(connection)
    found = row(connection, "voting.standing", serving_id=serving_id)
    if found is None:
        raise Fixable("This vote was not stored: the sitting has ended. Begin a new one.")
    same = found["choice"] == choice and (found["ranking"] or None) == (
        None if ranking is None else list(ranking)
    )
    return Standing(
        revision=found["revision"],
        choice=found["choice"],
        accepted=bool(stored) or (found["revision"] == revision and same),
    )


def revisions(connection: Connection, comparison: int) -> list[Row]:
    """Return every answer ever given on a comparison, undone and changed ones too."""
    return rows(connection, "voting.revisions", comparison=comparison)


def refuse_other_person(sitting: Session, via: Via) -> None:
    """Keep guests out of the sittings of others: those may show names, and end when told to.

    Nor is an account whoever typed its address, or the other way round.
    """
    if sitting.via != via:
        way_out: dict[Via, str] = {
            "local": "Take another name.",
            "account": "Until that sitting ends, your account cannot sit down here.",
            "guest": "A link needs a name of its own.",
        }
        raise Fixable(
            f"Somebody else is voting as {sitting.judge!r} on this comparison. {way_out[via]}"
        )


def _check(choice: str, ranking: Sequence[int] | None, places: int) -> None:
    if choice not in ANSWERS:
        raise Fixable(f"{choice[:20]!r} is no answer; it is one of {', '.join(ANSWERS)}.")
    if (choice == "ranking") != (ranking is not None):
        raise Fixable("A ranking, and only a ranking, names places from best to worst.")
    if ranking is not None and places == 2:
        raise Fixable("There are two images; say which is better, or that they tie.")
    if ranking is not None and sorted(ranking) != list(range(places)):
        raise Fixable(f"A ranking names each of its {places} places once.")
    if places > 2 and choice in ("left", "right"):
        raise Fixable("There are more than two images; rank them.")


def _servings(found: list[Row]) -> tuple[Serving, ...]:
    return tuple(
        Serving(
            **{
                **each,
                "slots": tuple(each["slots"]),
                "samples": tuple(each["samples"]),
                "ranking": None if each["ranking"] is None else tuple(each["ranking"]),
                "note": each["note"] or "",
            }
        )
        for each in found
    )
