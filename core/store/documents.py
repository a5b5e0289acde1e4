"""Bodies that are remembered by what they say: suites, profiles, plans, weights."""

from __future__ import annotations

import json
from typing import Any

from core.nouns import digest
from core.store.database import Connection, run


def save_document(connection: Connection, kind: str, name: str, body: dict[str, Any]) -> str:
    """Store a body under its digest and return the digest."""
    body = json.loads(json.dumps(body))
    key = digest({"kind": kind, "body": body})
    run(connection, "results.save_document", digest=key, kind=kind, name=name, body=body)
    return key
