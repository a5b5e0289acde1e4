"""Puts a ballot on the page: a judge's pairs, answered by keyboard without rerunning the page."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from dashboard.ballots import ticket

_HERE = Path(__file__).parent
_ballot = st.components.v2.component(
    "epochwatch_ballot",
    js=(_HERE / "ballot.js").read_text(encoding="utf-8"),
    css=(_HERE / "ballot.css").read_text(encoding="utf-8"),
    isolate_styles=False,
)


def show(session_id: int, *, ways: int, key: str) -> bool:
    """Put the ballot of a sitting on the page; say whether the judge has just ended it."""
    found = _ballot(
        key=key,
        data={
            "base": "/vote",
            "session": session_id,
            "ticket": ticket(session_id),
            "ways": ways,
            "key": f"{session_id}-{ways}",
            "endWords": "End and see which was which",
        },
        on_ended_change=lambda: None,
    )
    return bool(found.ended)
