"""The production folder: whole checkpoints by content, a record, and one pointer to what is live.

Whenever a process dies, pointer and record name files that are there and whole.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import Fixable, Permanent, Retryable
from daemon.spool_files import write_all

POINTER, RECORD, TEXT = "current.safetensors", "current.json", "PRODUCTION_MODEL.md"
_CHUNK = 1 << 20  # bytes
_CONTENT = re.compile(r"[0-9a-f]{64}\.safetensors")
_READABLE = 0o644  # a generator application may run as somebody else


class Files:
    """Everything that is done to files here, one system call each: tests stand in this door."""

    def create(self, path: Path) -> int:
        """Open a new or emptied file for writing."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(path, flags, _READABLE)

    def write(self, fd: int, chunk: bytes) -> None:
        """Write all of a chunk."""
        write_all(fd, chunk)

    def sync(self, fd: int) -> None:
        """Let a file's content outlive a power cut."""
        os.fsync(fd)

    def rename(self, source: Path, target: Path) -> None:
        """Give a finished file its name, in place of what had it."""
        source.replace(target)

    def sync_folder(self, folder: Path) -> None:
        """Let the names in a folder outlive a power cut."""
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def symlink(self, target: str, path: Path) -> None:
        """Make a symbolic link; not every file system has them."""
        path.symlink_to(target)

    def link(self, target: Path, path: Path) -> None:
        """Make a hard link; not every file system has them either."""
        path.hardlink_to(target)

    def remove(self, path: Path) -> None:
        """Remove a name if it is there."""
        path.unlink(missing_ok=True)


@dataclass(frozen=True, kw_only=True)
class ProductionFolder:
    """One folder that a generator application reads, and we alone write."""

    folder: Path
    files: Files = field(default_factory=Files)

    @property
    def pointer(self) -> Path:
        """The path that always leads to the live checkpoint."""
        return self.folder / POINTER

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let one process at a time change the folder, and clear away what a dead one left.

        Raises Fixable when it cannot be used or holds another one's pointer, Retryable when its
        disk is full.
        """
        with self._translated():
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._refuse_another_ones_pointer()
                for leftover in self.folder.glob(".*.tmp"):
                    self.files.remove(leftover)
                yield
            finally:
                os.close(lock)

    def content(self, sha256: str) -> Path:
        """Return where a checkpoint of this content lies, or would."""
        return self.folder / f"{sha256}.safetensors"

    def holds(self, sha256: str) -> bool:
        """Tell whether the checkpoint is here and whole: all of it is read."""
        try:
            return _sha256(self.content(sha256)) == sha256
        except FileNotFoundError:
            return False

    def put(self, source: Path, sha256: str) -> None:
        """Copy a checkpoint in, verified on the way; under its name it is always whole.

        Raises Permanent when the content is not what ``sha256`` says.
        """
        half = self._half(sha256)
        self._copy(source, half, sha256)
        self.files.rename(half, self.content(sha256))
        self.files.sync_folder(self.folder)

    def point(self, live: Mapping[str, Any], text: str) -> None:
        """Make a checkpoint that is here the live one: the record first, then the pointer."""
        record = json.dumps(live, indent=2, ensure_ascii=False, default=str)
        for name, body in ((TEXT, text), (RECORD, record + "\n")):
            half = self._half(name)
            self._write(half, body.encode("utf-8", "replace"))
            self.files.rename(half, self.folder / name)
        self._swap_pointer(str(live["file"]))
        self.files.sync_folder(self.folder)

    def tidy(self, keep: Collection[str]) -> list[str]:
        """Remove checkpoints whose SHA-256 is not in ``keep``; return them. The live one stays."""
        wanted = {*keep, self._live()}
        removed = []
        for path in sorted(self.folder.iterdir()):
            if _CONTENT.fullmatch(path.name) and path.stem not in wanted:
                self.files.remove(path)
                removed.append(path.stem)
        return removed

    def _live(self) -> str:
        try:
            return str(json.loads((self.folder / RECORD).read_bytes())["sha256"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def _refuse_another_ones_pointer(self) -> None:
        """Never replace a file of this name that we did not put here: our record comes first."""
        if os.path.lexists(self.pointer) and not self._live():
            raise Fixable(
                f"{self.pointer} is there already and is not ours: no record lies beside it. Move "
                "it away, or set `production` to another folder; then promote again."
            )

    def _half(self, name: str) -> Path:
        return self.folder / f".{name}.tmp"

    def _swap_pointer(self, name: str) -> None:
        """Let the pointer lead to ``name`` by one rename: a link if there are links, else a copy."""
        half, target = self._half("pointer"), self.folder / name
        try:
            self.files.symlink(name, half)
        except OSError as no_symlinks:
            _only_if_unsupported(no_symlinks)
            try:
                self.files.link(target, half)
            except OSError as no_links:
                _only_if_unsupported(no_links)
                self._copy(target, half, target.stem)
        self.files.rename(half, self.pointer)
        self.files.remove(half)  # a rename onto another name of the same file leaves both

    def _copy(self, source: Path, half: Path, sha256: str) -> None:
        digest = hashlib.sha256()
        fd = self.files.create(half)
        try:
            with source.open("rb") as reading:
                while chunk := reading.read(_CHUNK):
                    digest.update(chunk)
                    self.files.write(fd, chunk)
            if digest.hexdigest() != sha256:
                raise Permanent(
                    f"{source} is not what was tested (its SHA-256 is another), so it did not go "
                    "to production. What is live stays live."
                )
            self.files.sync(fd)
        finally:
            os.close(fd)

    def _write(self, half: Path, body: bytes) -> None:
        fd = self.files.create(half)
        try:
            self.files.write(fd, body)
            self.files.sync(fd)
        finally:
            os.close(fd)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn the system's errors into ours."""
        try:
            yield
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
                raise Retryable(
                    f"The disk of the production folder {self.folder} is full. What is live stays "
                    "live; make room, and it is tried again by itself."
                ) from error
            if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR}:
                raise Fixable(
                    f"The production folder {self.folder} cannot be written ({error.strerror}). "
                    "Give this user the right to, or set `production` to another folder; then "
                    "promote again."
                ) from error
            raise Retryable(
                f"The production folder {self.folder} failed ({error.strerror}). What is live "
                "stays live; it is tried again."
            ) from error


def _sha256(path: Path) -> str:
    with path.open("rb") as reading:
        return hashlib.file_digest(reading, "sha256").hexdigest()


def _only_if_unsupported(error: OSError) -> None:
    """Raise again what is no answer to "does this file system have links?"."""
    unsupported = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EMLINK}
    if error.errno not in unsupported:
        raise error


def read_live(folder: Path) -> dict[str, Any] | None:
    """Return the record of what is live in a folder; None when nothing is."""
    with suppress(OSError, ValueError):
        found = json.loads((folder / RECORD).read_bytes())
        return found if isinstance(found, dict) else None
    return None
