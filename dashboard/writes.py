"""What a person does on a page: each is a row, written by a function of the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.store import scores
from core.wishes import ask_comparison
from dashboard.link import shared_link


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a person thinks of an epoch, 0-10 each."""

    run_id: int
    position: int
    judge: str
    visual: float
    style: float
    prompt: float
    note: str


def log_score(score: Score) -> None:
    """Store a score. Raises Away when the database is away, Fixable when it cannot be taken."""
    with shared_link().transaction() as connection:
        scores.add(
            connection,
            score.run_id,
            score.position,
            score.judge,
            score.visual,
            score.style,
            score.prompt,
            score.note,
        )


def compare(
    run_id: int,
    slots: Sequence[str],
    by_whom: str,
    *,
    prompts: Sequence[str] = (),
    seeds: Sequence[int] = (),
) -> int:
    """Ask for a comparison; return its number. Raises Away, or Fixable when it cannot be made."""
    with shared_link().transaction() as connection:
        return ask_comparison(
            connection, run_id=run_id, slots=slots, by_whom=by_whom, prompts=prompts, seeds=seeds
        )
