"""The run view: one run, its pictures by prompt and epoch, and every number behind the advice."""

from __future__ import annotations

from datetime import UTC, datetime

import streamlit as st

from core.errors import EpochwatchError
from core.store import gallery
from core.store.costs import run_costs
from dashboard import writes
from dashboard.link import Away
from dashboard.parts import (
    beat,
    charts,
    cost,
    headline,
    outage,
    safe,
    sheet,
    standing,
    tables,
    wall,
)
from dashboard.reads import Reads, current_run, shared_reads


def _remember(key: str) -> None:
    st.query_params["run"] = str(st.session_state[key])


def chosen(runs: tuple[gallery.RunLine, ...]) -> gallery.RunLine | None:
    """Return the run of the address, else the current one; show the list to choose from."""
    asked = st.query_params.get("run", "")
    by_id = {run.id: run for run in runs}
    current = by_id.get(int(asked)) if asked.isdecimal() else current_run(runs)
    if current is None:
        return None
    picked = st.selectbox(
        "Run",
        list(by_id),
        index=list(by_id).index(current.id),
        key=f"run-{current.id}",
        format_func=lambda at: safe.plain(
            f"{by_id[at].run_name}  ({by_id[at].status.replace('_', ' ')})"
        ),
        on_change=_remember,
        args=(f"run-{current.id}",),
        label_visibility="collapsed",
    )
    return by_id[picked]


@st.fragment(key="run-sheet")
@outage.guarded
def page_body() -> None:
    """Show the run; reruns by itself whenever something has changed."""
    reads = shared_reads()
    beat.listen(outage.state(reads), key="run-beat")
    run = chosen(reads.ask(gallery.runs))
    if run is None:
        sheet.put(
            sheet.empty(
                "There is no such run." if st.query_params.get("run") else "There are no runs yet."
            )
        )
        return
    facts, lines = reads.ask(gallery.run, run.id) or {}, reads.ask(gallery.checkpoints, run.id)
    advice = reads.ask(gallery.advice, run.id)
    results = reads.ask(gallery.epochs, run.id)
    stands = standing.of_run(facts, advice, reads.ask(gallery.work, run.id), lines, results)
    sheet.put(headline.markup(run.run_name, standing.progress(facts, lines, run.scored), stands))
    if facts.get("doubts"):
        sheet.put(sheet.doubts(facts["doubts"]))
    _evidence(reads, run, advice)


def _evidence(reads: Reads, run: gallery.RunLine, advice: gallery.Advice | None) -> None:
    unit = run.position_unit or "epoch"
    results, people = reads.ask(gallery.epochs, run.id), reads.ask(gallery.person_scores, run.id)
    pick = (
        advice.body.get("pick")
        if advice
        else next((each.position for each in results if each.picked), None)
    )
    progress = charts.progress_of(results, people, advice, unit)
    if progress.averages:
        charts.show(progress, key="run", height=220)
    _grid(reads, run, pick)
    _numbers(reads, run, pick)
    sheet.put(cost.section(reads.ask(run_costs, run.id)))


def _grid(reads: Reads, run: gallery.RunLine, pick: int | None) -> None:
    unit = run.position_unit or "epoch"
    pictures, results = reads.ask(gallery.pictures, run.id), reads.ask(gallery.epochs, run.id)
    sheet.put(
        sheet.heading(
            "Prompts by epochs" if unit == "epoch" else "Prompts by steps",
            "same prompt, same seed; click for the original, arrow keys to move",
        )
    )
    if pictures:
        by_position = {each.position: each for each in results}
        wall.show(wall.grid(run.id, pictures, by_position, unit=unit, pick=pick), key="run-wall")
    else:
        sheet.put(sheet.empty("No images yet: they appear here as they are drawn."))


def _numbers(reads: Reads, run: gallery.RunLine, pick: int | None) -> None:
    unit = run.position_unit or "epoch"
    results, people = reads.ask(gallery.epochs, run.id), reads.ask(gallery.person_scores, run.id)
    scores, metrics, weak, parameters, files, own = st.tabs(
        [
            "Scores",
            "Metrics and issues",
            "Weak spots",
            "Parameters",
            "Checkpoints",
            "Log your score",
        ]
    )
    with scores:
        _or_nothing(results, tables.scores(results, people, unit=unit, pick=pick))
        sheet.put(tables.legend())
    with metrics:
        _or_nothing(results, tables.metrics(results, unit=unit))
    with weak:
        sheet.put(tables.weak_spots(reads.ask(gallery.pictures, run.id), pick, unit))
    with parameters:
        facts = reads.ask(gallery.run, run.id)
        sheet.put(tables.parameters(facts or {}))
    with files:
        sheet.put(tables.checkpoints(reads.ask(gallery.checkpoints, run.id), datetime.now(UTC)))
    with own:
        _form(run, [each.position for each in results], unit, pick)


def _or_nothing(results: tuple[gallery.EpochResult, ...], table: safe.Html) -> None:
    sheet.put(table if results else sheet.empty("Nothing is scored yet."))


def _form(run: gallery.RunLine, positions: list[int], unit: str, pick: int | None) -> None:
    if not positions:
        sheet.put(sheet.empty("There is nothing to score yet."))
        return
    with st.form(f"score-{run.id}", clear_on_submit=False, border=False):
        first, second = st.columns(2)
        at = first.selectbox(
            unit,
            positions,
            index=positions.index(pick) if pick in positions else len(positions) - 1,
        )
        judge = second.text_input("Your name", max_chars=80, key="judge")
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
                    judge=judge.strip(),
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
        st.success(f"Logged. Yours stands beside the machine's score of {score.position}.")


outage.line()
page_body()
