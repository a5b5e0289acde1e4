"""Slots as people write them: read as meant, or refused with what to write."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from core.errors import Fixable
from core.formats.slot_text import MOST_LORAS, read_slot, with_strengths, write_slot
from core.nouns import SlotPart, decimal_text

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
    '"v2+a@b: c" : pick@0.5 + \'say "hi"\':4': [
        SlotPart(run="v2+a@b: c", what="pick", strength="0.50"),
        SlotPart(run='say "hi"', what=4, strength=None),
    ],
    r'"a \"b\" \\ c\d \u{a}":4': [SlotPart(run='a "b" \\ c\\d \n', what=4, strength=None)],
    "tom's_run:7": [SlotPart(run="tom's_run", what=7, strength=None)],
    '"7"run:7': [SlotPart(run='"7"run', what=7, strength=None)],
}
# Every sign that can stand in a database, those with a meaning here above all.
NAMES = some.text(
    some.sampled_from("+@:\"'\\ \n\r\t\u2028u{a}7") | some.characters(exclude_categories=["Cs"]),
    min_size=1,
    max_size=30,
).filter(lambda name: "\0" not in name)
PARTS = some.builds(
    SlotPart,
    run=some.none() | NAMES,
    what=some.integers(0, 999_999_999) | some.sampled_from(["pick", "production"]),
    strength=some.none() | some.integers(1, 400).map(lambda percent: decimal_text(percent / 100)),
)
BASE = some.builds(SlotPart, run=some.none() | NAMES, what=some.just("base"), strength=some.none())


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
        "7@0.001",
        '"v2+a:7',
        '"v2+a"7',
        '"v2":a:7',
        '"v2+a"',
    ],
)
def test_what_is_no_slot_is_refused(text: str) -> None:
    """The error is for a person to repair."""
    with pytest.raises(Fixable):
        read_slot(text)


@given(
    parts=some.lists(PARTS, min_size=1, max_size=MOST_LORAS).map(tuple) | some.tuples(BASE),
)
@example(parts=(SlotPart(run='7+"base":@\'\\u{a}\n', what=7, strength="0.50"),) * 2)
def test_what_is_written_is_read_back_equal(parts: tuple[SlotPart, ...]) -> None:
    """Whatever signs are in the name of a run, and on one line, as the page takes slots by lines."""
    text = write_slot(parts)
    assert read_slot(text) == parts
    assert len(text.splitlines()) == 1


def test_names_without_signs_of_ours_are_written_without_quotes() -> None:
    """What a person would type, where that is enough."""
    for text in ("base", "pick@0.80", "punk_v3.1-b:12", "7@1.00+palette:4@0.50"):
        assert write_slot(read_slot(text)) == text


def test_a_slot_that_is_refused_says_how_to_quote_a_run() -> None:
    """The usual reason is a sign in the name of a run."""
    with pytest.raises(Fixable, match='"RUN":7'):
        read_slot("v2+a:7")


def test_a_sweep_knows_a_sign_in_a_name_from_one_that_means_something() -> None:
    """Each is swept, whatever its run is called; the base model of another run is not."""
    slots = ['"v2+a@b":7', '"a+b":base', '"a@0.5":7@0.8']
    assert with_strengths(slots, [0.6]) == ('"v2+a@b":7@0.6', '"a+b":base', '"a@0.5":7@0.8')


def test_a_sweep_leaves_alone_what_has_no_strength_of_its_own_to_vary() -> None:
    """The base model has none, and a strength that was written stays."""
    assert with_strengths(["base", "7", "8@0.5"], [0.6, 1.0]) == ("base", "7@0.6", "7@1", "8@0.5")


ON = {
    "7@0.8 on dreamshaper_8": [
        SlotPart(run=None, what=7, strength="0.80", on="dreamshaper_8"),
    ],
    "base on owner/model": [SlotPart(run=None, what="base", strength=None, on="owner/model")],
    "7+palette:4@.5 ON Dream Shaper.safetensors ": [
        SlotPart(run=None, what=7, strength=None, on="Dream Shaper.safetensors"),
        SlotPart(run="palette", what=4, strength="0.50", on="Dream Shaper.safetensors"),
    ],
    '"v2+a":pick on \'my "+@" model\'': [
        SlotPart(run="v2+a", what="pick", strength=None, on='my "+@" model')
    ],
    # No base model: a run that is called so.
    '"7 on lights":3': [SlotPart(run="7 on lights", what=3, strength=None)],
    "turn 7 on lights:3": [SlotPart(run="turn 7 on lights", what=3, strength=None)],
}


@pytest.mark.parametrize("text", ON)
def test_another_base_model_stands_at_the_end_of_a_slot(text: str) -> None:
    """Its name is quoted as a run's is, and a run may be called as if it named one."""
    assert list(read_slot(text)) == ON[text]


@pytest.mark.parametrize(
    "text", ["7 on", "7 on ''", "7 on a@0.8", "7 on a+8", '7 on "a', "7 upon a"]
)
def test_a_base_model_that_cannot_be_told_from_the_rest_is_refused(text: str) -> None:
    """With a word on where it stands."""
    with pytest.raises(Fixable, match="on NAME"):
        read_slot(text)


@given(
    parts=some.lists(PARTS, min_size=1, max_size=MOST_LORAS)
    | some.lists(BASE, min_size=1, max_size=1),
    base=NAMES,
)
@example(parts=[SlotPart(run='x 7 on "b', what=7, strength=None)], base="z 7 on 'w'")
def test_a_slot_on_another_base_model_is_read_back_equal(parts: list[SlotPart], base: str) -> None:
    """Whatever the names of the runs and of the base model look like."""
    placed = tuple(replace(part, on=base) for part in parts)
    text = write_slot(placed)
    assert read_slot(text) == placed
    assert len(text.splitlines()) == 1


def test_a_sweep_on_another_base_model_varies_the_strength_and_keeps_the_model() -> None:
    """The strength belongs to the LoRA, which stands before it."""
    assert with_strengths(["7 on a_b", "base on a_b"], [0.6]) == ("7@0.6 on a_b", "base on a_b")
