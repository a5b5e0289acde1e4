"""The compare view: epochs, strengths, stacks, the base model and production side by side."""

from __future__ import annotations

import streamlit as st

from core.errors import EpochwatchError
from core.formats.slot_text import write_slot
from core.nouns import SlotPart, decimal_text
from core.store import comparisons, gallery
from core.store.comparisons import Comparison, ComparisonLine
from dashboard import accounts, writes
from dashboard.parts import (
    beat,
    curtain,
    links,
    outage,
    prompt_choice,
    remember,
    safe,
    sheet,
    side_by_side,
    trying,
    wall,
    who,
)
from dashboard.parts.prompt_choice import Over
from dashboard.parts.words import Said
from dashboard.reads import Reads, shared_reads

_ONE_OF_SOME = (
    "Pick against the base",
    "Pick at three strengths",
    "Two best epochs",
    "Pick against production",
    "Pick with another LoRA",
    "My own choice",
)


@st.fragment(key="compare-sheet")
@outage.guarded
def page_body() -> None:
    """Show one comparison, the newest first; reruns by itself whenever something has changed."""
    reads = shared_reads()
    beat.listen(outage.state(reads), key="compare-beat")
    lines = reads.ask(comparisons.comparisons)
    made = _chosen(reads, lines)
    if made is not None:
        _show(reads, made)
    elif lines:
        sheet.put(sheet.empty("There is no such comparison."))
    else:
        sheet.put(
            sheet.empty(
                "Nothing is compared yet. Make a comparison below, or on the command line:",
                (("epochwatch compare base pick --run NAME", "the pick beside the base model"),),
            )
        )


def _chosen(reads: Reads, lines: tuple[ComparisonLine, ...]) -> Comparison | None:
    if not lines:
        return None
    asked = st.query_params.get("id", "")
    by_id = {line.id: line for line in lines}
    current = links.number(asked) or 0 if asked.isdecimal() else lines[0].id
    if current not in by_id:
        return None
    picked = st.selectbox(
        "Comparison",
        list(by_id),
        index=list(by_id).index(current),
        key=f"comparison-{current}",
        format_func=lambda at: safe.plain(f"{at}  {by_id[at].title}"),
        on_change=remember.chosen,
        args=("id", f"comparison-{current}"),
        label_visibility="collapsed",
    )
    return reads.ask(comparisons.comparison, picked)


def _show(reads: Reads, made: Comparison) -> None:
    sheet.put(sheet.heading(made.title, side_by_side.progress(made)))
    if side_by_side.is_to_come(made) and (said := _hindrance(reads, made)):
        sheet.put(sheet.notice(said))
    if curtain.is_drawn(reads, made.id):
        return
    if made.units:
        if made.drawn and st.button("Vote on it", key=f"vote-on-{made.id}"):
            st.switch_page("views/vote.py", query_params={"id": str(made.id)})
        sheet.put(side_by_side.best_line(made))
        wall.show(side_by_side.grid(made), key="compare-wall")
    else:
        sheet.put(sheet.empty("The images appear here as they are drawn."))


def _hindrance(reads: Reads, made: Comparison) -> Said | None:
    """Return why what is missing is not drawn now; None when a machine at work can."""
    facts = reads.ask(gallery.run, made.run_id) if made.run_id is not None else None
    said = trying.hindrance(reads.ask_anew(gallery.hosts), (facts or {}).get("base_sha256"))
    lines = reads.ask(comparisons.comparisons)
    why = next((line.waiting_reason for line in lines if line.id == made.id), None)
    return said or (Said(tone="warn", words="The rest waits.", detail=why) if why else None)


@st.fragment
@outage.guarded
def making() -> None:
    """Let a person ask for a comparison."""
    reads = shared_reads()
    runs = [run for run in reads.ask(gallery.runs) if run.checkpoints]
    if not runs:
        return
    with st.expander("New comparison"):
        if said := accounts.hindrance("admin"):
            sheet.put(sheet.note(said))
            return
        by_id = {run.id: run for run in runs}
        run_id = st.selectbox(
            "Run",
            list(by_id),
            format_func=lambda at: safe.plain(by_id[at].run_name),
            key="compare-run",
        )
        kind = st.radio("What", _ONE_OF_SOME, horizontal=True, key="compare-kind")
        slots = _slots(reads, run_id, kind)
        over = prompt_choice.choose(reads, run_id)
        if over is not None:
            st.caption(prompt_choice.ahead(reads, run_id, slots, over))
        judge = who.box(key="judge-compare")
        if st.button("Compare", type="primary", key="compare-go") and over is not None:
            _ask(run_id, slots, over, judge.strip())


def _slots(reads: Reads, run_id: int, kind: str) -> list[str]:
    advice = reads.ask(gallery.advice, run_id)
    if kind == "Pick against the base":
        return ["base", "pick"]
    if kind == "Pick at three strengths":
        return ["base", "pick@0.6", "pick@0.8", "pick@1.0"]
    if kind == "Two best epochs":
        chances = (advice.body.get("p_best") or {}) if advice else {}
        return sorted(chances, key=lambda place: -chances[place])[:2]
    if kind == "Pick against production":
        return ["production", "pick"]
    if kind == "Pick with another LoRA":
        return _with_another(reads, run_id)
    positions = sorted(
        {line.position for line in reads.ask(gallery.checkpoints, run_id) if line.position}
    )
    chosen = st.multiselect(
        "Slots", ["base", "production", *map(str, positions)], key="compare-slots"
    )
    own = st.text_area(
        "More slots, one a line",
        placeholder='7@0.8\n7+palette:4@0.5\n7 on dreamshaper_8\nother_run:12\n"a run: v2+a":12',
        max_chars=400,
        height=100,
        key="compare-own",
    )
    return [*chosen, *(line.strip() for line in own.splitlines() if line.strip())]


def _with_another(reads: Reads, run_id: int) -> list[str]:
    """Return the pick alone and with the pick of another run at rising strengths."""
    others = [run for run in reads.ask(gallery.runs) if run.checkpoints and run.id != run_id]
    if not others:
        sheet.put(sheet.empty("There is no other run whose LoRA could be merged in."))
        return ["pick"]
    by_id = {run.id: run for run in others}
    other = st.selectbox(
        "The other LoRA",
        list(by_id),
        format_func=lambda at: safe.plain(f"{by_id[at].run_name}, its pick"),
        key="compare-other",
    )
    pick = SlotPart(run=None, what="pick", strength=None)
    merged = [
        SlotPart(run=by_id[other].run_name, what="pick", strength=decimal_text(at))
        for at in (0.3, 0.5, 0.8)
    ]
    return ["pick", *(write_slot([pick, part]) for part in merged)]


def _ask(run_id: int, slots: list[str], over: Over, judge: str) -> None:
    try:
        made = writes.compare(
            run_id,
            slots,
            judge or "somebody",
            prompts=over.prompts,
            seeds=over.seeds,
            suite=over.suite,
        )
    except EpochwatchError as trouble:
        outage.say_why(trouble, "Not asked for")
    else:
        st.query_params["id"] = str(made)
        st.rerun()


outage.line()
page_body()
making()
