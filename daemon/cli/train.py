"""`epochwatch train -- COMMAND…`: a trainer as a child, followed, and ended gently when told to."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from core.errors import EpochwatchError, Fixable
from core.settings import Settings, load_settings
from daemon.actions.stop import Means
from daemon.cli.output import one_line
from daemon.train_child import Child, started
from daemon.train_log import LogReader
from daemon.train_process import end_gently, identify
from daemon.train_reporter import Reporter

_ASKED = (128 + signal.SIGINT, 128 + signal.SIGTERM)  # exit codes of who was asked to end


def train(
    command: Sequence[str],
    *,
    run_name: str | None = None,
    stop: bool = False,
    unlocked: bool = False,
    dry_run: bool = False,
    first: int | None = None,
    at_budget: bool = False,
    patience: float = 60.0,
    kill: bool = False,
) -> int:
    """Run the trainer and return its exit code; 127 when there is no such program, as shells do.

    ``patience`` are the seconds after SIGINT, and again after SIGTERM, before the next is sent.
    """
    log = LogReader()
    began = datetime.now(UTC)
    try:
        with started(command, log.feed) as child:
            ender = Ender(child=child, patience=patience, kill=kill)
            means = Means(
                child=ender,
                unlocked=unlocked,
                dry_run=dry_run,
                first=first,
                at_budget=at_budget,
            )
            reporter = _reporter(
                child, log, began, command, means=means if stop else None, run_name=run_name
            )
            code = child.follow()
    except (FileNotFoundError, PermissionError) as trouble:
        print(f"epochwatch: {one_line(trouble)}", file=sys.stderr)
        return 127 if isinstance(trouble, FileNotFoundError) else 126
    if reporter is not None:
        asked = ender.used or child.asked or code in _ASKED
        reporter.finish("stopped" if asked else "failed" if code else "ended", code)
    return code


@dataclass(kw_only=True)
class Ender:
    """Ends a trainer gently, and remembers that it did."""

    child: Child
    patience: float  # seconds
    kill: bool
    used: bool = False

    def __call__(self) -> str:
        """Send SIGINT, wait, SIGTERM, wait; SIGKILL only if that was asked for."""
        self.used = True
        try:
            who = identify(self.child.pid)
        except Fixable:
            return "The trainer had ended by itself."
        numbers = [] if who.ignores(signal.SIGINT) else [signal.SIGINT]
        numbers += [signal.SIGTERM, *([signal.SIGKILL] if self.kill else [])]
        steps = tuple((number, self.patience) for number in numbers)
        return f"The trainer {end_gently(who.is_alive, self.child.send, steps)}."


def _reporter(
    child: Child,
    log: LogReader,
    began: datetime,
    command: Sequence[str],
    *,
    means: Means | None,
    run_name: str | None,
) -> Reporter | None:
    """Return who reports on the trainer, at work; None when the settings do not allow it."""
    try:
        settings: Settings = load_settings()
    except EpochwatchError as trouble:
        print(
            f"epochwatch: the trainer runs, but is not reported on: {one_line(trouble)}",
            file=sys.stderr,
        )
        return None
    reporter = Reporter(
        settings=settings,
        pid=child.pid,
        started_at=began,
        command=command,
        log=log,
        means=means,
        run_name=run_name,
    )
    reporter.start()
    return reporter
