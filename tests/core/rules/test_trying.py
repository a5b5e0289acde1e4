"""A prompt of one's own: read like a suite's, limited, and asked for once."""

from __future__ import annotations

import pytest

from core.errors import Fixable
from core.nouns import Recipe, Slot, Stack
from core.rules.trying import LONGEST, is_try, try_body, try_origin, what_to_try

BASE = Slot(label="base", stack=Stack(base_sha256="b" * 64))
RECIPE = Recipe(negative="blurry")


def _body(prompt: str = "a punk, pink hair", **cells: object) -> dict[str, object]:
    asked: dict[str, object] = {
        "slots": [BASE], "prompt": prompt, "negative": "", "seed": 7, "recipe": RECIPE,
        "profile": None, **cells,
    }  # fmt: skip
    return try_body(**asked)  # type: ignore[arg-type]


def test_a_try_becomes_one_prompt_with_its_own_recipe() -> None:
    """Text, seed and negative are the person's; what the text promises is measured."""
    body = _body("a punk, pink hair,\n green background", negative="grey")
    assert is_try(body)
    assert not is_try({"suite": "x", "slots": []})
    prompt, recipe = what_to_try(body)
    assert (prompt.text, prompt.seeds) == ("a punk, pink hair, green background", (7,))
    assert prompt.expect.background == "green"
    assert (recipe.negative, recipe.steps) == ("grey", RECIPE.steps)


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("", "Write a prompt first"),
        ("  \x00\n ", "Write a prompt first"),
        ("x" * (LONGEST + 1), "1500 are read at most"),
        ("a <lora:other:1> punk", "names a network"),
        ("a __colors__ punk", "names a wildcard"),
        ("a __{a|b}__ punk", "names a wildcard"),
        ("a (punk", "not understood"),
        ("a BREAK b BREAK c BREAK d", "2 BREAKs at most"),
    ],
)
def test_what_cannot_be_drawn_is_told(prompt: str, words: str) -> None:
    """The same parser as a suite's, with limits of its own; nothing on the disk is looked for."""
    with pytest.raises(Fixable, match=words):
        _body(prompt)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"slots": []}, "at least one model"),
        ({"slots": [BASE, BASE]}, "same weights"),
        (
            {"slots": [Slot(label=str(n), stack=Stack(base_sha256=str(n) * 64)) for n in range(5)]},
            "At most 4",
        ),
        ({"seed": -1}, "whole number"),
        ({"seed": 2**63}, "whole number"),
        ({"negative": "x" * (LONGEST + 1)}, "negative prompt has"),
    ],
)
def test_limits_are_told(cells: dict[str, object], words: str) -> None:
    """None, too many, the same twice, a seed no generator takes."""
    with pytest.raises(Fixable, match=words):
        _body(**cells)


def test_the_same_try_is_one_and_a_failed_one_is_begun_anew() -> None:
    """The title is in no key; BREAK asks for more tokens."""
    assert try_origin(_body()) == try_origin({**_body(), "title": "other"})
    assert try_origin(_body()) != try_origin(_body(seed=8))
    assert try_origin(_body(), 1) == f"{try_origin(_body())}/1"
    assert what_to_try(_body("a BREAK b"))[1].token_length == 150
