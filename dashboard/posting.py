"""What every request that writes has in common: it comes from a page of ours, is JSON, and is short."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from core.errors import Fixable
from core.rules.roles import Role
from core.settings import shared_settings
from core.store.database import Connection
from dashboard import accounts
from dashboard.link import Away, shared_link

_T = TypeVar("_T")
_LONGEST = 32 * 1024  # bytes of a request
NO_STORE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


class Refused(Exception):
    """A request that is not answered, with its status and the words for it."""

    def __init__(self, status: int, words: str) -> None:
        """Keep both."""
        super().__init__(words)
        self.status, self.words = status, words


async def body_of(request: Request) -> dict[str, Any]:
    """Return the JSON of a request that came from a page of ours.

    Raises Refused.
    """
    origin = urlsplit(request.headers.get("origin", ""))
    if origin.scheme not in ("http", "https") or origin.netloc != request.headers.get("host"):
        raise Refused(403, "This request does not come from a page of this dashboard.")
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise Refused(415, "Answers are sent as JSON.")
    content = b""
    async for piece in request.stream():
        content += piece
        if len(content) > _LONGEST:
            raise Refused(413, "This is too long for an answer.")
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise Refused(400, "This is no JSON.") from None
    if not isinstance(found, dict):
        raise Refused(400, "This is no answer.")
    return found


def acting(request: Request, said: str, least: Role) -> str:
    """Return in whose name a request does something: that of the account it came with.

    Where nobody signs in it is what was ``said``. Raises Refused for an account that may not.
    """
    if not shared_settings().has_accounts:
        return said
    try:
        return accounts.allowed(request.scope.get("account"), least).address
    except accounts.NotAllowed as trouble:
        raise Refused(403, str(trouble)) from trouble


def asked(question: Callable[[Connection], _T]) -> _T:
    """Ask inside one transaction. Raises Away, and Refused for what a person can repair."""
    try:
        with shared_link().transaction() as connection:
            return question(connection)
    except Fixable as trouble:
        raise Refused(409, str(trouble)) from trouble


async def reply(work: Callable[[], dict[str, Any]]) -> Response:
    """Answer with what the work returns, as JSON; a refusal has its status and words."""
    try:
        found = await run_in_threadpool(work)
    except Refused as refusal:
        return refusal_of(refusal)
    except Away:
        return JSONResponse({"error": "The database is away."}, 503, headers=NO_STORE)
    return JSONResponse(found, headers=NO_STORE)


def refusal_of(refused: Refused) -> Response:
    """Return the answer to a request that is refused."""
    return JSONResponse({"error": refused.words}, refused.status, headers=NO_STORE)
