"""The spool: private, verified copies of checkpoints, and the journal of what was taken in.

A trainer may delete or overwrite its file at any moment; what is tested is always the copy here.
Each copy ``<sha256>.safetensors`` has a ``<sha256>.json`` beside it, written last: an entry
without it does not exist. Weights that mean nothing without a second file lie together with it in
a folder ``<sha256>``. Nothing is ever written outside the spool's folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from core.errors import Fixable
from core.formats.checkpoint_file import (
    COMPANION,
    WEIGHTS,
    Incomplete,
    Refused,
    WeightsCheck,
    check_finite_and_nonzero,
    pair_sha256,
)
from core.formats.checkpoint_name import shown
from core.nouns import CheckpointFacts
from daemon.source import Source, read_source
from daemon.spool_files import (
    SpoolFullError,
    copy_and_hash,
    open_source,
    put_in_place,
    spool_trouble,
    undisturbed,
    write_whole,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from core.settings import Settings

LARGEST_LORA = 4 << 30  # bytes
LEAST_FREE = 500_000_000  # bytes that stay free on the spool's disk, or three checkpoints


@dataclass(frozen=True, kw_only=True)
class Admitted:
    """A checkpoint that was copied, verified and entered into the journal."""

    sha256: str  # of the whole file, or of the pair where the weights need a companion
    body_sha256: str  # the same of everything after the header: the weights alone
    spool_path: Path
    source_path: str  # as shown to people: bytes that are no text are escaped
    root: str
    facts: CheckpointFacts
    weights: WeightsCheck
    size: int  # bytes
    mtime_ns: int
    inode: int
    detected_monotonic: float  # when this content was first seen unchanging, on the watcher's clock
    admitted_monotonic: float
    copy_seconds: float  # what copying, hashing and checking took of the time between the two
    closed_at: datetime  # aware UTC: the file's last change
    admitted_at: datetime  # aware UTC
    fresh: bool = True  # False: the spool had this content already


@dataclass(frozen=True)
class Blocked:
    """Something on this machine is in the way; it is tried again at each scan."""

    reason: str


Outcome = Admitted | Incomplete | Refused | Blocked


class Spool:
    """The folder of private copies; safe to open from several processes."""

    def __init__(
        self,
        folder: Path,
        *,
        least_free: int = LEAST_FREE,
        largest: int = LARGEST_LORA,
        largest_model: int | None = None,
    ) -> None:
        """Open or create ``folder`` (mode 0700). Raises Fixable where that cannot be done.

        All sizes are in bytes; full models are taken in where ``largest_model`` says up to which.
        """
        self.folder = folder.absolute()
        self.least_free = least_free
        self.largest = largest
        self.largest_model = largest_model
        self._models: tuple[int, frozenset[str]] | None = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._locked():
                self._remove_leftovers()
        except OSError as error:
            msg = (
                f"The folder for checkpoint copies, {self.folder}, cannot be used "
                f"({error.strerror}). Nothing can be tested without it. Make it writable, or set "
                "EPOCHWATCH_HOME to a folder that is."
            )
            raise Fixable(msg) from error

    def path(self, sha256: str) -> Path | None:
        """Return the copy of this content, or None if it is not (or no longer) here."""
        copy = self._copy(sha256)
        return copy if self._journal(sha256).exists() and copy.exists() else None

    def entries(self) -> list[Admitted]:
        """Return all journal entries, oldest first, evicted copies included."""
        return self._entries(self.folder.glob("*.json"))

    def _entries(self, paths: Iterable[Path]) -> list[Admitted]:
        found = [entry for path in paths if (entry := _read_entry(path))]
        return sorted(found, key=lambda entry: (entry.admitted_at, entry.sha256))

    def entry(self, sha256: str) -> Admitted | None:
        """Return the journal entry of this content."""
        return _read_entry(self._journal(sha256))

    def pending(self) -> list[Admitted]:
        """Return the entries that were not yet registered, oldest first."""
        return self._entries(
            path for path in self.folder.glob("*.json") if not self.is_registered(path.stem)
        )

    def full_models(self) -> frozenset[str]:
        """Return the SHA-256 of every full model in the journal, evicted copies included.

        The journal is read again only when something in the folder has changed.
        """
        changed = self.folder.stat().st_mtime_ns
        if self._models is None or self._models[0] != changed:
            found = {entry.sha256 for entry in self.entries() if entry.facts.kind == "base"}
            self._models = changed, frozenset(found)
        return self._models[1]

    def is_registered(self, sha256: str) -> bool:
        """Return whether ``mark_registered`` was called for this content."""
        return self._registered(sha256).exists()

    def mark_registered(self, sha256: str) -> None:
        """Note that the store knows this checkpoint; calling it again changes nothing."""
        if not self.is_registered(sha256):
            with self._locked():
                write_whole(self._registered(sha256), b"")

    def evict(self, keep: set[str], cap_bytes: int) -> list[str]:
        """Remove copies until at most ``cap_bytes`` are used; return the SHA-256 of those removed.

        Oldest first; never those in ``keep`` and never one that is not registered. The journal
        entry stays, so that the same file is not taken for a new one.
        """
        with self._locked():
            present = [entry for entry in self.entries() if entry.spool_path.exists()]
            used = sum(entry.size for entry in present)
            removed = []
            for entry in present:
                if used <= cap_bytes:
                    break
                if entry.sha256 in keep or not self.is_registered(entry.sha256):
                    continue
                self._remove(entry.spool_path)
                used -= entry.size
                removed.append(entry.sha256)
            return removed

    def admit(
        self,
        path: Path,
        *,
        root: Path,
        detected_monotonic: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> Outcome:
        """Copy ``path`` here, verify it and enter it into the journal.

        The source is opened read-only and without following links. Raises FileNotFoundError
        where it has vanished, OSError where it cannot be read.
        """
        started = clock()
        with open_source(path) as fd:
            full_models = self.largest_model is not None
            source = read_source(fd, path, root, full_models=full_models)
            if not isinstance(source, Source):
                return source
            if hindrance := self._no_place_for(source.status.st_size, source.facts.kind):
                return hindrance
            try:
                with self._locked():
                    taken = self._take(fd, source)
                    if not isinstance(taken, _Taken):
                        return taken
                    seen = started if detected_monotonic is None else detected_monotonic
                    entry = self._entry_of(taken, source, seen, started, clock())
                    return self._enter(entry)
            except SpoolFullError as error:
                return Blocked(
                    f"The disk of {self.folder} took no more ({error}). The checkpoint waits and "
                    "is tried again by itself. Free some space, or set EPOCHWATCH_HOME elsewhere."
                )

    def _entry_of(
        self, taken: _Taken, source: Source, detected: float, started: float, now: float
    ) -> Admitted:
        return Admitted(
            sha256=taken.sha256,
            body_sha256=taken.body_sha256,
            spool_path=self._copy(taken.sha256),
            source_path=shown(source.path),
            root=shown(source.root),
            facts=source.facts,
            weights=taken.weights,
            size=source.status.st_size,
            mtime_ns=source.status.st_mtime_ns,
            inode=source.status.st_ino,
            detected_monotonic=detected,
            admitted_monotonic=now,
            copy_seconds=now - started,
            closed_at=datetime.fromtimestamp(source.status.st_mtime, tz=UTC),
            admitted_at=datetime.now(UTC),
        )

    def _no_place_for(self, size: int, kind: str) -> Refused | Blocked | None:
        what, largest, advice = "LoRA", self.largest, ""
        if kind == "base" and self.largest_model is not None:
            what, largest = "full model", self.largest_model
            advice = " The setting full_model_gb says so; save in half precision, or raise it."
        if size > largest:
            return Refused(
                "too-large",
                f"The file has {size / 1e9:.1f} GB; a {what} of more than {largest / 1e9:.1f} "
                f"GB is not taken in. It is not tested.{advice}",
            )
        free, reserve = shutil.disk_usage(self.folder).free, max(self.least_free, 3 * size)
        if free - size >= reserve:
            return None
        return Blocked(
            f"Only {free / 1e6:,.0f} MB are free where checkpoints are copied ({self.folder}), and "
            f"{reserve / 1e6:,.0f} MB stay free for the trainer. The checkpoint waits and is tried "
            "again by itself. Free some space, or set EPOCHWATCH_HOME to another disk."
        )

    def _take(self, fd: int, source: Source) -> _Taken | Incomplete:
        """Copy, hash, compare with the header's claim; keep a copy only where everything holds."""
        temporary = self.folder / f"incoming-{os.getpid()}.tmp"
        header, claimed = source.header, source.facts.body_sha256_claimed
        try:
            sha256, body_sha256 = copy_and_hash(fd, temporary, header.header_bytes)
            if not (undisturbed(fd, source.path, source.status) and source.has_same_companion()):
                return Incomplete("The file changed while it was copied: it is being written.")
            if claimed is not None and body_sha256 != claimed:
                return Incomplete(
                    "The weights do not match the checksum in the file's own header "
                    "(sshs_model_hash): part of the data is missing or older."
                )
            weights = check_finite_and_nonzero(temporary, header)
            if source.companion is not None:
                told = hashlib.sha256(source.companion).hexdigest()
                sha256, body_sha256 = pair_sha256(sha256, told), pair_sha256(body_sha256, told)
                self._make_room_for_two(sha256, source.companion)
            if not self._copy(sha256).exists():
                put_in_place(temporary, self._copy(sha256))
        finally:
            temporary.unlink(missing_ok=True)
        return _Taken(sha256=sha256, body_sha256=body_sha256, weights=weights)

    def _make_room_for_two(self, sha256: str, companion: bytes) -> None:
        folder = self.folder / sha256
        with spool_trouble():
            folder.mkdir(mode=0o700, exist_ok=True)
        write_whole(folder / COMPANION, companion)

    def _enter(self, admitted: Admitted) -> Admitted:
        """Write the journal entry; content that has one keeps it."""
        if self.entry(admitted.sha256) is not None:
            return replace(admitted, fresh=False)
        write_whole(self._journal(admitted.sha256), _entry_json(admitted))
        return admitted

    def _remove_leftovers(self) -> None:
        """Remove what a killed process left: half copies, and copies without a journal entry."""
        for leftover in self.folder.glob("*.tmp"):
            leftover.unlink(missing_ok=True)
        for found in self.folder.iterdir():
            is_pair = len(found.name) == 64 and found.is_dir()  # a SHA-256 is its name
            is_copy = found.suffix == ".safetensors" or is_pair
            if is_copy and not found.with_suffix(".json").exists():
                self._remove(found)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one process at a time change the spool; the kernel frees the lock of a dead one."""
        fd = os.open(self.folder / "spool.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _remove(self, copy: Path) -> None:
        """Remove a copy, with its companion where it has one."""
        whole = copy if copy.parent == self.folder else copy.parent
        if whole.is_dir():
            shutil.rmtree(whole)
        else:
            whole.unlink(missing_ok=True)

    def _copy(self, sha256: str) -> Path:
        return _copy_of(self._journal(sha256))

    def _journal(self, sha256: str) -> Path:
        return self.folder / f"{sha256}.json"

    def _registered(self, sha256: str) -> Path:
        return self.folder / f"{sha256}.registered"


def spool_of(settings: Settings) -> Spool:
    """Return the spool for what this machine's settings let in."""
    largest = int(settings.full_model_gb * 1e9) if settings.full_models else None
    return Spool(settings.home / "spool", largest_model=largest)


@dataclass(frozen=True, kw_only=True)
class _Taken:
    sha256: str
    body_sha256: str
    weights: WeightsCheck


def _copy_of(journal: Path) -> Path:
    folder = journal.with_suffix("")
    return folder / WEIGHTS if folder.is_dir() else journal.with_suffix(".safetensors")


def _entry_json(admitted: Admitted) -> bytes:
    body = asdict(admitted)
    del body["spool_path"], body["fresh"]
    return json.dumps(body, default=datetime.isoformat, ensure_ascii=True, indent=1).encode("ascii")


def _read_entry(path: Path) -> Admitted | None:
    """Return a journal entry; None where it is missing or not one of ours."""
    try:
        body = json.loads(path.read_bytes())
        told = body["facts"]
        told["saved_at"] = datetime.fromisoformat(told["saved_at"]) if told["saved_at"] else None
        told["notes"] = tuple(told["notes"])
        body["facts"] = CheckpointFacts(**told)
        body["weights"] = WeightsCheck(**body["weights"])
        for name in ("closed_at", "admitted_at"):
            body[name] = datetime.fromisoformat(body[name])
        return Admitted(**body, spool_path=_copy_of(path))
    except (OSError, ValueError, KeyError, TypeError):
        return None
