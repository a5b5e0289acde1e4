"""The script of every page: its title, its style, who looks, and the way between the views."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from dashboard.parts import sheet, sign_in

_HERE = Path(__file__).parent

st.set_page_config(
    page_title="Epochwatch",
    page_icon=str(_HERE / "mark.png"),
    layout="wide",
    initial_sidebar_state="collapsed",
)
sheet.dress()
if sign_in.is_passed():
    page = st.navigation(
        [
            st.Page("views/live.py", title="Live", default=True),
            st.Page("views/run.py", title="Run", url_path="run"),
            st.Page("views/compare.py", title="Compare", url_path="compare"),
            st.Page("views/vote.py", title="Vote", url_path="vote"),
            st.Page("views/production.py", title="Production", url_path="production"),
            st.Page("views/try_it.py", title="Try it", url_path="try"),
        ],
        position="top",
    )
    page.run()
