"""Guest links on the page of a vote: made, shown once, and closed by whoever may decide."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlsplit

import streamlit as st

from core.errors import EpochwatchError
from core.settings import shared_settings
from core.store import guest_links
from core.store.comparisons import ComparisonLine
from core.store.guest_links import MOST_HOURS, GuestLink
from dashboard import accounts, writes
from dashboard.parts import outage, own_score, safe, sheet, words
from dashboard.reads import shared_reads

_HOURS = 48
_HERE = {"localhost", "127.0.0.1", "::1"}


@st.fragment
def show(line: ComparisonLine) -> None:
    """Let a person make links to a comparison and close them; nothing to whoever may not."""
    if not accounts.hindrance("admin"):
        with st.expander("Guest links"):
            outage.guarded(lambda: _body(line))()


def _body(line: ComparisonLine) -> None:
    sheet.put(
        sheet.note(
            "A link lets one person vote on this comparison without an account, on a phone too. It "
            "shows no other page and no result. Give each guest a link of their own."
        )
    )
    with st.form(f"guest-{line.id}", border=False):
        first, second, third = st.columns([3, 2, 2], vertical_alignment="bottom", gap="small")
        name = first.text_input("Guest's name", max_chars=80, key=f"guest-name-{line.id}")
        hours = second.number_input(
            "Open for hours", 1, MOST_HOURS, _HOURS, step=24, key=f"guest-hours-{line.id}"
        )
        made = third.form_submit_button("Make a link", width="stretch")
    if made:
        _make(line, name.strip(), float(hours))
    for link in _open(line):
        _line(link)


def _make(line: ComparisonLine, name: str, hours: float) -> None:
    if not name:
        st.warning("Say who will vote with this link.")
        return
    try:
        token, link = writes.invite(
            line.id, name, hours=hours, by_whom=own_score.judge() or "somebody"
        )
    except EpochwatchError as trouble:
        outage.say_why(trouble, "Not done")
        return
    home = _home()
    st.code(f"{home}guest/{token}", language=None, wrap_lines=True)
    sheet.put(
        sheet.note(
            f"For {link.judge}, open until {words.clock(link.expires_at)}. It is shown once: copy it "
            "now."
        )
    )
    if (urlsplit(home).hostname or "") in _HERE:
        sheet.put(
            sheet.note(
                "This address works on this machine only. Set EPOCHWATCH_DASHBOARD_URL to the one "
                "under which guests reach the dashboard."
            )
        )


def _home() -> str:
    """Return where guests reach the dashboard: as it is set, else as this browser does."""
    settings, here = shared_settings(), urlsplit(st.context.url or "")
    if here.netloc and not settings.dashboard_url:
        return f"{here.scheme}://{here.netloc}/"
    return settings.dashboard_home


def _open(line: ComparisonLine) -> list[GuestLink]:
    now = datetime.now(UTC)
    return [
        link
        for link in shared_reads().ask_anew(guest_links.links)
        if link.comparison == line.id and link.revoked_at is None and link.expires_at > now
    ]


def _line(link: GuestLink) -> None:
    name, way = st.columns([5, 2], vertical_alignment="center", gap="small")
    name.caption(
        f"{safe.markdown(link.judge)}, open until {safe.markdown(words.clock(link.expires_at))}"
    )
    if way.button("Close this link", key=f"close-{link.token_sha256[:16]}", width="stretch"):
        try:
            writes.revoke(link.token_sha256)
        except EpochwatchError as trouble:
            outage.say_why(trouble, "Not done")
        else:
            st.rerun()
