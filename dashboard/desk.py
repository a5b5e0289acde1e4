"""Serves judges: what is on a judge's desk now, and what becomes of an answer.

Everything here may reach a blind judge's browser: no name, hash, seed or time of a slot goes out.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import comb
from typing import Any

from core.errors import Fixable
from core.rules.ballots import as_votes, is_answered, unique_labels
from core.rules.davidson import rank
from core.rules.serving import RANKED, Choice, Piece, choose, left_to_show
from core.rules.votes import Vote
from core.rules.win_rate import win_rate
from core.store import comparisons, voting
from core.store.database import Connection
from dashboard import idle

AHEAD = 3  # servings on the desk: the one looked at, and those whose pictures are fetched already
EVERY = 10  # votes between two forecasts: told after each, it would say whom the vote was for


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a judge's browser sends."""

    serving: str
    revision: int
    choice: str
    ranking: tuple[int, ...] | None
    note: str
    milliseconds: int | None


def desk(connection: Connection, session_id: int, *, base: str, ways: int = 2) -> dict[str, Any]:
    """Return what is on the desk of a sitting, served anew where it has fewer than three.

    ``base`` is where its pictures are found. Raises Fixable for a sitting that has ended.
    """
    session = voting.session(connection, session_id, hold=True)
    if session is None or session.ended_at is not None:
        raise Fixable("This sitting has ended. Load the page again to begin a new one.")
    comparison = comparisons.comparison(connection, session.comparison)
    if comparison is None:
        raise Fixable("This comparison is not there any more.")
    served = _served(connection, session, comparison, RANKED if ways > 2 else 2)
    waiting = [each for each in served if each.session_id == session.id and not is_answered(each)]
    shown = [each for each in waiting if (len(each.slots) > 2) == (ways > 2)]
    mine = [each for each in served if each.session_id == session.id and is_answered(each)]
    room = AHEAD if session.budget is None else max(0, session.budget - len(mine))
    pieces = _pieces(comparison)
    open_pairs = left_to_show(served, pieces, _keys(comparison), session.judge) + sum(
        each.purpose == "vote" for each in waiting
    )
    page = _Page(comparison, session, base)
    last = max(mine, key=lambda each: (str(each.voted_at), each.number), default=None)
    return {
        "servings": [page.serving(each) for each in shown[:room]],
        "last": page.serving(last) if last else None,
        "given": len(mine),
        "open": open_pairs,
        "budget": session.budget,
        "more": _more(served, comparison),
        **idle.over(
            connection,
            session,
            comparison,
            room=room,
            shown=bool(shown),
            unranked=open_pairs if ways > 2 else 0,
        ),
    }


def answer(connection: Connection, session_id: int, given: Answer) -> dict[str, Any]:
    """Store an answer and return what stands: ``accepted`` says whether it is the one given.

    Raises Fixable for an answer that cannot be taken.
    """
    session = voting.session(connection, session_id)
    if session is None:
        raise Fixable("This sitting is not there any more. Load the page again.")
    stands = voting.answer(
        connection,
        session,
        given.serving,
        given.revision,
        given.choice,
        ranking=given.ranking,
        note=given.note,
        milliseconds=given.milliseconds,
    )
    return {"accepted": stands.accepted, "choice": stands.choice, "revision": stands.revision}


@dataclass(frozen=True)
class _Page:
    """Turns servings into what a browser may know of them."""

    comparison: comparisons.Comparison
    session: voting.Session
    base: str

    def serving(self, each: voting.Serving) -> dict[str, Any]:
        prompts = {unit.key: unit.prompt_text for unit in self.comparison.units}
        addresses = [f"{self.base}/{each.id}/{place}" for place in range(len(each.slots))]
        found = {
            "id": each.id,
            "revision": 0 if each.revision is None else each.revision + 1,
            "prompt": prompts.get(each.unit, ""),
            "pictures": [f"{address}.png" for address in addresses],
            "small": [f"{address}-small.png" for address in addresses],
        }
        if not self.session.blind:
            labels = labels_of(self.comparison)
            found["names"] = [labels.get(slot, "") for slot in each.slots]
        return found


def labels_of(comparison: comparisons.Comparison) -> dict[str, str]:
    """Return slot key -> what people call it, each another."""
    return unique_labels((slot.key, slot.label) for slot in comparison.slots)


def _keys(comparison: comparisons.Comparison) -> list[str]:
    return [slot.key for slot in comparison.slots]


def _pieces(comparison: comparisons.Comparison) -> list[Piece]:
    return [
        Piece(
            unit=unit.key,
            category=unit.category,
            drawn=frozenset(slot for slot in unit.pictures if unit.is_drawn([slot])),
        )
        for unit in comparison.units
    ]


def _served(
    connection: Connection, session: voting.Session, comparison: comparisons.Comparison, ways: int
) -> Sequence[voting.Serving]:
    """Return all that was served, with this judge's desk filled up first."""
    served = voting.served(connection, comparison.id)
    chance = secrets.SystemRandom()
    pieces = _pieces(comparison)
    while True:
        mine = [each for each in served if each.session_id == session.id]
        waiting = [
            each for each in mine if not is_answered(each) and (len(each.slots) > 2) == (ways > 2)
        ]
        given = sum(is_answered(each) for each in mine)
        if len(waiting) >= min(AHEAD, (session.budget or given + AHEAD) - given):
            return served
        found = choose(
            served, pieces, _keys(comparison), judge=session.judge, chance=chance, ways=ways
        )
        if found is None or not _serve(connection, session, comparison, found):
            return served
        served = voting.served(connection, comparison.id)


def _serve(
    connection: Connection,
    session: voting.Session,
    comparison: comparisons.Comparison,
    found: Choice,
) -> bool:
    unit = next(unit for unit in comparison.units if unit.key == found.unit)
    name = voting.serve(
        connection,
        session,
        unit=found.unit,
        category=found.category,
        slots=found.slots,
        samples=[unit.pictures[slot].sample_id for slot in found.slots],
        purpose=found.purpose,
        expected=found.expected,
        asks=found.asks,
    )
    return name is not None


def _more(served: Sequence[voting.Serving], comparison: comparisons.Comparison) -> str:
    """Say about how many votes decide this, from the votes of every tenth only."""
    votes = [vote for vote in as_votes(served) if vote.purpose == "vote" and vote.choice != "skip"]
    return forecast(tuple(votes[: len(votes) // EVERY * EVERY]), tuple(_keys(comparison)))


@lru_cache(maxsize=32)
def forecast(votes: tuple[Vote, ...], slots: tuple[str, ...]) -> str:
    """Return about how many more votes decide between the two slots that lead.

    The votes choose which two those are, so that they need the proof of one of all pairs.
    """
    a, b = slots[:2]
    if len(slots) > 2:
        found = rank(votes, slots)
        known = max(found.groups, key=len)  # a slot without votes is the best of a group of its own
        a, b = sorted(known, key=lambda slot: -found.p_best[slot])[:2] if votes else slots[:2]
    stands = win_rate(votes, a, b, among=comb(len(slots), 2))
    noun = "votes" if stands.counted == "votes" else "prompts and seeds"
    about = "" if len(slots) == 2 else " between the two that lead"
    if stands.decision != "continue":
        return f"Decided{about}: more votes only make it surer."
    if stands.more is None:
        return f"More {noun} than anyone would give are needed to decide this."
    return f"About {stands.more} more {noun} decide this{about}."
