"""Answers for images and for what is known of one picture, by signed address."""

from __future__ import annotations

import io
from functools import cache
from typing import Literal

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from core.charts.annotated import annotate
from core.errors import EpochwatchError
from core.metrics import TrainingProfile
from core.nouns import Expectation
from core.settings import load_settings
from core.store import gallery, objections
from core.store.database import Connection, row
from core.store.files import ImageStore
from core.store.image_bytes import on_white, open_png
from core.store.opening import open_image_store
from dashboard.link import Away
from dashboard.parts import closeup, links
from dashboard.reads import shared_reads

Kind = Literal["images", "thumbs"]
_FOR_EVER = "private, max-age=31536000, immutable"  # a name that is a hash never changes
_TYPES = ((b"\x89PNG", "image/png"), (b"RIFF", "image/webp"), (b"\xff\xd8", "image/jpeg"))


@cache
def _store() -> ImageStore:
    return open_image_store(load_settings())


def _bytes(sha256: str, kinds: tuple[Kind, ...]) -> bytes | None:
    for kind in kinds:
        try:
            return bytes(_store().get(kind, sha256))
        except (EpochwatchError, OSError, KeyError):
            continue
    return None


def stored(sha256: str) -> bytes | None:
    """Return an image as it was drawn; None when the store does not have it."""
    return _bytes(sha256, ("images",))


async def _image(request: Request, *kinds: Kind) -> Response:
    sha256 = request.path_params["sha256"]
    if not links.is_ours(sha256, request.query_params.get("s", "")):
        return PlainTextResponse("404 - no such image", status_code=404)
    if request.headers.get("if-none-match") == f'"{sha256}"':
        return Response(status_code=304, headers={"ETag": f'"{sha256}"'})
    found = await run_in_threadpool(_bytes, sha256, kinds)
    media = next((media for start, media in _TYPES if found and found.startswith(start)), None)
    if found is None or media is None:
        return PlainTextResponse("404 - the image store does not have it", status_code=404)
    headers = {"Cache-Control": _FOR_EVER, "ETag": f'"{sha256}"'}
    return Response(found, media_type=media, headers=headers)


async def original(request: Request) -> Response:
    """Answer /img/{sha256}.png: the picture as it was drawn."""
    return await _image(request, "images")


async def thumb(request: Request) -> Response:
    """Answer /thumb/{sha256}.webp: its small version, else the original."""
    return await _image(request, "thumbs", "images")


def _measured(run_id: int, detail: gallery.PictureDetail) -> Response:
    """Answer with the picture of what was measured: grid, failing cells, colors compared."""
    png = _bytes(detail.image_sha256, ("images",)) if detail.image_sha256 else None
    if png is None:
        return PlainTextResponse("404 - the image store does not have it", status_code=404)
    try:
        drawn = annotate(
            np.asarray(on_white(open_png(png))),
            Expectation.from_json(dict(detail.expect)),
            shared_reads().ask(_profile, run_id),
            detail.recipe.get("grid"),
            detail.recipe.get("finishing", "cells"),
        )
    except (EpochwatchError, Away) as trouble:
        return PlainTextResponse(f"404 - {trouble}", status_code=404)
    out = io.BytesIO()
    drawn.save(out, format="PNG")
    return Response(out.getvalue(), media_type="image/png", headers={"Cache-Control": "no-store"})


def _profile(connection: Connection, run_id: int) -> TrainingProfile | None:
    """Return what the run's training images taught, or None without any."""
    setup = row(connection, "runs.get", run_id=run_id)
    if not setup or not setup["profile"]:
        return None
    found = row(connection, "results.document", digest=setup["profile"])
    return TrainingProfile.from_json(found["body"]) if found else None


def _objections(sample_id: str) -> tuple[objections.Objection, ...]:
    """Return what stands against a picture's scores; none while the database is away."""
    try:
        return shared_reads().ask_anew(lambda c: objections.of_sample(c, sample_id))
    except Away:
        return ()


async def picture(request: Request) -> Response:
    """Answer /picture/{run}/{sample}: the close-up as HTML, or with ?as=measured as a picture."""
    run_id, sample_id = request.path_params["run_id"], request.path_params["sample_id"]
    if not links.is_closeup_ours(run_id, sample_id, request.query_params.get("s", "")):
        return PlainTextResponse("404 - no such picture", status_code=404)
    try:
        detail = await run_in_threadpool(
            shared_reads().ask, gallery.picture, int(run_id), sample_id
        )
    except (Away, ValueError):
        return PlainTextResponse("503 - the database is away", status_code=503)
    if detail is None:
        return PlainTextResponse("404 - no such picture", status_code=404)
    if request.query_params.get("as") == "measured":
        return await run_in_threadpool(_measured, int(run_id), detail)
    against = await run_in_threadpool(_objections, sample_id)
    account = request.scope.get("account")  # None: nobody signs in here
    may_object = account is None or account.may("voter")
    page = closeup.page(
        detail,
        links.measured(int(run_id), sample_id),
        objections=against,
        object_to=links.objection(int(run_id), sample_id) if may_object else None,
        account=account.address if account else None,
    )
    return HTMLResponse(page, headers={"Cache-Control": "no-store"})
