"""What the votes on a comparison say, asked of the database and read by the rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from core.rules.ballots import as_notes, as_votes, is_answered, under_labels, unique_labels
from core.rules.judges import flagged
from core.rules.note_themes import Note
from core.rules.poll import Poll, read_poll
from core.store import comparisons, voting
from core.store.comparisons import Comparison
from core.store.database import Connection


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A comparison, what was said of it, and what that comes to."""

    comparison: Comparison
    served: tuple[voting.Serving, ...]
    sessions: tuple[voting.Session, ...]
    poll: Poll

    @property
    def seen(self) -> int:
        """How many votes were given with the names shown."""
        return sum(
            each.choice not in (None, "undone", "skip") and not each.blind for each in self.served
        )


def answered(connection: Connection, comparison_id: int) -> Answered | None:
    """Return everything that is known of the votes on a comparison; None when it is not there."""
    made = comparisons.comparison(connection, comparison_id)
    if made is None:
        return None
    labels = unique_labels((slot.key, slot.label) for slot in made.slots)
    served = voting.served(connection, comparison_id)
    sessions = voting.sessions(connection, comparison_id)
    budget, given = _budget(sessions, served)
    return Answered(
        comparison=made,
        served=served,
        sessions=sessions,
        poll=read_poll(
            under_labels(as_votes(served), labels),
            list(labels.values()),
            notes=[
                Note(words=each.words, about=each.about, winner=labels.get(each.winner or ""))
                for each in as_notes(served)
            ],
            seconds=_seconds(made, labels),
            budget=budget,
            given=given,
        ),
    )


def doubted(connection: Connection, comparison_ids: Iterable[int]) -> list[str]:
    """Return the judges whose blind answers on these comparisons, taken together, look doubtful."""
    served = (each for number in comparison_ids for each in voting.served(connection, number))
    return flagged(as_votes(each for each in served if each.blind))


def _seconds(made: Comparison, labels: dict[str, str]) -> dict[str, list[float]]:
    return {
        label: [
            picture.seconds
            for unit in made.units
            if (picture := unit.pictures.get(key)) is not None and picture.seconds is not None
        ]
        for key, label in labels.items()
    }


def _budget(
    sessions: tuple[voting.Session, ...], served: tuple[voting.Serving, ...]
) -> tuple[int | None, int]:
    """Return what all judges together set out to give in their latest sittings, and what they gave.

    Whatever was answered is counted, checks and skips too, as the sitting does that ends by it; a
    judge who gave more does not give it for another. None where one of them set no number.
    """
    latest = {each.judge: each for each in sessions}
    answered_in = Counter(each.session_id for each in served if is_answered(each))
    budgets = {each.id: each.budget for each in latest.values() if each.budget is not None}
    if not latest or len(budgets) < len(latest):
        return None, 0
    return sum(budgets.values()), sum(min(answered_in[at], most) for at, most in budgets.items())
