"""`wait` never runs its command early, and never twice."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from house import House, open_house

from core.errors import Fixable
from daemon.cli.wait import seconds_of
from daemon.leaving import look

QUALITY: dict[int | None, float] = {None: 0.2, 1: 0.4, 2: 1.0, 3: 0.6}
PICK, LAST = f"{2:064x}", f"{3:064x}"


@pytest.fixture
def house(migrated_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """Give a run that is tested, re-tested, judged and kept, with its daemon alive."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("DATABASE_URL", migrated_dsn)
    monkeypatch.setenv("EPOCHWATCH_IMAGE_STORE", str(tmp_path / "home" / "store"))
    with open_house(migrated_dsn, tmp_path / "home") as found:
        for epoch in (1, 2, 3):
            found.arrive(epoch, planned=3)
            _beat(found, epoch)
        for _ in range(2):  # the second time the second look
            found.draw(QUALITY)
            found.judge.judge()
        _do(
            found,
            "UPDATE epochwatch.actions SET state = 'done'",
            f"UPDATE epochwatch.weights SET uri = 'file:///checkpoints/00/{PICK}.safetensors'",
        )
        kept = tmp_path / "home" / "store" / "checkpoints" / "00" / f"{PICK}.safetensors"
        kept.parent.mkdir(parents=True)
        kept.touch()
        yield found


def _beat(house: House, epoch: int) -> None:
    """Let the daemon be heard, for long, and have seen the file."""
    _do(
        house,
        "INSERT INTO epochwatch.hosts (name, last_seen, state, detail) VALUES ('pod', now() +"
        """ interval '1 h', 'watching', '{"outbox": 0, "roots": {"/out": ["live", ""]}}')"""
        " ON CONFLICT DO NOTHING",
        "INSERT INTO epochwatch.sightings (host, path, root, size_bytes, mtime_ns, inode, state)"
        f" VALUES ('pod', '/out/punk-{epoch:06d}.safetensors', '/out', 1, 1, {epoch}, 'admitted')",
    )


def _do(house: House, *statements: str) -> None:
    with house.database.transaction() as connection:
        for each in statements:
            connection.execute(each.encode())


def _words(mark: Path, *more: str, run: str = "punk") -> list[str]:
    then = f"sh -c 'echo ran >> {mark}'"
    return [
        sys.executable, "-m", "daemon.cli.main", "wait", run, "--then", then, "--every", "0.2",
        "--json", *more,
    ]  # fmt: skip


@contextlib.contextmanager
def _waiting(mark: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        _words(mark, *more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _waited(mark: Path, *more: str, run: str = "punk") -> tuple[int, dict[str, Any]]:
    done = subprocess.run(_words(mark, *more, run=run), capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_when_everything_is_safe_the_command_runs_once_for_two_waits(
    house: House, tmp_path: Path
) -> None:
    """One claims it; the other says who did; a third, later, does not run it either."""
    mark = tmp_path / "mark"
    with _waiting(mark) as one, _waiting(mark) as other:
        told = [json.loads(each.communicate()[0]) for each in (one, other)]
    assert sorted(each["ran"] for each in told) == [False, True]
    assert all(each["ready"] for each in told)
    assert (one.returncode, other.returncode) == (0, 0)
    assert "a wait on" in next(each["taken_by"] for each in told if not each["ran"])
    assert mark.read_text() == "ran\n"
    code, third = _waited(mark)
    assert (code, third["ran"]) == (0, False)
    assert "exit code 0" in third["taken_by"]
    assert mark.read_text() == "ran\n"


def test_a_checkpoint_that_arrives_last_is_waited_for(house: House, tmp_path: Path) -> None:
    """A file that is still written, then an untested one, hold the command back until it is tested."""
    mark = tmp_path / "mark"
    _do(
        house,
        "INSERT INTO epochwatch.sightings (host, path, root, size_bytes, mtime_ns, inode, state)"
        " VALUES ('pod', '/out/punk-000004.safetensors', '/out', 1, 1, 4, 'settling')",
    )
    with _waiting(mark) as process:
        assert process.stderr is not None
        told = iter(process.stderr.readline, "")
        assert any("punk-000004.safetensors is still" in line for line in told)
        house.arrive(4, planned=4)
        _do(house, "UPDATE epochwatch.sightings SET state = 'admitted'")
        assert any("epoch 4" in line for line in told)
        assert not mark.exists()
        for _ in range(2):
            house.draw({**QUALITY, 4: 0.5})
            house.judge.judge()
        _do(
            house,
            f"UPDATE epochwatch.weights SET uri = 'file:///checkpoints/00/{PICK}.safetensors'",
            "UPDATE epochwatch.actions SET state = 'done'",
        )
        assert process.wait() == 0
    assert mark.read_text() == "ran\n"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE epochwatch.hosts SET last_seen = now() - interval '1 min'", "not at work"),
        ("UPDATE epochwatch.hosts SET detail = detail || '{\"outbox\": 2}'", "2 images"),
        (("UPDATE epochwatch.jobs SET finished_at = NULL WHERE grid_id IN (SELECT id FROM"
         " epochwatch.grids WHERE purpose = 'retest')"), "second look"),
        ("UPDATE epochwatch.weights SET uri = NULL", "Not in the store yet: epoch 2, the pick"),
        ((f"UPDATE epochwatch.weights SET uri = NULL WHERE sha256 = '{LAST}'; UPDATE epochwatch.actions"
         f" SET state = 'failed', error = 'disk full' WHERE key = 'keep/{LAST}'"),
         "Not in the store yet: epoch 3, to be kept: disk full. It is not tried again"),
        ("DELETE FROM epochwatch.advice", "not judged"),
        (("INSERT INTO epochwatch.trainers (host, pid, started_at, run_id, state)"
         " SELECT 'pod', 1, now(), id, 'training' FROM public.training_runs"), "still running"),
        (("INSERT INTO epochwatch.actions (key, kind, run_id) SELECT 'keep/x', 'keep', id"
         " FROM public.training_runs"), "a checkpoint to the store"),
        (("INSERT INTO epochwatch.promotions (run_id, run_name, position, sha256, record, by_whom)"
         " SELECT id, 'punk', 2, repeat('a', 64), '{}', 'ann' FROM public.training_runs"),
         "2 to production"),
    ],
)  # fmt: skip
def test_whatever_is_missing_is_seen(house: House, tmp_path: Path, change: str, words: str) -> None:
    """Each alone holds the command back."""
    out = tmp_path / "none"
    assert look(house.database, house.outbox.store, "punk", out).missing == ()
    _do(house, change)
    assert words in " ".join(look(house.database, house.outbox.store, "punk", out).missing)


def test_a_second_look_is_waited_for_until_it_is_judged(house: House, tmp_path: Path) -> None:
    """Drawn is not judged: what it says may choose another pick, whose file is not kept yet."""
    retests = (
        "UPDATE epochwatch.jobs SET finished_at = {} WHERE grid_id IN"
        " (SELECT id FROM epochwatch.grids WHERE purpose = 'retest')"
    )
    news = "UPDATE epochwatch.rev SET n = n + 1"
    _do(house, retests.format("NULL"), news)
    house.judge.judge()
    _do(house, retests.format("now()"), news)
    [line] = look(house.database, house.outbox.store, "punk", tmp_path / "none").missing
    assert "not judged" in line
    house.judge.judge()
    assert look(house.database, house.outbox.store, "punk", tmp_path / "none").missing == ()


def test_what_the_store_has_lost_is_noticed(house: House, tmp_path: Path) -> None:
    """Rows are not enough: files are read back."""
    store = tmp_path / "home" / "store"
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x.json").touch()
    [line] = look(house.database, house.outbox.store, "punk", tmp_path / "out").missing
    assert "1 images in" in line
    next((store / "checkpoints").rglob("*.safetensors")).unlink()
    lost = look(house.database, house.outbox.store, "punk", tmp_path / "none").missing
    assert lost
    assert all("not found in the store" in line for line in lost)
    (store / "checkpoints" / "00" / f"{PICK}.safetensors").touch()
    for each in (store / "images").rglob("*.png"):
        each.write_bytes(b"rotten")
    [line] = look(house.database, house.outbox.store, "punk", tmp_path / "none").missing
    assert "cannot be read back" in line


def test_at_the_deadline_it_lists_what_is_missing_and_runs_nothing(
    house: House, tmp_path: Path
) -> None:
    """Exit 1, unless the person wanted it to run all the same."""
    _do(house, "UPDATE epochwatch.weights SET uri = NULL")
    mark = tmp_path / "mark"
    code, told = _waited(mark, "--deadline", "1s")
    assert (code, told["ran"], told["ready"]) == (1, False, False)
    assert "Not in the store yet" in told["missing"][0]
    assert not mark.exists()
    code, told = _waited(mark, "--deadline", "1s", "--at-deadline", "run")
    assert (code, told["ran"], told["exit_code"]) == (1, True, 0)
    _waited(mark, "--deadline", "1s", "--at-deadline", "run")
    assert mark.read_text() == "ran\n"


def test_a_dry_run_and_an_unknown_run_do_nothing(house: House, tmp_path: Path) -> None:
    """The dry run leaves the command to a real one; a name nobody knows is waited for."""
    mark = tmp_path / "mark"
    code, told = _waited(mark, "--dry-run")
    assert (code, told["ready"], told["ran"]) == (0, True, False)
    code, told = _waited(mark, "--deadline", "0.5", run="nobody")
    assert code == 1
    assert told["missing"] == [
        (
            "There is no run called 'nobody' yet. It is waited for, in vain if that is mistyped; the "
            "newest runs: punk."
        )
    ]
    assert not mark.exists()
    assert _waited(mark)[1]["ran"]


def test_killed_it_has_run_nothing_and_disconnected_it_runs_nothing(
    house: House, tmp_path: Path, migrated_dsn: str
) -> None:
    """Any doubt means not yet; when the database is back, it goes on."""
    mark, name = tmp_path / "mark", psycopg.conninfo.conninfo_to_dict(migrated_dsn)["dbname"]
    admin = psycopg.conninfo.make_conninfo(migrated_dsn, dbname="postgres")
    _do(house, "UPDATE epochwatch.weights SET uri = NULL")
    with _waiting(mark) as process:
        assert process.stderr is not None
        assert any("Not in the store" in line for line in iter(process.stderr.readline, ""))
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not mark.exists()
    with _waiting(mark) as process, psycopg.connect(admin, autocommit=True) as server:
        assert process.stderr is not None
        told = iter(process.stderr.readline, "")
        assert any("Not in the store" in line for line in told)
        server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'.encode())
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
        )
        assert any("could not be looked at" in line for line in told)
        assert process.poll() is None
        assert not mark.exists()
        server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'.encode())
        assert any("Not in the store" in line for line in told)
        _do(house, f"UPDATE epochwatch.weights SET uri = 'file:///x/{PICK}.safetensors'")
        assert process.wait() == 0
    assert mark.read_text() == "ran\n"


def test_deadlines_are_read_before_anything_is_waited_for() -> None:
    """A slip of the pen is told now, not in the night."""
    assert seconds_of("90") == 90
    assert seconds_of("1.5h") == 5400
    for wrong in ("soon", "2 weeks", "-1"):
        with pytest.raises(Fixable, match="--deadline"):
            seconds_of(wrong)
