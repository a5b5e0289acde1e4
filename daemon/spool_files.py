"""Careful reading of a trainer's file and careful writing into the spool, one call at a time.

Nothing here knows what a checkpoint is.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from core.formats.checkpoint_name import shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CHUNK = 1 << 20  # bytes
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}

Look = tuple[int, int, int, int, int]


class SpoolFullError(Exception):
    """The spool's disk refused to take more."""


@contextmanager
def spool_trouble() -> Iterator[None]:
    """Tell a full or read-only disk of ours (SpoolFullError) from trouble with the source."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise SpoolFullError(error.strerror) from error
        raise


@contextmanager
def open_source(path: Path) -> Iterator[int]:
    """Open a trainer's file for reading only: no link is followed, nothing blocks.

    Raises OSError where it cannot be opened or is no regular file. The access time is left
    alone where the system allows it.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd = os.open(path, flags | os.O_NOATIME)
    except PermissionError:  # only the owner of a file may ask for that
        fd = os.open(path, flags)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", shown(path))
        yield fd
    finally:
        os.close(fd)


def look(status: os.stat_result) -> Look:
    """Return what tells one state of a file from another: device, inode, size, both stamps."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def undisturbed(fd: int, path: Path, before: os.stat_result) -> bool:
    """Return whether the open file is still as it was ``before``, under its name or deleted.

    A file that a trainer deletes or replaces while it is read stays whole for the reader.
    Raises FileNotFoundError where the name is gone and other names are left.
    """
    now = os.fstat(fd)
    if now.st_nlink == 0:
        return (now.st_size, now.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    return look(now) == look(before) == look(path.lstat())


def copy_and_hash(fd: int, target: Path, header_bytes: int) -> tuple[str, str]:
    """Copy all of ``fd`` to ``target`` (mode 0600, synced to disk).

    Returns the SHA-256 of the whole file and of what follows the header.
    """
    whole, body = hashlib.sha256(), hashlib.sha256()
    with spool_trouble():
        out = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        position = 0
        while chunk := os.pread(fd, _CHUNK, position):
            whole.update(chunk)
            body.update(chunk[max(0, header_bytes - position) :])
            position += len(chunk)
            with spool_trouble():
                write_all(out, chunk)
        with spool_trouble():
            os.fsync(out)
    finally:
        os.close(out)
    return whole.hexdigest(), body.hexdigest()


def write_whole(path: Path, body: bytes) -> None:
    """Write a small file so that it is there whole or not at all, also after a power cut."""
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        with spool_trouble():
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                write_all(fd, body)
                os.fsync(fd)
            finally:
                os.close(fd)
        put_in_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def put_in_place(temporary: Path, final: Path) -> None:
    """Give a finished file its name and make the name last."""
    with spool_trouble():
        temporary.replace(final)
        fd = os.open(final.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def write_all(fd: int, chunk: bytes) -> None:
    """Write all of a chunk: one call may take only a part of it."""
    rest = memoryview(chunk)
    while rest:
        rest = rest[os.write(fd, rest) :]
