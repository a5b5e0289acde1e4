"""Listens to one folder for what the operating system announces; an event only rings a bell.

Events may be lost, and the whole mechanism can go deaf without a word (a folder deleted and made
again, a network volume, no watches left): ``tend`` notices that and starts afresh.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Literal

from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

from core.formats.checkpoint_name import shown

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from watchdog.observers.api import BaseObserver

RootState = Literal["live", "polling", "root-missing"]

_log = logging.getLogger(__name__)
_UNANNOUNCED = (
    "A file appeared that the system did not announce, as on network volumes. The folder is "
    "looked through regularly instead; nothing is missed, only seen later."
)
_LIVE = "New files are announced by the system and seen at once."
_EVENTS: list[type[FileSystemEvent]] = [
    FileClosedEvent,
    FileMovedEvent,
    FileCreatedEvent,
    DirCreatedEvent,
    DirMovedEvent,
]


class _Bell(FileSystemEventHandler):
    """Counts events and rings; it does nothing that could fail inside the library's thread."""

    def __init__(self, ring: threading.Event) -> None:
        self.ring = ring
        self.count = 0

    def on_any_event(self, event: FileSystemEvent) -> None:  # noqa: ARG002 - only that it came
        self.count += 1
        self.ring.set()


class Listener:
    """The ear on one root."""

    def __init__(
        self, root: Path, ring: threading.Event, *, recursive: bool, patience: float = 2.0
    ) -> None:
        """Prepare to listen at ``root``; ``patience`` is how late an event may be, in seconds."""
        self.root = root
        self.recursive = recursive
        self.patience = patience
        self._bell = _Bell(ring)
        self._observer: BaseObserver | None = None
        self._identity: tuple[int, int] | None = None
        self._wanted = False
        self._unannounced_since: float | None = None
        self._heard = 0
        self._told: tuple[RootState, str] = (
            "polling",
            "The folder is looked through from time to time; listening has not begun.",
        )

    @property
    def state(self) -> tuple[RootState, str]:
        """How the folder is followed, and a sentence about it."""
        return self._told

    def start(self) -> None:
        """Begin to listen; a missing folder is waited for."""
        self._wanted = True
        self.tend()

    def stop(self) -> None:
        """Stop listening and wait for the threads to end."""
        self._wanted = False
        self._hang_up()

    def tend(self) -> bool:
        """Check that the ear still works, else renew it; return whether the folder is there."""
        identity = self._root_identity()
        if identity is None:
            self._hang_up()
            self._set("root-missing", self._why_missing())
            return False
        if self._wanted and (identity != self._identity or not self._is_alive()):
            self._hang_up()
            self._pick_up(identity)
        elif not self._wanted and self._told[0] == "root-missing":
            self._set("polling", "The folder is looked through at each scan.")
        return True

    def judge(self, *, found_new: bool, now: float) -> None:
        """Compare what a scan found with what was heard since the last one.

        A new file that nobody announced within ``patience`` seconds means that events do not
        arrive here; the next one that does arrive means that they do again.
        """
        heard, self._heard = self._bell.count > self._heard, self._bell.count
        if heard:
            self._unannounced_since = None
            if self._told[0] == "polling" and self._is_alive():
                self._set("live", _LIVE)
        elif found_new and self._unannounced_since is None:
            self._unannounced_since = now
        since = self._unannounced_since
        if self._told[0] == "live" and since is not None and now - since >= self.patience:
            self._set("polling", _UNANNOUNCED)

    def _root_identity(self) -> tuple[int, int] | None:
        """Return device and inode of a folder that can be listed, else None."""
        try:
            status = self.root.stat()
        except OSError:
            return None
        usable = self.root.is_dir() and os.access(self.root, os.R_OK | os.X_OK, effective_ids=True)
        return (status.st_dev, status.st_ino) if usable else None

    def _why_missing(self) -> str:
        if self.root.is_dir():
            return (
                f"The folder {shown(self.root)} may not be listed by this user. Nothing in it is "
                "seen until it may be. Run Epochwatch as the same user as the trainer."
            )
        return (
            f"The folder {shown(self.root)} is not there. It is waited for; nothing is lost if it "
            "returns. Check the path if the trainer is already running."
        )

    def _is_alive(self) -> bool:
        """Ask every thread: the observer's own word is true even when its emitters are dead."""
        observer = self._observer
        return (
            observer is not None
            and observer.is_alive()
            and len(observer.emitters) == 1
            and all(emitter.is_alive() for emitter in observer.emitters)
        )

    def _pick_up(self, identity: tuple[int, int]) -> None:
        observer = Observer()
        try:
            observer.schedule(
                self._bell, str(self.root), recursive=self.recursive, event_filter=_EVENTS
            )
            observer.start()
        except OSError as error:
            reason = (
                f"The system gives no events for this folder ({error.strerror}). It is looked "
                "through regularly instead; nothing is missed, only seen a little later."
            )
            if reason != self._told[1]:
                _log.warning("%s: %s", shown(self.root), reason)
            self._set("polling", reason)
            return
        self._observer, self._identity = observer, identity
        self._unannounced_since = None
        self._set("live", _LIVE)

    def _set(self, state: RootState, reason: str) -> None:
        self._told = (state, reason)

    def _hang_up(self) -> None:
        observer, self._observer, self._identity = self._observer, None, None
        if observer is not None:
            observer.unschedule_all()
            if observer.is_alive():
                observer.stop()
                observer.join(timeout=5)
