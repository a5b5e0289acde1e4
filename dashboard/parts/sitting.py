"""The way into a sitting: who votes, how many votes, and what becomes of one that is open already."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from core.errors import EpochwatchError
from core.store.comparisons import ComparisonLine
from core.store.voting import Session
from dashboard import accounts, ballots, writes
from dashboard.parts import outage, sheet, who
from dashboard.parts.words import Said


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a judge asked for by pressing Vote."""

    judge: str
    blind: bool
    budget: int | None


def enter(line: ComparisonLine) -> bool:
    """Show the way into a sitting on a comparison; say whether it waits for how to go on."""
    sheet.put(
        sheet.heading(
            line.title,
            "two pictures of one prompt and seed at a time; which is which stays hidden "
            "until you end",
        )
    )
    if said := accounts.hindrance("voter"):
        sheet.put(sheet.note(said))
        return False
    asked = _form(line)
    if asked is not None:
        st.session_state.pop(_kept(line), None)
        _press(line, asked)
    elif _kept(line) in st.session_state:
        _offer(line, st.session_state[_kept(line)])
    return _kept(line) in st.session_state


def _form(line: ComparisonLine) -> Wish | None:
    with st.form(f"enter-{line.id}", border=False):
        first, second, third, fourth = st.columns(
            [3, 2, 2, 2], vertical_alignment="bottom", gap="small"
        )
        name = who.box(key=f"judge-{line.id}", value=st.session_state.get("judge", ""), place=first)
        budget = second.number_input(
            "Votes to give (0: as many as I like)", 0, 10_000, 0, step=10, key=f"budget-{line.id}"
        )
        shown = third.toggle("Show names (not blind)", key=f"seen-{line.id}")
        pressed = fourth.form_submit_button("Vote", type="primary", width="stretch")
    return (
        Wish(judge=name.strip(), blind=not shown, budget=int(budget) or None) if pressed else None
    )


def _press(line: ComparisonLine, wish: Wish) -> None:
    """Begin, unless an open sitting would go on that was begun in another way."""
    if not wish.judge:
        st.warning("Say who you are, so that your votes stay yours.")
        return
    try:
        before = writes.open_sitting(line.id, wish.judge)
    except EpochwatchError as trouble:
        outage.say_why(trouble, "Not begun")
        return
    if before is None or (before.blind, before.budget) == (wish.blind, wish.budget):
        _begin(line, wish)
        return
    st.session_state[_kept(line)] = wish, before
    _offer(line, (wish, before))


def _offer(line: ComparisonLine, kept: tuple[Wish, Session]) -> None:
    wish, before = kept
    sheet.put(
        sheet.notice(
            Said(
                tone="warn",
                words=f"You have an open sitting here: {_how(before.blind, before.budget)}.",
                detail="To begin anew ends it; its votes stay.",
            )
        )
    )
    with st.container(horizontal=True):
        on = st.button("Go on with it", type="primary", key=f"on-{before.id}")
        anew = st.button(f"Begin anew: {_how(wish.blind, wish.budget)}", key=f"anew-{before.id}")
    if on or anew:
        del st.session_state[_kept(line)]
        _begin(line, wish, anew=anew)


def _how(blind: bool, budget: int | None) -> str:  # noqa: FBT001 - as a sitting keeps it
    votes = "as many votes as you like" if budget is None else f"{budget} votes"
    return f"{'blind' if blind else 'names shown'}, {'1 vote' if budget == 1 else votes}"


def _begin(line: ComparisonLine, wish: Wish, *, anew: bool = False) -> None:
    try:
        session = writes.begin_sitting(
            line.id, wish.judge, blind=wish.blind, budget=wish.budget, anew=anew
        )
    except EpochwatchError as trouble:
        outage.say_why(trouble, "Not begun")
        return
    st.session_state["judge"] = session.judge
    st.query_params["id"] = str(line.id)
    st.query_params["sitting"] = f"{session.id}-{ballots.ticket(session.id)}"
    st.rerun()


def _kept(line: ComparisonLine) -> str:
    return f"wish-{line.id}"
