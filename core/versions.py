"""Versions over time: how often people prefer each run's pick to its base model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from core.nouns import Stack
from core.rules.ballots import as_votes
from core.rules.win_rate import WinRate, win_rate
from core.store.database import Connection, rows
from core.store.voting import served_slots


@dataclass(frozen=True, kw_only=True)
class Version:
    """One run as a line of the owner's training log."""

    version: str
    date: date
    dataset_size: int | None
    steps: int | None
    against_base: WinRate | None  # of its pick; None without a blind vote on the two
    notes: str | None

    def as_row(self) -> Mapping[str, Any]:
        """Return the line of the log: the win rate as the owner writes it, "73%"."""
        rate = self.against_base.tally.win_rate if self.against_base else None
        return {
            "version": self.version,
            "date": self.date,
            "dataset_size": self.dataset_size,
            "steps": self.steps,
            "win_rate": None if rate is None else f"{rate:.0f}%",
            "notes": self.notes,
        }


def versions(connection: Connection, run_id: int | None = None) -> tuple[Version, ...]:
    """Return every run (or one), the oldest first, with the blind votes on its pick and its base.

    Votes count from whichever comparison they were given in: they are about the same weights. Those
    given with the names shown do not: a win rate is held against the target for production, into
    which they bring nothing either.
    """
    return tuple(
        Version(
            version=found["version"],
            date=found["date"],
            dataset_size=found["dataset_size"],
            steps=found["steps"],
            against_base=_against_base(connection, found),
            notes=found["notes"],
        )
        for found in rows(connection, "exports.log", run_id=run_id)
    )


def _against_base(connection: Connection, found: Mapping[str, Any]) -> WinRate | None:
    if found["base_sha256"] is None or found["drawn_as"] is None:
        return None
    base = Stack(base_sha256=found["base_sha256"])
    pick = Stack.of_checkpoint(found, found["base_sha256"], found["strength"])
    blind = [each for each in served_slots(connection, [base.key, pick.key]) if each.blind]
    judged = win_rate(as_votes(blind), base.key, pick.key)
    return judged if judged.tally.total else None
