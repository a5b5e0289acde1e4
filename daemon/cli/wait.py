"""`epochwatch wait RUN --then COMMAND`: runs a command once everything of a run is safe, and never earlier."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from core.errors import EpochwatchError, Fixable
from core.nouns import digest
from core.settings import Settings, load_settings
from core.store.database import Database, bump, row, run
from core.store.opening import open_database, open_image_store
from daemon.cli.output import one_line, print_json
from daemon.commands import words_of
from daemon.leaving import Look, look, still_ready

_UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}
_CALM = 2  # looks in a row that must find nothing missing


@dataclass(kw_only=True)
class Waiting:
    """One wait, from its first look to the command's end."""

    settings: Settings
    run_name: str
    command: tuple[str, ...]
    dry_run: bool = False
    every: float = 5.0  # seconds between two looks
    deadline: float | None = None  # seconds from the start
    run_at_deadline: bool = False
    tell: Callable[[str], None] = lambda _line: None
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    _database: Database | None = None
    _said: tuple[str, ...] | None = None

    def wait(self) -> dict[str, Any]:
        """Look until nothing is missing or the deadline is there; return what came of it."""
        began, calm, last = time.monotonic(), 0, Look(missing=("Nothing was looked at yet.",))
        with ExitStack() as stack:
            while True:
                last = self._look(stack)
                calm = 0 if last.missing else calm + 1
                self._report(last)
                if calm >= _CALM:
                    outcome = self._leave(last)
                    if outcome is not None:
                        return outcome
                    calm = 0
                if self.deadline is not None and time.monotonic() - began >= self.deadline:
                    return self._give_up(last)
                self._rest(began)

    def _rest(self, began: float) -> None:
        left = self.every
        if self.deadline is not None:
            left = min(left, max(0.0, self.deadline - (time.monotonic() - began)))
        time.sleep(left)

    def _look(self, stack: ExitStack) -> Look:
        try:
            if self._database is None:
                self._database = stack.enter_context(open_database(self.settings))
            store = open_image_store(self.settings)
        except (EpochwatchError, OSError) as trouble:
            return Look(missing=(f"It could not be looked at: {one_line(trouble)}",))
        return look(self._database, store, self.run_name, self.settings.home / "out")

    def _report(self, found: Look) -> None:
        if found.missing != self._said:
            for line in found.missing or ("Nothing is missing; looking once more.",):
                self.tell(line)
            self._said = found.missing

    def _leave(self, found: Look) -> dict[str, Any] | None:
        """Run the command if it is ours to run; None when something came up meanwhile."""
        if self.dry_run:
            return self._outcome(found, ran=False)
        key = f"wait/{found.run_id}/{digest([list(self.command), found.mark])[:16]}"
        try:
            claim = self._claim(key, found)
        except EpochwatchError as trouble:
            self.tell(f"The command is not run yet: {one_line(trouble)}")
            return None
        if claim is None:
            return None
        if claim["token"] != self.token:
            return self._outcome(found, ran=False, by=_by_another(claim))
        return self._run(found, key)

    def _claim(self, key: str, found: Look) -> dict[str, Any] | None:
        """Take the command, once for this run as it is now; None when it is no longer ready."""
        assert self._database is not None
        with self._database.transaction() as connection:
            if not still_ready(connection, self.run_name, found.mark):
                return None
            return row(
                connection,
                "leaving.claim",
                key=key,
                run_id=found.run_id,
                payload={"token": self.token, "command": shlex.join(self.command)},
                host=self.settings.host_name,
            )

    def _run(self, found: Look, key: str | None) -> dict[str, Any]:
        self.tell(f"Running {shlex.join(self.command)}")
        try:
            # What it prints is no part of ours, which may be JSON.
            code = subprocess.run(self.command, stdout=sys.stderr, check=False).returncode
        except OSError as trouble:
            self.tell(f"It could not be started: {one_line(trouble)}")
            code = 127
        if key is not None and self._database is not None:
            with contextlib.suppress(EpochwatchError), self._database.transaction() as connection:
                run(connection, "leaving.outcome", key=key, note=f"ended with exit code {code}")
                bump(connection)
        return self._outcome(found, ran=True, exit_code=code)

    def _give_up(self, found: Look) -> dict[str, Any]:
        """Say what is missing at the deadline; run the command only if that was asked for."""
        missing = found.missing or ("Two looks in a row that find nothing missing.",)
        found = Look(missing=missing, run_id=found.run_id, mark=found.mark)
        if not self.run_at_deadline or self.dry_run:
            return self._outcome(found, ran=False)
        mark = self.settings.home / f"wait-{digest([self.run_name, list(self.command)])[:16]}.ran"
        try:
            mark.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(mark, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return self._outcome(found, ran=False, by=f"another wait on this machine ({mark})")
        except OSError as trouble:
            self.tell(one_line(trouble))
        return self._run(found, None)

    def _outcome(
        self, found: Look, *, ran: bool, exit_code: int | None = None, by: str | None = None
    ) -> dict[str, Any]:
        return {
            "run": self.run_name,
            "ready": not found.missing,
            "missing": list(found.missing),
            "command": shlex.join(self.command),
            "ran": ran,
            "exit_code": exit_code,
            "taken_by": by,
            "dry_run": self.dry_run,
        }


def wait(
    run_name: str,
    *,
    then: str,
    deadline: str | None,
    at_deadline: str,
    dry_run: bool,
    every: float,
    as_json: bool,
) -> int:
    """Wait, run the command once, and return 0 when it is done; 1 at the deadline or if it failed."""
    settings = load_settings()
    if at_deadline not in ("exit", "run"):
        raise Fixable(f"--at-deadline is {at_deadline!r}; it can be exit or run.")
    waiting = Waiting(
        settings=settings,
        run_name=run_name,
        command=words_of(then, "--then"),
        dry_run=dry_run,
        every=every,
        deadline=seconds_of(deadline) if deadline is not None else None,
        run_at_deadline=at_deadline == "run",
        tell=lambda line: print(line, file=sys.stderr, flush=True),
    )
    if "://" not in settings.store_url:
        waiting.tell(
            f"The store is the folder {settings.store_url}: make sure that it outlives the machine."
        )
    outcome = waiting.wait()
    if as_json:
        print_json(outcome)
    else:
        _print(outcome)
    done = outcome["exit_code"] == 0 if outcome["ran"] else outcome["ready"]
    return 0 if done and not (outcome["ran"] and not outcome["ready"]) else 1


def _print(outcome: dict[str, Any]) -> None:
    command = outcome["command"]
    if not outcome["ready"]:
        print("The deadline is here, and this is missing:")
        for line in outcome["missing"]:
            print(f"- {line}")
    if outcome["taken_by"]:
        print(f"{command} is not run here: it was taken by {outcome['taken_by']}.")
    elif outcome["ran"]:
        print(f"{command} ended with exit code {outcome['exit_code']}.")
    elif outcome["ready"]:
        print(f"Everything is tested, judged and kept. Without --dry-run this would run: {command}")
    else:
        print(f"{command} was not run.")


def _by_another(claim: dict[str, Any]) -> str:
    said = claim["error"] or "it did not say how it ended"
    return f"a wait on {claim['host']} at {claim['created_at']:%Y-%m-%d %H:%M} UTC ({said})"


def seconds_of(text: str) -> float:
    """Return the seconds of "90", "30m", "2h" or "1d". Raises Fixable for anything else."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|m|min|h|d)?\s*", text)
    if found is None:
        raise Fixable(f"--deadline is {text!r}; write it like 90s, 30m, 2h or 1d.")
    return float(found[1]) * _UNITS[found[2] or ""]
