"""Over which prompts and seeds to compare, and how many images that takes, said before the click."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import streamlit as st

from core import wishes
from core.errors import EpochwatchError
from core.formats.prompt_suite import read_suite_text
from core.formats.prompt_weights import escape
from core.formats.seed_text import read_seeds
from core.nouns import BLEEDING, Suite
from core.settings import shared_settings
from core.wishes import Ahead
from dashboard.parts import safe
from dashboard.reads import Reads

_OWN, _KINDS = "The run's prompts", "Categories"
_MOST = 60_000  # characters


@dataclass(frozen=True, kw_only=True)
class Over:
    """What is compared over; nothing named is all of the suite, with its own seeds."""

    prompts: tuple[str, ...] = ()  # in the suite's order
    seeds: tuple[int, ...] = ()
    suite: Suite | None = None  # in place of the run's own


def choose(reads: Reads, run_id: int) -> Over | None:
    """Let a person choose; None while something cannot be read, which the page then says."""
    suite = reads.ask(wishes.suite_of, run_id)
    if suite is None:
        return Over()
    whose = st.radio("Over", (_OWN, _KINDS), horizontal=True, key="compare-over")
    try:
        return _of_kinds(suite, run_id) if whose == _KINDS else _of_own(suite, run_id)
    except EpochwatchError as trouble:
        st.error(safe.markdown(trouble))
        return None


def _of_kinds(own: Suite, run_id: int) -> Over:
    """Return prompts by category: the template, with what a person has put in its place."""
    text = st.text_area(
        "Prompts by category (TOML)",
        value=_template(own),
        height=300,
        max_chars=_MOST,
        key=f"compare-kinds-{run_id}",
        help="Put your own categories in place of these; any suite in TOML can be pasted here. They "
        "are drawn as the run's own prompts are.",
    )
    st.caption(
        "The vote tells each category by itself and names the weak ones; from ten clear votes on a "
        "category is called weak or passed."
    )
    read = read_suite_text(text, "categories", shared_settings().embeddings)
    return Over(suite=read.suite)


@cache
def _categories() -> str:
    return files("core.formats").joinpath("categories.toml").read_text(encoding="utf-8")


def _template(own: Suite) -> str:
    """Return the template with the run's trigger word, where it is known."""
    trigger = next((prompt.trigger for prompt in own.prompts if prompt.trigger), None)
    _, mark, body = _categories().partition('name = "categories"\n')
    if trigger is not None:
        said = json.dumps(escape(trigger), ensure_ascii=False)  # TOML has no halves of characters
        body = re.sub(r"^prefix = .*", lambda _: f"prefix = {said}", body)
    return mark + body


def _of_own(suite: Suite, run_id: int) -> Over:
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
    chosen = tuple(prompt.name for prompt in suite.prompts if prompt.name in picked)
    return Over(prompts=() if set(chosen) == set(usual) else chosen, seeds=read_seeds(text))


def ahead(reads: Reads, run_id: int, slots: Sequence[str], over: Over) -> str:
    """Return how many images have to be drawn, or why it cannot be compared, as Markdown."""
    try:
        found = reads.ask(
            wishes.images_ahead, run_id, tuple(slots), over.prompts, over.seeds, over.suite
        )
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
