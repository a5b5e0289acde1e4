"""Processes of trainers: known by when they started, so that a number used again is never hit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.errors import Fixable

_PROC = Path("/proc")
_LOOK_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class Identity:
    """One process, for as long as it lives."""

    pid: int
    started: str  # the boot and the ticks since then; a date where there is no /proc

    def is_alive(self) -> bool:
        """Tell whether it still runs; one that has ended and is not yet waited for does not."""
        return _started(self.pid) == self.started

    def ignores(self, number: signal.Signals) -> bool:
        """Tell whether it ignores a signal, as programs started with & in a script ignore SIGINT."""
        try:
            lines = (_PROC / str(self.pid) / "status").read_text(encoding="utf-8").splitlines()
        except OSError:
            return False
        mask = next((line.split()[1] for line in lines if line.startswith("SigIgn:")), "0")
        return bool(int(mask, 16) >> (number - 1) & 1)

    def send(self, number: signal.Signals) -> bool:
        """Send a signal to this very process; return False when it has ended.

        Raises Fixable when this user may not.
        """
        try:
            return self._send(number)
        except ProcessLookupError:
            return False
        except PermissionError:
            raise Fixable(
                f"Process {self.pid} belongs to another user, so it was not sent {number.name}. "
                "Run Epochwatch as the trainer's user, or use --stop-file."
            ) from None

    def _send(self, number: signal.Signals) -> bool:
        handle = _handle(self.pid)
        try:
            # The handle holds the process: between this look and the signal it cannot be another.
            if not self.is_alive():
                return False
            if handle is None or sys.platform != "linux":
                os.kill(self.pid, number)
            else:
                signal.pidfd_send_signal(handle, number)
        finally:
            if handle is not None:
                os.close(handle)
        return True


def identify(pid: int) -> Identity:
    """Return who has this number now. Raises Fixable when nobody does."""
    started = _started(pid) if pid > 1 else None
    if started is None:
        raise Fixable(
            f"There is no process {pid}, so there is no trainer to stop. Start the trainer first "
            "and give its number (pgrep -f train shows it)."
        )
    return Identity(pid=pid, started=started)


def end_gently(
    is_alive: Callable[[], bool],
    send: Callable[[signal.Signals], bool],
    steps: tuple[tuple[signal.Signals, float], ...],
) -> str:
    """Send each signal and wait its seconds for the end; return what happened as a clause.

    The caller chooses the signals: SIGKILL is never sent unless it is among them.
    """
    sent: list[str] = []
    for number, seconds in steps:
        began = time.monotonic()
        if not send(number):
            break
        sent.append(number.name)
        while is_alive() and time.monotonic() - began < seconds:
            time.sleep(_LOOK_SECONDS)
        if not is_alive():
            return f"ended {time.monotonic() - began:.0f} s after {number.name}"
    if not is_alive():
        return "had ended by itself"
    return f"was sent {' and '.join(sent)} and is still running"


def _handle(pid: int) -> int | None:
    """Return a file descriptor that stands for the process; None where the system has none."""
    if sys.platform != "linux":
        return None
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except OSError:  # an old kernel, or a container that forbids it
        return None


def _started(pid: int) -> str | None:
    """Return when a process started, in words no other process ever has; None when it has ended."""
    if not _PROC.joinpath("self").exists():
        return _started_by_ps(pid)
    try:
        stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # a program's name may hold anything
    return None if fields[0] in "ZX" else f"{boot} {fields[19]}"


def _started_by_ps(pid: int) -> str | None:
    told = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.split()
    return None if not told or told[0].startswith("Z") else " ".join(told[1:])
