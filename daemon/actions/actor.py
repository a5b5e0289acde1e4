"""Does once what was decided: sends alerts, copies files that must outlive the machine.

At least once: a second delivery is possible only when the daemon dies before saying that it sent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from core.errors import EpochwatchError, Fixable, Permanent, Retryable
from core.formats.base_model import file_sha256
from core.formats.checkpoint_file import COMPANION, pair_sha256
from core.store import gallery
from core.store.database import Connection, Database, Row, bump, row, rows, run
from core.store.files import ImageStore
from daemon.actions.notify import Notifier
from daemon.actions.promote import Promoter

log = structlog.get_logger()

_GIVE_UP_AFTER = 100  # tries: 5 s doubling to 15 min is about a day
_PATIENCE = timedelta(minutes=10)  # for a machine at work that has an address this one lacks
_DELIVERY = "hook"  # one message to one address, made of an alert


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
    stop: Callable[[Row], str] | None = None  # where a trainer may be told to stop from here
    promoter: Promoter | None = None  # where production may be changed from here
    _kinds: dict[str, Callable[[Row], str]] = field(init=False)
    _unsaid: dict[str, str] = field(default_factory=dict)  # done, but the database was away

    def __post_init__(self) -> None:
        """Tell which kind of action is done by what."""
        self._kinds = {"alert": self._alert, _DELIVERY: self._deliver, "keep": self._keep}
        if self.stop is not None:
            self._kinds["stop"] = self.stop
        if self.promoter is not None:
            self._kinds["promote"] = self._promote

    def act(self) -> None:
        """Do everything that is due."""
        with self.database.transaction() as connection:
            due = rows(connection, "actions.due", host=self.host)
        for action in due:
            if action["kind"] in self._kinds and not self._is_for_another(action):
                self._do(action)

    def _do(self, action: Row) -> None:
        with self.database.transaction() as connection:
            if run(connection, "actions.take", key=action["key"]) != 1:
                return
        try:
            note = self._note_of(action)
        except EpochwatchError as trouble:
            self._again(action, trouble)
            return
        with self.database.transaction() as connection:
            run(connection, "actions.done", key=action["key"], note=note)
            bump(connection)
        del self._unsaid[action["key"]]

    def _note_of(self, action: Row) -> str:
        """Do the action, unless it is done and only the word of it is missing; return that word."""
        if action["tries"] >= _GIVE_UP_AFTER:
            raise Permanent("It broke off each time, so it is not tried again; see the log.")
        if action["key"] not in self._unsaid:
            self._unsaid[action["key"]] = self._kinds[action["kind"]](action)
        return self._unsaid[action["key"]]

    def _again(self, action: Row, trouble: EpochwatchError) -> None:
        """Put the action off, or say, for a delivery on its alert too, that it failed for good."""
        tired = action["tries"] + 1 >= _GIVE_UP_AFTER
        gone = tired or not isinstance(trouble, Retryable)
        said = f"{trouble} Given up after {_GIVE_UP_AFTER} tries." if tired else str(trouble)
        log.warning("action not done", key=action["key"], reason=said, final=gone)
        failed = [action["key"], action["payload"].get("alert")] if gone else [action["key"]]
        with self.database.transaction() as connection:
            for key in filter(None, failed):
                run(
                    connection,
                    "actions.again",
                    key=key,
                    error=said,
                    state="failed" if gone else "pending",
                    seconds=min(900, 5 * 2 ** action["tries"]),
                )
            bump(connection)

    def _alert(self, action: Row) -> str:
        """Make one delivery an address, so that an address that fails is tried again alone."""
        payload, names = action["payload"], tuple(self.notifier.addresses)
        log.info("alert", title=payload["title"], body=" ".join(payload["body"].split()))
        with self.database.transaction() as connection:
            for name in names:
                run(
                    connection,
                    "actions.decide",
                    key=f"{action['key']} to {name}",
                    kind=_DELIVERY,
                    run_id=action["run_id"],
                    payload={**payload, "address": name, "alert": action["key"]},
                    host=None,
                )
        if not names:
            return "shown in the dashboard; no alert address is configured"
        return f"handed to {', '.join(names)}"

    def do(self, key: str) -> None:
        """Do one action now if it is due; somebody waits for it."""
        with self.database.transaction() as connection:
            action = row(connection, "actions.one", key=key)
        if action is not None and action["kind"] in self._kinds:
            self._do(action)

    def _promote(self, action: Row) -> str:
        assert self.promoter is not None, "only a host with a promoter takes this kind"
        return self.promoter.promote(action["payload"]["promotion"])

    def _deliver(self, action: Row) -> str:
        payload = action["payload"]
        if "promotion" in payload:
            if self.promoter is None:
                raise Retryable("This machine has no production folder.")
            return self.promoter.run_hook(payload["promotion"])
        if payload["address"] not in self.notifier.addresses:
            raise Retryable(
                f"No machine at work has {payload['address']} in its alert_urls, so the alert was "
                "not sent there; the dashboard shows it."
            )
        parts = (payload["body"], self._link(action["run_id"]), f"[{payload['alert']}]")
        body = "\n".join(filter(None, parts))
        self.notifier.send(
            payload["address"], payload["title"], body, picture=self._picture(action)
        )
        return f"sent to {payload['address']}"

    def _link(self, run_id: int | None) -> str:
        """Return where people see what an alert is about; "" when no address is set."""
        if not self.dashboard_url or run_id is None:
            return self.dashboard_url
        return f"{self.dashboard_url.rstrip('/')}/run?run={run_id}"

    def _is_for_another(self, action: Row) -> bool:
        """Tell whether to leave this to a machine at work that may have the address."""
        addresses, wanted = self.notifier.addresses, action["payload"].get("address")
        here = bool(addresses) if action["kind"] == "alert" else wanted in {None, *addresses}
        if here or datetime.now(UTC) - action["created_at"] > _PATIENCE:
            return False
        with self.database.transaction() as connection:
            hosts = gallery.hosts(connection)
        return any(each.is_at_work and each.name != self.host for each in hosts)

    def _picture(self, action: Row) -> bytes | None:
        """Return the contact sheet, or None when it cannot be made: the words matter more."""
        try:
            with self.database.transaction() as connection:
                return self.picture(connection, action)
        except (EpochwatchError, OSError, ValueError) as trouble:
            log.warning("alert goes without its picture", reason=str(trouble))
            return None

    def _keep(self, action: Row) -> str:
        sha256 = action["payload"]["sha256"]
        with self.database.transaction() as connection:
            known = row(connection, "checkpoints.uri", sha256=sha256)
        if known is not None and known["uri"]:
            return str(known["uri"])
        path = self.find_weights(sha256)
        if path is None:
            raise Fixable(
                "The file is gone from this machine, so it could not be copied to the store."
            )
        uri = self._put(sha256, path)
        with self.database.transaction() as connection:
            run(connection, "checkpoints.kept", sha256=sha256, uri=uri)
        return uri

    def _put(self, sha256: str, path: Path) -> str:
        """Copy a checkpoint into the store; of a pair both files, each under its own hash."""
        config = path.with_name(COMPANION)
        if not config.is_file():
            return self.store.put_file("checkpoints", sha256, path)
        weights, settings = file_sha256(path), file_sha256(config)
        if pair_sha256(weights, settings) != sha256:
            raise Permanent(f"{path} and its {COMPANION} are not what was tested: not copied.")
        self.store.put_file("files", settings, config)
        return self.store.put_file("checkpoints", weights, path)
