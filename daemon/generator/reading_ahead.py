"""Read the next job's LoRA files while this one draws: on a thread, a few at most, verified as always.

Nothing depends on it. A file that was not read ahead, or could not be, is read by the job itself,
which then also says what is wrong with it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from core.formats.checkpoint_file import COMPANION
from daemon.generator.lora_file import LoraWeights, read_lora

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_FILES = 2  # a stack of two, or the next two checkpoints
_BYTES = 1 << 30  # of main memory, over all files kept


class _Wish(NamedTuple):
    """A file, and the content it is to have."""

    path: Path
    sha256: str


class _Kept(NamedTuple):
    """A file that was read, and how it lay on the disk then."""

    weights: LoraWeights
    size: int  # bytes
    seen: tuple[object, ...]


class Shelf:
    """The last few LoRA files that were read ahead, as checked tensors in main memory."""

    def __init__(self, read: Callable[[Path, str], LoraWeights] = read_lora) -> None:
        """Hold nothing yet; ``read`` reads and checks one file."""
        self.used = 0  # files that a job found here
        self._read = read
        self._changed = threading.Condition()
        self._wishes: list[_Wish] = []
        self._base: Path | None = None
        self._reading: str | None = None  # SHA-256 of the file in hand
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._thread: threading.Thread | None = None

    def expect(self, files: Iterable[tuple[Path, str]], base: Path | None = None) -> None:
        """Read ``files`` (path, SHA-256) soon, instead of what was expected before; return at once.

        Of ``base``, a model that is not the resident one, only the pages are asked for.
        """
        with self._changed:
            self._wishes = [_Wish(*one) for one in files][:_FILES]
            self._base = base
            self._changed.notify_all()
            if self._thread is None and (self._wishes or base):
                self._thread = threading.Thread(target=self._serve, daemon=True, name="ahead")
                self._thread.start()

    def take(self, path: Path, sha256: str) -> LoraWeights:
        """Return the content of ``path``: from the shelf where the file is as it was, else read now.

        Raises:
            JobError: as ``read_lora``.
        """
        with self._changed:
            self._wishes = [one for one in self._wishes if one.sha256 != sha256]
            self._changed.wait_for(lambda: self._reading != sha256)
            kept = self._kept.get(sha256)
            if kept is not None and kept.seen == _seen(path):
                self._kept.move_to_end(sha256)
                self.used += 1
                return kept.weights
        return self._read(path, sha256)

    def wait(self, seconds: float) -> bool:
        """Wait until everything that is expected was read; say whether that came to pass."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._wishes and self._reading is None, seconds
            )

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wishes or self._base)
                base, self._base = self._base, None
                wish = self._wishes.pop(0) if self._wishes else None
                if wish is not None and wish.sha256 in self._kept:
                    self._kept.move_to_end(wish.sha256)
                elif wish is not None:
                    self._reading = wish.sha256
                self._changed.notify_all()
            if base is not None:
                warm(base)
            if self._reading is not None and wish is not None:
                kept = self._try(wish)
                with self._changed:
                    self._keep(wish.sha256, kept)
                    self._reading = None
                    self._changed.notify_all()

    def _try(self, wish: _Wish) -> _Kept | None:
        """Read one file, unless it is too large or memory is rationed; None where that fails."""
        try:
            size, seen = wish.path.stat().st_size, _seen(wish.path)
            if size > _BYTES or _is_rationed():
                return None
            return _Kept(self._read(wish.path, wish.sha256), size, seen)
        except Exception:  # noqa: BLE001 - whatever it is, the job meets it again and tells it
            return None

    def _keep(self, sha256: str, kept: _Kept | None) -> None:
        if kept is None:
            return
        self._kept[sha256] = kept
        while len(self._kept) > _FILES or sum(one.size for one in self._kept.values()) > _BYTES:
            self._kept.popitem(last=False)


def _seen(path: Path) -> tuple[object, ...]:
    """Return what changes when a file, or the configuration beside it, is put in another's place."""
    found: list[object] = [path]
    for one in (path, path.with_name(COMPANION)):
        try:
            stat = one.stat()
        except OSError:
            found.append(None)
        else:
            found.append((stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return tuple(found)


def warm(base: Path) -> None:
    """Ask the system for the pages of a base model's weights; it reads them when the disk is free."""
    if not hasattr(os, "posix_fadvise"):
        return  # macOS has no such call
    for path in [base] if base.is_file() else sorted(base.rglob("*.safetensors")):
        with contextlib.suppress(OSError), path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)


def _is_rationed() -> bool:
    """Say whether this process is held to a limit of main memory: then all of it is the job's."""
    if sys.platform != "linux":
        return False
    import resource

    return resource.getrlimit(resource.RLIMIT_DATA)[0] != resource.RLIM_INFINITY
