"""Attach to the PostgreSQL server that all programs of one home share; it ends with its last user.

The kernel counts the users: each holds a shared lock. A keeper process starts and mends the server
and waits for the exclusive lock, which it gets exactly when the last user has left or died.
"""

import logging
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from core.errors import EpochwatchError, Fixable, Retryable
from core.store.embedded_home import (
    EXCLUSIVE,
    SHARED,
    Answer,
    Layout,
    admin_dsn,
    dsn,
    is_locked,
    probe,
    take_lock,
)

ATTACH_S = 30.0
MIND_S = 1.0
CODE_ROOT = Path(__file__).resolve().parents[2]
# What the keeper's exit code says about the text it printed.
EXIT_FIXABLE = 3
EXIT_RETRYABLE = 4

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ServerStatus:
    """How the embedded database of a home is doing."""

    running: bool
    keeper: bool
    # Process numbers, as far as this system lists the holders of locks.
    users: tuple[int, ...]
    detail: str


class EmbeddedServer:
    """One program's share in the server; the server lives at least until this is closed."""

    def __init__(self, layout: Layout, users_file: int) -> None:
        """Take over ``users_file``, the open file that holds the shared lock."""
        self._layout = layout
        self._users_file = users_file
        self._closed = threading.Event()
        self._minder = threading.Thread(target=self._mind, name="embedded-db", daemon=True)
        self._minder.start()

    @property
    def dsn(self) -> str:
        """Return the connection string: a socket, no password; valid until the server is closed."""
        return dsn(self._layout)

    def close(self) -> None:
        """Leave; the server stops by itself when this was the last user. May be called twice."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._minder.join()
        os.close(self._users_file)

    def __enter__(self) -> Self:
        """Return the share itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave."""
        self.close()

    def _mind(self) -> None:
        """Replace a keeper that died: without one nobody would mend or stop the server."""
        while not self._closed.wait(MIND_S):
            try:
                if not is_locked(self._layout.keeper_lock):
                    _start_keeper(self._layout)
            except (EpochwatchError, OSError) as error:
                log.warning("The embedded database has no keeper: %s", error)


def attach(home: Path, *, timeout_s: float = ATTACH_S) -> EmbeddedServer:
    """Return a share in the server of ``home``, started and created first where needed.

    Raises Fixable when a person must act (programs missing, another major version, a folder that
    cannot be used) and Retryable when the server does not answer within ``timeout_s`` seconds.
    """
    layout = Layout.of(home)
    layout.make()
    end = time.monotonic() + timeout_s
    # A keeper that is just stopping the server holds this lock until it is gone.
    users_file = take_lock(layout.users_lock, SHARED, wait_s=timeout_s)
    if users_file is None:
        raise Retryable(_too_slow(layout, "is still shutting down"))
    try:
        _wait_ready(layout, end)
    except BaseException:
        os.close(users_file)
        raise
    return EmbeddedServer(layout, users_file)


def stop(home: Path, *, timeout_s: float = ATTACH_S) -> bool:
    """Wait until an unused server has stopped, ending one that lost its keeper; tell if one ran.

    Raises Fixable while programs use it, Retryable when it has not stopped in ``timeout_s``.
    """
    layout = Layout.of(home)
    if not layout.folder.exists():
        return False
    ran = is_locked(layout.keeper_lock) or probe(admin_dsn(layout)) is not Answer.SILENT
    users_file = take_lock(layout.users_lock, EXCLUSIVE, wait_s=min(timeout_s, 1.0))
    if users_file is None and not is_locked(layout.users_lock):
        raise Fixable(_in_use(layout))
    if users_file is not None:
        os.close(users_file)
    _wait_unkept(layout, timeout_s)
    if probe(admin_dsn(layout)) is not Answer.SILENT:
        # A new keeper adopts the server, finds no user, and stops it.
        _start_keeper(layout)
        _wait_unkept(layout, timeout_s)
    return ran


def status(home: Path) -> ServerStatus:
    """Return how the server of ``home`` is doing, without starting or holding it."""
    layout = Layout.of(home)
    if not layout.folder.exists():
        return ServerStatus(running=False, keeper=False, users=(), detail="never started")
    answer = probe(dsn(layout))
    return ServerStatus(
        running=answer is Answer.READY,
        keeper=is_locked(layout.keeper_lock),
        users=_users(layout),
        detail=f"{layout.data}: {answer.value}",
    )


def _wait_ready(layout: Layout, end: float) -> None:
    while True:
        trouble = None if is_locked(layout.keeper_lock) else _try_keeper(layout)
        answer = probe(dsn(layout))
        if answer is Answer.READY:
            return
        if time.monotonic() > end:
            raise trouble or Retryable(_too_slow(layout, answer.value))
        time.sleep(0.05)


def _try_keeper(layout: Layout) -> Retryable | None:
    try:
        _start_keeper(layout)
    except Retryable as trouble:
        return trouble
    return None


def _wait_unkept(layout: Layout, timeout_s: float) -> None:
    keeper_file = take_lock(layout.keeper_lock, EXCLUSIVE, wait_s=timeout_s)
    if keeper_file is None:
        raise Retryable(_too_slow(layout, "is still shutting down"))
    os.close(keeper_file)


def _start_keeper(layout: Layout) -> None:
    """Run a keeper until it says how its first attempt went; it goes on in the background."""
    path = os.pathsep.join(filter(None, [str(CODE_ROOT), os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, "-P", "-m", "core.store.embedded_keeper", str(layout.folder.parent)]
    try:
        done = subprocess.run(
            command, env=os.environ | {"PYTHONPATH": path}, cwd="/", start_new_session=True,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=90,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise Retryable(_too_slow(layout, "has not started in 90 s")) from error
    if done.returncode == EXIT_FIXABLE:
        raise Fixable(done.stdout.strip())
    if done.returncode == EXIT_RETRYABLE:
        raise Retryable(done.stdout.strip())
    if done.returncode != 0:
        raise Retryable(_too_slow(layout, f"lost its keeper: {done.stderr.strip()[-500:]}"))


def _users(layout: Layout) -> tuple[int, ...]:
    """Read who holds the shared lock from the kernel's list (Linux only)."""
    try:
        inode = str(layout.users_lock.stat().st_ino)
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return ()
    held = [line.split() for line in lines if " FLOCK " in line and " READ " in line]
    found = {int(row[4]) for row in held if row[1] != "->" and row[5].split(":")[-1] == inode}
    return tuple(sorted(found))


def _in_use(layout: Layout) -> str:
    who = ", ".join(str(pid) for pid in _users(layout)) or "not listed by this system"
    return (
        f"The embedded database in {layout.folder} is in use (process {who}), so it was left "
        "running. End those programs; it then stops by itself."
    )


def _too_slow(layout: Layout, state: str) -> str:
    return (
        f"The embedded database in {layout.folder} is not ready: it {state}. Nothing is lost. "
        f"This is tried again; if it lasts, {layout.log} says why."
    )
