"""Tries: one prompt of a person's own, drawn by up to four slots; asked for as grids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.store.database import Connection, row, rows

SHOWN = 40  # tries


@dataclass(frozen=True, kw_only=True)
class Try:
    """One try and how far its images have come."""

    id: int
    run_id: int | None
    body: Mapping[str, Any]  # of ``core.rules.trying``
    by_whom: str
    created_at: datetime
    wanted: int  # images; 0 until it is planned
    drawn: int
    defects: int
    drawing: bool
    parked_reason: str | None
    waiting_reason: str | None
    finished: bool


def tries(connection: Connection) -> tuple[Try, ...]:
    """Return the newest tries, the newest first."""
    return tuple(Try(**found) for found in rows(connection, "tries.all", limit=SHOWN))


def one(connection: Connection, grid_id: int) -> Try | None:
    """Return one try; None when there is none of this number."""
    found = row(connection, "tries.one", grid_id=grid_id)
    return Try(**found) if found else None


def failed_attempts(connection: Connection, origin: str) -> int:
    """Return how often this very try was given up: asked for again, it is begun anew."""
    found = row(connection, "tries.failed", origin=origin)
    return int(found["n"]) if found else 0
