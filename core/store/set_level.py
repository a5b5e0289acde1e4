"""Cells of pictures, kept for what only several of them tell together, and what came of it."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.store.database import Connection, row, rows, run

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class SetLevelLine:
    """What all pictures of a position say together, as it was stored."""

    position: int
    body: Mapping[str, Any]


def keep_cells(connection: Connection, sample_id: str, cells: NDArray[np.uint8]) -> None:
    """Keep the cells (rows, columns, 3) of one picture."""
    run(
        connection,
        "set_level.save_cells",
        sample_id=sample_id,
        rows=cells.shape[0],
        columns=cells.shape[1],
        rgb=zlib.compress(cells.tobytes(), 6),
    )


def cells_of(connection: Connection, sample_ids: Sequence[str]) -> dict[str, NDArray[np.uint8]]:
    """Return the cells (rows, columns, 3) of these pictures by sample, as far as they were kept."""
    found = rows(connection, "set_level.cells", sample_ids=list(sample_ids))
    return {
        each["sample_id"]: np.frombuffer(zlib.decompress(each["rgb"]), dtype=np.uint8).reshape(
            each["rows"], each["columns"], 3
        )
        for each in found
    }


def with_cells(connection: Connection, sample_ids: Sequence[str]) -> set[str]:
    """Return which of these pictures have their cells kept."""
    found = rows(connection, "set_level.have_cells", sample_ids=list(sample_ids))
    return {each["sample_id"] for each in found}


def training_of(connection: Connection, run_id: int) -> tuple[str, Mapping[str, Any]] | None:
    """Return digest and body of a run's training images as cells; None without any."""
    found = row(connection, "set_level.training", run_id=run_id)
    return (found["digest"], found["body"]) if found else None


def set_up(
    connection: Connection, run_id: int, *, training_cells: str | None, weighting: str | None
) -> None:
    """Remember a run's training images as cells, and the weights its score is made with."""
    run(
        connection,
        "set_level.set_up",
        run_id=run_id,
        training_cells=training_cells,
        weighting=weighting,
    )


def save(connection: Connection, run_id: int, position: int, body: dict[str, Any]) -> bool:
    """Store what all pictures of a position say together; return whether that is news."""
    return bool(run(connection, "set_level.save", run_id=run_id, position=position, body=body))


def of_run(connection: Connection, run_id: int) -> tuple[SetLevelLine, ...]:
    """Return what all pictures of each position of a run say together, in order."""
    return tuple(
        SetLevelLine(**found) for found in rows(connection, "set_level.of_run", run_id=run_id)
    )
