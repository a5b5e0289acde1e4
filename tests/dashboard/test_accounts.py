"""Where people sign in: who gets past the gate, in whose name things are done, and who may not."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import streamlit as st
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from streamlit.runtime.secrets import secrets_singleton
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value

from core import settings as settings_module
from core.errors import Fixable
from core.rules.roles import Account, Role
from dashboard import accounts, posting, writes
from dashboard.access import Gate, GateMiddleware

SECRET = "c" * 40
HERE = "https://watch.example"
AUTH = {
    "redirect_uri": f"{HERE}/oauth2callback",
    "cookie_secret": SECRET,
    "client_id": "epochwatch",
    "client_secret": "s",
    "server_metadata_url": "https://id.example/.well-known/openid-configuration",
}

BY: Any = "ada@example.org"  # as somebody else might type it
SCORE = writes.Score(run_id=1, position=1, judge=BY, visual=7, style=7, prompt=7, note="")
DECIDING: dict[str, Callable[[], Any]] = {
    "promote": lambda: writes.promote(1, 1, strict=False, reason="", by_whom=BY),
    "roll_back": lambda: writes.roll_back(1, reason="", by_whom=BY),
    "compare": lambda: writes.compare(1, ["base", "pick"], BY),
    "try_out": lambda: writes.try_out(1, [], prompt="", negative="", seed=1, by_whom=BY),
    "set_plan": lambda: writes.set_plan(1, BY, by_whom=BY),
    "invite": lambda: writes.invite(1, "Nadia", hours=48, by_whom=BY),
    "revoke": lambda: writes.revoke("0" * 64),
}
JUDGING: dict[str, Callable[[], Any]] = {
    "log_score": lambda: writes.log_score(SCORE),
    "open_sitting": lambda: writes.open_sitting(1, BY),
    "begin_sitting": lambda: writes.begin_sitting(1, BY, blind=True, budget=None),
    "end_sitting": lambda: writes.end_sitting(1),
    "show_names": lambda: writes.show_names(1),
}


def claims(email: str, **more: Any) -> dict[str, Any]:
    """Return what Streamlit keeps of an ID token."""
    return {"email": email, "email_verified": True, "is_logged_in": True, "origin": HERE, **more}


def cookie(content: dict[str, Any], secret: str = SECRET) -> dict[str, str]:
    """Return the cookie that Streamlit makes of it."""
    signed = create_signed_value(secret, "_streamlit_user", json.dumps(content))
    return {"_streamlit_user": signed.decode()}


@pytest.fixture(autouse=True)
def lists(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An admin, the voters of a domain and a viewer; a section [auth] that is whole."""
    monkeypatch.setenv("EPOCHWATCH_ADMINS", "ada@example.org")
    monkeypatch.setenv("EPOCHWATCH_VOTERS", "@studio.example")
    monkeypatch.setenv("EPOCHWATCH_VIEWERS", "vera@example.org")
    settings_module.shared_settings.cache_clear()
    monkeypatch.setattr(secrets_singleton, "_secrets", {"auth": AUTH})
    yield
    settings_module.shared_settings.cache_clear()


@pytest.fixture
def client() -> TestClient:
    """A browser before a gate that asks for accounts, even of this machine itself."""

    async def whose(request: Request) -> PlainTextResponse:
        account = request.scope["account"]
        return PlainTextResponse(account.address if account else "nobody")

    gate = Gate(
        key=b"k" * 32,
        token="right",
        address="127.0.0.1",
        account_of=accounts.account_of_cookies,
    )
    app = Starlette(
        routes=[Route("/{path:path}", whose)], middleware=[Middleware(GateMiddleware, gate=gate)]
    )
    return TestClient(app, base_url="http://localhost", follow_redirects=False)


@pytest.mark.parametrize(
    "cookies",
    [
        {},
        cookie(claims("eve@elsewhere.example")),
        cookie(claims("ada@example.org", email_verified=False)),
        cookie(claims("ada@example.org"), secret="d" * 40),
        cookie(claims("ada@example.org", origin="https://another.example")),
        cookie(claims("ada@example.org", is_logged_in=False)),
        {"_streamlit_user": "x"},
        {"_streamlit_user": "chunks-2"},
        {"epochwatch": Gate(key=b"k" * 32, token="right", address=None).cookie(4e9)},
    ],
)
def test_strangers_reach_the_page_to_sign_in_only(
    client: TestClient, cookies: dict[str, str]
) -> None:
    """On no list, not verified, signed by another key, for another app, or let in by an old link."""
    client.cookies.update(cookies)
    assert client.get("/").text == "nobody"
    for path in ("/oauth2callback", "/auth/login", "/static/js/index.js", "/_stcore/health"):
        assert client.get(path).status_code == 200
    for path in ("/events", "/img/a.png", "/media/a.png", "/vote/next", "/run", "/_stcore/metrics"):
        assert client.get(path).status_code == 401
    assert client.get("/?token=right").text == "nobody"


def test_an_account_on_a_list_passes_and_is_known_to_the_routes(client: TestClient) -> None:
    """Every route learns the address from the signed cookie."""
    client.cookies.update(cookie(claims("Bo@Studio.example")))
    assert client.get("/events").text == "bo@studio.example"


def test_whoever_had_to_sign_in_first_gets_where_the_link_led(client: TestClient) -> None:
    """Once, and only to a place of this dashboard."""
    page = {"accept": "text/html"}
    answer = client.get("/vote?id=3", headers=page)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    client.cookies.update(cookie(claims("ada@example.org")))
    answer = client.get("/", headers=page)
    assert (answer.status_code, answer.headers["location"]) == (303, "/vote?id=3")
    assert client.get("/", headers=page).status_code == 200
    client.cookies.set("epochwatch-way", "%2F%2Fevil.example")
    assert client.get("/", headers=page).status_code == 200


def test_a_page_acts_in_the_accounts_name_whatever_was_typed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A typed name counts only where nobody signs in."""
    monkeypatch.setattr(
        type(st.user), "to_dict", lambda _: claims("bo@studio.example"), raising=True
    )
    assert accounts.acting("somebody else", "voter") == "bo@studio.example"
    with pytest.raises(accounts.NotAllowed, match="signed in as voter: this is for admins only"):
        accounts.acting("ada@example.org", "admin")
    for name in ("EPOCHWATCH_ADMINS", "EPOCHWATCH_VOTERS", "EPOCHWATCH_VIEWERS"):
        monkeypatch.delenv(name)
    settings_module.shared_settings.cache_clear()
    assert accounts.acting("somebody", "admin") == "somebody"
    assert accounts.hindrance("admin") == ""


@pytest.mark.parametrize(
    ("address", "role"), [("bo@studio.example", "voter"), ("vera@example.org", "viewer")]
)
def test_the_one_door_for_writes_refuses_before_anything_is_written(
    address: str, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No database is needed to be refused, so that none is asked."""
    monkeypatch.setattr(type(st.user), "to_dict", lambda _: claims(address))
    refused = DECIDING if role == "voter" else {**DECIDING, **JUDGING}
    for door in refused.values():
        with pytest.raises(accounts.NotAllowed, match=f"{address} is signed in as {role}"):
            door()


def test_every_door_for_writes_is_held_to_a_role() -> None:
    """Whoever adds one says here which role it takes."""
    doors = {
        name
        for name, value in vars(writes).items()
        if inspect.isfunction(value) and value.__module__ == writes.__name__
    }
    assert doors == {*DECIDING, *JUDGING}


@pytest.mark.parametrize(
    ("role", "least", "passes"),
    [("viewer", "voter", False), ("voter", "voter", True), (None, "voter", False)],
)
def test_a_posted_request_acts_in_the_name_of_its_cookie(
    role: Role | None, least: Role, *, passes: bool
) -> None:
    """What the body says of who it is counts for nothing."""
    account = Account(address="a@b.c", role=role) if role else None
    request = Request({"type": "http", "account": account})
    if passes:
        assert posting.acting(request, "somebody else", least) == "a@b.c"
        return
    with pytest.raises(posting.Refused) as refused:
        posting.acting(request, "somebody else", least)
    assert refused.value.status == 403


def test_without_authlib_the_way_to_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anybody presses a button that does nothing."""
    settings = settings_module.shared_settings()
    assert accounts.providers(settings) == ("default",)
    monkeypatch.setattr("streamlit.auth_util.is_authlib_installed", lambda: False)
    with pytest.raises(Fixable, match=r"pip install"):
        accounts.providers(settings)
