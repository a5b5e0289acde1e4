"""Finds the TensorBoard logs beside a run's checkpoints and reads its learning rate from them.

Files are only read, without a lock; no folder is searched that is not named below.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from core.formats.checkpoint_name import shown
from core.formats.tensorboard_log import PREFIX, RateLog, read_on
from core.rules.measured_rate import (
    LATE,
    MeasuredRate,
    Save,
    measured_rate,
    steps_per_position,
)
from daemon.train_command import option

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from core.store.database import Row

log = structlog.get_logger()

# What trainers call them: kohya and its GUI logs and log, OneTrainer tensorboard, transformers runs.
_NAMES = ("logs", "log", "logging", "tensorboard", "tb", "runs", "lightning_logs")
_UPWARD = 3  # folders, from the checkpoint's own, beside or below which logs are looked for
_DEEPEST = 4  # folders below a log folder: kohya's are time stamp / tracker / parameters
_MOST_ENTRIES = 5000  # looked at in one search
_MOST_LOGS = 24  # read at one verdict, the newest
_MOST_REMEMBERED = 64
_STAMP = re.compile(re.escape(PREFIX) + r"(\d{9,11})\.")


@dataclass(kw_only=True)
class RateLogs:
    """Reads the logs of runs, and remembers what it read: each byte is read once."""

    _read: dict[str, tuple[int, RateLog]] = field(default_factory=dict)  # path -> inode, log

    def measure(
        self, run: Row, saves: Sequence[Row], trainers: Sequence[Row], *, latest: int
    ) -> MeasuredRate | None:
        """Return the learning rate of a run up to its position ``latest``; None without a log.

        ``saves`` are its current checkpoints on this host, ``trainers`` those that were started
        for it here, whose command lines may name the folder.
        """
        told = [_save_of(save) for save in saves]
        moments = [moment for save in told for moment in save.times]
        if not moments:
            return None
        found = [
            (written, path)
            for written, path in _logs_in([*_beside(saves), *_named(trainers)])
            if written >= min(moments) - LATE and _began(path) <= max(moments)
        ]
        logs = [self._log_of(path) for _, path in sorted(found, reverse=True)[:_MOST_LOGS]]
        return measured_rate(logs, told, per_position=steps_per_position(run, told), latest=latest)

    def _log_of(self, path: str) -> RateLog:
        """Return what a log says so far; one that was written anew is read anew."""
        inode, known = self._read.get(path, (0, RateLog()))
        try:
            # Neither a link nor a pipe: the first leads elsewhere, the second never ends.
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(handle, "rb") as stream:
                status = os.fstat(handle)
                if not stat.S_ISREG(status.st_mode):
                    return known
                if status.st_ino != inode or status.st_size < known.read_to:
                    known = RateLog()
                before = known.trouble
                read_on(stream, known)
        except OSError as trouble:
            log.warning("tensorboard log", path=shown(path), reason=str(trouble))
            return known
        if known.trouble and known.trouble != before:
            log.warning("tensorboard log", path=shown(path), reason=known.trouble)
        self._read.pop(path, None)
        self._read[path] = (status.st_ino, known)
        while len(self._read) > _MOST_REMEMBERED:
            del self._read[next(iter(self._read))]
        return known


def _save_of(save: Row) -> Save:
    times = (save["saved_at"], save["closed_at"])
    return Save(
        position=save["position"],
        step=save["step"],
        times=tuple(moment.timestamp() for moment in times if moment is not None),
    )


def _beside(saves: Sequence[Row]) -> Iterator[tuple[Path, int]]:
    """Yield where logs may lie, with how deep to look: near the newest checkpoint."""
    folder = Path(saves[-1]["source_path"]).parent
    yield folder, 0
    for near in (folder, *folder.parents)[:_UPWARD]:
        yield from ((near / name, _DEEPEST) for name in _NAMES)


def _named(trainers: Sequence[Row]) -> Iterator[tuple[Path, int]]:
    """Yield the folders that command lines of `epochwatch train` name."""
    for trainer in trainers:
        try:
            words = shlex.split(trainer["command"])
        except ValueError:  # cut where it was too long
            continue
        named = Path(option(words, "logging_dir") or ".")
        if named.is_absolute():
            yield named, _DEEPEST


def _logs_in(places: Iterable[tuple[Path, int]]) -> list[tuple[float, str]]:
    """Return the logs in these folders with the time of their last line; no link below is followed."""
    found, left, seen = dict[str, float](), _MOST_ENTRIES, set[str]()
    waiting = [(str(folder), depth) for folder, depth in places]
    while waiting and left > 0:
        folder, depth = waiting.pop(0)
        if folder in seen:
            continue
        seen.add(folder)
        with contextlib.suppress(OSError):
            # Names of time stamps: the newest come first where there are too many.
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name, reverse=True)[:left]
            left -= len(entries)
            for entry in entries:
                if depth and entry.is_dir(follow_symlinks=False):
                    waiting.append((entry.path, depth - 1))
                elif entry.name.startswith(PREFIX) and entry.is_file(follow_symlinks=False):
                    found[entry.path] = entry.stat(follow_symlinks=False).st_mtime
    return [(written, path) for path, written in found.items()]


def _began(path: str) -> float:
    """Return when a log was begun, by its name (Unix seconds); 0 where that does not say."""
    match = _STAMP.match(Path(path).name)
    return float(match[1]) if match else 0.0
