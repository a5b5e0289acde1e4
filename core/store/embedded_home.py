"""What the users and the keeper of an embedded database share: places, locks and the question."""

import fcntl
import os
import re
import stat
import tempfile
import time
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from core.errors import Fixable

DATABASE = OWNER = "epochwatch"
SOCKET_NAME = ".s.PGSQL.5432"
# macOS allows 103 bytes, Linux 107.
SOCKET_PATH_BYTES = 103
SHARED = fcntl.LOCK_SH
EXCLUSIVE = fcntl.LOCK_EX


class Answer(Enum):
    """What a server says when it is really asked."""

    READY = "answers a query"
    BUSY = "is there, but does not take this connection now"
    STOPPING = "is shutting down"
    SILENT = "nobody listens"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the embedded database of one home keeps its things."""

    folder: Path

    @classmethod
    def of(cls, home: Path) -> "Layout":
        """Return the places below ``home``; nothing is created."""
        return cls(folder=Path(home).expanduser().resolve() / "pg")

    @property
    def data(self) -> Path:
        """Return the folder of the database files."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """Return the log of the server and of its keeper."""
        return self.folder / "server.log"

    @property
    def programs(self) -> Path:
        """Return the folder for copied PostgreSQL programs."""
        return self.folder / "programs"

    @property
    def users_lock(self) -> Path:
        """Return the file that every program using the database holds a shared lock on."""
        return self.folder / "users.lock"

    @property
    def keeper_lock(self) -> Path:
        """Return the file that the one keeper holds an exclusive lock on."""
        return self.folder / "keeper.lock"

    @property
    def socket_folder(self) -> Path | None:
        """Return the folder of the server's socket, or None where it was never made."""
        inside = self.folder / "run"
        if _is_good_socket_folder(inside):
            return inside
        try:
            return Path(self._socket_note.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    @property
    def _socket_note(self) -> Path:
        return self.folder / "socket_folder"

    def make(self) -> None:
        """Create the folder. Raises Fixable when this user may not."""
        try:
            missing = [path for path in (self.folder, *self.folder.parents) if not path.exists()]
            for path in reversed(missing):
                path.mkdir(exist_ok=True)
                # The server is another user when we are root: it must pass, and need not look.
                path.chmod(0o711 if os.geteuid() == 0 else 0o700)
        except OSError as error:
            raise Fixable(_not_ours(self.folder, error)) from error

    def make_socket_folder(self) -> Path:
        """Return a private folder for the socket: in the home, or in /tmp if that path is long."""
        folder = self.socket_folder
        if folder is None or not self._is_private(folder):
            name = f"epochwatch-{sha256(os.fsencode(self.folder)).hexdigest()[:8]}-"
            folder = Path(tempfile.mkdtemp(prefix=name, dir="/tmp"))
            self._socket_note.write_text(str(folder), encoding="utf-8")
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def _is_private(self, folder: Path) -> bool:
        """Tell if ``folder`` is in the home, or still the database owner's and closed to others."""
        if folder.parent == self.folder:
            return True
        try:
            entry = folder.lstat()
        except FileNotFoundError:
            return False
        owned = entry.st_uid == self.data.stat().st_uid
        return owned and stat.S_ISDIR(entry.st_mode) and entry.st_mode & 0o077 == 0


def dsn(layout: Layout) -> str:
    """Return how programs connect: the socket, no password, the database's owner."""
    return _conninfo(layout, DATABASE, OWNER)


def admin_dsn(layout: Layout) -> str:
    """Return how the keeper connects: as superuser, for whom a few connections are reserved."""
    return _conninfo(layout, "postgres", "postgres")


def probe(conninfo: str) -> Answer:
    """Connect and ask one query, within 2 s; a process number proves nothing, this does."""
    try:
        with psycopg.connect(conninfo, autocommit=True, connect_timeout=2) as conn:
            conn.execute("SELECT 1")
    except psycopg.errors.ConnectionTimeout:
        return Answer.BUSY
    except psycopg.OperationalError as error:
        said = str(error)
        if "shutting down" in said:
            return Answer.STOPPING
        return Answer.BUSY if "FATAL:" in said else Answer.SILENT
    return Answer.READY


def take_lock(path: Path, kind: int, *, wait_s: float = 0.0) -> int | None:
    """Return an open file that holds the lock until closed, or None after ``wait_s`` seconds.

    Raises Fixable when the file is another user's or its disk knows no locks.
    """
    file = -1
    end = time.monotonic() + wait_s
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        while not _lock(file, kind):
            if time.monotonic() >= end:
                os.close(file)
                return None
            time.sleep(0.02)
    except OSError as error:
        if file >= 0:
            os.close(file)
        raise Fixable(_not_ours(path, error)) from error
    return file


def is_locked(path: Path) -> bool:
    """Tell if somebody holds ``path`` exclusively."""
    file = take_lock(path, SHARED)
    if file is not None:
        os.close(file)
    return file is None


def _lock(file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _conninfo(layout: Layout, database: str, user: str) -> str:
    # A folder that does not exist is asked like any other: nobody listens there.
    folder = layout.socket_folder or layout.folder / "run"
    return make_conninfo(host=str(folder), port=5432, dbname=database, user=user)


def _is_good_socket_folder(folder: Path) -> bool:
    """Tell if both PostgreSQL and its clients take ``folder``: short, and without their commas."""
    short = len(os.fsencode(folder / SOCKET_NAME)) <= SOCKET_PATH_BYTES
    return short and re.fullmatch(r"/[\w./+ -]*", str(folder)) is not None


def _not_ours(path: Path, error: OSError) -> str:
    return (
        f"The embedded database cannot use {path}: {error.strerror}. It belongs to one user and "
        "needs a disk with file locks. Run as the user who created it, or set EPOCHWATCH_HOME to "
        "a folder of your own on a local disk."
    )
