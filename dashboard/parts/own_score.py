"""Scoring an epoch oneself: its images are looked at first, the machine's score comes after.

Until a person's score is in, the machine's is not shown here, and on request nowhere on the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from statistics import fmean
from typing import Any

import streamlit as st

from core.errors import EpochwatchError
from core.nouns import EpochScore
from core.store.gallery import Advice, EpochResult, PersonScore, Picture, RunLine
from dashboard import accounts, writes
from dashboard.link import Away
from dashboard.parts import links, safe, sheet, who, words
from dashboard.parts.safe import Html, fill, join

_HIDE = "hide-machine"
_KEPT = {"position", "num_test_images"}  # of an epoch whose score is hidden


def judge() -> str:
    """Return who is scoring: the account that is signed in, else what this browser has said."""
    if account := accounts.current():
        return account.address
    return str(st.session_state.get("judge") or "").strip()


def is_hiding() -> bool:
    """Tell whether the machine's scores are hidden on the whole page."""
    return bool(st.session_state.get(_HIDE))


def _mine(people: Sequence[PersonScore]) -> set[int]:
    return {each.position for each in people if each.judge == judge()}


def without_machine(
    results: Sequence[EpochResult], people: Sequence[PersonScore]
) -> tuple[EpochResult, ...]:
    """Return the results without what the machine says of positions that one has not scored."""
    if not is_hiding():
        return tuple(results)
    blank: dict[str, Any] = {
        each.name: None for each in fields(EpochResult) if each.name not in _KEPT
    }
    own = _mine(people)
    return tuple(each if each.position in own else replace(each, **blank) for each in results)


def pictures_without_machine(
    pictures: Sequence[Picture], people: Sequence[PersonScore]
) -> tuple[Picture, ...]:
    """Return the pictures without scores where one has not scored their position."""
    if not is_hiding():
        return tuple(pictures)
    own = _mine(people)
    return tuple(
        each
        if each.position in own
        else replace(each, visual=None, style=None, prompt=None, composite=None)
        for each in pictures
    )


def advice_or_none(advice: Advice | None) -> Advice | None:
    """Return the advice, which rests on the machine's scores, unless they are hidden."""
    return None if is_hiding() else advice


def machine_score(pictures: Sequence[Picture], position: int) -> EpochScore | None:
    """Return what the machine makes of a position's pictures; None while it has no score."""
    own = [each for each in pictures if each.position == position]
    means = {
        name: fmean(values) if (values := _present(own, name)) else None
        for name in ("visual", "style", "prompt", "composite")
    }
    score = EpochScore(position=position, images=len(own), **means)
    return score if score.average is not None else None


def _present(pictures: Sequence[Picture], name: str) -> list[float]:
    return [value for each in pictures if (value := getattr(each, name)) is not None]


def beside(own: PersonScore, machine: EpochScore | None) -> Html:
    """Return a person's score beside the machine's, with the difference."""
    parts = [
        (name, getattr(own, name), getattr(machine, name) if machine else None)
        for name in ("visual", "style", "prompt", "average")
    ]
    lines: list[tuple[object, ...]] = [
        (
            name,
            words.score(theirs),
            words.score(its),
            "\u2013" if its is None else f"{theirs - its:+.1f}",
        )
        for name, theirs, its in parts
    ]
    return sheet.table(("", "you", "the machine", "difference"), lines, kind="ew-numbers")


def look(pictures: Sequence[Picture]) -> Html:
    """Return a position's pictures with their prompts and without any score."""
    figures = (
        fill(
            '<figure><a class="ew-pic" href="{large}" target="_blank" rel="noopener">'
            '<img src="{thumb}" loading="lazy" width="96" height="96" alt="{name}"></a>'
            '<figcaption title="{prompt}">{name}<br>{prompt}</figcaption></figure>',
            large=links.original(each.image_sha256),
            thumb=links.thumb(each.image_sha256),
            name=each.prompt_name,
            prompt=each.prompt_text,
        )
        for each in pictures
        if each.image_sha256 is not None
    )
    return fill('<div class="ew-wall">{figures}</div>', figures=join(figures))


def show(
    run: RunLine,
    pictures: Sequence[Picture],
    people: Sequence[PersonScore],
    *,
    unit: str,
    pick: int | None,
) -> None:
    """Show a position's images, take a score of it, and only then show the machine's beside it."""
    positions = sorted({each.position for each in pictures if each.position is not None})
    if not positions:
        sheet.put(sheet.empty("There is nothing to score yet."))
        return
    first, second = st.columns(2)
    at = first.selectbox(
        unit,
        positions,
        index=positions.index(pick) if pick in positions else len(positions) - 1,
        key=f"score-at-{run.id}",
    )
    who.box(key="judge", place=second)
    st.toggle("Hide the machine's scores on this page until mine are in", key=_HIDE)
    sheet.put(look([each for each in pictures if each.position == at]))
    own = next((each for each in people if (each.position, each.judge) == (at, judge())), None)
    if own is None:
        if said := accounts.hindrance("voter"):
            sheet.put(sheet.note(said))
            return
        st.caption("The machine's score stays hidden here until yours is in.")
        _form(run, at)
        return
    st.caption(f"Yours stands beside the machine's score of {unit} {at}, and comes first.")
    sheet.put(beside(own, machine_score(pictures, at)))
    with st.expander("Change your score"):
        _form(run, at)


def _form(run: RunLine, at: int) -> None:
    with st.form(f"score-{run.id}-{at}", clear_on_submit=False, border=False):
        visual, style, prompt = (
            column.slider(word, 0.0, 10.0, 7.0, 0.5, format="%.1f")
            for column, word in zip(
                st.columns(3), ("Visual quality", "Style match", "Prompt adherence"), strict=True
            )
        )
        note = st.text_area("Note", max_chars=2000, height=80)
        if st.form_submit_button("Log this score"):
            _log(
                writes.Score(
                    run_id=run.id,
                    position=at,
                    judge=judge(),
                    visual=visual,
                    style=style,
                    prompt=prompt,
                    note=note,
                )
            )


def _log(score: writes.Score) -> None:
    if not score.judge:
        st.warning("Say who you are, so that your scores stay yours.")
        return
    try:
        writes.log_score(score)
    except Away:
        st.error("Not saved: the database is away. Try again when the line above is gone.")
    except EpochwatchError as trouble:
        st.error(safe.markdown(trouble))
    else:
        st.rerun()
