"""The look of every page, and the only place where markup of our own reaches the browser."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import streamlit as st

from dashboard.parts.safe import Html, fill, join
from dashboard.parts.words import Said

STYLE = Path(__file__).with_name("sheet.css")


@cache
def _style() -> Html:
    return Html(f"<style>{STYLE.read_text(encoding='utf-8')}</style>")


def dress() -> None:
    """Put the style sheet on the page."""
    st.html(_style())


def put(markup: Html) -> None:
    """Put escaped markup on the page."""
    st.html(markup)


def heading(words: str, aside: object = "") -> Html:
    """Return the heading of a section with a quiet remark beside it."""
    return fill('<h2 class="ew-h">{words} <small>{aside}</small></h2>', words=words, aside=aside)


def notice(said: Said) -> Html:
    """Return a line that says why something does not move."""
    return fill(
        '<p class="ew-notice ew-{tone}" role="status"><b>{words}</b> {detail}</p>',
        tone=said.tone,
        words=said.words,
        detail=said.detail,
    )


def note(words: str) -> Html:
    """Return a quiet sentence that says how to read what follows."""
    return fill('<p class="ew-quiet">{words}</p>', words=words)


def doubts(sentences: Sequence[str]) -> Html:
    """Return what may make a test mislead, one sentence or more, folded."""
    lines = join(fill("<li>{sentence}</li>", sentence=sentence) for sentence in sentences)
    return fill(
        '<details class="ew-doubts"><summary>Before you trust this test: {count}</summary>'
        "<ul>{lines}</ul></details>",
        count="one thing to know" if len(sentences) == 1 else f"{len(sentences)} things to know",
        lines=lines,
    )


def state(said: Said) -> Html:
    """Return a state in words with its lamp."""
    return fill(
        '<span class="ew-state ew-{tone}"><i></i><b>{words}</b> <span>{detail}</span></span>',
        tone=said.tone,
        words=said.words,
        detail=said.detail,
    )


def empty(words: str, commands: tuple[tuple[str, str], ...] = ()) -> Html:
    """Return what stands where there is nothing yet: a sentence, and what to type."""
    lines = (
        fill(
            "<li><code>{command}</code> <span>{meaning}</span></li>",
            command=command,
            meaning=meaning,
        )
        for command, meaning in commands
    )
    return fill(
        '<div class="ew-empty"><p>{words}</p><ul>{lines}</ul></div>', words=words, lines=join(lines)
    )


def table(head: tuple[object, ...], lines: list[tuple[object, ...]], *, kind: str = "") -> Html:
    """Return a table; cells are text unless they are markup of ours."""
    top = join(fill("<th>{cell}</th>", cell=cell) for cell in head)
    body = join(
        fill("<tr>{cells}</tr>", cells=join(fill("<td>{cell}</td>", cell=cell) for cell in line))
        for line in lines
    )
    return fill(
        '<div class="ew-scroll" tabindex="0"><table class="ew-table {kind}">'
        "<thead><tr>{top}</tr></thead>"
        "<tbody>{body}</tbody></table></div>",
        kind=kind,
        top=top,
        body=body,
    )
