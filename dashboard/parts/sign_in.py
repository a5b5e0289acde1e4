"""Where people sign in: the page before all others, who is signed in, and who is on no list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from core.formats.sign_in_file import DEFAULT
from core.rules.roles import Account, verified_address
from core.settings import shared_settings
from dashboard import accounts
from dashboard.parts import safe, sheet
from dashboard.parts.safe import Html, fill


def is_passed() -> bool:
    """Say whether who looks may see the pages; if not, put in their place what is missing.

    On every page it says who is signed in. Where the settings name no accounts, nobody signs in.
    """
    if not shared_settings().has_accounts:
        return True
    account, claims = accounts.current(), accounts.claims_of_page()
    if account is not None:
        _who(account)
    elif claims:
        _refused(claims)
    else:
        _way_in()
    return account is not None


def _who(account: Account) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="account"):
        st.html(
            fill(
                '<span class="ew-quiet" data-part="account" title="{address}, {role}">'
                "{address}, {role}</span>",
                address=account.address,
                role=account.role,
            ),
            width="content",
        )
        if st.button("Sign out", type="tertiary", key="sign-out"):
            st.logout()


def _way_in() -> None:
    with st.container(key="sign-in"):
        sheet.put(
            _words(
                "Sign in to look and to vote.",
                "Your votes and notes are kept under your e-mail address, which others who sign in "
                "here can see. Your password stays with the provider you sign in with.",
            )
        )
        for name in accounts.providers(shared_settings()):
            label = "Sign in" if name == DEFAULT else f"Sign in with {safe.markdown(name)}"
            if st.button(label, type="primary", key=f"sign-in-{name}"):
                st.login(None if name == DEFAULT else name)
        sheet.put(sheet.note("Invited by a link of your own? Open that link: it takes no account."))


def _refused(claims: Mapping[str, Any]) -> None:
    address = verified_address(claims)
    with st.container(key="sign-in"):
        if address is not None:
            sheet.put(
                _words(
                    f"{address} is on no list of this dashboard.",
                    "You are who you say, and nobody has said yet what you may do here. Ask whoever "
                    "runs it to add this address as a viewer (looks), a voter (looks and votes) or "
                    "an admin. Then sign in again.",
                )
            )
        else:
            sheet.put(
                _words(
                    "Your e-mail address is not verified.",
                    f"{claims.get('email') or 'The account has no address, and it'} is not vouched "
                    "for by the provider you signed in with, so it could be anybody's. Verify it "
                    "there, then sign in again.",
                )
            )
        if st.button("Sign out", type="primary", key="sign-out"):
            st.logout()


def _words(sentence: str, rest: str) -> Html:
    return fill(
        '<p class="ew-run"><b>Epochwatch</b></p>'
        '<p class="ew-sentence" data-part="sign-in">{sentence}</p><p>{rest}</p>',
        sentence=sentence,
        rest=rest,
    )
