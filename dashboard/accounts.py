"""Who asks: the account that is signed in, where the settings have lists of accounts.

Streamlit signs people in by OpenID Connect and keeps who they are in a signed cookie; a page of
its own reads that by ``st.user``, our routes here. What an account may do is looked up every time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import streamlit as st

from core.errors import Fixable
from core.formats.sign_in_file import ways_in
from core.rules.roles import Account, Role, role_of, verified_address
from core.settings import Settings, shared_settings

_WHO: dict[Role, str] = {
    "viewer": "people on a list",
    "voter": "voters and admins",
    "admin": "admins",
}


class NotAllowed(Fixable):
    """Somebody may not do this; the words say who may."""


def account_of(claims: Mapping[str, Any], settings: Settings) -> Account | None:
    """Return the account of an ID token; None when it is on no list, or its address not verified."""
    address = verified_address(claims)
    if address is None:
        return None
    lists = settings.admins, settings.voters, settings.viewers
    role = role_of(address, admins=lists[0], voters=lists[1], viewers=lists[2])
    return Account(address=address, role=role) if role else None


def claims_of_page() -> Mapping[str, Any]:
    """Return the ID token of who looks at this page; empty when nobody is signed in."""
    claims: Mapping[str, Any] = dict(st.user.to_dict())
    return claims if claims.get("is_logged_in") else {}


def current() -> Account | None:
    """Return the account that looks at this page; None where people do not sign in."""
    settings = shared_settings()
    return account_of(claims_of_page(), settings) if settings.has_accounts else None


def account_of_cookies(cookies: Mapping[str, str]) -> Account | None:
    """Return the account of a request, from the cookie that Streamlit signed at its sign-in."""
    from streamlit.auth_util import get_cookie_with_chunks, get_origin_from_redirect_uri
    from streamlit.web.server.server_util import get_cookie_secret
    from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value
    from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME

    def part(name: str) -> bytes | None:
        value = cookies.get(name)
        return decode_signed_value(get_cookie_secret(), name, value) if value else None

    try:
        claims = json.loads(get_cookie_with_chunks(part, USER_COOKIE_NAME) or b"{}")
    except ValueError:
        return None
    if not claims.get("is_logged_in") or claims.get("origin") != get_origin_from_redirect_uri():
        return None  # signed in nowhere, or to another app that has the same secret
    return account_of(claims, shared_settings())


def lacks(account: Account | None, least: Role) -> str:
    """Return why an account may not do what takes the role ``least``; empty when it may."""
    if account is not None and account.may(least):
        return ""
    if account is None:
        return "You are not signed in any more. Load the page again."
    return f"{account.address} is signed in as {account.role}: this is for {_WHO[least]} only."


def hindrance(least: Role) -> str:
    """Return why who looks at this page may not do something; empty where nobody signs in."""
    return lacks(current(), least) if shared_settings().has_accounts else ""


def acting(said: str, least: Role) -> str:
    """Return in whose name a page does something: the account's address, never what was typed.

    Where nobody signs in it is what was ``said``. Raises NotAllowed.
    """
    if not shared_settings().has_accounts:
        return said
    return allowed(current(), least).address


def allowed(account: Account | None, least: Role) -> Account:
    """Return the account. Raises NotAllowed when it may not do what takes the role ``least``."""
    if account is None or not account.may(least):
        raise NotAllowed(lacks(account, least))
    return account


def providers(settings: Settings) -> tuple[str, ...]:
    """Return the providers by which people sign in; none where nobody is on a list.

    Raises Fixable when only one half is configured, or something in it is missing.
    """
    from streamlit.auth_util import get_secrets_auth_section, is_authlib_installed

    section = get_secrets_auth_section().to_dict()
    found = ways_in(section, has_accounts=settings.has_accounts)
    if found and not is_authlib_installed():
        raise Fixable('Signing in takes Authlib: pip install "epochwatch[dashboard]"')
    return found
