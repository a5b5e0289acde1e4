"""The live view: is the daemon well, what should I do, and what does it see right now."""

from __future__ import annotations

from datetime import UTC, datetime

import streamlit as st

from core.store import gallery
from dashboard.parts import (
    beat,
    charts,
    curtain,
    headline,
    outage,
    sheet,
    standing,
    tables,
    wall,
    words,
)
from dashboard.parts.safe import Html, fill, join
from dashboard.reads import Reads, current_run, shared_reads

_NEWEST = 12
_RUNS = 20
_FIRST_STEPS = (
    ("epochwatch watch PATH", "watch the folder that your trainer saves into"),
    ("epochwatch demo", "see the whole story on a small model that is shipped"),
)


@st.fragment(run_every="5s")
def machines() -> None:
    """Show what every machine is doing; looks by itself, since silence makes no noise."""
    reads = shared_reads()
    beat.listen_for_outages(outage.state(reads), key="machines-beat")
    if outage.shown():
        return
    sheet.put(_machines(reads.ask_anew(gallery.hosts)))
    _catch_up(str(reads.revision()))


def _catch_up(revision: str) -> None:
    """Rerun the page when its stream of changes has stopped, as behind a proxy that buffers."""
    seen, before = (st.session_state.get(key) for key in ("live-seen", "live-seen-before"))
    stuck = seen is not None and seen == before and seen != revision
    # Forgotten before a rerun, so that the page below is drawn before the next look at this.
    st.session_state["live-seen-before"] = None if stuck else seen
    if stuck:
        st.rerun()


def _machines(hosts: tuple[gallery.Host, ...]) -> Html:
    if not hosts:
        return fill(
            '<div class="ew-hosts"><span class="ew-quiet">No daemon has reported yet.</span></div>'
        )
    parts = (
        fill(
            "<span><b>{name}</b>{state}</span>", name=host.name, state=sheet.state(words.host(host))
        )
        for host in hosts
    )
    return fill('<div class="ew-hosts" data-part="hosts">{parts}</div>', parts=join(parts))


@st.fragment(key="live-sheet")
@outage.guarded
def page_body() -> None:
    """Show the run; reruns by itself whenever something has changed."""
    reads = shared_reads()
    seen = outage.state(reads)
    beat.listen(seen, key="live-beat")
    st.session_state["live-seen"] = seen
    runs = reads.ask(gallery.runs)
    run = current_run(runs)
    if run is None:
        sheet.put(
            sheet.empty(
                "Nothing to watch yet. Start the daemon where the trainer saves:", _FIRST_STEPS
            )
        )
        return
    _run(reads, run)
    if len(runs) > 1:
        sheet.put(sheet.heading("Runs", "those in progress first; a click shows one whole"))
        sheet.put(tables.runs(runs[:_RUNS], datetime.now(UTC)))


def _run(reads: Reads, run: gallery.RunLine) -> None:
    now = datetime.now(UTC)
    facts = reads.ask(gallery.run, run.id) or {}
    advice = reads.ask(gallery.advice, run.id)
    lines = reads.ask(gallery.checkpoints, run.id)
    results = reads.ask(gallery.epochs, run.id)
    stands = standing.of_run(facts, advice, reads.ask(gallery.work, run.id), lines, results)
    sheet.put(headline.markup(run.run_name, standing.progress(facts, lines, run.scored), stands))
    curtain.warn(reads, run.id)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        _chart(reads, run, advice)
    with right:
        _newest(reads, run)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        sheet.put(sheet.heading("Checkpoints"))
        sheet.put(
            tables.checkpoints(lines, now) if lines else sheet.empty("No checkpoint has come in.")
        )
    with right:
        _messages(reads, now)
    _trainers(reads, run)


def _chart(reads: Reads, run: gallery.RunLine, advice: gallery.Advice | None) -> None:
    results, people = reads.ask(gallery.epochs, run.id), reads.ask(gallery.person_scores, run.id)
    progress = charts.progress_of(results, people, advice, run.unit)
    sheet.put(sheet.heading("Is it still getting better?", "average of all test images, 0 to 10"))
    if progress.averages:
        charts.show(progress, key="live", height=330)
    else:
        sheet.put(sheet.empty("The first score appears when the first test is measured."))


def _newest(reads: Reads, run: gallery.RunLine) -> None:
    pictures = reads.ask(gallery.newest, run.id, _NEWEST)
    sheet.put(sheet.heading("Newest images", "click for the original and its numbers"))
    if pictures:
        wall.show(wall.newest(run.id, pictures, run.unit), key="live-wall")
        st.page_link(
            "views/run.py", label="All prompts by all epochs", query_params={"run": str(run.id)}
        )
    else:
        sheet.put(sheet.empty("Nothing is drawn yet."))


def _messages(reads: Reads, now: datetime) -> None:
    alerts, refused = reads.ask(gallery.alerts, 8), reads.ask(gallery.refused, 8)
    sheet.put(sheet.heading("Alerts"))
    sheet.put(tables.alerts(alerts, now) if alerts else sheet.empty("None."))
    if refused:
        sheet.put(sheet.heading("Files that are not used"))
        sheet.put(tables.refused(refused, now))


def _trainers(reads: Reads, run: gallery.RunLine) -> None:
    samples = reads.ask(gallery.trainer_samples, run.id, 12)
    if samples:
        sheet.put(
            sheet.heading(
                "Trainer samples", "drawn by the trainer itself, with its own settings; not scored"
            )
        )
        sheet.put(wall.trainer_samples(samples))


machines()
page_body()
