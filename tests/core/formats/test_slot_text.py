"""Slots as people write them: read as meant, or refused with what to write."""

from __future__ import annotations

import pytest

from core.errors import Fixable
from core.formats.slot_text import read_slot, with_strengths
from core.nouns import SlotPart

READ = {
    "base": [SlotPart(run=None, what="base", strength=None)],
    "7": [SlotPart(run=None, what=7, strength=None)],
    "pick@0.8": [SlotPart(run=None, what="pick", strength="0.80")],
    " Production ": [SlotPart(run=None, what="production", strength=None)],
    "punk_v3:12@.5": [SlotPart(run="punk_v3", what=12, strength="0.50")],
    "a:b:3": [SlotPart(run="a:b", what=3, strength=None)],
    "7@1+palette:4@0.5": [
        SlotPart(run=None, what=7, strength="1.00"),
        SlotPart(run="palette", what=4, strength="0.50"),
    ],
}


@pytest.mark.parametrize("text", READ)
def test_slots_are_read_as_they_are_meant(text: str) -> None:
    """Epoch, pick, production, base, strength, other runs and sums."""
    assert list(read_slot(text)) == READ[text]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "seven",
        "7@",
        "7@x",
        "7@0",
        "7@9",
        "7+",
        "base+7",
        "+".join("1234567"),
        "run:",
        "-1",
        "7@1.2.3",
    ],
)
def test_what_is_no_slot_is_refused(text: str) -> None:
    """The error is for a person to repair."""
    with pytest.raises(Fixable):
        read_slot(text)


def test_a_sweep_leaves_alone_what_has_no_strength_of_its_own_to_vary() -> None:
    """The base model has none, and a strength that was written stays."""
    assert with_strengths(["base", "7", "8@0.5"], [0.6, 1.0]) == ("base", "7@0.6", "7@1", "8@0.5")
