"""One view of the dashboard, run without a browser."""

from __future__ import annotations

from typing import Any

from streamlit.testing.v1 import AppTest

from served_dashboard import ROOT


def opened(view: str, judge: str = "", **query: Any) -> AppTest:
    """Return a view that was run without an error, in a browser that has said who ``judge`` is."""
    # The first page links to others, which only the frame around them knows.
    file = "frame.py" if view == "live" else f"views/{view}.py"
    page = AppTest.from_file(str(ROOT / "dashboard" / file), default_timeout=240)
    if judge:
        page.session_state["judge"] = judge
    for name, value in query.items():
        page.query_params[name] = str(value)
    page.run()
    assert not page.exception
    return page


def words_of(page: AppTest) -> str:
    """Return everything that is on the page."""
    return " ".join(str(each.proto) for each in page.main)
