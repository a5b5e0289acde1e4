"""Slots of a comparison as a person writes them: "base", "7", "pick@0.8", "7+palette:4@0.5"."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from core.errors import Fixable
from core.nouns import SlotPart, decimal_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

STRENGTHS: tuple[float, ...] = (0.6, 0.8, 1.0)  # of a sweep, as the owner's documents have it
MOST_LORAS = 6  # of one slot
_HIGHEST_STRENGTH = 4.0
_PART = re.compile(r"(?P<what>.+?)(?:@(?P<strength>[0-9.]+))?\s*$", re.DOTALL)


def read_slot(text: str) -> tuple[SlotPart, ...]:
    """Read a slot as a person writes it.

    ``base``, ``7``, ``pick``, ``production``, ``7@0.8``, ``other_run:12``, ``other_run:pick`` and
    sums of them such as ``7@1.0+palette:4@0.5`` (several LoRAs merged together).

    Raises:
        Fixable: when it cannot be understood, saying what would be.
    """
    parts = tuple(_part(piece, text) for piece in text.split("+"))
    if len(parts) > MOST_LORAS:
        raise Fixable(f"{text!r} merges {len(parts)} LoRAs; at most {MOST_LORAS} can be.")
    if len(parts) > 1 and any(part.what == "base" for part in parts):
        raise Fixable(f"{text!r} adds the base model to a LoRA; it is under every LoRA already.")
    return parts


def with_strengths(slots: Sequence[str], strengths: Iterable[float]) -> tuple[str, ...]:
    """Return each slot at each strength (a sweep); the base model has none and stays as it is."""
    texts = [f"{strength:g}" for strength in strengths]
    return tuple(
        dict.fromkeys(
            slot if slot == "base" or "@" in slot or "+" in slot else f"{slot}@{strength}"
            for slot in slots
            for strength in texts
        )
    )


def _part(piece: str, whole: str) -> SlotPart:
    found = _PART.fullmatch(piece.strip())
    if found is None:
        raise Fixable(f"{whole!r} is no slot. Write base, 7, pick, pick@0.8 or other_run:12@0.5.")
    what, strength = found["what"].strip(), found["strength"]
    run, separator, rest = what.rpartition(":")
    name = rest.strip() if separator else what
    wish: int | str
    if re.fullmatch(r"[0-9]{1,9}", name):
        wish = int(name)
    elif name.lower() in {"pick", "production", "base"}:
        wish = name.lower()
    else:
        raise Fixable(
            f"{name[:60]!r} in {whole[:80]!r} is no epoch. Write its number, pick, production or "
            "base; an epoch of another run is written RUN:7."
        )
    return SlotPart(run=run.strip() or None, what=wish, strength=_strength(strength, whole))


def _strength(text: str | None, whole: str) -> str | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= _HIGHEST_STRENGTH:
        raise Fixable(
            f"{text!r} in {whole[:80]!r} is no strength; write a number above 0 and at most "
            f"{_HIGHEST_STRENGTH:g}, such as 0.8."
        )
    return decimal_text(value)
