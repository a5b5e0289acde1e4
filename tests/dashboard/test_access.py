"""The gate lets in this machine itself, and others only by the one-time link."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from dashboard.access import (
    Gate,
    GateMiddleware,
    is_loopback,
    is_signed,
    read_key,
    sign,
)

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request

KEY = b"k" * 32


async def _secret(_: Request) -> PlainTextResponse:
    return PlainTextResponse("secret")


async def _socket(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("secret")
    await socket.close()


def _client(address: str | None, host: str = "testserver") -> TestClient:
    gate = Gate(key=KEY, token="right", address=address)
    routes = [
        Route("/{path:path}", _secret),
        WebSocketRoute("/_stcore/stream", _socket),
    ]
    app = Starlette(routes=routes, middleware=[Middleware(GateMiddleware, gate=gate)])
    return TestClient(app, base_url=f"http://{host}", follow_redirects=False)


@pytest.mark.parametrize("path", ["/", "/_stcore/health", "/media/a.png", "/img/a.png", "/run"])
def test_every_route_is_refused_in_plain_words(path: str) -> None:
    """Without a cookie there is nothing to see, and the answer says what to do."""
    answer = _client("0.0.0.0").get(path)
    assert answer.status_code == 403
    assert "one-time link" in answer.text
    assert "secret" not in answer.text


def test_a_websocket_is_refused_too() -> None:
    """The pages' own line is guarded like the pages."""
    with (
        pytest.raises(WebSocketDisconnect),
        _client(None).websocket_connect("/_stcore/stream"),
    ):
        pass


def test_a_tab_that_is_closed_is_no_error_in_the_terminal() -> None:
    """Streamlit speaks to a page that may be gone by then, and lets what comes of it out."""

    async def speaks_too_late(socket: WebSocket) -> None:
        await socket.accept()
        await socket.close()
        await socket.receive_bytes()

    routes = [WebSocketRoute("/_stcore/stream", speaks_too_late)]
    gate = Gate(key=KEY, token="right", address="127.0.0.1")
    app = Starlette(routes=routes, middleware=[Middleware(GateMiddleware, gate=gate)])
    at_home = {"host": "127.0.0.1"}
    with TestClient(app).websocket_connect("/_stcore/stream", headers=at_home) as tab:
        assert tab.receive()["type"] == "websocket.close"


def test_health_is_open_since_it_says_nothing() -> None:
    """A host's probe needs no cookie."""
    assert _client("0.0.0.0").get("/healthz").status_code == 200


def test_the_link_works_once_and_leaves_a_cookie() -> None:
    """The token leaves the address, the cookie opens every route, and nobody else gets in by it."""
    client = _client("0.0.0.0")
    answer = client.get("/run?run=3&token=right")
    assert (answer.status_code, answer.headers["location"]) == (303, "/run?run=3")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert client.get("/media/a.png").text == "secret"
    with client.websocket_connect("/_stcore/stream") as socket:
        assert socket.receive_text() == "secret"
    client.cookies.clear()
    assert client.get("/?token=right").status_code == 403


def test_a_used_link_still_leads_its_owner_in() -> None:
    """The same browser may follow its bookmark again."""
    client = _client("0.0.0.0")
    client.get("/?token=right")
    assert client.get("/?token=right").status_code == 303


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example"])
def test_the_link_cannot_lead_elsewhere(path: str) -> None:
    """A prepared link must not send a fresh visitor to another site."""
    answer = _client("0.0.0.0").get(f"{path}?token=right")
    assert answer.headers["location"].startswith(("/", "%5C"))
    assert not answer.headers["location"].startswith(("//", "/\\"))


@pytest.mark.parametrize(
    "value", ["", "x", "9999999999.aa.00", "9999999999.aa", "\u00e4", "a" * 9000]
)
def test_a_made_up_cookie_opens_nothing(value: str) -> None:
    """Only what the key signed counts."""
    gate = Gate(key=KEY, token="right", address=None)
    headers = [(b"cookie", b"epochwatch=" + value.encode("utf-8"))]
    assert not gate.admits({"headers": headers}, 0.0)


def test_a_cookie_runs_out() -> None:
    """After its thirty days a browser needs a new link."""
    gate = Gate(key=KEY, token="right", address=None)
    headers = {"headers": [(b"cookie", f"epochwatch={gate.cookie(0.0)}".encode())]}
    assert gate.admits(headers, 29 * 86400.0)
    assert not gate.admits(headers, 31 * 86400.0)


def test_at_this_machine_nobody_logs_in() -> None:
    """Bound to loopback and asked by a loopback name, every page opens."""
    assert _client("127.0.0.1", "localhost:8501").get("/").text == "secret"
    assert _client("::1", "127.0.0.1:8501").get("/").text == "secret"


def test_a_strange_name_on_loopback_is_refused() -> None:
    """A page elsewhere whose name was made to point here gets no free entry, nor does a proxy."""
    assert _client("127.0.0.1", "evil.example").get("/").status_code == 403
    proxied = _client("127.0.0.1", "localhost").get("/", headers={"X-Forwarded-For": "8.8.8.8"})
    assert proxied.status_code == 403


@pytest.mark.parametrize(
    ("name", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8:80", True),
        ("localhost:8501", True),
        ("[::1]:8501", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("", False),
        (None, False),
        ("localhost.evil.example", False),
        ("10.0.0.1", False),
    ],
)
def test_only_this_machine_is_loopback(name: str | None, *, local: bool) -> None:
    """Names that merely look local are not."""
    assert is_loopback(name) is local


def test_the_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    """Two processes of one home sign alike."""
    first = read_key(tmp_path / "home")
    assert read_key(tmp_path / "home") == first
    assert (tmp_path / "home" / "dashboard.key").stat().st_mode & 0o777 == 0o600


def test_a_signature_belongs_to_its_message() -> None:
    """An address of one image opens no other."""
    assert is_signed(KEY, "image a", sign(KEY, "image a"))
    assert not is_signed(KEY, "image b", sign(KEY, "image a"))
    assert not is_signed(KEY, "image a", "\u00e9")
