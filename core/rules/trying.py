"""Trying a model out: one prompt of a person's own, drawn by up to four slots side by side.

What is typed is foreign text: it is limited, cleaned and read by the parser of test suites.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from core.errors import Fixable
from core.formats.prompt_expansion import PromptReader
from core.formats.prompt_text import expectation_from_text
from core.formats.prompt_weights import CHUNK, prompt_chunks
from core.nouns import Expectation, Prompt, Recipe, Slot, digest
from core.rules.comparing import wanted_bases

LONGEST = 1500  # characters of a prompt
MOST_SLOTS = 4
MOST_CHUNKS = 3  # what trainers know: 225 tokens
LARGEST_SEED = 2**63 - 1
TRY_PRIORITY = 200  # somebody waits in front of the page: before everything else
NAME = "try"


def try_body(
    *,
    slots: Sequence[Slot],
    prompt: str,
    negative: str,
    seed: int,
    recipe: Recipe,
    profile: str | None,
) -> dict[str, Any]:
    """Return the body of a try's grid: its slots, the checked prompt, the seed and the recipe.

    ``recipe`` is what the run is tested with; ``negative`` takes the place of its own.

    Raises:
        Fixable: when there is nothing to draw, too much of it, or a prompt that is not understood.
    """
    if not slots:
        raise Fixable("Choose at least one model to draw with.")
    if len(slots) > MOST_SLOTS:
        raise Fixable(f"At most {MOST_SLOTS} models can be tried side by side, not {len(slots)}.")
    if len({slot.key for slot in slots}) < len(slots):
        raise Fixable("Two of these are the same weights at the same strength: choose others.")
    if not 0 <= seed <= LARGEST_SEED:
        raise Fixable("A seed is a whole number from 0.")
    text, against = _checked(prompt, "prompt"), _checked(negative, "negative prompt")
    if not text:
        raise Fixable("Write a prompt first.")
    chunks = max(len(prompt_chunks(each)) for each in (text, against))
    if chunks > MOST_CHUNKS:
        raise Fixable(f"A prompt may have {MOST_CHUNKS - 1} BREAKs at most, not {chunks - 1}.")
    length = max(recipe.token_length, CHUNK * chunks)
    wanted = replace(recipe, negative=against, token_length=length)
    return {
        "title": text if len(text) <= 80 else f"{text[:79]}\u2026",
        "slots": [slot.as_json() for slot in slots],
        "prompt": text,
        "seed": seed,
        "recipe": wanted.as_json(),
        "expect": expectation_from_text(text).as_json(),
        "profile": profile,
        **wanted_bases(slots),
    }


def try_origin(body: Mapping[str, Any], attempt: int = 0) -> str:
    """Return the origin that makes the same try asked for twice one; an attempt after a failure is new."""
    named = digest({name: body[name] for name in body if name != "title"})
    return f"try/{named}" + (f"/{attempt}" if attempt else "")


def is_try(body: Mapping[str, Any]) -> bool:
    """Tell whether a grid's body has a prompt of its own instead of a suite's."""
    return "prompt" in body


def what_to_try(body: Mapping[str, Any]) -> tuple[Prompt, Recipe]:
    """Return the one prompt of a try's body, and the recipe it is drawn with."""
    prompt = Prompt(
        name=NAME,
        text=body["prompt"],
        category=NAME,
        seeds=(body["seed"],),
        expect=Expectation.from_json(body["expect"]),
    )
    return prompt, Recipe(**body["recipe"])


def _checked(text: str, name: str) -> str:
    """Return what was typed on one line, expanded and understood."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if len(line) > LONGEST:
        raise Fixable(f"The {name} has {len(line)} characters; {LONGEST} are read at most.")
    try:
        return PromptReader(folder=None).read(line, name=name)
    except Fixable as trouble:
        raise Fixable(f"The {name} is not understood: {trouble}.") from None
