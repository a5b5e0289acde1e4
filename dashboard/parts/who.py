"""In whose name something is done: the account that is signed in, else a name in a box."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import accounts


def box(*, key: str, value: str = "", place: DeltaGenerator | None = None) -> str:
    """Show who does this and return the name; a box to type it in only where nobody signs in."""
    account, where = accounts.current(), place or st
    if account is not None:
        where.text_input("Your name", account.address, disabled=True, key=f"{key}-account")
        return account.address
    return str(where.text_input("Your name", value, max_chars=80, key=key))
