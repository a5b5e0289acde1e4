"""What the database knows of money and time: rows for `core.rules.costing`, which does the reckoning."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import Fixable
from core.store.database import Connection, Row, bump, row, rows, run


@dataclass(frozen=True, kw_only=True)
class CostRows:
    """A run's setup, when its checkpoints were saved, and how long its images took."""

    about: Row
    saves: list[Row]
    drawn: list[Row]


def run_costs(connection: Connection, run_id: int) -> CostRows | None:
    """Return the rows of a run; None when there is no such run."""
    about = row(connection, "costs.about", run_id=run_id)
    if about is None:
        return None
    return CostRows(
        about=about,
        saves=rows(connection, "costs.saves", run_id=run_id),
        drawn=rows(connection, "costs.drawn", run_id=run_id),
    )


def type_in(
    connection: Connection,
    run_id: int,
    *,
    price: float | None = None,
    budget: float | None = None,
    gpu_name: str | None = None,
) -> None:
    """Keep what a person says of a run's price, budget and GPU; what is None stays as it is.

    Raises Fixable when the run has no set-up yet.
    """
    changed = run(
        connection,
        "costs.type_in",
        run_id=run_id,
        price=price,
        budget=budget,
        gpu_name=gpu_name,
    )
    if not changed:
        raise Fixable(
            "This run was never prepared for tests, so it has no place for a price. Watch its "
            "folder first: epochwatch watch PATH"
        )
    bump(connection)
