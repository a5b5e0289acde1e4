"""Answers for judges' browsers: the next pair, an answer, the end; and the page of a guest.

Nothing here rests on a cookie alone: a request names a sitting with a ticket that only a page of
ours was given, and comes from an address of ours.
"""

from __future__ import annotations

import json
import secrets
import time
from collections import deque
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from core.errors import Fixable
from core.store import comparisons, guest_links, voting
from core.store.database import Connection
from dashboard import desk
from dashboard.access import is_signed, shared_key, sign
from dashboard.link import Away
from dashboard.parts.safe import Html, fill
from dashboard.posting import NO_STORE, Refused, acting, asked, body_of, refusal_of, reply

_PARTS = Path(__file__).with_name("parts")
_MINUTE = 60.0
_NOT_YOURS = "This ballot is not yours; load the page again."
_GONE = "This link is not open: it has expired, was revoked, or was never made. Ask for a new one."


def ticket(session_id: int) -> str:
    """Return what a page needs to answer for a sitting."""
    return sign(shared_key(), f"ballot {session_id}")


def is_ticket(session_id: int, mark: str) -> bool:
    """Say whether a ticket was made here for a sitting."""
    return is_signed(shared_key(), f"ballot {session_id}", mark)


def _session_of(body: dict[str, Any]) -> int:
    session, mark = body.get("session"), body.get("ticket")
    if type(session) is not int or not isinstance(mark, str) or not is_ticket(session, mark):
        raise Refused(403, _NOT_YOURS)
    return session


def is_seat_of(session: voting.Session, account: str) -> bool:
    """Say whether a sitting is that of an account."""
    return (session.via, session.judge) == ("account", account)


def _seated(session_id: int, account: str) -> int:
    """Return the sitting where nobody signs in, or when it is this account's. Raises Refused."""
    if account:
        found = asked(lambda c: voting.session(c, session_id))
        if found is None or not is_seat_of(found, account):
            raise Refused(403, _NOT_YOURS)
    return session_id


def _given(body: dict[str, Any]) -> desk.Answer:
    ranking, milliseconds = body.get("ranking"), body.get("milliseconds")
    revision = body.get("revision")
    if type(revision) is not int or not 0 <= revision < 10_000:
        raise Refused(400, "This answer has no revision.")
    if ranking is not None and not (
        isinstance(ranking, list) and all(type(place) is int for place in ranking)
    ):
        raise Refused(400, "This ranking names no places.")
    return desk.Answer(
        serving=str(body.get("serving", ""))[:64],
        revision=revision,
        choice=str(body.get("choice", "")),
        ranking=None if ranking is None else tuple(ranking),
        note=str(body.get("note") or "")[: voting.LONGEST_NOTE],
        milliseconds=milliseconds if type(milliseconds) is int else None,
    )


async def _ballot(
    request: Request, work: Callable[[int, dict[str, Any]], dict[str, Any]]
) -> Response:
    """Answer for the sitting that a request has a ticket for."""
    try:
        body = await body_of(request)
        session = _session_of(body)
        account = acting(request, "", "voter")
    except Refused as refused:
        return refusal_of(refused)
    return await reply(lambda: work(_seated(session, account), body))


def _next(session: int, body: dict[str, Any], base: str) -> dict[str, Any]:
    ways = 4 if body.get("ways") == 4 else 2
    return {"desk": asked(lambda c: desk.desk(c, session, base=base, ways=ways))}


def _answer(session: int, body: dict[str, Any], base: str) -> dict[str, Any]:
    """Store an answer, and only then look what comes next: it stands whatever becomes of that."""
    given = _given(body)
    kept = asked(lambda c: desk.answer(c, session, given))
    try:
        return {**kept, **_next(session, body, base)}
    except (Refused, Away):
        return kept


def _end(session: int, words: str) -> dict[str, Any]:
    asked(lambda c: voting.end(c, session))
    return {"ended": True, "words": words}


async def next_pair(request: Request) -> Response:
    """Answer POST /vote/next: what is on the desk."""
    return await _ballot(request, lambda session, body: _next(session, body, "/blind"))


async def answer(request: Request) -> Response:
    """Answer POST /vote/answer: store it once, say what stands, and what comes next."""
    return await _ballot(request, lambda session, body: _answer(session, body, "/blind"))


async def end(request: Request) -> Response:
    """Answer POST /vote/end: the sitting is over, and its judge may see who was who."""
    return await _ballot(request, lambda session, _: _end(session, "Ended. The result follows."))


class Pace:
    """How often each guest asked within the last minute; a link may be passed on to a script."""

    def __init__(self, most: int = 300, clock: Callable[[], float] = time.monotonic) -> None:
        """Allow ``most`` requests a minute, more than a person who only presses keys."""
        self._most, self._clock = most, clock
        self._asked: dict[str, deque[float]] = {}

    def keep(self, guest: str) -> None:
        """Count one request. Raises Refused when it comes too soon."""
        now = self._clock()
        times = self._asked.setdefault(guest, deque(maxlen=self._most))
        if len(times) == self._most and now - times[0] < _MINUTE:
            raise Refused(429, "That was very fast. Wait a minute; what was answered is kept.")
        times.append(now)


_pace = Pace()


def _guest_session(connection: Connection, token: str) -> voting.Session:
    link = guest_links.guest(connection, token)
    if link is None:
        raise Fixable(_GONE)
    _pace.keep(guest_links.token_hash(token))
    return voting.begin(connection, link.comparison, link.judge, "guest")


async def _guest(
    request: Request, work: Callable[[int, dict[str, Any], str], dict[str, Any]]
) -> Response:
    """Answer for the sitting of a guest's link, begun by the first request of its page."""
    token = request.path_params["token"]
    try:
        body = await body_of(request)
    except Refused as refused:
        return refusal_of(refused)
    return await reply(
        lambda: work(asked(lambda c: _guest_session(c, token)).id, body, f"/guest/{token}/blind")
    )


async def guest_next(request: Request) -> Response:
    """Answer POST /guest/{token}/next."""
    return await _guest(request, _next)


async def guest_answer(request: Request) -> Response:
    """Answer POST /guest/{token}/answer."""
    return await _guest(request, _answer)


async def guest_end(request: Request) -> Response:
    """Answer POST /guest/{token}/end; a guest is thanked and shown no result."""
    thanks = "Thank you. You can close this page."
    return await _guest(request, lambda session, _body, _base: _end(session, thanks))


async def guest_page(request: Request) -> Response:
    """Answer /guest/{token}: a page of its own that holds one ballot and nothing else."""
    token = request.path_params["token"]
    try:
        found = await run_in_threadpool(lambda: asked(lambda c: _invited(c, token)))
    except Away:
        return PlainTextResponse("503 - try again in a minute", 503, headers=NO_STORE)
    if found is None:
        return PlainTextResponse(f"404 - {_GONE}", 404, headers=NO_STORE)
    nonce = secrets.token_urlsafe(16)
    body = _guest_markup(found, nonce, token)
    policy = (
        f"default-src 'none'; img-src blob:; connect-src 'self'; script-src 'nonce-{nonce}'; "
        f"style-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return HTMLResponse(
        body, headers={**NO_STORE, "Content-Security-Policy": policy, "X-Robots-Tag": "noindex"}
    )


def _invited(connection: Connection, token: str) -> guest_links.GuestLink | None:
    link = guest_links.guest(connection, token)
    if link is None or comparisons.comparison(connection, link.comparison) is None:
        return None
    return link


@cache
def _part(name: str) -> str:
    return (_PARTS / name).read_text(encoding="utf-8")


def _guest_markup(link: guest_links.GuestLink, nonce: str, token: str) -> Html:
    data = {
        "base": f"/guest/{token}",
        "key": f"guest-{guest_links.token_hash(token)[:12]}",
        "ways": 2,
        "endWords": "I am done",
    }
    return fill(
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="robots" content="noindex"><title>Which is better?</title>'
        '<style nonce="{nonce}">{base}{css}</style></head>'
        "<body><main><header><h1>Which is better?</h1><p>Hello {judge}. Tap the better picture, or "
        "say that they tie. Trust your eye; there is no right answer to find.</p></header>"
        '<div id="ballot"></div></main>'
        '<script type="module" nonce="{nonce}">{js}\nstart(document.getElementById("ballot"), '
        "{data}, () => {{}});</script></body></html>",
        nonce=nonce,
        base=Html(_part("guest.css")),
        css=Html(_part("ballot.css")),
        judge=link.judge,
        js=Html(_part("ballot.js")),
        data=_script(data),
    )


def _script(data: dict[str, Any]) -> Html:
    """Return JSON that may stand inside a script: no angle bracket or ampersand is left as it is."""
    plain = json.dumps(data)
    for character in "<>&":
        plain = plain.replace(character, f"\\u{ord(character):04x}")
    return Html(plain)
