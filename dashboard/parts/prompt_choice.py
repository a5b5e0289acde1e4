"""Over which prompts and seeds to compare, and how many images that takes, said before the click."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from core import wishes
from core.errors import EpochwatchError
from core.formats.seed_text import read_seeds
from core.nouns import BLEEDING, Suite
from core.wishes import Ahead
from dashboard.parts import safe
from dashboard.reads import Reads


@dataclass(frozen=True, kw_only=True)
class Over:
    """What is compared over; nothing named is all of the suite, with its own seeds."""

    prompts: tuple[str, ...] = ()  # in the suite's order
    seeds: tuple[int, ...] = ()


def choose(reads: Reads, run_id: int) -> Over | None:
    """Let a person choose; None while the seeds cannot be read, which the page then says."""
    suite = reads.ask(wishes.suite_of, run_id)
    if suite is None:
        return Over()
    usual = [prompt.name for prompt in suite.prompts if prompt.category != BLEEDING]
    first, second = st.columns([3, 2], gap="small")
    picked = first.multiselect(
        "Prompts",
        [prompt.name for prompt in suite.prompts],
        placeholder=f"All {len(usual)} of the suite",
        format_func=safe.plain,
        key=f"compare-prompts-{run_id}",
    )
    text = second.text_input(
        "Seeds, with commas",
        placeholder=f"The suite's: {_own_seeds(suite)}",
        max_chars=400,
        key="compare-seeds",
    )
    try:
        seeds = read_seeds(text)
    except EpochwatchError as trouble:
        st.error(safe.markdown(trouble))
        return None
    chosen = tuple(prompt.name for prompt in suite.prompts if prompt.name in picked)
    return Over(prompts=() if set(chosen) == set(usual) else chosen, seeds=seeds)


def ahead(reads: Reads, run_id: int, slots: Sequence[str], over: Over) -> str:
    """Return how many images have to be drawn, or why it cannot be compared, as Markdown."""
    try:
        found = reads.ask(wishes.images_ahead, run_id, tuple(slots), over.prompts, over.seeds)
    except EpochwatchError as trouble:
        return safe.markdown(trouble)
    return in_words(found)


def in_words(found: Ahead) -> str:
    """Return how many images have to be drawn, and how many are there."""
    if not found.missing:
        return f"All {found.wanted} images are there already: nothing has to be drawn."
    least = "At most " if found.at_most else ""
    verb = "has" if found.missing == 1 else "have"
    there = found.wanted - found.missing
    rest = f"; {there} {'is' if there == 1 else 'are'} there already" if there else ""
    return f"{least}{found.missing} of {found.wanted} images {verb} to be drawn{rest}."


def _own_seeds(suite: Suite) -> str:
    """Return the seeds that all prompts have, or that they differ."""
    found = {prompt.seeds for prompt in suite.prompts}
    seeds = ", ".join(map(str, next(iter(found)))) if len(found) == 1 else ""
    return seeds if seeds and len(seeds) <= 24 else "each prompt's own"
