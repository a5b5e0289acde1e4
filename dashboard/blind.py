"""Answers for the pictures of blind servings: addresses of their own, encoded anew, never kept."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass

from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from core.charts.blinded import blinded, blinded_small, spoiled
from core.errors import EpochwatchError
from core.rules.ballots import spoiled_place
from core.store import guest_links, voting
from core.store.image_bytes import on_white, open_png
from dashboard import images
from dashboard.link import Away, shared_link
from dashboard.parts import links

_KEPT = 16  # servings whose files wait for the other side's request
_HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """The files of one serving, from left to right."""

    large: tuple[bytes, ...]
    small: tuple[bytes, ...]


class Encoder:
    """Encodes all places of a serving at once: the side asked for first waits as long as the other."""

    def __init__(self) -> None:
        """Keep nothing yet."""
        self._kept: OrderedDict[str, Encoded] = OrderedDict()
        self._lock = threading.Lock()

    def files(self, serving_id: str, places: voting.BlindPlaces) -> Encoded | None:
        """Return the files of a serving; None when the store lost an image."""
        with self._lock:
            if serving_id not in self._kept:
                found = _encode(serving_id, places)
                if found is None:
                    return None
                self._kept[serving_id] = found
            self._kept.move_to_end(serving_id)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return self._kept[serving_id]


_encoder = Encoder()


def _encode(serving_id: str, places: voting.BlindPlaces) -> Encoded | None:
    pictures: list[Image.Image] = []
    for place, name in enumerate(places.images):
        png = images.stored(name) if name else None
        if png is None:
            return None
        picture = on_white(open_png(png))
        if places.gold and place == spoiled_place(places.expected):
            picture = spoiled(picture, serving_id)
        pictures.append(picture)
    return Encoded(
        large=blinded(pictures, secrets.token_bytes),
        small=blinded_small(pictures, places.grid, secrets.token_bytes),
    )


def _look(serving_id: str, comparison: int | None) -> Encoded | None:
    with shared_link().transaction() as connection:
        places = voting.places(connection, serving_id)
    if places is None or not places.open:
        return None
    if comparison is not None and places.comparison != comparison:
        return None
    return _encoder.files(serving_id, places)


async def _picture(request: Request, comparison: int | None) -> Response:
    wanted = request.path_params["place"]
    place, small = wanted.removesuffix("-small"), wanted.endswith("-small")
    try:
        found = await run_in_threadpool(_look, request.path_params["serving"], comparison)
    except Away:
        return PlainTextResponse("503 - the database is away", 503, headers=_HEADERS)
    except EpochwatchError:
        found = None
    files = () if found is None else found.small if small else found.large
    at = links.number(place)
    if at is None or at >= len(files):
        return PlainTextResponse("404 - no such picture", 404, headers=_HEADERS)
    return Response(files[at], media_type="image/png", headers=_HEADERS)


async def picture(request: Request) -> Response:
    """Answer /blind/{serving}/{place}.png, or {place}-small.png for the 24-pixel view."""
    return await _picture(request, None)


async def guest_picture(request: Request) -> Response:
    """Answer the same below /guest/{token}: of that link's comparison only."""

    def comparison() -> int | None:
        with shared_link().transaction() as connection:
            link = guest_links.guest(connection, request.path_params["token"])
        return None if link is None else link.comparison

    try:
        found = await run_in_threadpool(comparison)
    except Away:
        return PlainTextResponse("503 - the database is away", 503, headers=_HEADERS)
    if found is None:
        return PlainTextResponse("404 - no such picture", 404, headers=_HEADERS)
    return await _picture(request, found)
