"""Create, start and stop the embedded PostgreSQL server; knows nothing of who uses it."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import LiteralString

import psycopg
from psycopg import sql

from core.errors import Fixable, Retryable
from core.store.embedded_home import DATABASE, OWNER, Answer, Layout, admin_dsn, probe
from core.store.embedded_programs import Programs, account_for, choose_programs, closed_folder

START_S = 20.0
FAST_STOP_S = 15.0
LOG_BYTES = 2_000_000
SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "max_connections": "50",
    "shared_buffers": "64MB",
    # Parallel workers need more of /dev/shm than the 64 MB a container has.
    "max_parallel_workers_per_gather": "0",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "logging_collector": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
}


class Server:
    """The one PostgreSQL server of a home; every method may be called at any time."""

    def __init__(self, layout: Layout) -> None:
        """Choose account and programs. Raises Fixable when there are none that fit."""
        self._layout = layout
        self._account = account_for(layout.data)
        is_root = os.geteuid() == 0
        self._user = self._account.uid if is_root else None
        self._group = self._account.gid if is_root else None
        self._groups: list[int] | None = [] if is_root else None
        self._refuse_unreachable()
        self._programs: Programs = choose_programs(layout.data, layout.programs, self._account)
        self._process: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None
        self._furnished = False

    def create(self) -> None:
        """Make the database files when there are none; a crash half-way leaves none."""
        if (self._layout.data / "PG_VERSION").exists():
            return
        fresh = self._layout.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        self._own(fresh)
        done = subprocess.run(
            [self._programs.folder / "initdb", "-D", fresh, "-U", "postgres", "-E", "UTF8",
             "--locale=C.UTF-8", "--auth=trust", "--no-sync"],
            capture_output=True, text=True, check=False, env=_environment(), cwd="/",
            user=self._user, group=self._group, extra_groups=self._groups,
        )  # fmt: skip
        if done.returncode != 0:
            raise Fixable(
                f"The embedded database could not be created in {self._layout.folder}: "
                f"{done.stderr.strip()[-500:]} Make room or choose another EPOCHWATCH_HOME."
            )
        fresh.rename(self._layout.data)

    def ensure(self) -> None:
        """Start the server unless it answers, and see to its database and role.

        Raises Retryable, with the end of the server's log, when it does not come up.
        """
        self._trim_log()
        answer = probe(admin_dsn(self._layout))
        if answer is Answer.STOPPING or (answer is Answer.SILENT and self._postmaster()):
            self.stop()
            answer = Answer.SILENT
        if answer is Answer.SILENT:
            answer = self._start()
        self._pid = self._postmaster() or self._pid
        if answer is Answer.READY and not self._furnished:
            try:
                self._furnish()
            except psycopg.Error as error:
                raise Retryable(f"The embedded database went away at its start: {error}") from error
            self._furnished = True

    def stop(self) -> None:
        """Disconnect everyone, write everything to disk and end the server; at most 20 s."""
        pid = self._postmaster()
        for how, patience in ((signal.SIGINT, FAST_STOP_S), (signal.SIGQUIT, 5.0)):
            if pid is None:
                return
            os.kill(pid, how)
            end = time.monotonic() + patience
            while (pid := self._postmaster()) and time.monotonic() < end:
                time.sleep(0.02)

    def _start(self) -> Answer:
        """Try for 20 s: the children of a killed server hold its memory for some seconds."""
        end = time.monotonic() + START_S
        answer = Answer.SILENT
        while answer is not Answer.READY and time.monotonic() < end:
            if not self._running():
                self._launch()
            time.sleep(0.05)
            answer = probe(admin_dsn(self._layout))
            if answer is Answer.SILENT and not self._running():
                time.sleep(0.3)
        if answer is Answer.SILENT:
            raise Retryable(
                "The embedded database does not start; nothing is lost, and new results wait in "
                f"files. The end of {self._layout.log} says why: {self._log_end()}"
            )
        return answer

    def _launch(self) -> None:
        folder = self._layout.make_socket_folder()
        self._own(folder)
        settings = SETTINGS | {"unix_socket_directories": f'"{folder}"'}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with self._layout.log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs.folder / "postgres", "-D", self._layout.data, *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", umask=0o077,
                env=_environment() | self._disown_stale_pid(), start_new_session=True,
                user=self._user, group=self._group, extra_groups=self._groups,
            )  # fmt: skip

    def _furnish(self) -> None:
        """Make the database and its owner, who is no superuser: SQL must never become a shell."""
        with psycopg.connect(admin_dsn(self._layout), autocommit=True) as conn:
            if not conn.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [OWNER]).fetchone():
                conn.execute(_statement("CREATE ROLE {} LOGIN CREATEDB CREATEROLE"))
                if conn.info.server_version >= 160000:
                    conn.execute(
                        _statement("ALTER ROLE {} SET createrole_self_grant='set,inherit'")
                    )
            made = "SELECT 1 FROM pg_database WHERE datname = %s"
            if not conn.execute(made, [DATABASE]).fetchone():
                conn.execute(_statement("CREATE DATABASE {0} OWNER {0}"))

    def _postmaster(self) -> int | None:
        """Return the server's process number if it runs; a reused number is not the server."""
        if self._process is not None and self._process.poll() is None:
            return self._process.pid
        pid = self._noted_pid() or self._pid
        return pid if pid and _works_in(pid, self._layout.data) else None

    def _running(self) -> bool:
        return self._postmaster() is not None

    def _noted_pid(self) -> int | None:
        try:
            first = (self._layout.data / "postmaster.pid").read_text(encoding="utf-8").split()[0]
            return abs(int(first))
        except (OSError, IndexError, ValueError):
            return None

    def _disown_stale_pid(self) -> dict[str, str]:
        """Let PostgreSQL ignore a number in postmaster.pid that now belongs to someone else.

        It skips its own ancestors' numbers there (the idea is from Patroni's pull request 681);
        its check of the shared memory still refuses to start beside a server that lives.
        """
        pid = self._noted_pid()
        return {} if pid is None else {"PG_GRANDPARENT_PID": str(pid)}

    def _refuse_unreachable(self) -> None:
        closed = closed_folder(self._layout.folder, self._account)
        if closed is not None:
            raise Fixable(
                "PostgreSQL never runs as root, and the user with number "
                f"{self._account.uid} that runs it may not enter {closed}. Set EPOCHWATCH_HOME to "
                "a folder that others may enter, such as /var/lib/epochwatch."
            )

    def _own(self, path: Path) -> None:
        if self._user is not None:
            os.chown(path, self._account.uid, self._account.gid)

    def _trim_log(self) -> None:
        log = self._layout.log
        if log.exists() and log.stat().st_size > LOG_BYTES:
            log.with_suffix(".log.1").write_bytes(log.read_bytes()[-LOG_BYTES:])
            os.truncate(log, 0)

    def _log_end(self) -> str:
        try:
            return self._layout.log.read_text(errors="replace")[-600:].strip()
        except OSError as error:
            return f"(not readable: {error.strerror})"


def _statement(text: LiteralString) -> sql.Composed:
    return sql.SQL(text).format(sql.Identifier(OWNER))


def _environment() -> dict[str, str]:
    """Return a bare environment: no secrets, no PG* variables, no foreign libraries."""
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def _works_in(pid: int, data: Path) -> bool:
    """Tell if process ``pid`` is the server of ``data``, by its command line.

    Containers may hide a process's folder even from root; a dead one has no command line.
    """
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return os.fsencode(data) in words
