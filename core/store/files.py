"""The image store: pictures, thumbnails, checkpoints and files, each named by its content."""

import errno
import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, Protocol
from urllib.parse import unquote, urlsplit

from core.errors import Fixable, Permanent, Retryable
from core.store.image_bytes import open_png, thumbnail

Kind = Literal["images", "thumbs", "checkpoints", "files"]
FileKind = Literal["checkpoints", "files"]
SUFFIXES: dict[Kind, str] = {
    "images": ".png",
    "thumbs": ".webp",
    "checkpoints": ".safetensors",
    "files": "",
}
CHUNK_BYTES = 2**20
ABANDONED_S = 24 * 3600.0


class NotStored(Fixable):
    """The store has nothing under this name."""


@dataclass(frozen=True, kw_only=True)
class StoredImage:
    """Where a picture went; the thumbnail bears the picture's name, not its own hash."""

    sha256: str
    uri: str
    thumb_uri: str


class ImageStore(Protocol):
    """A place for content-named files; everything may be called twice with the same effect.

    Methods raise Fixable for what a person must set right, Retryable for what may pass, and
    Permanent for content that is refused. A name that is not 64 hex digits is a ValueError.
    """

    def put_image(self, png: bytes) -> StoredImage:
        """Check and keep a PNG and its thumbnail."""
        ...

    def put_file(self, kind: FileKind, sha256: str, path: Path) -> str:
        """Keep the file at ``path``, checked against ``sha256`` on the way; return its address."""
        ...

    def get(self, kind: Kind, sha256: str) -> bytes:
        """Return the content, checked against its name. Raises NotStored when it is not there."""
        ...

    def has(self, kind: Kind, sha256: str) -> bool:
        """Tell if there is something under this name."""
        ...

    def presign(self, kind: Kind, sha256: str, *, seconds: int = 3600) -> str | None:
        """Return an address that opens without credentials for a while, or None if there is none.

        Nothing is asked of the store: the address of something missing answers "not found".
        """
        ...


def open_store(
    place: str | Path, *, access_key: str | None = None, secret_key: str | None = None
) -> ImageStore:
    """Return the store at ``place``: a folder, or ``s3://bucket/prefix?endpoint=..&region=..``.

    The keys are for S3 only; without them boto3 looks in its usual places. Raises Fixable when
    ``place`` is not understood.
    """
    scheme = urlsplit(str(place)).scheme
    if scheme == "s3":
        # boto3 is an extra and slow to import: folders need neither.
        from core.store.files_s3 import open_s3

        return open_s3(str(place), access_key=access_key, secret_key=secret_key)
    if scheme == "file":
        return LocalStore(Path(unquote(urlsplit(str(place)).path)))
    if "://" in str(place):
        raise Fixable(
            f"An image store cannot be at a {scheme}:// address. Give a folder, or "
            "s3://bucket/prefix?endpoint=https://...&region=..."
        )
    return LocalStore(Path(place))


def key_of(kind: Kind, sha256: str) -> str:
    """Return the name below the store's root, ``images/ab/<sha256>.png``.

    Raises ValueError unless ``sha256`` is 64 lower-case hex digits, so that no name can lead
    out of the store.
    """
    if kind not in SUFFIXES or re.fullmatch(r"[0-9a-f]{64}", sha256) is None:
        raise ValueError(f"not the name of something stored: {kind!r}, {sha256[:80]!r}")
    return f"{kind}/{sha256[:2]}/{sha256}{SUFFIXES[kind]}"


def open_source(path: Path) -> BinaryIO:
    """Open a file that is to be stored. Raises Fixable when it cannot be read."""
    try:
        return path.open("rb")
    except OSError as error:
        raise Fixable(
            f"{path} was not stored: it cannot be read ({error.strerror}). Put it back or let "
            "this user read it."
        ) from error


def hashed_chunks(source: BinaryIO, sha256: str) -> Iterator[bytes]:
    """Yield the content of ``source`` in pieces of 1 MB, the last only if all of it matches.

    Raises Permanent when the content is not what ``sha256`` says.
    """
    digest = hashlib.sha256()
    held = b""
    while chunk := source.read(CHUNK_BYTES):
        digest.update(chunk)
        if held:
            yield held
        held = chunk
    if digest.hexdigest() != sha256:
        raise Permanent(
            f"A file was not stored: its content is not {sha256[:12]}... any more, so it changed "
            "after it was first read. Let the run's folder be read again."
        )
    if held:
        yield held


def checked(kind: Kind, sha256: str, content: bytes) -> bytes:
    """Return ``content`` if it is what its name says. Raises Permanent when it was damaged."""
    if kind != "thumbs" and hashlib.sha256(content).hexdigest() != sha256:
        raise Permanent(
            f"The stored {key_of(kind, sha256)} is damaged: its content does not match its name. "
            "Delete it in the store; images can be made again from the checkpoint."
        )
    return content


class LocalStore:
    """A store in a folder of this machine; a crash or a full disk leaves no half-written file."""

    def __init__(self, root: Path) -> None:
        """Use ``root``, which is created with the first file."""
        self._root = root.expanduser().absolute()
        self._partial = self._root / ".partial"
        self._sweep()

    def put_image(self, png: bytes) -> StoredImage:
        """Check and keep a PNG and its thumbnail."""
        sha256 = hashlib.sha256(png).hexdigest()
        image_path, thumb_path = self._path("images", sha256), self._path("thumbs", sha256)
        if not (image_path.exists() and thumb_path.exists()):
            image = open_png(png)
            if not image_path.exists():
                self._write(image_path, iter([png]))
            self._write(thumb_path, iter([thumbnail(image)]))
        return StoredImage(sha256=sha256, uri=image_path.as_uri(), thumb_uri=thumb_path.as_uri())

    def put_file(self, kind: FileKind, sha256: str, path: Path) -> str:
        """Keep the file at ``path``, checked against ``sha256`` on the way; return its address."""
        target = self._path(kind, sha256)
        if not target.exists():
            with open_source(path) as source:
                self._write(target, hashed_chunks(source, sha256))
        return target.as_uri()

    def get(self, kind: Kind, sha256: str) -> bytes:
        """Return the content, checked against its name. Raises NotStored when it is not there."""
        path = self._path(kind, sha256)
        with self._translated():
            content = path.read_bytes()
        return checked(kind, sha256, content)

    def has(self, kind: Kind, sha256: str) -> bool:
        """Tell if there is something under this name."""
        return self._path(kind, sha256).is_file()

    def presign(self, kind: Kind, sha256: str, *, seconds: int = 3600) -> None:
        """Return None: a folder has no addresses of its own."""

    def _path(self, kind: Kind, sha256: str) -> Path:
        return self._root / key_of(kind, sha256)

    def _write(self, target: Path, chunks: Iterator[bytes]) -> None:
        """Write beside, flush to disk, then rename: under its name a file is always whole."""
        partial = self._partial / f"{target.name}.{secrets.token_hex(8)}"
        with self._translated():
            for folder in (self._partial, target.parent):
                folder.mkdir(parents=True, exist_ok=True)
            try:
                with partial.open("xb") as out:
                    out.writelines(chunks)
                    out.flush()
                    os.fsync(out.fileno())
                partial.replace(target)
            finally:
                partial.unlink(missing_ok=True)
            for folder in (target.parent, target.parent.parent, self._root):
                _sync_folder(folder)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn the system's errors into ours."""
        try:
            yield
        except OSError as error:
            raise _trouble(error, self._root) from error

    def _sweep(self) -> None:
        """Delete what writers that were killed left behind."""
        oldest = time.time() - ABANDONED_S
        for path in self._partial.glob("*"):
            if path.lstat().st_mtime < oldest:
                path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _trouble(error: OSError, root: Path) -> Fixable | Retryable:
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return Retryable(
            f"The disk of the image store {root} is full, so nothing was stored and no part of a "
            "file was left. Make room; the work is tried again by itself."
        )
    if isinstance(error, FileNotFoundError):
        return NotStored(
            f"{error.filename} is not in the store: it was deleted, or the store setting points "
            "to another place. Correct the setting, or let it be made again."
        )
    if isinstance(error, PermissionError) or error.errno in {errno.EROFS, errno.ENOTDIR}:
        return Fixable(
            f"The image store {root} cannot be used: {error.strerror}. Give this user the right "
            "to write there, or choose another folder for the store."
        )
    return Retryable(
        f"The image store {root} failed: {error.strerror}. Nothing half-written was left; the "
        "work is tried again. If it lasts, check the disk."
    )
