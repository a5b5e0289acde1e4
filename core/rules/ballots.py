"""What was served and answered, as votes: one a judge, pair of slots, and prompt with seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, cast

from core.rules.note_themes import Note
from core.rules.plackett_luce import pairs_of
from core.rules.votes import Choice, Purpose, Vote

if TYPE_CHECKING:
    from datetime import datetime


class Served(Protocol):
    """What was shown to a judge, and the answer that stands; see ``core.store.voting``."""

    @property
    def id(self) -> str:
        """Random name of the serving."""

    @property
    def judge(self) -> str:
        """Whom it was shown to."""

    @property
    def unit(self) -> str:
        """Key of prompt and seed."""

    @property
    def category(self) -> str:
        """The prompt's category, "" for none."""

    @property
    def slots(self) -> Sequence[str]:
        """Slot keys from left to right."""

    @property
    def purpose(self) -> str:
        """Vote, repeat or gold."""

    @property
    def expected(self) -> str | None:
        """The right answer to a gold; of a ranking the number of the place that must come last."""

    @property
    def choice(self) -> str | None:
        """The answer; None or "undone" while there is none."""

    @property
    def ranking(self) -> Sequence[int] | None:
        """Places from best to worst, when ranked."""

    @property
    def note(self) -> str:
        """What the judge wrote."""

    @property
    def milliseconds(self) -> int | None:
        """From both images shown to the answer."""

    @property
    def voted_at(self) -> datetime | None:
        """When the standing answer was stored."""


def is_answered(served: Served) -> bool:
    """Say whether an answer stands."""
    return served.choice not in (None, "undone")


def as_votes(served: Iterable[Served]) -> list[Vote]:
    """Return the standing answers as votes, numbered in the order in which they were given.

    A ranking becomes a vote on each of its pairs, the earlier place as the left side; a pair that
    its judge had answered before on the same prompt and seed is left out, so that nobody counts
    twice. "None is good" of several images is "both bad" of each pair. Of a ranking that is a gold
    only the pairs with the spoiled image are votes.
    """
    answered = [each for each in served if is_answered(each) and each.voted_at is not None]
    answered.sort(key=lambda each: (cast("datetime", each.voted_at), each.id))
    found: list[Vote] = []
    seen: set[tuple[str, tuple[str, str], str]] = set()
    for each in answered:
        for vote in _votes(each, len(found)):
            key = (vote.judge, vote.pair, vote.unit)
            if vote.purpose == "vote" and key in seen:
                continue
            if vote.purpose == "vote":
                seen.add(key)
            found.append(vote)
    return found


def spoiled_place(expected: str | None) -> int | None:
    """Return which place of a gold is spoiled, 0 being the leftmost; None where none is."""
    if expected in ("left", "right"):
        return 1 if expected == "left" else 0
    return int(expected) if expected is not None and expected.isdecimal() else None


def _votes(served: Served, number: int) -> list[Vote]:
    places = len(served.slots)
    if served.choice == "ranking":
        order = pairs_of(served.ranking or (), places)
        return [
            _vote(served, min(pair), max(pair), "left" if pair[0] < pair[1] else "right", number)
            for pair in order
            if _says(served, pair)
        ]
    choice = cast("Choice", served.choice)
    every = [pair for pair in pairs_of(range(places), places) if _says(served, pair)]
    return [_vote(served, *pair, choice, number) for pair in every]


def _says(served: Served, pair: tuple[int, int]) -> bool:
    """Say whether the answer tells something of a pair: a gold of several, of the spoiled one only.

    That none of them is good may be so, spoiled or not.
    """
    if served.purpose != "gold" or len(served.slots) == 2:
        return True
    return served.choice != "both_bad" and spoiled_place(served.expected) in pair


def _vote(served: Served, left: int, right: int, choice: Choice, number: int) -> Vote:
    expected = served.expected
    if served.purpose == "gold" and len(served.slots) > 2:
        expected = "left" if spoiled_place(expected) == right else "right"
    return Vote(
        left=served.slots[left],
        right=served.slots[right],
        choice=choice,
        judge=served.judge,
        unit=served.unit,
        number=number,
        milliseconds=served.milliseconds,
        purpose=cast("Purpose", served.purpose),
        expected=cast("Choice | None", expected),
        category=served.category or None,
        places=len(served.slots),
    )


def as_notes(served: Iterable[Served]) -> list[Note]:
    """Return what judges wrote, with the slot that won beside it; golds say nothing of a slot."""
    return [
        Note(words=each.note, about=each.id, winner=_winner(each))
        for each in served
        if each.note.strip() and is_answered(each) and each.purpose != "gold"
    ]


def _winner(served: Served) -> str | None:
    if served.choice == "ranking" and served.ranking:
        return served.slots[served.ranking[0]]
    return {"left": served.slots[0], "right": served.slots[-1]}.get(served.choice or "")


def under_labels(votes: Iterable[Vote], labels: Mapping[str, str]) -> list[Vote]:
    """Return the votes with their slots called as people call them."""
    return [
        replace(
            vote,
            left=labels.get(vote.left, vote.left[:8]),
            right=labels.get(vote.right, vote.right[:8]),
        )
        for vote in votes
    ]


def unique_labels(named: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return slot key -> label, a number behind a label that two slots share."""
    found: dict[str, str] = {}
    for key, label in named:
        same = sum(other == label or other.startswith(f"{label} (") for other in found.values())
        found[key] = f"{label} ({same + 1})" if same else label
    return found
