"""Reruns the fragment it stands in when the database says that something has changed."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

_beat = st.components.v2.component(
    "epochwatch_beat",
    js=Path(__file__).with_name("beat.js").read_text(encoding="utf-8"),
    isolate_styles=False,
)


def listen(seen: str, *, key: str) -> None:
    """Rerun the fragment around this call as soon as the state differs from ``seen``."""
    _beat(key=key, data={"seen": seen, "outages": False}, on_changed_change=lambda: None)


def listen_for_outages(seen: str, *, key: str) -> None:
    """Rerun the fragment around this call when the database goes away or comes back."""
    _beat(key=key, data={"seen": seen, "outages": True}, on_changed_change=lambda: None)
