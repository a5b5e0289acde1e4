"""People's scores: append-only facts that stand beside the machine's."""

from __future__ import annotations

import math

from core.errors import Fixable
from core.store.database import Connection, bump, run, storable


def add(
    connection: Connection,
    run_id: int,
    position: int,
    judge: str,
    visual: float,
    style: float,
    prompt: float,
    note: str = "",
) -> None:
    """Store what ``judge`` thinks of an epoch; scores are 0-10.

    Raises Fixable for a score outside its range.
    """
    for name, score in (("visual", visual), ("style", style), ("prompt", prompt)):
        if not math.isfinite(score) or not 0 <= score <= 10:
            raise Fixable(f"The {name} score is {score}; scores go from 0 to 10.")
    run(
        connection,
        "results.add_score",
        run_id=run_id,
        position=position,
        judge=storable(judge, 200),
        visual=visual,
        style=style,
        prompt=prompt,
        note=storable(note, 10_000),
    )
    bump(connection)
