"""The server: Streamlit with routes for images, changes and health, behind the gate.

Start it with ``python -m streamlit run dashboard/app.py``: the bare command does not find the
package.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import secrets
import signal
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from types import FrameType
from typing import Any

import streamlit as st
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from core.errors import Fixable
from core.settings import shared_settings
from dashboard import accounts, ballots, blind, corrections, images
from dashboard.access import Gate, GateMiddleware, shared_key
from dashboard.link import Link, shared_link
from dashboard.pulse import events, shared_pulse


async def health(_: Request) -> JSONResponse:
    """Answer /healthz: the process lives, whatever the database does."""
    state = "away" if shared_link().away_since else "reachable"
    return JSONResponse({"status": "ok", "database": state})


@asynccontextmanager
async def lifespan(_: Any) -> AsyncIterator[None]:
    """Hold the database and the pulse as long as the server runs."""
    link: Link = shared_link()
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def end_streams(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(shared_pulse().close)
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    if threading.current_thread() is threading.main_thread():
        for number in before:
            signal.signal(number, end_streams)
    try:
        yield None
    finally:
        shared_pulse().close()
        await run_in_threadpool(link.close)


@cache
def announced_gate() -> Gate:
    """Return the gate for the address that the server listens on, and tell the way in, once.

    Where signing in is configured by halves, say so and do not start: nobody's door is worse than
    everybody's.
    """
    given = os.environ.pop("EPOCHWATCH_DASHBOARD_TOKEN", "")  # whoever gave it has told it
    token = given or secrets.token_urlsafe(24)
    address, port = st.get_option("server.address"), st.get_option("server.port")
    try:
        signs_in = bool(accounts.providers(shared_settings()))
    except Fixable as trouble:
        sys.exit(f"epochwatch: {trouble}")
    gate = Gate(
        key=shared_key(),
        token=token,
        address=address,
        account_of=accounts.account_of_cookies if signs_in else None,
    )
    if not signs_in and not gate.local and not given:
        host = address if address and not _is_every(address) else "THIS-HOST"
        sys.stderr.write(
            f"Open this link once in your browser: http://{host}:{port}/?token={token}\n"
        )
        sys.stderr.flush()
    return gate


def _is_every(address: str) -> bool:
    return address.strip("[]") in {str(ipaddress.IPv4Address(0)), str(ipaddress.IPv6Address(0))}


def on_script_error(trouble: Exception) -> bool:
    """Say in the page that something went wrong; the details go to the log only."""
    import structlog

    structlog.get_logger("dashboard").error("page failed", exc_info=trouble)
    st.error(
        "This page could not be drawn. The reason is in the dashboard's log; the daemon works on."
    )
    return True


app = st.App(
    "frame.py",
    routes=[
        Route("/healthz", health),
        Route("/img/{sha256}.png", images.original),
        Route("/thumb/{sha256}.webp", images.thumb),
        Route("/picture/{run_id}/{sample_id}", images.picture),
        Route("/picture/{run_id}/{sample_id}/objection", corrections.object_to, methods=["POST"]),
        Route("/blind/{serving}/{place}.png", blind.picture),
        Route("/vote/next", ballots.next_pair, methods=["POST"]),
        Route("/vote/answer", ballots.answer, methods=["POST"]),
        Route("/vote/end", ballots.end, methods=["POST"]),
        Route("/guest/{token}", ballots.guest_page),
        Route("/guest/{token}/next", ballots.guest_next, methods=["POST"]),
        Route("/guest/{token}/answer", ballots.guest_answer, methods=["POST"]),
        Route("/guest/{token}/end", ballots.guest_end, methods=["POST"]),
        Route("/guest/{token}/blind/{serving}/{place}.png", blind.guest_picture),
        Route("/events", events),
    ],
    lifespan=lifespan,
    middleware=[Middleware(GateMiddleware, gate=announced_gate())],
    on_script_error=on_script_error,
)
