"""Does once what was decided: sends alerts, copies files that must outlive the machine.

At least once: a second delivery is possible only when the daemon dies between sending and saying so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from core.errors import EpochwatchError, Fixable, Retryable
from core.store.database import Connection, Database, Row, bump, row, rows, run
from core.store.files import ImageStore
from daemon.actions.notify import Notifier

log = structlog.get_logger()

_GIVE_UP_AFTER = 12  # tries: 5 s doubling to 15 min is about two hours


@dataclass(kw_only=True)
class Actor:
    """The only one who touches the world outside."""

    database: Database
    store: ImageStore
    notifier: Notifier
    host: str
    find_weights: Callable[[str], Path | None]
    picture: Callable[[Connection, Row], bytes | None]  # the contact sheet that goes with an alert
    dashboard_url: str = ""
    _kinds: dict[str, Callable[[Row], str]] = field(init=False)

    def __post_init__(self) -> None:
        """Tell which kind of action is done by what."""
        self._kinds = {"alert": self._alert, "keep": self._keep}

    def act(self) -> None:
        """Do everything that is due."""
        with self.database.transaction() as connection:
            due = rows(connection, "actions.due", host=self.host)
        for action in due:
            if action["kind"] in self._kinds:
                self._do(action)

    def _do(self, action: Row) -> None:
        with self.database.transaction() as connection:
            if run(connection, "actions.take", key=action["key"]) != 1:
                return
        try:
            note = self._kinds[action["kind"]](action)
        except EpochwatchError as trouble:
            self._again(action, trouble)
            return
        with self.database.transaction() as connection:
            run(connection, "actions.done", key=action["key"], note=note)
            bump(connection)

    def _again(self, action: Row, trouble: EpochwatchError) -> None:
        gone = not isinstance(trouble, Retryable) or action["tries"] + 1 >= _GIVE_UP_AFTER
        log.warning("action not done", key=action["key"], reason=str(trouble), final=gone)
        with self.database.transaction() as connection:
            run(
                connection,
                "actions.again",
                key=action["key"],
                error=str(trouble),
                state="failed" if gone else "pending",
                seconds=min(900, 5 * 2 ** action["tries"]),
            )
            bump(connection)

    def _alert(self, action: Row) -> str:
        payload = action["payload"]
        log.info("alert", title=payload["title"], body=payload["body"])
        if not self.notifier.targets:
            return "shown in the dashboard; no alert address is configured"
        with self.database.transaction() as connection:
            sheet = self.picture(connection, action)
        body = payload["body"] + (f"\n{self.dashboard_url}" if self.dashboard_url else "")
        self.notifier.send(payload["title"], f"{body}\n[{action['key']}]", picture=sheet)
        return f"sent to {self.notifier.targets} addresses"

    def _keep(self, action: Row) -> str:
        sha256 = action["payload"]["sha256"]
        with self.database.transaction() as connection:
            known = row(connection, "checkpoints.uri", sha256=sha256)
        if known is not None and known["uri"]:
            return known["uri"]
        path = self.find_weights(sha256)
        if path is None:
            raise Fixable("The file is gone from this machine, so it could not be copied to the store.")
        uri = self.store.put_file("checkpoints", sha256, path)
        with self.database.transaction() as connection:
            run(connection, "checkpoints.kept", sha256=sha256, uri=uri)
        return uri
