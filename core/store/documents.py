"""Bodies that are remembered by what they say: suites, profiles, plans, weights."""

from __future__ import annotations

import json
from typing import Any

from core.nouns import digest
from core.store.database import Connection, run


def document_digest(kind: str, body: dict[str, Any]) -> str:
    """Return the digest under which a body is stored, or would be."""
    return digest({"kind": kind, "body": json.loads(json.dumps(body))})


def save_document(connection: Connection, kind: str, name: str, body: dict[str, Any]) -> str:
    """Store a body under its digest and return the digest."""
    key, body = document_digest(kind, body), json.loads(json.dumps(body))
    run(connection, "results.save_document", digest=key, kind=kind, name=name, body=body)
    return key
