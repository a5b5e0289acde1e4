"""Answers /picture/{run}/{sample}/objection: a score called wrong with one click, or that taken back."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from core.store import objections
from dashboard.parts import links
from dashboard.posting import Refused, acting, asked, body_of, refusal_of, reply


async def object_to(request: Request) -> Response:
    """Store what a person says of one score of a picture; the address is signed like the close-up's."""
    run_id, sample_id = request.path_params["run_id"], request.path_params["sample_id"]
    if not links.is_closeup_ours(run_id, sample_id, request.query_params.get("s", "")):
        return refusal_of(Refused(404, "There is no such picture."))
    try:
        body = await body_of(request)
        body["judge"] = acting(request, str(body.get("judge") or ""), "voter")
    except Refused as refused:
        return refusal_of(refused)
    return await reply(lambda: _object(int(run_id), sample_id, body))


def _object(run_id: int, sample_id: str, body: dict[str, Any]) -> dict[str, Any]:
    said = {name: str(body.get(name) or "") for name in ("score", "direction", "judge", "note")}
    asked(lambda connection: objections.add(connection, run_id, sample_id, **said))
    return {"stored": True}
