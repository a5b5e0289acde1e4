"""Hides named pictures from a judge who votes blind on them, until the judge decides otherwise.

Without accounts nobody proves who they are: a browser that has not said so is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from core.store import voting
from core.store.voting import BlindSitting
from dashboard import ballots, writes
from dashboard.link import Away
from dashboard.parts import own_score, safe, sheet
from dashboard.parts.words import Said
from dashboard.reads import Reads

_SOMEBODY_ELSE = "somebody else"


def judge_of_account() -> str | None:
    """Return the name of the account that is logged in; None where nobody needs to log in."""
    account = st.user.to_dict()
    if not account.get("is_logged_in"):
        return None
    return str(account.get("email") or account.get("name") or "") or None


def may_be_mine(
    sittings: Sequence[BlindSitting], *, account: str | None, said: str
) -> tuple[BlindSitting, ...]:
    """Return the sittings of this judge; of all local ones when nobody has ``said`` who it is."""
    if account is not None:
        return tuple(each for each in sittings if (each.via, each.judge) == ("account", account))
    return tuple(each for each in sittings if each.via == "local" and said in ("", each.judge))


def is_drawn(reads: Reads, comparison: int) -> bool:
    """Say whether a comparison is hidden from this judge; if so, put the ways on in its place."""
    found = [each for each in _mine(reads) if each.comparison == comparison]
    if not found:
        return False
    if _is_known():
        _ways_on(found[0])
        return True
    if st.session_state.get(_looker(comparison)):
        return False
    _who(comparison, [each.judge for each in found])
    return True


def warn(reads: Reads, run_id: int) -> None:
    """Say on the page of a run that its pictures are those somebody is voting on blind."""
    found = [each for each in _mine(reads) if run_id in each.runs]
    if not found:
        return
    if _is_known():
        who, rest = "You are", "They bear their names here; look at them after your sitting."
    else:
        who = _sentence([each.judge for each in found])
        rest = "If that is you, look at them after your sitting: they bear their names here."
    sheet.put(
        sheet.notice(
            Said(
                tone="warn",
                words=f"{who} voting blind on pictures of this run.",
                detail=rest,
            )
        )
    )


def _looker(comparison: int) -> str:
    return f"no-judge-of-{comparison}"


def _is_known() -> bool:
    return bool(judge_of_account() or own_score.judge())


def _mine(reads: Reads) -> tuple[BlindSitting, ...]:
    sittings = reads.ask(voting.blind_sittings)
    return may_be_mine(sittings, account=judge_of_account(), said=own_score.judge())


def _sentence(names: Sequence[str]) -> str:
    """Return "Ann is", "Ann and Bo are" or "Ann, Bo and 3 others are"."""
    first = list(dict.fromkeys(names))
    if len(first) == 1:
        return f"{first[0]} is"
    if len(first) == 2:
        return f"{first[0]} and {first[1]} are"
    return f"{first[0]}, {first[1]} and {len(first) - 2} more are"


def _who(comparison: int, names: Sequence[str]) -> None:
    sheet.put(
        sheet.notice(
            Said(
                tone="warn",
                words=f"{_sentence(names)} voting blind on this comparison.",
                detail="The pictures bear their names here, so they are hidden from who votes.",
            )
        )
    )
    said = st.selectbox(
        "Who are you?",
        [*dict.fromkeys(names), _SOMEBODY_ELSE],
        index=None,
        format_func=safe.plain,
        placeholder="Choose who you are",
        key=f"who-{comparison}",
    )
    if said is None:
        return
    if said == _SOMEBODY_ELSE:
        st.session_state[_looker(comparison)] = True
    else:
        st.session_state["judge"] = said
    st.rerun()


def _ways_on(sitting: BlindSitting) -> None:
    votes = "1 vote is" if sitting.given == 1 else f"{sitting.given or 'No'} votes are"
    sheet.put(
        sheet.notice(
            Said(
                tone="warn",
                words="You are voting blind on this comparison.",
                detail=f"{votes} given by {sitting.judge}. The pictures bear their names here, so "
                "they are hidden until you end your sitting.",
            )
        )
    )
    with st.container(horizontal=True, key="curtain"):
        if st.button("Go on voting", type="primary", key=f"go-on-{sitting.id}"):
            mark = f"{sitting.id}-{ballots.ticket(sitting.id)}"
            st.switch_page(
                "views/vote.py", query_params={"id": str(sitting.comparison), "sitting": mark}
            )
        if st.button("End my sitting and show them", key=f"end-{sitting.id}"):
            _do(lambda: writes.end_sitting(sitting.id))
        if st.button(
            "Show anyway, and count my later votes as not blind",
            type="tertiary",
            key=f"show-names-{sitting.id}",
        ):
            _do(lambda: writes.show_names(sitting.id))


def _do(work: Callable[[], None]) -> None:
    try:
        work()
    except Away:
        st.error("Not done: the database is away. Try again when the line above is gone.")
    else:
        st.rerun()
