"""Keeps in a page's address which line of a list is looked at."""

from __future__ import annotations

import streamlit as st


def chosen(parameter: str, key: str) -> None:
    """Put the number that was chosen into the address.

    A line whose words have changed meanwhile, such as its count of votes, comes from the browser
    under its old words, which are no choice: the address stays as it is.
    """
    number = st.session_state[key]
    if isinstance(number, int):
        st.query_params[parameter] = str(number)
