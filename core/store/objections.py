"""Scores that people call wrong: append-only; the last word of a judge on one score stands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from core.errors import Fixable
from core.store.database import Connection, bump, row, rows, run, storable

Score = Literal["visual", "style", "prompt"]
Direction = Literal["too_high", "too_low", "withdrawn"]
SCORES: tuple[Score, ...] = ("visual", "style", "prompt")
DIRECTIONS: tuple[Direction, ...] = ("too_high", "too_low", "withdrawn")
LONGEST_NAME, LONGEST_NOTE = 80, 2000


@dataclass(frozen=True, kw_only=True)
class Objection:
    """One score of one picture that a person calls wrong; place and prompt where a run was asked."""

    sample_id: str
    rubric: str
    score: Score
    direction: Direction
    judge: str
    note: str
    created_at: datetime
    position: int | None = None
    prompt_name: str = ""
    seed: int | None = None


def add(
    connection: Connection,
    run_id: int,
    sample_id: str,
    score: str,
    direction: str,
    judge: str,
    note: str = "",
) -> None:
    """Store that ``judge`` calls a score of a run's picture too high or too low, or no longer does.

    Raises:
        Fixable: for another score or direction, without a name, or when it was never measured.
    """
    if score not in SCORES or direction not in DIRECTIONS:
        raise Fixable(
            f"An objection names one of {', '.join(SCORES)} and one of {', '.join(DIRECTIONS)}."
        )
    judge = storable(judge, LONGEST_NAME)
    if not judge:
        raise Fixable("Say who you are, so that your objections stay yours.")
    found = row(connection, "objections.rubric", run_id=run_id, sample_id=sample_id)
    if found is None:
        raise Fixable("This picture has no scores that could be wrong: it is not measured yet.")
    run(
        connection,
        "objections.add",
        sample_id=sample_id,
        rubric=found["rubric"],
        score=score,
        direction=direction,
        judge=judge,
        note=storable(note, LONGEST_NOTE),
    )
    bump(connection)


def of_sample(connection: Connection, sample_id: str) -> tuple[Objection, ...]:
    """Return what stands against the scores of a picture, the oldest first."""
    found = rows(connection, "objections.of_sample", sample_id=sample_id)
    return tuple(Objection(**each) for each in found)


def of_run(connection: Connection, run_id: int) -> tuple[Objection, ...]:
    """Return what stands against the scores of a run's pictures, the oldest first."""
    return tuple(Objection(**each) for each in rows(connection, "objections.of_run", run_id=run_id))
