"""The production view: what generates for real, whether a candidate may, and the way back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import streamlit as st

from core import production
from core.charts.versions import VersionRate, versions_chart
from core.errors import EpochwatchError
from core.nouns import unit_of
from core.store import gallery, promotions
from core.store.database import Connection
from core.store.promotions import Promotion
from core.store.voting import BlindSitting
from core.versions import versions
from dashboard import accounts, writes
from dashboard.link import Away
from dashboard.parts import beat, charts, curtain, outage, promoted, safe, sheet, wall, who
from dashboard.reads import Reads, shared_reads

_PICTURES = 6
_ASKED = "production-asked"  # what a person is asked to confirm


@st.fragment(key="production-sheet")
@outage.guarded
def page_body() -> None:
    """Show production and its candidate; reruns by itself whenever something has changed."""
    reads = shared_reads()
    beat.listen(outage.state(reads), key="production-beat")
    known, live = reads.ask(promotions.history), reads.ask(promotions.current)
    if known and (said := promoted.standing(known[0], reads.ask_anew(gallery.hosts))):
        sheet.put(sheet.notice(said))
    if live is None:
        sheet.put(
            sheet.empty(
                "Nothing is in production yet. Choose a candidate below, or on the command line:",
                (("epochwatch promote RUN EPOCH", "put an epoch into production"),),
            )
        )
    else:
        _live(reads, live, known)
    asked = _candidate(reads, live)
    if known:
        sheet.put(sheet.heading("History"))
        sheet.put(promoted.history(known, live))
    _versions(reads, asked=asked)


def _versions(reads: Reads, *, asked: bool) -> None:
    """Show how often people prefer each run's pick to the base model, run after run.

    But those whom this judge votes on blind: their rate would move with each vote. Who looks is
    ``asked`` once on a page.
    """
    sheet.put(
        sheet.heading(
            "Versions over time", "each run's pick against its base model, by blind votes"
        )
    )
    lines: list[VersionRate] = []
    hidden: dict[str, tuple[BlindSitting, ...]] = {}
    for each in reads.ask(versions):
        won = each.against_base
        if won is None or won.tally.win_rate is None:
            continue
        if sittings := curtain.about(reads, won.tally.a, won.tally.b):
            hidden[each.version] = sittings
            continue
        lines.append(
            VersionRate(
                version=each.version,
                rate=won.tally.win_rate,
                low=100 * won.win_interval.low,
                high=100 * won.win_interval.high,
                votes=won.tally.total,
            )
        )
    if hidden:
        words = (f"{version}, while {curtain.in_words(found)}" for version, found in hidden.items())
        sheet.put(sheet.note(f"Left out: {'; '.join(words)}."))
        if not asked:
            curtain.ask_who([each for found in hidden.values() for each in found])
    if lines:
        chart = versions_chart(lines, theme=charts.theme())
        st.altair_chart(chart, theme=None, width="stretch", key="versions")
    elif not hidden:
        sheet.put(
            sheet.empty(
                "No blind votes on a pick against its base yet. Compare them and vote:",
                (("epochwatch compare base pick --run NAME", "then the page Vote"),),
            )
        )


def _live(reads: Reads, live: Promotion, known: tuple[Promotion, ...]) -> None:
    sheet.put(promoted.headline(live, datetime.now(UTC)))
    if live.run_id is not None:
        curtain.warn(reads, live.run_id)
    left, right = st.columns([2, 3], gap="medium")
    with left:
        if _is_written_again(reads, live):
            sheet.put(
                sheet.empty(
                    "The trainer has written this epoch again since, so that the pictures of its test "
                    "are those of another file."
                )
            )
        else:
            unit = unit_of(live.record.get("unit"))
            _pictures(reads, live.run_id, live.position, unit, key="live-pictures")
    with right:
        sheet.put(promoted.record(live))
    _way_back(live, known)


def _is_written_again(reads: Reads, live: Promotion) -> bool:
    if live.run_id is None:
        return False
    known = reads.ask(gallery.checkpoints, live.run_id)
    return any(line.superseded for line in known if line.sha256 == live.sha256)


def _pictures(reads: Reads, run_id: int | None, position: int, unit: str, *, key: str) -> None:
    """Show what its test drew; a deleted run took its pictures along."""
    if run_id is None:
        return
    found = [p for p in reads.ask(gallery.pictures, run_id) if p.position == position]
    drawn = [picture for picture in found if picture.image_sha256]
    if drawn:
        wall.show(wall.newest(run_id, drawn[:_PICTURES], unit), key=key)
    else:
        sheet.put(sheet.empty("No pictures of its test are left."))


def _way_back(live: Promotion, known: tuple[Promotion, ...]) -> None:
    seen: dict[str, Promotion] = {}
    for each in known:
        if each.live_at is not None and each.sha256 != live.sha256:
            seen.setdefault(each.sha256, each)
    if not seen or accounts.hindrance("admin"):
        return
    by_id = {each.id: each for each in seen.values()}
    with st.expander("Go back to an earlier model"):
        to = st.selectbox(
            "Model",
            list(by_id),
            format_func=lambda at: safe.plain(f"{at}  {promoted.name(by_id[at])}"),
            key="back-to",
        )
        judge = who.box(key="judge-back")
        reason = st.text_input("Why", max_chars=500, key="back-why")
        if st.button("Go back to it", key="back-go") and _is_named(judge):
            _do(lambda: writes.roll_back(to, reason=reason.strip(), by_whom=judge.strip()))


def _is_named(judge: str) -> bool:
    if not judge.strip():
        st.warning("Say who you are: who decided is recorded.")
    return bool(judge.strip())


def _candidate(reads: Reads, live: Promotion | None) -> bool:
    """Show the checklist of one epoch; say whether it is hidden from a judge who votes blind."""
    runs = [run for run in reads.ask(gallery.runs) if run.checkpoints]
    if not runs:
        return False
    sheet.put(sheet.heading("Candidate", "the owner's checklist, held against one epoch"))
    by_id = {run.id: run for run in runs}
    first, second = st.columns([3, 2])
    run_id = first.selectbox(
        "Run",
        list(by_id),
        format_func=lambda at: safe.plain(by_id[at].run_name),
        key="candidate-run",
    )
    positions = sorted(
        {
            line.position
            for line in reads.ask(gallery.checkpoints, run_id)
            if line.position is not None and not line.superseded
        }
    )
    if not positions:
        sheet.put(sheet.empty("This run has no checkpoint that could go to production."))
        return False
    pick = (reads.ask(gallery.run, run_id) or {}).get("best_epoch")
    unit = by_id[run_id].unit
    position = second.selectbox(
        unit,
        positions,
        index=positions.index(pick) if pick in positions else len(positions) - 1,
        format_func=lambda at: f"{at} (pick)" if at == pick else str(at),
        key=f"candidate-at-{run_id}",
    )
    strict = st.checkbox("Strict: every criterion, proven and known", key="candidate-strict")
    return _checked(reads, run_id, position, strict=strict, live=live)


def _checked(
    reads: Reads, run_id: int, position: int, *, strict: bool, live: Promotion | None
) -> bool:
    try:
        seen = reads.ask(_look, run_id, position, strict)
    except Away:
        raise
    except EpochwatchError as trouble:
        sheet.put(sheet.empty(str(trouble)))
        return False
    if seen.slot is not None and (sittings := curtain.about(reads, seen.slot)):
        curtain.draw(sittings)  # its pictures and the votes on it bear its name here
        return True
    sheet.put(promoted.checklist(seen.checked))
    _pictures(reads, run_id, position, str(seen.record["unit"]), key="candidate-pictures")
    if live is not None and live.sha256 == seen.rows.checkpoint["sha256"]:
        sheet.put(sheet.empty("It is in production."))
    else:
        _decision(run_id, position, seen, strict=strict)
    return False


def _look(
    connection: Connection,
    run_id: int,
    position: int,
    strict: bool,  # noqa: FBT001 - a part of the question, by which its answer is kept
) -> production.Look:
    return production.look(connection, run_id, position, strict=strict)


def _decision(run_id: int, position: int, seen: production.Look, *, strict: bool) -> None:
    """Ask twice before anything changes, and for a reason where a criterion is set aside."""
    name = f"{seen.record['model']} {seen.record['unit']} {position}"
    if said := accounts.hindrance("admin"):
        sheet.put(sheet.note(said))
        return
    wish = (run_id, position, strict)
    if st.session_state.get(_ASKED) != wish:
        word = "Promote" if seen.checked.is_ready else "Promote anyway"
        if st.button(f"{word}: {safe.markdown(name)}", key="promote-ask"):
            st.session_state[_ASKED] = wish
            st.rerun(scope="fragment")
        return
    with st.form("promote-form", border=True):
        st.markdown(f"**Put {safe.markdown(name)} into production?**")
        judge = who.box(key="judge-promote")
        needed = not seen.checked.is_ready
        reason = st.text_input("Why anyway" if needed else "Note", max_chars=500, key="promote-why")
        yes = st.form_submit_button("Yes, put it into production", type="primary")
        no = st.form_submit_button("No")
    if no:
        del st.session_state[_ASKED]
        st.rerun(scope="fragment")
    if yes and _is_named(judge):
        _do(
            lambda: writes.promote(
                run_id, position, strict=strict, reason=reason, by_whom=judge.strip()
            )
        )


def _do(decide: Callable[[], int]) -> None:
    """Carry a decision to the database, and say what is in its way."""
    try:
        decide()
    except EpochwatchError as trouble:
        outage.say_why(trouble, "Nothing was changed")
    else:
        st.session_state.pop(_ASKED, None)
        st.rerun()


outage.line()
page_body()
