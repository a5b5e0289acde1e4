"""The plan of a run on its page, and the text in which a person sets or changes it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

import streamlit as st

from core import plans
from core.errors import EpochwatchError
from core.formats.run_plan import RunPlan
from core.formats.run_plan_text import STARTER, plan_to_toml
from core.store.database import Connection
from core.store.gallery import PersonScore, Picture, RunLine
from dashboard import accounts, writes
from dashboard.parts import outage, own_score, plan, safe, sheet, who
from dashboard.reads import Reads

_MOST = 60_000  # characters
_OUTCOMES = {
    None: "This plan stands already: nothing was changed.",
    True: "Set. It is recorded that the run had results by then.",
    False: "Set, before any result.",
}


def plan_standing_of(connection: Connection, run_id: int) -> plans.Standing | None:
    """Return how a run's plan stands."""
    return plans.look(connection, run_id)


def plan_history_of(connection: Connection, run_id: int) -> tuple[plans.Registration, ...]:
    """Return every plan a run ever had, oldest first."""
    return plans.history(connection, run_id)


def show(
    reads: Reads, run: RunLine, pictures: Sequence[Picture], people: Sequence[PersonScore]
) -> None:
    """Show the plan and how it stands, or how to set one; below it, the text to change it."""
    if own_score.is_hiding():
        sheet.put(sheet.empty("Hidden until your scores are in: gates are judged by scores."))
        return
    history = reads.ask(plan_history_of, run.id)
    try:
        standing = reads.ask(plan_standing_of, run.id)
    except EpochwatchError as trouble:
        st.error(safe.markdown(trouble))
        standing = None
    if standing is not None:
        sheet.put(plan.section(standing, history, pictures, _judges(people)))
    elif not history:
        sheet.put(plan.empty(run.run_name))
    _editor(run, standing.plan if standing else None, history)


def _judges(people: Sequence[PersonScore]) -> dict[int, list[str]]:
    judges: dict[int, list[str]] = defaultdict(list)
    for each in people:
        judges[each.position].append(each.judge)
    return judges


def _editor(run: RunLine, now: RunPlan | None, history: Sequence[plans.Registration]) -> None:
    if accounts.hindrance("admin"):
        return
    stands = history[-1].digest[:12] if history else "none"
    with st.expander("Change the plan" if history else "Write a plan"):
        text = st.text_area(
            "Plan (TOML)",
            value=plan_to_toml(now) if now else STARTER,
            height=320,
            max_chars=_MOST,
            key=f"plan-text-{run.id}-{stands}",
            help="docs/plans.md has every key. A plan that is changed is kept in the history.",
        )
        by_whom = who.box(key="judge-plan")
        with st.container(horizontal=True):
            asked = st.button("Check", key="plan-check")
            wanted = st.button("Set this plan", key="plan-set", type="primary")
        if asked or wanted:
            _take(run, text, by_whom.replace("\x00", "").strip(), is_set=wanted)


def _take(run: RunLine, text: str, by_whom: str, *, is_set: bool) -> None:
    try:
        read = plans.read_text(text, name=f"plan of {run.run_name}")
    except EpochwatchError as trouble:
        sentence, _, rest = str(trouble).partition(" Please correct: ")
        sheet.put(plan.problems(sentence, re.split(r"; (?=line \d+: )", rest)))
        return
    if not is_set:
        sheet.put(plan.understood(read.gates))
        return
    if not by_whom:
        st.warning("Say who you are: the history tells who set which plan.")
        return
    try:
        late = writes.set_plan(run.id, read, by_whom=by_whom)
    except EpochwatchError as trouble:
        outage.say_why(trouble, "Not saved")
    else:
        st.toast(_OUTCOMES[late])
