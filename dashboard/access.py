"""Who may see the dashboard: anyone at this machine itself.

From elsewhere, only a browser that came by a one-time link. Where people sign in, an account decides
instead, everywhere; nobody but a guest with a link of their own gets past the page to sign in.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import ipaddress
import os
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import cache
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlencode

from starlette import websockets
from starlette.requests import HTTPConnection

from core.rules.roles import Account
from core.settings import load_settings

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
AccountOf = Callable[[Mapping[str, str]], Account | None]  # whose cookies they are

COOKIE = "epochwatch"
DAYS = 30
# Raised to whoever speaks to a page that is gone; Streamlit lets it out, as 60 lines of traceback.
_GONE: type[Exception] = getattr(
    websockets, "WebSocketDisconnected", websockets.WebSocketDisconnect
)
_OPEN_PATHS = ("/healthz",)  # says only whether the process lives
# A guest's link carries its own secret, which its routes check; nothing else is open below it.
_GUEST_PATH = re.compile(
    r"/guest/[\w-]{43}(?:/(?:next|answer|end|blind/[\w-]{24}/[0-3](?:-small)?\.png))?", re.ASCII
)
# What a browser needs to show the page to sign in, and to come back from the provider.
_SIGN_IN_PATH = re.compile(
    r"/|/static/.+|/_stcore/(?:stream|health|host-config)|/auth/(?:login|logout)|/oauth2callback"
    r"|/favicon\.png|/manifest\.json"
)
_WAY = "epochwatch-way"  # cookie: where somebody wanted to go who had to sign in first
_HARDENING = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"referrer-policy", b"same-origin"),
]
REFUSAL = (
    "403 - this dashboard is not open to this browser.\n\n"
    "Use the one-time link that was printed when the dashboard started. A link works once:\n"
    "for another browser, restart the dashboard or run `epochwatch dashboard` on its machine.\n"
)
SIGN_IN = "401 - sign in on the first page of this dashboard.\n"


def read_key(home: Path) -> bytes:
    """Return the secret of this home, made on first use and readable by its owner only."""
    path = home / "dashboard.key"
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        for _ in range(20):  # another process may be between creating and writing
            if len(key := path.read_bytes()) >= 32:
                return key
            time.sleep(0.05)
        path.unlink()
        return read_key(home)
    with os.fdopen(handle, "wb") as file:
        key = secrets.token_bytes(32)
        file.write(key)
    return key


@cache
def shared_key() -> bytes:
    """Return the secret of this process's home."""
    return read_key(load_settings().home)


def sign(key: bytes, message: str) -> str:
    """Return 32 hex digits that only the holder of ``key`` can make for ``message``."""
    return hmac.new(key, message.encode(), hashlib.sha256).hexdigest()[:32]


def is_signed(key: bytes, message: str, signature: str) -> bool:
    """Say whether ``signature`` belongs to ``message``, in constant time."""
    return hmac.compare_digest(sign(key, message).encode(), signature.encode())


def is_loopback(name: str | None) -> bool:
    """Say whether an address or host name, with or without port, is this machine itself."""
    if not name:
        return False
    bare = name.strip().lower()
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    if bare == "localhost" or bare.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False


class Gate:
    """Decides for each request; holds the one-time token until it is used up."""

    def __init__(
        self, *, key: bytes, token: str, address: str | None, account_of: AccountOf | None = None
    ) -> None:
        """``address`` is what the server listens on; None means everywhere.

        ``account_of`` tells whose a request is where people sign in; the token opens nothing then.
        """
        self._key = key
        self._token: str | None = token
        self.account_of = account_of
        self.local = is_loopback(address)

    def admits(self, scope: Scope, now: float) -> bool:
        """Say whether a request may pass: local on a local name, or with a cookie of ours.

        A local server asked under another name is behind a proxy, or a page elsewhere plays tricks
        with names; both need the cookie.
        """
        headers = _headers(scope)
        if self.local and is_loopback(headers.get("host")) and "x-forwarded-for" not in headers:
            return True
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return morsel is not None and self._is_ours(morsel.value, now)

    def take(self, token: str) -> bool:
        """Use up the token, if it is this one."""
        if self._token is None or not hmac.compare_digest(self._token.encode(), token.encode()):
            return False
        self._token = None
        return True

    def cookie(self, now: float) -> str:
        """Return the value of a new cookie."""
        body = f"{int(now) + DAYS * 86400}.{secrets.token_hex(8)}"
        return f"{body}.{sign(self._key, f'cookie {body}')}"

    def _is_ours(self, value: str, now: float) -> bool:
        body, _, signature = value.rpartition(".")
        until = body.partition(".")[0]
        return (
            is_signed(self._key, f"cookie {body}", signature)
            and until.isdigit()
            and int(until) > now
        )


class GateMiddleware:
    """Stands before every route and websocket."""

    def __init__(self, app: Application, gate: Gate) -> None:
        """Guard ``app``."""
        self._app, self._gate = app, gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, exchange a token for a cookie, or refuse.

        A request that passes says in ``scope["account"]`` whose it is.
        """
        scope["account"] = None
        if scope["type"] not in ("http", "websocket") or scope["path"] in _OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        if scope["type"] == "http" and _GUEST_PATH.fullmatch(scope["path"]):
            await self._pass(scope, receive, send)
            return
        if self._gate.account_of is not None:
            await self._by_account(scope, receive, send, self._gate.account_of)
            return
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        if scope["type"] == "http" and scope["method"] == "GET" and "token" in query:
            await self._exchange(scope, send, query)
        elif self._gate.admits(scope, time.time()):
            await self._pass(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 4403})
        else:
            await _answer(send, 403, REFUSAL)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through; a tab that was closed meanwhile is no error for the terminal."""
        with contextlib.suppress(_GONE):
            await self._app(scope, receive, _hardened(send))

    async def _by_account(
        self, scope: Scope, receive: Receive, send: Send, account_of: AccountOf
    ) -> None:
        cookies = HTTPConnection(scope).cookies
        scope["account"] = account = account_of(cookies)
        way = _local(unquote(cookies.get(_WAY, "")))
        if account is not None and way != "/" and scope["path"] == "/":
            await _answer(send, 303, "", ("location", way), ("set-cookie", _kept_way("", 0)))
        elif account is not None or _SIGN_IN_PATH.fullmatch(scope["path"]):
            await self._pass(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 4401})
        elif "text/html" in _headers(scope).get("accept", ""):
            asked = scope.get("query_string", b"").decode("latin-1")
            way = _kept_way(scope["path"] + (f"?{asked}" if asked else ""), 600)
            await _answer(send, 303, "", ("location", "/"), ("set-cookie", way))
        else:
            await _answer(send, 401, SIGN_IN)

    async def _exchange(self, scope: Scope, send: Send, query: dict[str, list[str]]) -> None:
        rest = urlencode(
            [(name, one) for name, many in query.items() for one in many if name != "token"]
        )
        place = _local((scope["path"] or "/") + (f"?{rest}" if rest else ""))
        if self._gate.take(query["token"][0]):
            secure = "; Secure" if _is_encrypted(scope) else ""
            value = f"{COOKIE}={self._gate.cookie(time.time())}"
            cookie = f"{value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={DAYS * 86400}{secure}"
            await _answer(send, 303, "", ("location", place), ("set-cookie", cookie))
        elif self._gate.admits(scope, time.time()):
            await _answer(send, 303, "", ("location", place))
        else:
            await _answer(send, 403, REFUSAL)


def _local(place: str) -> str:
    """Return a place of this dashboard; its first page instead of one elsewhere."""
    is_ours = place.startswith("/") and not place.startswith(("//", "/\\")) and place.isprintable()
    return place if is_ours and place.isascii() else "/"


def _kept_way(place: str, seconds: int) -> str:
    return f"{_WAY}={quote(place, safe='')}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}"


def _is_encrypted(scope: Scope) -> bool:
    return "https" in (scope.get("scheme"), _headers(scope).get("x-forwarded-proto"))


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _hardened(send: Send) -> Send:
    async def wrapped(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *_HARDENING]
        await send(message)

    return wrapped


async def _answer(send: Send, status: int, body: str, *headers: tuple[str, str]) -> None:
    lines = [("content-type", "text/plain; charset=utf-8"), ("cache-control", "no-store"), *headers]
    raw = [(name.encode(), value.encode("latin-1")) for name, value in lines]
    await send({"type": "http.response.start", "status": status, "headers": [*raw, *_HARDENING]})
    await send({"type": "http.response.body", "body": body.encode()})
