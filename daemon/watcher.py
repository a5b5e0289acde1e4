"""Watches the folders a trainer saves into: a scan is the truth, events only wake it.

Nothing under a watched folder is ever written, linked, renamed or touched.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from core.formats.checkpoint_name import Candidate, is_candidate, shown
from core.formats.trainer_samples import TrainerSample, read_sample
from daemon.examiner import Examiner, Patience, SightingState, WatchedFile
from daemon.listener import Listener, RootState
from daemon.roots import checked_roots, is_network_volume, regular_files
from daemon.spool import Admitted, Spool
from daemon.spool_files import Look, look

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["Admitted", "Patience", "ScanResult", "Sighting", "TrainerSample", "Watcher"]

_LONGEST_SCAN = 2.0  # seconds after which a scan takes in no further file: stopping stays quick


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """What is known of one file under a watched folder."""

    root: str
    path: str  # as shown to people: bytes that are no text are escaped
    size: int  # bytes
    mtime_ns: int
    inode: int
    state: SightingState
    reason: str  # a sentence: what it is, what it means for the run, what to do
    sha256: str | None  # of the whole file, once admitted

    @property
    def identity(self) -> tuple[int, int, int]:
        """What must be unchanged for a file to need no second hash."""
        return self.size, self.mtime_ns, self.inode


@dataclass(frozen=True, kw_only=True)
class ScanResult:
    """What one scan found that was not told before."""

    sightings: tuple[Sighting, ...]
    admitted: tuple[Admitted, ...]
    trainer_samples: tuple[TrainerSample, ...]


class Watcher:
    """Follows a number of folders; call ``wait`` and ``scan`` in turn, from one thread."""

    def __init__(
        self,
        roots: Iterable[Path],
        spool: Spool,
        *,
        quiet_seconds: float = 5.0,
        recursive: bool = True,
        known: Iterable[Sighting] = (),
        patience: Patience | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare to watch ``roots``, which may be missing still.

        ``known`` are sightings of an earlier start: files that have not changed since are not
        hashed again. Raises Fixable where the roots overlap each other or the spool.
        """
        self.roots = checked_roots(list(roots), spool.folder)
        self.recursive = recursive
        self.clock = clock
        self._patience = replace(patience or Patience(), quiet=quiet_seconds)
        self._examiners = {
            root: Examiner(spool, _patience_at(root, self._patience)) for root in self.roots
        }
        self._ring = threading.Event()
        self._listeners = {
            root: Listener(root, self._ring, recursive=recursive) for root in self.roots
        }
        self._files: dict[str, WatchedFile] = {}
        self._others: set[str] = set()  # names that are neither weights nor samples
        self._samples: dict[str, tuple[Look, float] | None] = {}  # None: told already
        self._told: dict[str, Sighting] = {}
        self._remembered = {entry.path: entry for entry in _from_spool(spool)}
        for entry in known:
            self._told[entry.path] = entry
            if entry.sha256 is not None or entry.path not in self._remembered:
                self._remembered[entry.path] = entry
        self._scanned: set[Path] = set()

    def start(self) -> None:
        """Begin to listen for events; scanning works without it, only later."""
        for listener in self._listeners.values():
            listener.start()

    def stop(self) -> None:
        """Stop listening and end a ``wait`` that is under way."""
        for listener in self._listeners.values():
            listener.stop()
        self.wake()

    def wake(self) -> None:
        """End a ``wait`` that is under way; may be called from any thread or signal handler."""
        self._ring.set()

    def states(self) -> dict[Path, tuple[RootState, str]]:
        """Return for each root how it is followed, and a sentence about it."""
        return {root: listener.state for root, listener in self._listeners.items()}

    def unsettled(self) -> int:
        """Return how many files wait for a decision that time alone will bring."""
        return sum(not file.done and file.state != "vanished" for file in self._files.values())

    def wait(self, timeout: float) -> bool:
        """Sleep up to ``timeout`` seconds; return True at once when an event calls.

        Also returns when a file that was seen is due for its next look.
        """
        now = self.clock()
        due = [file.due - now for file in self._files.values() if _is_open(file)]
        second = self._patience.second_look - now
        due += [seen[1] + second for seen in self._samples.values() if seen]
        rang = self._ring.wait(max(0.0, min([timeout, *due])))
        self._ring.clear()
        return rang

    def scan(self) -> ScanResult:
        """Look through all roots once; return what is new since the last scan.

        Files that are ready are copied now, the newest first, for about two seconds at most; the
        rest follows at the next scan.
        """
        samples: list[TrainerSample] = []
        for root, listener in self._listeners.items():
            if listener.tend():
                found_new = self._look_through(root, samples)
                listener.judge(found_new=found_new and root in self._scanned, now=self.clock())
                self._scanned.add(root)
        admitted = self._judge()
        return ScanResult(
            sightings=tuple(self._news()),
            admitted=tuple(admitted),
            trainer_samples=tuple(samples),
        )

    def _look_through(self, root: Path, samples: list[TrainerSample]) -> bool:
        """Compare the folder with memory; return whether it holds a file not seen before."""
        found: set[str] = set()
        unread: list[str] = []
        is_new = False
        for path, status in regular_files(root, recursive=self.recursive, unread=unread):
            file = self._files.get(path)
            if file is not None:
                found.add(path)
                self._compare(file, look(status))
            elif (candidate := self._candidate(path, root)) is not None:
                is_new = True
                found.add(path)
                self._files[path] = self._recall(WatchedFile(
                    path=Path(path), root=root, shown=shown(path), candidate=candidate,
                    look=look(status), since=self.clock(), due=self.clock(),
                ))  # fmt: skip
            else:
                self._see_sample(path, status, samples)
        self._miss(root, found, tuple(unread))
        return is_new

    def _candidate(self, path: str, root: Path) -> Candidate | None:
        if path in self._samples or path in self._others:
            return None
        candidate = is_candidate(Path(path).relative_to(root))
        if candidate is None and read_sample(path) is None:
            self._others.add(path)
        return candidate

    def _recall(self, file: WatchedFile) -> WatchedFile:
        """Use what an earlier start knew of this file, if it is still the same."""
        known = self._remembered.pop(file.shown, None)
        if known is None or known.identity != _identity(file.look):
            return file
        if known.sha256 is not None and known.state in {"admitted", "vanished"}:
            file.state, file.sha256, file.done = "admitted", known.sha256, True
            file.reason = known.reason if known.state == "admitted" else "It is there again."
        elif known.state != "vanished":
            file.state, file.reason = known.state, known.reason
        return file

    def _compare(self, file: WatchedFile, now_look: Look) -> None:
        same = _identity(now_look) == _identity(file.look)
        if file.state == "vanished":
            if same and file.sha256 is not None:
                file.state, file.reason, file.done = "admitted", "It is there again.", True
                file.look = now_look
            else:
                file.changed(now_look, self.clock())
        elif now_look != file.look:
            if same and file.state == "admitted":
                file.look = now_look  # renamed or its mode changed: the content is the same
            else:
                file.changed(now_look, self.clock())

    def _miss(self, root: Path, found: set[str], unread: tuple[str, ...]) -> None:
        """Note which files are gone; a folder that could not be read says nothing."""
        for path, file in self._files.items():
            is_gone = file.root == root and path not in found and not path.startswith(unread)
            if is_gone and file.state != "vanished":
                file.vanished()
        if not unread:
            for known in [each for each in self._remembered.values() if each.root == shown(root)]:
                self._forget(known)

    def _forget(self, known: Sighting) -> None:
        """Report a file that vanished while nobody watched."""
        del self._remembered[known.path]
        if known.path in self._told and known.state != "vanished":
            file = WatchedFile(
                path=Path(known.path), root=Path(known.root), shown=known.path,
                candidate="safetensors", look=(0, known.inode, known.size, known.mtime_ns, 0),
                since=0.0, due=0.0, state=known.state, sha256=known.sha256,
            )  # fmt: skip
            file.vanished()
            self._files[known.path] = file

    def _see_sample(self, path: str, status: os.stat_result, samples: list[TrainerSample]) -> None:
        """Pass on a trainer's sample image once it has held still for a moment."""
        if path in self._others or status.st_size == 0:
            return
        seen, now = self._samples.get(path), self.clock()
        if path in self._samples and seen is None:
            return
        if seen is None or seen[0] != look(status):
            self._samples[path] = (look(status), now)
        elif now - seen[1] >= self._patience.second_look and (sample := read_sample(path)):
            self._samples[path] = None
            samples.append(sample)

    def _judge(self) -> list[Admitted]:
        admitted, started = [], self.clock()
        due = [file for file in self._files.values() if _is_open(file) and file.due <= self.clock()]
        for file in sorted(due, key=lambda file: file.look[3], reverse=True):
            if self.clock() - started > _LONGEST_SCAN:
                break
            try:
                self._examiners[file.root].judge(file, self.clock())
            except FileNotFoundError:
                file.vanished()
            if file.taken is not None:
                admitted.append(file.taken)
                file.taken = None
        return admitted

    def _news(self) -> Iterator[Sighting]:
        """Yield the sightings that differ from what was told before."""
        for file in self._files.values():
            told = self._told.get(file.shown)
            if told is not None and told.state == file.state and _is_unfinished(file):
                continue  # mere growth of an unfinished file is no news
            sighting = Sighting(
                root=shown(file.root), path=file.shown, size=file.look[2], mtime_ns=file.look[3],
                inode=file.look[1], state=file.state, reason=file.reason, sha256=file.sha256,
            )  # fmt: skip
            if sighting != told:
                self._told[file.shown] = sighting
                yield sighting


def _is_open(file: WatchedFile) -> bool:
    return not file.done and file.state != "vanished"


def _is_unfinished(file: WatchedFile) -> bool:
    return file.state in {"settling", "incomplete"}


def _identity(seen: Look) -> tuple[int, int, int]:
    return seen[2], seen[3], seen[1]


def _from_spool(spool: Spool) -> Iterator[Sighting]:
    for entry in spool.entries():
        yield Sighting(
            root=entry.root,
            path=entry.source_path,
            size=entry.size,
            mtime_ns=entry.mtime_ns,
            inode=entry.inode,
            state="admitted",
            reason="Copied and verified; it will be tested.",
            sha256=entry.sha256,
        )


def _patience_at(root: Path, patience: Patience) -> Patience:
    """Return three times the quiet and twice the deadline where a network volume answers late."""
    if not is_network_volume(root):
        return patience
    return replace(patience, quiet=3 * patience.quiet, deadline=2 * patience.deadline)
