"""Writes an alert into the transaction of the decision it tells of."""

from __future__ import annotations

from core.rules.alerting import Event
from core.store.database import Connection, run


def tell(connection: Connection, run_id: int | None, event: Event, pick: int | None = None) -> None:
    """Have a person told of an event, once; ``pick`` names the position whose pictures go along."""
    run(
        connection,
        "actions.decide",
        key=event.key,
        kind="alert",
        run_id=run_id,
        payload={"event": event.kind, "title": event.title, "body": event.body, "pick": pick},
        host=None,
    )
