"""Judges one file of a watched folder: still being written, no LoRA, damaged, or ready to copy.

A file is only believed whole when its size fits its header, it holds still, and its content is
proven by its own checksum, by a marker of the trainer or by a quiet period.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, assert_never

from core.formats.checkpoint_file import (
    Header,
    Incomplete,
    Refused,
    has_zero_tail,
)
from core.formats.checkpoint_metadata import Values
from core.formats.checkpoint_name import Candidate, shown
from daemon.header_guard import read_header_guarded
from daemon.source import is_companion_newer
from daemon.spool import Admitted, Blocked, Spool
from daemon.spool_files import Look, look, open_source

if TYPE_CHECKING:
    from pathlib import Path

SightingState = Literal[
    "settling", "incomplete", "admitted", "refused", "quarantined", "blocked", "vanished"
]

_STILL_CHANGING = "The file is new or still changing: it is read when it has come to rest."
_PICKLE = Refused(
    "pickle",
    "This is a pickle (.ckpt, .pt or .bin), which can run code when it is loaded: it is never "
    "opened and not tested. Let the trainer save safetensors.",
)


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long files are given, in seconds."""

    second_look: float = 0.2  # between two looks at a file that proves itself
    quiet: float = 5.0  # without change, for a file that carries no proof
    deadline: float = 1800.0  # without change, until an incomplete file is given up
    recheck: float = 2.0  # between looks at an incomplete file; doubles up to a minute


@dataclass(kw_only=True)
class WatchedFile:
    """What the watcher remembers of one file between scans."""

    path: Path
    root: Path
    shown: str  # the path as people and the database see it
    candidate: Candidate
    look: Look
    since: float  # when it was first seen as it is now, monotonic
    due: float  # when it is worth judging again
    state: SightingState = "settling"
    reason: str = _STILL_CHANGING
    sha256: str | None = None
    done: bool = False  # nothing more to do until it changes
    tries: int = 0
    taken: Admitted | None = None  # what was newly copied, until the watcher has passed it on

    def changed(self, now_look: Look, now: float) -> None:
        """Start over: the file is not what it was."""
        self.look, self.since, self.due, self.tries, self.done = now_look, now, now, 0, False
        if self.state not in {"settling", "incomplete"}:
            self.state, self.reason, self.sha256 = "settling", _STILL_CHANGING, None

    def vanished(self) -> None:
        """The name is gone; say what that means, by what was known of the file."""
        if self.sha256 is not None:
            self.reason = (
                "The file has left the folder; its copy was taken before and is tested as planned."
            )
        elif self.state in {"refused", "quarantined"}:
            self.reason = "The file has left the folder; it was none that could be tested."
        else:
            self.reason = (
                "The file vanished before it could be copied, so it is not tested. If the trainer "
                "keeps only its last saves, let it keep more."
            )
        self.state = "vanished"


class Examiner:
    """Decides about files and hands those that are ready to the spool."""

    def __init__(self, spool: Spool, patience: Patience) -> None:
        """Judge with ``patience``; copies go to ``spool``."""
        self.spool = spool
        self.patience = patience

    def judge(self, file: WatchedFile, now: float) -> None:
        """Look at one file and set its state; ``file.taken`` is what was newly copied.

        Raises FileNotFoundError where the file has vanished meanwhile.
        """
        if now - file.since < self.patience.second_look:
            return self._settle(file, self.patience.second_look)
        if file.candidate == "pickle":
            return self._refuse(file, _PICKLE)
        try:
            self._read(file, now)
        except FileNotFoundError:
            raise
        except PermissionError:
            self._block(file, now, _not_permitted(file.path))
        except OSError as error:
            reason = (
                f"The file could not be read ({error.strerror}). It is tried again by itself; if "
                "this stays, check the disk or the network volume."
            )
            self._block(file, now, reason)

    def _read(self, file: WatchedFile, now: float) -> None:
        with open_source(file.path) as fd:
            if look(os.fstat(fd)) != file.look:
                return  # the next scan sees the change
            header = read_header_guarded(fd)
            if isinstance(header, Incomplete):
                self._wait(file, now, header)
                return
            if isinstance(header, Refused):
                self._refuse_when_quiet(file, now, header)
                return
            needed, warning = self._quiet_needed(file, fd, header, now)
        if now - file.since < needed:
            self._settle(file, needed)
            return
        outcome = self.spool.admit(file.path, root=file.root, detected_monotonic=file.since)
        match outcome:
            case Admitted():
                self._admit(file, outcome, warning)
            case Incomplete():
                self._wait(file, now, outcome)
            case Refused():
                self._refuse(file, outcome)
            case Blocked():
                self._block(file, now, outcome.reason)
            case _:
                assert_never(outcome)

    def _quiet_needed(
        self, file: WatchedFile, fd: int, header: Header, now: float
    ) -> tuple[float, str]:
        """Return how long the file must hold still, and a warning if its end looks empty."""
        claimed = Values(header.metadata).sha256("sshs_model_hash")
        if (
            claimed is not None
            or has_done_marker(file.path, file.root, file.look)
            or is_companion_newer(file.path, header, file.look[3])
        ):
            return self.patience.second_look, ""
        if now - file.since < self.patience.quiet or not has_zero_tail(fd, header):
            return self.patience.quiet, ""
        return 2 * self.patience.quiet, (
            " Its end holds nothing but zeros: if the training was not stopped very early, the "
            "file may have been copied incompletely."
        )

    def _admit(self, file: WatchedFile, admitted: Admitted, warning: str) -> None:
        file.state, file.sha256, file.done = "admitted", admitted.sha256, True
        if admitted.fresh:
            file.reason = f"Copied and verified; it will be tested.{warning}"
            file.taken = admitted
        else:
            file.reason = "The same content was taken in before, so it is tested only once."

    def _settle(self, file: WatchedFile, seconds: float) -> None:
        file.due = file.since + seconds

    def _wait(self, file: WatchedFile, now: float, problem: Incomplete) -> None:
        if now - file.since >= self.patience.deadline:
            file.state, file.done = "quarantined", True
            file.reason = (
                f"{problem.reason} Nothing has changed for {self.patience.deadline / 60:.0f} "
                "minutes, so the save or copy was cut off. This checkpoint is missing from the "
                "run. Save or copy it again; it is then picked up by itself."
            )
            return
        file.state, file.reason = "incomplete", f"{problem.reason} It is waited for."
        file.due = now + min(self.patience.recheck * 2**file.tries, 60.0)
        file.due = min(file.due, max(now, file.since + self.patience.deadline))
        file.tries = min(file.tries + 1, 10)

    def _refuse_when_quiet(self, file: WatchedFile, now: float, refused: Refused) -> None:
        if now - file.since < self.patience.quiet:
            self._settle(file, self.patience.quiet)
        else:
            self._refuse(file, refused)

    def _refuse(self, file: WatchedFile, refused: Refused) -> None:
        file.state = "quarantined" if refused.kind == "damaged" else "refused"
        file.reason, file.done = refused.reason, True

    def _block(self, file: WatchedFile, now: float, reason: str) -> None:
        file.state, file.reason, file.due = "blocked", reason, now + self.patience.recheck


def has_done_marker(path: Path, root: Path, file_look: Look) -> bool:
    """Return whether the trainer says that ``path`` is finished.

    Known are ``<file>.done`` and, in a checkpoint folder of its own, SimpleTuner's ``.guard`` and
    ``commit_success.txt``. A marker older than the file belongs to an earlier save.
    """
    markers = [path.with_name(path.name + ".done")]
    if path.parent != root:
        markers += [path.parent / ".guard", path.parent / "commit_success.txt"]
    for marker in markers:
        try:
            if marker.lstat().st_mtime_ns >= file_look[3]:
                return True
        except OSError:
            continue
    return False


def _not_permitted(path: Path) -> str:
    try:
        status = path.lstat()
        owner = f" (mode {status.st_mode & 0o7777:04o}, owner number {status.st_uid})"
    except OSError:
        owner = ""
    return (
        f"{shown(path.name)} may not be read by this user{owner}. It is not tested until it can "
        "be. Run Epochwatch as the same user as the trainer; it is then picked up by itself."
    )
