"""What other programs hold of the device we draw on, and the most they were seen to hold lately."""

from __future__ import annotations

import mmap
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.rules.beside import NOBODY, Room
from daemon.memory_readings import Reading

_REMEMBERED = 1800.0  # seconds: a trainer's epochs, with its saving and its own samples, fit in
_GONE = 60.0  # seconds that a GPU must be as good as empty until its trainer counts as gone


@dataclass(kw_only=True)
class Neighbors:
    """Watches one device from outside; safe to use from several threads."""

    read: Callable[[], Reading | None]
    our_pid: Callable[[], int | None]
    clock: Callable[[], float] = time.monotonic
    _held: int | None = 0  # bytes of the GPU our child says it holds; None: it is just taking them
    _told: Reading | None = None  # by our child, where nothing outside can say it
    _last: Room | None = None
    _peaks: deque[tuple[float, int]] = field(default_factory=deque)  # falling amounts
    _empty_since: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def look(self) -> None:
        """Take one reading; a device that says nothing is not known."""
        pid = self.our_pid()
        reading = self.read()
        with self._lock:
            if pid is None:
                self._held, self._told = 0, None
            reading = reading or self._told
            if reading is None:
                self._last = None
                return
            self._note(reading, self._ours(reading, pid))

    def starts(self) -> None:
        """Note that our child is about to take memory: nobody knows how much before it says so."""
        with self._lock:
            self._held = None

    def heard(self, event: dict[str, Any]) -> None:
        """Learn from a "memory" event of our child."""
        with self._lock:
            self._held = 0 if event.get("on") == "cpu" else event.get("held")
            total, free = event.get("total"), event.get("free")
            if event.get("on") == "cuda" and total and free is not None:
                self._told = Reading(total=total, free=free, name="GPU", on_gpu=True)
                self._note(self._told, int(self._held or 0))

    def room(self) -> Room | None:
        """Return the device as it was when looked at last, with the others' peak."""
        with self._lock:
            return self._last

    def _ours(self, reading: Reading, pid: int | None) -> int | None:
        """Return what our child holds; None when that is not known now."""
        if pid is None:
            return 0
        return self._held if reading.on_gpu else resident(pid)

    def _note(self, reading: Reading, ours: int | None) -> None:
        taken = reading.total - reading.free
        if ours is None:  # what is taken now may be ours or theirs: only the known peak counts
            others = min(taken, self._peak())
        else:
            others = max(0, taken - ours)
            self._remember(others, on_gpu=reading.on_gpu)
        self._last = Room(
            total=reading.total,
            free=reading.free,
            ours=taken - others,
            peak=self._peak(),
            on_gpu=reading.on_gpu,
        )

    def _remember(self, others: int, *, on_gpu: bool) -> None:
        """Keep the peak of the last half hour; forget it when the GPU has been left alone."""
        now = self.clock()
        if on_gpu and others <= NOBODY:
            self._empty_since = now if self._empty_since is None else self._empty_since
            if now - self._empty_since >= _GONE:
                self._peaks.clear()
        else:
            self._empty_since = None
        while self._peaks and now - self._peaks[0][0] > _REMEMBERED:
            self._peaks.popleft()
        while self._peaks and self._peaks[-1][1] <= others:
            self._peaks.pop()
        self._peaks.append((now, others))

    def _peak(self) -> int:
        return self._peaks[0][1] if self._peaks else 0


def resident(pid: int) -> int:
    """Return the bytes of main memory a process holds; 0 when it cannot be told."""
    try:
        text = (Path("/proc") / str(pid) / "statm").read_text(encoding="ascii")
        return int(text.split()[1]) * mmap.PAGESIZE
    except (OSError, ValueError, IndexError):
        return 0
