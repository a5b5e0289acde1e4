"""What the votes on a comparison say, asked of the database and read by the rules."""

from __future__ import annotations

from dataclasses import dataclass

from core.rules.ballots import as_notes, as_votes, under_labels, unique_labels
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
            budget=_budget(sessions),
        ),
    )


def _seconds(made: Comparison, labels: dict[str, str]) -> dict[str, list[float]]:
    return {
        label: [
            picture.seconds
            for unit in made.units
            if (picture := unit.pictures.get(key)) is not None and picture.seconds is not None
        ]
        for key, label in labels.items()
    }


def _budget(sessions: tuple[voting.Session, ...]) -> int | None:
    """Return the votes that all judges together set out to give; None where one set no number."""
    latest = {each.judge: each.budget for each in sessions}
    given = [each for each in latest.values() if each is not None]
    return sum(given) if given and len(given) == len(latest) else None
