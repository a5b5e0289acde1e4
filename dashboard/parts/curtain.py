"""Hides names and results from a judge who votes blind on them, until the judge decides otherwise.

Without accounts nobody proves who they are: a browser that has not said so is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from core.errors import EpochwatchError
from core.store import voting
from core.store.voting import BlindSitting
from dashboard import accounts, ballots, writes
from dashboard.parts import outage, own_score, safe, sheet
from dashboard.parts.words import Said
from dashboard.reads import Reads

_SOMEBODY_ELSE = "somebody else"


def judge_of_account() -> str | None:
    """Return the address of the account that is signed in; None where nobody signs in."""
    account = accounts.current()
    return account.address if account else None


def may_be_mine(
    sittings: Sequence[BlindSitting], *, account: str | None, said: str
) -> tuple[BlindSitting, ...]:
    """Return the sittings of this judge; of all local ones when nobody has ``said`` who it is."""
    if account is not None:
        return tuple(each for each in sittings if (each.via, each.judge) == ("account", account))
    return tuple(each for each in sittings if each.via == "local" and said in ("", each.judge))


def is_drawn(reads: Reads, comparison: int) -> bool:
    """Say whether a comparison is hidden from this judge; if so, put the ways on in its place."""
    found = _hiding([each for each in _mine(reads) if each.comparison == comparison])
    if found:
        draw(found)
    return bool(found)


def about(reads: Reads, *slots: str) -> tuple[BlindSitting, ...]:
    """Return the blind sittings of this judge whose votes move a figure about all these slots.

    Looked at after each vote, such a figure would say whom it was for.
    """
    return tuple(_hiding([each for each in _mine(reads) if set(slots) <= set(each.slots)]))


def draw(found: Sequence[BlindSitting]) -> None:
    """Put in place of what these sittings hide that they do, and the ways on."""
    if _is_known():
        _ways_on(found[0])
    else:
        _who(found)


def ask_who(found: Sequence[BlindSitting]) -> None:
    """Ask who looks, where nobody has said so."""
    if not _is_known():
        _choose(found)


def in_words(found: Sequence[BlindSitting]) -> str:
    """Return who votes blind on what: "you vote blind on comparison 3"."""
    who = "you" if _is_known() else _some(list(dict.fromkeys(each.judge for each in found)))
    verb = "vote" if _is_known() or len({each.judge for each in found}) > 1 else "votes"
    return f"{who} {verb} blind on {_which(found)}"


def revealed(comparison: int) -> str:
    """Return the key under which a browser remembers that it asked for a comparison's result."""
    return f"reveal-{comparison}"


def _hiding(found: Sequence[BlindSitting]) -> list[BlindSitting]:
    """Leave out those of which this browser has said that they are somebody else's."""
    if _is_known():
        return list(found)
    return [each for each in found if not st.session_state.get(_looker(each.comparison))]


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
    first = list(dict.fromkeys(names))
    return f"{_some(first)} {'are' if first[1:] else 'is'}"


def _some(names: Sequence[str]) -> str:
    """Return "Ann", "Ann and Bo" or "Ann, Bo and 3 more"."""
    if len(names) <= 2:
        return " and ".join(names)
    return f"{names[0]}, {names[1]} and {len(names) - 2} more"


def _who(sittings: Sequence[BlindSitting]) -> None:
    names = list(dict.fromkeys(each.judge for each in sittings))
    sheet.put(
        sheet.notice(
            Said(
                tone="warn",
                words=f"{_sentence(names)} voting blind on {_which(sittings)}.",
                detail="Names and results are hidden from who votes.",
            )
        )
    )
    _choose(sittings)


def _choose(sittings: Sequence[BlindSitting]) -> None:
    names = list(dict.fromkeys(each.judge for each in sittings))
    said = st.selectbox(
        "Who are you?",
        [*names, _SOMEBODY_ELSE],
        index=None,
        format_func=safe.plain,
        placeholder="Choose who you are",
        key=f"who-{sittings[0].comparison}",
    )
    if said is None:
        return
    if said == _SOMEBODY_ELSE:
        for each in sittings:
            st.session_state[_looker(each.comparison)] = True
    else:
        st.session_state["judge"] = said
    st.rerun()


def _ways_on(sitting: BlindSitting) -> None:
    votes = "1 vote is" if sitting.given == 1 else f"{sitting.given or 'No'} votes are"
    sheet.put(
        sheet.notice(
            Said(
                tone="warn",
                words=f"You are voting blind on {_which([sitting])}.",
                detail=f"{votes} given by {sitting.judge}. Names and results are hidden until you "
                "end your sitting.",
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
            _do(lambda: writes.end_sitting(sitting.id), sitting)
        if st.button(
            "Show anyway, and count my later votes as not blind",
            type="tertiary",
            key=f"show-names-{sitting.id}",
        ):
            _do(lambda: writes.show_names(sitting.id), sitting)


def _which(sittings: Sequence[BlindSitting]) -> str:
    numbers = list(dict.fromkeys(str(each.comparison) for each in sittings))
    return f"comparison{'s' if numbers[1:] else ''} {_some(numbers)}"


def _do(work: Callable[[], None], sitting: BlindSitting) -> None:
    try:
        work()
    except EpochwatchError as trouble:
        outage.say_why(trouble, "Not done")
    else:
        st.session_state[revealed(sitting.comparison)] = True
        st.rerun()
