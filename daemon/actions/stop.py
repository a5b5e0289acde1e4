"""Stops a trainer, once: decides with `core.rules.stopping`, then writes a flag, signals or runs a command.

What is done to this machine comes from the daemon's own command line and never from the database:
a row there can say that a trainer be stopped, not what is run for it.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from core.errors import EpochwatchError, Fixable, Permanent
from core.nouns import unit_of
from core.rules.alerting import notice
from core.rules.stopping import Ruling, Situation, may_stop
from core.store.database import Connection, Database, Row, bump, row, rows, run
from daemon.commands import run_to_end, words_of
from daemon.telling import tell
from daemon.train_process import Identity, end_gently, identify

log = structlog.get_logger()

COMMAND_SECONDS = 40.0  # with the waits below inside the minute that an action is held for
_PATIENCE = ((signal.SIGINT, 35.0), (signal.SIGTERM, 15.0))
_WORTH_TELLING = ("one_test", "too_early", "locked")


@dataclass(frozen=True, kw_only=True)
class Means:
    """How a person lets the trainer be stopped, and under which conditions."""

    flag: Path | None = None
    process: Identity | None = None
    command: tuple[str, ...] = ()
    child: Callable[[], str] | None = None  # ends the trainer that this very program started
    unlocked: bool = False
    dry_run: bool = False
    first: int | None = None  # no stop before this position
    at_budget: bool = False

    @property
    def how(self) -> str:
        """One word: "flag", "pid", "command" or "trainer"."""
        if self.child is not None:
            return "trainer"
        return "flag" if self.flag else "pid" if self.process else "command"

    @property
    def words(self) -> str:
        """What would be done, as a clause."""
        if self.child is not None:
            return "end the trainer gently"
        if self.flag:
            return f"write {self.flag}"
        if self.process:
            return f"ask process {self.process.pid} to end"
        return f"run {shlex.join(self.command)}"

    def as_json(self, host: str, since: datetime) -> dict[str, Any]:
        """Return what is stored with the run: for people to read, never to be run.

        ``since`` is when the trainer was named: what was saved before may be of another one.
        """
        return {
            "host": host,
            "since": since.isoformat(),
            "how": self.how,
            "words": self.words,
            "unlocked": self.unlocked,
            "dry_run": self.dry_run,
            "first": self.first,
            "at_budget": self.at_budget,
        }


def means_of(
    *,
    flag: Path | None = None,
    pid: int | None = None,
    command: str | None = None,
    unlocked: bool = False,
    dry_run: bool = False,
    first: int | None = None,
    at_budget: bool = False,
) -> Means | None:
    """Return what the options say, None when no way to stop was given.

    Raises Fixable for several ways at once, and for one that cannot work.
    """
    given = [each for each in (flag, pid, command) if each is not None]
    if not given:
        if unlocked or dry_run or first is not None or at_budget:
            raise Fixable("Say how to stop: --stop-file PATH, --stop-pid N or --stop-command TEXT.")
        return None
    if len(given) > 1:
        raise Fixable(
            "Give one of --stop-file, --stop-pid and --stop-command: a stop is done once."
        )
    return Means(
        flag=_flag(flag) if flag is not None else None,
        process=identify(pid) if pid is not None else None,
        command=words_of(command, "--stop-command") if command is not None else (),
        unlocked=unlocked,
        dry_run=dry_run,
        first=first,
        at_budget=at_budget,
    )


def _flag(path: Path) -> Path:
    path = path.expanduser().absolute()
    if path.is_dir() or not path.parent.is_dir():
        raise Fixable(
            f"--stop-file {path} is no file that could be written: name a file in a folder that "
            "is there, the one your trainer looks for."
        )
    return path


@dataclass(kw_only=True)
class Stopper:
    """Decides stops from rows, and does those of this host."""

    database: Database
    host: str
    means: Means | None = None
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    _done: dict[str, str] = field(default_factory=dict)  # key -> what came of it, not yet told

    def decide(self) -> None:
        """Put down a stop for each run whose trainer may be stopped; tell once why one may not."""
        with self.database.transaction() as connection:
            if self.means is not None:
                said = self.means.as_json(self.host, self.since)
                run(connection, "stopping.remember", host=self.host, stopping=said)
            waiting = rows(connection, "stopping.candidates", host=self.host)
        for each in waiting:
            if self.means is not None or each["how"] == "trainer":
                with self.database.transaction() as connection:
                    self._decide(connection, each["run_id"])

    def _decide(self, connection: Connection, run_id: int) -> None:
        facts = row(connection, "stopping.situation", run_id=run_id)
        if facts is None or facts["body"] is None:
            return
        ruling = may_stop(situation(facts))
        if ruling.allowed:
            run(connection, "actions.decide", **_action(facts, ruling, self.host))
            bump(connection)
        elif ruling.code in _WORTH_TELLING:
            held = notice(
                "stop_held",
                ruling.code,
                title="a stop is advised, the trainer goes on",
                body=f"{ruling.reason}\n{facts['sentence']}",
                run_name=facts["run_name"],
                run_id=run_id,
            )
            tell(connection, run_id, held, facts["body"].get("pick"))

    def stop(self, action: Row) -> str:
        """Do a stop that was decided and return what came of it; told to a person either way.

        Nothing is done a second time: a stop that this program did not survive is left alone.
        """
        try:
            return self._stop(action)
        except (Fixable, Permanent) as trouble:
            self._tell(action, "stop_failed", "the trainer could not be stopped", str(trouble))
            raise

    def _stop(self, action: Row) -> str:
        payload, key = action["payload"], action["key"]
        if key not in self._done:
            self._refuse_outdated(action)
            self._begin(key)
            self._done[key] = self._act(payload)
            log.info("trainer stop", run=payload["run_name"], outcome=self._done[key])
        note = f"{self._done[key]} {payload['way_back']}"
        title = "dry run of a stop" if payload["dry_run"] else "the trainer was told to stop"
        self._tell(action, "trainer_stopped", title, f"{note}\n{payload['reason']}")
        del self._done[key]
        return note

    def _refuse_outdated(self, action: Row) -> None:
        """Raise Permanent when what was true at the decision is no longer."""
        with self.database.transaction() as connection:
            facts = row(connection, "stopping.situation", run_id=action["run_id"])
        if facts is None or facts["body"] is None:
            raise Permanent("The run is gone from the database, so its trainer was left alone.")
        ruling = may_stop(situation({**facts, "stopped_before": False}))
        if not ruling.allowed:
            raise Permanent(f"The trainer was left alone: {ruling.reason}")

    def _begin(self, key: str) -> None:
        """Mark the stop as begun, for good. Raises Permanent when it was, or is too old."""
        with self.database.transaction() as connection:
            begun = row(connection, "stopping.begin", key=key)
        if begun is None:
            raise Permanent(
                "This stop was begun before and broke off, or was decided over ten minutes ago. "
                "It is not done again: look whether the trainer still runs, and stop it yourself."
            )

    def _act(self, payload: dict[str, Any]) -> str:
        if self.means is None:
            raise Fixable(
                "This daemon was started without a way to stop the trainer, so it goes on. Stop it "
                "yourself, or start `epochwatch watch` with --stop-file, --stop-pid or "
                "--stop-command."
            )
        if payload["dry_run"] or self.means.dry_run:
            return f"Dry run: nothing was done. A real stop would {self.means.words}."
        if self.means.child is not None:
            return self.means.child()
        if self.means.flag is not None:
            return raise_flag(self.means.flag, f"{payload['reason']}\n{payload['sentence']}\n")
        if self.means.process is not None:
            return end_process(self.means.process)
        return run_command(self.means.command)

    def _tell(self, action: Row, kind: Any, title: str, body: str) -> None:
        """Tell a person; with the database away the outcome still stands on the action."""
        payload = action["payload"]
        event = notice(
            kind,
            "dry-run" if payload["dry_run"] else "once",
            title=title,
            body=body,
            run_name=payload["run_name"],
            run_id=action["run_id"],
        )
        with contextlib.suppress(EpochwatchError), self.database.transaction() as connection:
            tell(connection, action["run_id"], event, payload.get("pick"))


def situation(facts: Row) -> Situation:
    """Return what a stop is judged by, from the statement of that name."""
    body, stopping = facts["body"] or {}, facts["stopping"] or {}
    return Situation(
        advised=bool(body.get("stop")),
        ended=bool(body.get("ended")) or facts["status"] != "in_progress",
        latest=body.get("latest"),
        units_in_latest=facts["units_in_latest"],
        advised_before=facts["advised_before"],
        stopped_before=facts["stopped_before"],
        is_newest=facts["is_newest"] or stopping.get("how") == "trainer",
        is_fresh=_is_fresh(facts["last_saved"], stopping.get("since")),
        checked=body.get("checked") is True,
        unlocked=bool(stopping.get("unlocked")),
        dry_run=bool(stopping.get("dry_run")),
        first=stopping.get("first"),
        over_budget=bool(stopping.get("at_budget")) and facts["budget_spent"],
        state_saved=state_beside(facts["source_path"]),
        unit=unit_of(facts["position_unit"]),
    )


def _is_fresh(saved: datetime | None, since: str | None) -> bool:
    return saved is not None and since is not None and saved >= datetime.fromisoformat(since)


def state_beside(checkpoint: str | None) -> bool | None:
    """Tell whether a trainer's state lies beside a checkpoint; None when its folder is not here.

    kohya's sd-scripts writes ``NAME-state`` folders, diffusers' scripts ``checkpoint-N`` folders
    with the optimizer in them.
    """
    if checkpoint is None:
        return None
    beside = Path(checkpoint).parent
    around = beside.parent if beside.name.startswith("checkpoint-") else beside
    try:
        if not around.is_dir():
            return None
        folders = [each for each in around.iterdir() if each.is_dir()]
        return any(
            (each.name.endswith("-state") and any(each.iterdir()))
            or (each.name.startswith("checkpoint-") and (each / "optimizer.bin").is_file())
            for each in folders
        )
    except OSError:
        return None


def _action(facts: Row, ruling: Ruling, host: str) -> dict[str, Any]:
    """Return the one row that this run's stop ever gets; a dry run has one of its own."""
    stopping = facts["stopping"]
    return {
        "key": f"stop/{facts['run_id']}{'/dry-run' if ruling.dry_run else ''}",
        "kind": "stop",
        "run_id": facts["run_id"],
        "host": stopping["trainer"] if stopping["how"] == "trainer" else host,
        "payload": {
            "run_name": facts["run_name"],
            "how": stopping["how"],
            "reason": ruling.reason,
            "code": ruling.code,
            "way_back": ruling.way_back,
            "sentence": facts["sentence"],
            "pick": facts["body"].get("pick"),
            "dry_run": ruling.dry_run,
            "decided_by": host,
        },
    }


def raise_flag(path: Path, words: str) -> str:
    """Write the flag file whole or not at all; one that is there already is left as it is.

    Raises Fixable when it cannot be written.
    """
    half = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        half.write_text(f"{datetime.now(UTC).isoformat()}\n{words}", encoding="utf-8")
        try:
            path.hardlink_to(half)  # unlike a rename, it never replaces what is there
        finally:
            half.unlink(missing_ok=True)
    except FileExistsError:
        return f"{path} was there already: the trainer had been told."
    except OSError as trouble:
        raise Fixable(
            f"The flag file {path} could not be written ({trouble.strerror}), so the trainer goes "
            "on. Stop it yourself."
        ) from trouble
    return f"Wrote {path}."


def end_process(process: Identity) -> str:
    """Ask a process to end, with SIGINT and, when that is not enough, SIGTERM; never SIGKILL.

    Raises Fixable when it is gone already, or when it belongs to somebody else.
    """
    if not process.is_alive():
        raise Fixable(
            f"Process {process.pid} had ended before it could be stopped. Whoever has that number "
            "now was left alone."
        )
    steps = _PATIENCE[1:] if process.ignores(signal.SIGINT) else _PATIENCE
    outcome = end_gently(process.is_alive, process.send, steps)
    more = f" End it yourself: kill -9 {process.pid}" if "still" in outcome else ""
    return f"Process {process.pid} {outcome}.{more}"


def run_command(command: tuple[str, ...]) -> str:
    """Run a program without a shell, in a group of its own; return how it ended.

    Raises Fixable when it cannot be started, fails, or does not end in time.
    """
    name = shlex.join(command)
    try:
        ended = run_to_end(command, seconds=COMMAND_SECONDS)
    except OSError as trouble:
        raise Fixable(f"{name} could not be started: {trouble.strerror}.") from trouble
    if ended.code is None:
        raise Fixable(
            f"{name} had not ended after {COMMAND_SECONDS:.0f} s and was ended. Look whether the "
            "trainer still runs."
        )
    if ended.code != 0:
        raise Fixable(
            f"{name} failed with exit code {ended.code}, so the trainer may go on. "
            f"It said: {ended.said or 'nothing'}"
        )
    return f"Ran {name}.{f' It said: {ended.said}' if ended.said else ''}"
