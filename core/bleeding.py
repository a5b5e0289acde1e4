"""Bleeding: what a LoRA does to a prompt that leaves its trigger word out, beside one that says it.

How much of a picture stayed as the base model draws it is measured; whether that is too little is
for a person to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.formats.caption_suite import UNCALLED
from core.metrics.set_level import cell_similarity
from core.nouns import BLEEDING
from core.store import gallery, set_level
from core.store.database import Connection

LOOK_FOR = (
    "One row leaves the trigger word out, and no score counts it: compare it with the base model's "
    "picture of that row. Where both look alike, the LoRA waits for its word; where the trained style "
    "or subject shows there too, it bleeds into prompts that did not call it."
)


@dataclass(frozen=True, kw_only=True)
class Bleeding:
    """How much of two pictures of one position stayed as the base model draws them, 0-1."""

    position: int
    uncalled: float  # without the trigger word
    called: float | None  # the same prompt with it; None where it was not drawn


def bleeding_of(connection: Connection, run_id: int) -> tuple[Bleeding, ...] | None:
    """Return what was measured at each position, in order; None where no such prompt is tested.

    Two cells are alike within CIEDE2000 of 10, as for diversity over seeds.
    """
    pictures = gallery.pictures(connection, run_id)
    uncalled = [each for each in pictures if each.category == BLEEDING]
    if not uncalled:
        return None
    names = {each.prompt_name.removesuffix(UNCALLED) for each in uncalled}
    called = [each for each in pictures if each.prompt_name in names and each not in uncalled]
    cells = set_level.cells_of(connection, [each.sample_id for each in (*uncalled, *called)])
    kept = [each for each in (*uncalled, *called) if each.sample_id in cells]
    found = []
    for position in sorted({each.position for each in kept if each.position is not None}):
        shares = {
            of: _stayed(pair, cells)
            for of in (True, False)
            if (pair := _pair(kept, position, is_uncalled=of))
        }
        if (without := shares.get(True)) is not None:
            found.append(Bleeding(position=position, uncalled=without, called=shares.get(False)))
    return tuple(found)


def bleeding_words(found: Sequence[Bleeding], unit: str) -> str:
    """Return what was measured at the latest position, in a sentence; "" where nothing was."""
    if not found:
        return ""
    last = found[-1]
    called = "" if last.called is None else f", and {100 * last.called:.0f} % with the word"
    return (
        f"At {unit} {last.position}, {100 * last.uncalled:.0f} % of its cells stayed as the base "
        f"model draws them{called}."
    )


def _pair(
    kept: Sequence[gallery.Picture], position: int, *, is_uncalled: bool
) -> tuple[gallery.Picture, gallery.Picture] | None:
    """Return the base model's picture and that of a position, of the same prompt and seed."""
    of_kind = [each for each in kept if (each.category == BLEEDING) is is_uncalled]
    bases = {(each.prompt_name, each.seed): each for each in of_kind if each.position is None}
    for each in of_kind:
        base = bases.get((each.prompt_name, each.seed))
        if each.position == position and base is not None:
            return base, each
    return None


def _stayed(
    pair: tuple[gallery.Picture, gallery.Picture], cells: dict[str, np.ndarray]
) -> float | None:
    base, other = (cells[each.sample_id] for each in pair)
    if base.shape != other.shape:
        return None
    return float(cell_similarity(np.stack([base, other]))[0, 1])
