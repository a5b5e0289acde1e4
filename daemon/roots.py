"""The folders that are watched: may they be, on what kind of volume they lie, what is in them."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import Fixable
from core.formats.checkpoint_name import is_watched_folder, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "lustre", "virtiofs"}


def is_network_volume(folder: Path, mountinfo: str | None = None) -> bool:
    """Return whether the file system below ``folder`` is one that other hosts may write to.

    ``mountinfo`` is the text of /proc/self/mountinfo, read where it is not given; where there is
    none, the answer is False. FUSE mounts (MooseFS, SSHFS, object stores) count as network.
    """
    if mountinfo is None:
        try:
            mountinfo = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return False
    folder = folder.resolve()
    best, kind = -1, ""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, types = before.split(), after.split()
        if len(fields) < 5 or not types:
            continue
        point = Path(fields[4].replace("\\040", " "))
        if folder.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), types[0]
    return kind in _NETWORK or kind.startswith("fuse")


def checked_roots(roots: list[Path], spool: Path) -> list[Path]:
    """Return absolute roots; raise Fixable naming every pair that overlaps."""
    absolute = [Path(os.path.normpath(root.absolute())) for root in roots]
    problems = [
        f"{shown(root)} is a file: watch the folder that it lies in"
        for root in absolute
        if root.exists() and not root.is_dir()
    ]
    real = [root.resolve() for root in absolute]
    for index, root in enumerate(real):
        problems += [
            f"{shown(root)} and {shown(other)} overlap: watch only the outer one"
            for other in real[:index]
            if _overlap(root, other)
        ]
        if _overlap(root, spool.resolve()):
            problems.append(
                f"{shown(root)} overlaps with {shown(spool)}, where Epochwatch keeps its own "
                "copies: set EPOCHWATCH_HOME to a folder elsewhere"
            )
    if problems:
        msg = "Cannot watch these folders. " + ". ".join(problems) + "."
        raise Fixable(msg)
    return absolute


def _overlap(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)


def regular_files(
    root: Path, *, recursive: bool, unread: list[str]
) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the regular files below ``root``; links are not followed.

    Folders that could not be read are added to ``unread``.
    """
    folders = [str(root)]
    while folders:
        folder = folders.pop()
        try:
            entries = list(os.scandir(folder))
        except FileNotFoundError:
            if folder == str(root):  # a root that goes away deletes nothing
                unread.append(folder + os.sep)
            continue
        except OSError:
            unread.append(folder + os.sep)
            continue
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if stat.S_ISDIR(status.st_mode):
                if recursive and is_watched_folder(entry.name):
                    folders.append(entry.path)
            elif stat.S_ISREG(status.st_mode):
                yield entry.path, status
