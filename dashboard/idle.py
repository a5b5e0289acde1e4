"""Says why nothing is on a judge's desk, and what a person can do about it."""

from __future__ import annotations

from typing import Any

from core.store import gallery
from core.store.comparisons import Comparison
from core.store.database import Connection
from core.store.voting import Session


def over(
    connection: Connection,
    session: Session,
    comparison: Comparison,
    *,
    room: int,
    shown: bool,
    unranked: int,
) -> dict[str, Any]:
    """Return what a page needs to say when nothing is on the desk.

    ``room`` is how many answers the budget still leaves; ``unranked`` how many pairs are open in a
    sitting that ranks several at once, which may have too few left for a ranking.
    """
    if shown and room > 0:
        return _said(None)
    if room <= 0:
        return _said("All the votes you set out to give are given.", finished=True)
    missing = comparison.wanted - comparison.drawn
    if not comparison.planned or missing > _lost(comparison):
        return _said(_to_come(connection, session, comparison), waiting=True)
    if not _has_pair(comparison):
        why = "" if session.via == "guest" else " The page Compare says why."
        return _said(f"No two images of one prompt could be drawn.{why}", finished=True)
    if unranked:
        pairs = "1 pair is" if unranked == 1 else f"{unranked} pairs are"
        words = f"No more can be ranked at once; {pairs} left. Turn ranking off above to see them."
        return _said(words, finished=True)
    return _said("You have seen every pair.", finished=True)


def _said(words: str | None, *, finished: bool = False, waiting: bool = False) -> dict[str, Any]:
    return {"over": words, "finished": finished, "waiting": waiting}


def _lost(comparison: Comparison) -> int:
    return sum(
        picture.defect is not None or picture.parked_reason is not None
        for unit in comparison.units
        for picture in unit.pictures.values()
    )


def _has_pair(comparison: Comparison) -> bool:
    drawn = (
        [picture for picture in unit.pictures.values() if picture.image_sha256 is not None]
        for unit in comparison.units
    )
    return any(len(pictures) > 1 for pictures in drawn)


def _to_come(connection: Connection, session: Session, comparison: Comparison) -> str:
    """Say how far the images have come; that the next one comes by itself only if something draws."""
    drawn = f"{comparison.drawn} of {comparison.wanted} images are drawn"
    state = drawn if comparison.planned else "Its images are not planned yet"
    if any(host.can_draw for host in gallery.hosts(connection)):
        return f"{state}. The next pair appears here by itself."
    if session.via == "guest":
        return f"{state}, and nothing draws now. Come back later: your votes are kept."
    return (
        f"{state}, and no machine that draws is at work. Your votes are kept, and the next pair "
        "appears here once it is drawn. To draw: epochwatch watch PATH, where the checkpoints are."
    )
