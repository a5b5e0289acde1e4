"""The picture that goes with an alert: the pick beside the baseline, a row a prompt."""

from __future__ import annotations

from core.errors import EpochwatchError
from core.reports.contact_sheet import Tile, contact_sheet
from core.store.database import Connection, Row, rows
from core.store.files import ImageStore

_MOST_ROWS = 6


def contact_sheet_of(connection: Connection, store: ImageStore, action: Row) -> bytes | None:
    """Return PNG bytes of the pick's images, or None when there is nothing to show."""
    run_id, pick = action["run_id"], action["payload"].get("pick")
    if run_id is None or pick is None:
        return None
    drawn = [
        found
        for found in rows(connection, "results.of_run", run_id=run_id)
        if found["position"] == pick and found["image_sha256"]
    ][:_MOST_ROWS]
    base = {
        (found["prompt_name"], found["seed"]): found["image_sha256"]
        for found in rows(connection, "results.baseline", run_id=run_id)
    }
    tiles: list[Tile] = []
    for found in drawn:
        without = base.get((found["prompt_name"], found["seed"]))
        tiles += _tile(store, without, "no LoRA")
        tiles += _tile(store, found["image_sha256"], f"epoch {pick}: {found['prompt_name']}")
    return contact_sheet(tiles, columns=4) if tiles else None


def _tile(store: ImageStore, sha256: str | None, label: str) -> list[Tile]:
    """Return the tile, or none when there is no such picture: the others are still worth a look."""
    try:
        return [Tile(png=store.get("images", sha256), label=label)] if sha256 else []
    except EpochwatchError:
        return []
