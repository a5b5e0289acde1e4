"""The vote view: choose a comparison, judge its pairs blind, then see what the votes say."""

from __future__ import annotations

import json

import streamlit as st

from core import polls
from core.charts.votes import strength_chart, time_chart
from core.reports import votes_export
from core.store import comparisons, voting
from core.store.comparisons import ComparisonLine
from dashboard import accounts, ballots
from dashboard.link import shared_link
from dashboard.parts import (
    ballot,
    beat,
    charts,
    curtain,
    guests,
    links,
    outage,
    poll,
    poll_pictures,
    proposal,
    remember,
    safe,
    sheet,
    side_by_side,
    sitting,
)
from dashboard.reads import shared_reads

_FIRST = ("epochwatch compare base pick --run NAME", "put the pick beside the base model")


def chosen(lines: tuple[ComparisonLine, ...]) -> ComparisonLine | None:
    """Return the comparison of the address, else the newest; show the list to choose from."""
    by_id = {line.id: line for line in lines}
    asked = st.query_params.get("id", "")
    current = links.number(asked) or 0 if asked.isdecimal() else next(iter(by_id))
    if current not in by_id:
        return None
    key = f"vote-{current}"
    picked = st.selectbox(
        "Comparison",
        list(by_id),
        index=list(by_id).index(current),
        key=key,
        format_func=lambda at: safe.plain(_line(by_id[at])),
        on_change=remember.chosen,
        args=("id", key),
        label_visibility="collapsed",
    )
    return by_id[picked]


def _line(line: ComparisonLine) -> str:
    drawn = (
        ""
        if line.drawn == line.wanted and line.wanted
        else f", {line.drawn} of {line.wanted} drawn"
    )
    return f"{line.title}  (no. {line.id}, {_votes(line)}{drawn})"


def _votes(line: ComparisonLine) -> str:
    return "1 vote" if line.votes == 1 else f"{line.votes} votes"


@outage.guarded
def page_body() -> None:
    """Show one comparison: the way in, the ballot, or the result."""
    reads = shared_reads()
    reads.revision()
    lines = reads.ask(comparisons.comparisons)
    if not lines:
        sheet.put(
            sheet.empty(
                "Nothing to vote on yet. Make a comparison on the page Compare, or type:", (_FIRST,)
            )
        )
        return
    session = _sitting()
    if session is not None and session.via == "local":
        st.session_state["judge"] = session.judge  # whoever has its ticket is its judge
    if session is not None and session.ended_at is not None:
        st.session_state[curtain.revealed(session.comparison)] = True
        st.query_params.from_dict({"id": str(session.comparison)})
    elif session is not None:
        line = next((line for line in lines if line.id == session.comparison), None)
        if line is None:
            sheet.put(sheet.empty("The comparison of this sitting is not there any more."))
        else:
            _vote(line, session)
        return
    line = chosen(lines)
    if line is None:
        sheet.put(sheet.empty("There is no such comparison."))
        return
    if st.session_state.get(curtain.revealed(line.id)):
        _result(line)
        sitting.enter(line)
        guests.show(line)
        return
    waits = sitting.enter(line)
    guests.show(line)
    if not waits:
        _result(line)


def _sitting() -> voting.Session | None:
    """Return the sitting of the address, so that a reload goes on where it was."""
    asked, _, mark = st.query_params.get("sitting", "").partition("-")
    session_id = links.number(asked)
    if session_id is None or not ballots.is_ticket(session_id, mark):
        return None
    if accounts.hindrance("voter"):
        return None
    with shared_link().transaction() as connection:
        found = voting.session(connection, session_id)
    account = curtain.judge_of_account()
    return None if found and account and not ballots.is_seat_of(found, account) else found


def _vote(line: ComparisonLine, session: voting.Session) -> None:
    sheet.put(
        sheet.heading(line.title, f"{session.judge}, {'blind' if session.blind else 'names shown'}")
    )
    ways = 2
    if line.slots > 2:
        ranked = st.toggle(
            "Rank several at once: click from best to worst", key=f"ways-{session.id}"
        )
        ways = 4 if ranked else 2
    if ballot.show(session.id, ways=ways, key=f"ballot-{session.id}-{ways}"):
        st.rerun()  # it has ended since this run began
    if st.button(
        "Pause: go on later, names stay hidden", type="tertiary", key=f"pause-{session.id}"
    ):
        st.query_params.from_dict({"id": str(line.id)})
        st.rerun()


@st.fragment(key="vote-result")
def _result(line: ComparisonLine) -> None:
    """Show the result; reruns by itself when other judges vote, and when a sitting hides it."""
    outage.guarded(lambda: _look(line))()


def _look(line: ComparisonLine) -> None:
    reads = shared_reads()
    beat.listen(outage.state(reads), key="vote-beat")
    if curtain.is_drawn(reads, line.id) or not _is_asked_for(line):
        return
    if not line.votes:
        sheet.put(sheet.empty("No vote is given yet; checks and skips count for no slot."))
        return
    found = reads.ask(polls.answered, line.id)
    if found is not None:
        _show(found)


def _is_asked_for(line: ComparisonLine) -> bool:
    """Say whether this browser has asked for the result; let it ask."""
    key = curtain.revealed(line.id)
    if st.session_state.get(key) or not line.votes:
        return bool(st.session_state.get(key))
    sheet.put(
        safe.fill(
            '<p class="ew-quiet">There {are} {votes}. To see what they say before you vote makes your '
            "own less blind.</p>",
            are="is" if line.votes == 1 else "are",
            votes=_votes(line),
        )
    )
    st.session_state[key] = st.button("Show the result", key=f"show-{line.id}")
    return bool(st.session_state[key])


def _show(found: polls.Answered) -> None:
    read, made = found.poll, found.comparison
    sheet.put(poll.headline(read))
    if found.seen:
        sheet.put(
            safe.fill(
                '<p class="ew-quiet">{seen} votes were given with the names shown.</p>',
                seen=found.seen,
            )
        )
    sheet.put(side_by_side.best_line(made))
    proposal.show(shared_reads())
    tabs = st.tabs(
        ["Figures", "Slots", "Categories", "Judges", "Divided", "Notes", "Time", "Export"]
    )
    with tabs[0]:
        sheet.put(poll.figures(read))
    with tabs[1]:
        if len(read.slots) > 2:
            st.altair_chart(
                strength_chart(poll.strengths(read), theme=charts.theme()),
                theme=None,
                width="stretch",
                key="poll-strength",
            )
        sheet.put(poll.ranking(read))
        sheet.put(poll.pairs(read))
    with tabs[2]:
        sheet.put(poll.categories(read))
    with tabs[3]:
        sheet.put(poll.judges(read))
    with tabs[4]:
        sheet.put(poll_pictures.controversial(read, made))
    with tabs[5]:
        sheet.put(poll_pictures.themes(read, made, found.served))
    with tabs[6]:
        _times(found)
    with tabs[7]:
        _export(found)


def _times(found: polls.Answered) -> None:
    timed = {slot: some for slot, some in found.poll.seconds.items() if some}
    if not timed:
        sheet.put(sheet.empty("No image of this comparison has a time."))
        return
    st.altair_chart(
        time_chart(timed, theme=charts.theme()), theme=None, width="stretch", key="poll-time"
    )
    sheet.put(
        sheet.table(
            ("slot", "images", "mean"),
            [(slot, len(some), f"{sum(some) / len(some):.1f} s") for slot, some in timed.items()],
        )
    )


def _export(found: polls.Answered) -> None:
    made = found.comparison
    first, second, third = st.columns(3)
    first.download_button(
        "comparison.csv",
        votes_export.comparison_csv(made.id, made.slots, made.units, found.served),
        file_name=f"comparison_{made.id}.csv",
        mime="text/csv",
    )
    second.download_button(
        "every vote, CSV",
        votes_export.votes_csv(made.slots, made.units, found.served),
        file_name=f"votes_{made.id}.csv",
        mime="text/csv",
    )
    third.download_button(
        "every vote, JSON",
        json.dumps(votes_export.votes_json(made.slots, made.units, found.served), indent=2),
        file_name=f"votes_{made.id}.json",
        mime="application/json",
    )


outage.line()
page_body()
