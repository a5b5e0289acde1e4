"""What a page says while the database is away; it goes on with the last answers it has."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

import streamlit as st

from core.errors import EpochwatchError
from dashboard.link import Away, shared_link
from dashboard.parts import beat, safe, sheet, words
from dashboard.parts.words import Said
from dashboard.reads import Reads, shared_reads

_LACKS = "outage-lacks"  # set while something on the page found no answer at all


def shown() -> bool:
    """Say whether the database is away, and if so, put that on the page."""
    link = shared_link()
    if link.away_since is None:
        return False
    since = words.clock(link.away_since)
    sheet.put(
        sheet.notice(
            Said(
                tone="bad",
                words=f"No connection to the database since {since}.",
                detail=f"What stands below is from before. {link.reason} "
                "The daemon keeps its results meanwhile, and this page tries again by itself.",
            )
        )
    )
    return True


def state(reads: Reads) -> str:
    """Return what the page shows: a revision, or that the database is away."""
    revision = reads.revision()
    return "away" if shared_link().away_since is not None else str(revision)


@st.fragment(run_every="5s")
def line() -> None:
    """Say when the database is away; looks by itself, since silence makes no noise.

    Once it is back, a page that found no answer is drawn again.
    """
    beat.listen_for_outages(state(shared_reads()), key="outage-beat")
    if not shown() and st.session_state.pop(_LACKS, False):
        st.rerun()


def say_why(trouble: EpochwatchError, consequence: str) -> None:
    """Say why what a person asked for did not happen; ``consequence`` such as "Not saved"."""
    if isinstance(trouble, Away):
        st.error(f"{consequence}: the database is away. Try again when the line above is gone.")
    else:
        st.error(safe.markdown(trouble))


def guarded(view: Callable[[], None]) -> Callable[[], None]:
    """Let a view that finds no answer at all end quietly: the banner has said why."""

    @wraps(view)
    def wrapped() -> None:
        try:
            view()
        except Away:
            st.session_state[_LACKS] = True
            st.caption("The page fills in as soon as the database answers.")

    return wrapped
