"""The run view: one run, its pictures by prompt and epoch, and every number behind the advice."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import streamlit as st

from core.bleeding import LOOK_FOR, bleeding_of, bleeding_words
from core.nouns import BLEEDING
from core.store import gallery, objections, set_level
from core.store.costs import run_costs
from core.store.database import Connection
from dashboard.parts import (
    beat,
    charts,
    cost,
    curtain,
    headline,
    links,
    outage,
    own_score,
    plan_editor,
    remember,
    safe,
    sheet,
    standing,
    tables,
    wall,
    whole_sets,
)
from dashboard.reads import Reads, current_run, shared_reads


def chosen(runs: tuple[gallery.RunLine, ...]) -> gallery.RunLine | None:
    """Return the run of the address, else the current one; show the list to choose from."""
    asked = st.query_params.get("run", "")
    by_id = {run.id: run for run in runs}
    current = by_id.get(links.number(asked) or 0) if asked.isdecimal() else current_run(runs)
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
        on_change=remember.chosen,
        args=("run", f"run-{current.id}"),
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
    advice = own_score.advice_or_none(reads.ask(gallery.advice, run.id))
    results = _results(reads, run)
    stands = standing.of_run(facts, advice, reads.ask(gallery.work, run.id), lines, results)
    if own_score.is_hiding():
        stands = replace(stands, sentence="Hidden until your scores are in.")
    sheet.put(headline.markup(run.run_name, standing.progress(facts, lines, run.scored), stands))
    if facts.get("doubts"):
        sheet.put(sheet.doubts(facts["doubts"]))
    _evidence(reads, run, advice)


def _results(reads: Reads, run: gallery.RunLine) -> tuple[gallery.EpochResult, ...]:
    people = reads.ask(gallery.person_scores, run.id)
    return own_score.without_machine(reads.ask(gallery.epochs, run.id), people)


def _pictures(reads: Reads, run: gallery.RunLine) -> tuple[gallery.Picture, ...]:
    people = reads.ask(gallery.person_scores, run.id)
    return own_score.pictures_without_machine(reads.ask(gallery.pictures, run.id), people)


def _evidence(reads: Reads, run: gallery.RunLine, advice: gallery.Advice | None) -> None:
    results, people = _results(reads, run), reads.ask(gallery.person_scores, run.id)
    pick = (
        advice.body.get("pick")
        if advice
        else next((each.position for each in results if each.picked), None)
    )
    progress = charts.progress_of(results, people, advice, run.unit)
    if progress.averages:
        charts.show(progress, key="run", height=220)
    _grid(reads, run, pick)
    _numbers(reads, run, pick)
    sheet.put(cost.section(reads.ask(run_costs, run.id)))


def _grid(reads: Reads, run: gallery.RunLine, pick: int | None) -> None:
    pictures, results = _pictures(reads, run), _results(reads, run)
    sheet.put(
        sheet.heading(
            f"Prompts by {run.unit}s",
            "same prompt, same seed; click for the original, arrow keys to move",
        )
    )
    curtain.warn(reads, run.id)
    bleeding = reads.ask(bleeding_of, run.id)
    if bleeding is not None:
        sheet.put(sheet.note(f"{LOOK_FOR} {bleeding_words(bleeding, run.unit)}"))
    if pictures:
        by_position = {each.position: each for each in results}
        wall.show(
            wall.grid(run.id, pictures, by_position, unit=run.unit, pick=pick), key="run-wall"
        )
    else:
        sheet.put(sheet.empty("No images yet: they appear here as they are drawn."))


def _numbers(reads: Reads, run: gallery.RunLine, pick: int | None) -> None:
    results, people = _results(reads, run), reads.ask(gallery.person_scores, run.id)
    scores, metrics, weak, plan, parameters, files, own = st.tabs(
        [
            "Scores",
            "Metrics and issues",
            "Weak spots",
            "Plan",
            "Parameters",
            "Checkpoints",
            "Log your score",
        ]
    )
    with scores:
        _or_nothing(results, tables.scores(results, people, unit=run.unit, pick=pick))
        sheet.put(tables.legend())
    with metrics:
        _or_nothing(results, tables.metrics(results, unit=run.unit))
        if levels := reads.ask(set_levels_of, run.id):
            sheet.put(whole_sets.table(levels, run.unit))
        if wrong := reads.ask(called_wrong_of, run.id):
            sheet.put(whole_sets.called_wrong(wrong, run.unit))
    with weak:
        sheet.put(tables.weak_spots(_scored(_pictures(reads, run)), pick, run.unit))
    with plan:
        plan_editor.show(reads, run, _scored(_pictures(reads, run)), people)
    with parameters:
        facts = reads.ask(gallery.run, run.id)
        sheet.put(tables.parameters(facts or {}))
    with files:
        sheet.put(tables.checkpoints(reads.ask(gallery.checkpoints, run.id), datetime.now(UTC)))
    with own:
        looked_at = _scored(reads.ask(gallery.pictures, run.id))
        own_score.show(run, looked_at, people, unit=run.unit, pick=pick)


def _scored(pictures: tuple[gallery.Picture, ...]) -> tuple[gallery.Picture, ...]:
    return tuple(each for each in pictures if each.category != BLEEDING)


def _or_nothing(results: tuple[gallery.EpochResult, ...], table: safe.Html) -> None:
    sheet.put(table if results else sheet.empty("Nothing is scored yet."))


def set_levels_of(connection: Connection, run_id: int) -> tuple[set_level.SetLevelLine, ...]:
    """Return what all pictures of each position say together."""
    return set_level.of_run(connection, run_id)


def called_wrong_of(connection: Connection, run_id: int) -> tuple[objections.Objection, ...]:
    """Return the scores of a run that people call wrong."""
    return objections.of_run(connection, run_id)


outage.line()
page_body()
