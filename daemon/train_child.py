"""Runs a trainer as a child in a process group of its own: output and signals pass through unchanged."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import selectors
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

_PIECE = 65_536  # bytes
_AFTER_END = 2.0  # seconds that output of what the trainer left running is still passed on
_PASSED_ON = (
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2,
    signal.SIGWINCH,
)  # fmt: skip
_ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGKILL)


@dataclass(kw_only=True)
class Child:
    """A trainer at work."""

    process: subprocess.Popen[bytes]
    outputs: dict[int, int]  # where its output comes out -> where it goes
    seen: Callable[[bytes], None]  # is shown every piece that was passed on
    asked: bool = False  # to end, by a signal
    _deaf: set[int] = field(default_factory=set)  # outputs nobody reads any more

    @property
    def pid(self) -> int:
        """Its process number, which is also that of its group."""
        return self.process.pid

    def send(self, number: signal.Signals) -> bool:
        """Send a signal to the whole group; return False when nothing of it is left."""
        self.asked |= number in _ENDING
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):  # macOS says the latter of zombies
            return False
        return True

    def follow(self) -> int:
        """Pass output on until the trainer has ended; return its exit code as a shell would."""
        with selectors.DefaultSelector() as waiting:
            for source in self.outputs:
                waiting.register(source, selectors.EVENT_READ)
            ended: float | None = None
            while waiting.get_map():
                for key, _ in waiting.select(timeout=0.5):
                    if not self._pass_on(key.fd):
                        waiting.unregister(key.fd)
                        os.close(key.fd)
                if ended is None and self.process.poll() is not None:
                    ended = time.monotonic()
                if ended is not None and time.monotonic() - ended > _AFTER_END:
                    break
        code = self.process.wait()
        return code if code >= 0 else 128 - code

    def _pass_on(self, source: int) -> bool:
        """Pass one piece on; return False at the end."""
        try:
            piece = os.read(source, _PIECE)
        except OSError:  # how Linux says that the other side of a terminal is closed
            return False
        if piece:
            self._write(self.outputs[source], piece)
            self.seen(piece)
        return bool(piece)

    def _write(self, target: int, piece: bytes) -> None:
        """Write all of it; when nobody reads any more, the trainer must not notice."""
        rest = memoryview(piece)
        while rest and target not in self._deaf:
            try:
                rest = rest[os.write(target, rest) :]
            except BlockingIOError:
                select.select([], [target], [], 1.0)
            except OSError:
                self._deaf.add(target)


@contextlib.contextmanager
def started(command: Sequence[str], seen: Callable[[bytes], None]) -> Iterator[Child]:
    """Start a trainer and hand it every signal that reaches this process meanwhile.

    What is a terminal here is one for the trainer too. Raises OSError when it cannot be started.
    """
    early: list[signal.Signals] = []
    child: Child | None = None

    def hand_on(number: int, _frame: FrameType | None) -> None:
        if child is None:
            early.append(signal.Signals(number))
            return
        if number == signal.SIGWINCH:
            for source, target in child.outputs.items():
                _copy_size(target, source)
        child.send(signal.Signals(number))

    # What is ignored here stays ignored there, as under nohup; a handler of ours does not pass on.
    before = {
        number: signal.signal(number, hand_on)
        for number in _PASSED_ON
        if signal.getsignal(number) != signal.SIG_IGN
    }
    try:
        child = _start(command, seen)
        for number in early:
            child.send(number)
        yield child
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _start(command: Sequence[str], seen: Callable[[bytes], None]) -> Child:
    out, err = sys.__stdout__.fileno(), sys.__stderr__.fileno()  # type: ignore[union-attr]
    outer, inner = _channel(out)
    # Two ways to one place would lose the order in which lines were written.
    outer_err, inner_err = (outer, inner) if _same(out, err) else _channel(err)
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if os.isatty(0) else None,
            stdout=inner,
            stderr=inner_err,
            process_group=0,
        )
    except OSError:
        for each in {outer, outer_err}:
            os.close(each)
        raise
    finally:
        for each in {inner, inner_err}:
            os.close(each)
    return Child(process=process, outputs={outer_err: err, outer: out}, seen=seen)


def _channel(target: int) -> tuple[int, int]:
    """Return our and the trainer's end: a terminal that alters nothing where ours is one, else a pipe."""
    if not os.isatty(target):
        return os.pipe()
    outer, inner = pty.openpty()
    modes: list[Any] = termios.tcgetattr(inner)
    modes[1] &= ~termios.OPOST
    termios.tcsetattr(inner, termios.TCSANOW, modes)
    _copy_size(target, inner)
    return outer, inner


def _copy_size(terminal: int, other: int) -> None:
    with contextlib.suppress(OSError):
        fcntl.ioctl(other, termios.TIOCSWINSZ, fcntl.ioctl(terminal, termios.TIOCGWINSZ, bytes(8)))


def _same(one: int, other: int) -> bool:
    return os.path.samestat(os.fstat(one), os.fstat(other))
