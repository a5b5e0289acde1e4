"""A wrapped trainer is a real child: its output, signals and exit code pass through unchanged."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from house import House, open_house

from core.errors import Permanent, Retryable
from core.settings import Settings
from core.store.database import Database, Row, row, rows, run
from daemon.actions.stop import Stopper
from daemon.train_command import option, told_command
from daemon.train_log import LogReader
from daemon.train_reporter import Reporter
from whole_program import REPOSITORY, wait_for

TRAINER = """
import sys, time
bar = "steps:  10%|#| 100/1000 [01:20<12:00, 1.25it/s, avr_loss=0.0725]"
try:
    print(bar, end="\\r", file=sys.stderr, flush=True)
    print("epoch 3/10", flush=True)
    time.sleep(900)
except KeyboardInterrupt:
    print("saved the state", flush=True)
    sys.exit(7)
"""
QUALITY: dict[int | None, float] = {None: 0.2, 1: 1.0, 2: 0.6, 3: 0.2}
# Says the trainer's end however long that takes: nobody is kept waiting here, and the machine may
# be slow.
PATIENT = """
from daemon.cli.main import main
from daemon.train_reporter import Reporter
Reporter.finish.__kwdefaults__["patience"] = 240.0
main()
"""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """Give an environment whose database cannot be reached."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("EPOCHWATCH_")}
    return {
        **clean,
        "PYTHONPATH": str(REPOSITORY),
        "EPOCHWATCH_HOME": str(tmp_path / "home"),
        "EPOCHWATCH_HOST_NAME": "pod",
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    }


def _words(*options: str, code: str | None = None, command: tuple[str, ...] = ()) -> list[str]:
    run = command or (sys.executable, "-c", code or "")
    return [sys.executable, "-m", "daemon.cli.main", "train", *options, "--", *run]


def _patient(words: list[str]) -> list[str]:
    """Return the words of a wrapper whose last report is waited for."""
    return [words[0], "-c", PATIENT, *words[3:]]


@contextlib.contextmanager
def _running(words: list[str], env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    # Tests that a script runs in the background would pass on that Ctrl-C is ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(
            words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=240)


def _alerts(database: Database) -> list[Row]:
    with database.transaction() as connection:
        found = rows(connection, "actions.recent", kind="alert", limit=9)
    return [each["payload"] for each in found]


def _trainers(database: Database) -> list[Row]:
    with database.transaction() as connection:
        return connection.execute(b"SELECT * FROM epochwatch.trainers").fetchall()


def test_output_and_exit_code_are_the_trainers_own_with_the_database_away(
    env: dict[str, str],
) -> None:
    """Every byte of both streams, and the code; nobody waits for a database."""
    code = (
        "import os\nos.write(1, bytes(range(256)) * 4000)\nos.write(2, b'steps: \\r\\n\\xff')\n"
        "raise SystemExit(42)"
    )
    done = subprocess.run(_words(code=code), env=env, capture_output=True, check=False)
    assert done.returncode == 42
    assert done.stdout == bytes(range(256)) * 4000
    assert done.stderr == b"steps: \r\n\xff"


def test_a_signal_reaches_the_trainer_and_its_end_is_passed_back(env: dict[str, str]) -> None:
    """Ctrl-C lets the trainer save; a death by signal is told as shells tell it."""
    with _running(_words(code=TRAINER), env) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"epoch 3/10\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == b"saved the state\n"
        assert process.wait() == 7
    with _running(
        _words(code="print(1, flush=True); import time; time.sleep(900)"), env
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 128 + signal.SIGTERM


def test_a_terminal_stays_a_terminal_and_nothing_is_altered(env: dict[str, str]) -> None:
    """What a trainer finds out about its terminal, it finds out here too."""
    code = (
        "import os, sys; print(sys.stdout.isatty(), os.get_terminal_size().columns);"
        "os.write(1, b'a\\nb\\r\\tc')"
    )
    outer, inner = pty.openpty()
    process = subprocess.Popen(_words(code=code), env=env, stdout=inner, stderr=inner)
    os.close(inner)
    told = b""
    while select.select([outer], [], [], 240)[0]:
        try:
            told += os.read(outer, 1000)
        except OSError:
            break
    os.close(outer)
    assert process.wait() == 0
    assert told.startswith(b"True ")
    assert told.endswith(b"a\r\nb\r\tc")  # the one \r that the outer terminal itself puts there


def test_a_trainer_that_cannot_be_started_is_said_as_shells_say_it(env: dict[str, str]) -> None:
    """127 for a program that is not there."""
    done = subprocess.run(
        _words(command=("no-such-trainer",)), env=env, capture_output=True, check=False
    )
    assert done.returncode == 127
    assert b"no-such-trainer" in done.stderr


def test_a_reader_that_goes_away_does_not_end_the_trainer(
    env: dict[str, str], tmp_path: Path
) -> None:
    """`| head` ends the pipe, not the training."""
    mark = tmp_path / "trained"
    code = f"for n in range(20000): print('line', n)\nopen({str(mark)!r}, 'w').close()"
    process = subprocess.Popen(_words(code=code), env=env, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.wait() == 0
    assert mark.exists()


def test_progress_is_written_now_and_then_and_the_end_is_told(
    env: dict[str, str], migrated_dsn: str
) -> None:
    """One row per trainer, from its first report to its end."""
    with (
        Database(migrated_dsn) as database,
        _running(_patient(_words(code=TRAINER)), {**env, "DATABASE_URL": migrated_dsn}) as process,
    ):
        found = wait_for(
            lambda: [each for each in _trainers(database) if each["step"] and each["epoch"]],
            what="a row",
        )[0]
        assert (found["epoch"], found["step"], found["total_steps"]) == (3, 100, 1000)
        assert (found["loss"], found["seconds_left"]) == (pytest.approx(0.0725), 720)
        assert (found["host"], found["state"]) == ("pod", "training")
        process.send_signal(signal.SIGINT)
        assert process.wait() == 7
        [ended] = _trainers(database)
        assert (ended["state"], ended["ended_at"] is None) == ("stopped", False)
        assert _alerts(database) == [], "whoever pressed Ctrl-C knows"


def test_a_trainer_that_fails_is_told_at_once_and_how_far_it_had_come(
    env: dict[str, str], migrated_dsn: str, tmp_path: Path
) -> None:
    """Out of memory in the first epoch: no checkpoint ever comes that could tell."""
    full = tmp_path / "memory is full"
    broken = TRAINER.replace(
        "time.sleep(900)",
        f"import os\n    while not os.path.exists({str(full)!r}): time.sleep(0.05)\n    sys.exit(7)",
    )
    words = _words(
        "--run", "punk-v7", code=broken.replace("except KeyboardInterrupt", "except ImportError")
    )
    with Database(migrated_dsn) as database:
        with _running(_patient(words), {**env, "DATABASE_URL": migrated_dsn}) as process:
            wait_for(lambda: _trainers(database), what="its first report")
            full.touch()
            assert process.wait() == 7
        [crash] = _alerts(database)
    assert crash["title"] == "punk-v7: the trainer has failed"
    assert "exit code 7 at epoch 3, step 100 of 1000, loss 0.0725. Why" in crash["body"]


def test_a_decided_stop_ends_the_wrapped_trainer_gently_and_once(
    env: dict[str, str], migrated_dsn: str, tmp_path: Path
) -> None:
    """The daemon decides, the wrapper does: SIGINT, and the trainer saves and ends by itself."""
    with open_house(migrated_dsn, tmp_path) as house:
        for epoch in (1, 2, 3):
            house.arrive(epoch, planned=5)
            house.draw(QUALITY)
            house.judge.judge()
        words = _words("--run", "punk", "--stop-when-advised", "--stop-unlocked", code=TRAINER)
        with _running(_patient(words), {**env, "DATABASE_URL": migrated_dsn}) as process:
            setup = "SELECT stopping FROM epochwatch.run_setups"
            wait_for(lambda: house.select(setup)[0]["stopping"], what="the means")
            with house.database.transaction() as connection:
                connection.execute(
                    b"UPDATE epochwatch.checkpoints SET saved_at = now() + interval '10 years',"
                    b" admitted_at = now() + interval '10 years'"
                )
            Stopper(database=house.database, host="pod").decide()
            assert process.wait() == 7
        [stop] = house.select("SELECT * FROM epochwatch.actions WHERE kind = 'stop'")
        assert stop["state"] == "done", stop["error"]
        assert "after SIGINT" in stop["error"]
        assert _trainers(house.database)[0]["state"] == "stopped"
        assert _alerted(house, "trainer_stopped")


def _alerted(house: House, kind: str) -> bool:
    keys = house.select("SELECT key FROM epochwatch.actions WHERE kind = 'alert'")
    return any(each["key"].split("/")[2] == kind for each in keys)


def test_the_run_is_found_by_what_the_command_line_names(migrated_dsn: str, tmp_path: Path) -> None:
    """Name and folder must fit; without either, a second trainer on the machine makes it unknown."""
    with open_house(migrated_dsn, tmp_path) as house:
        run_id = house.arrive(1)
        with psycopg.connect(migrated_dsn) as connection:

            def found(**named: str | None) -> int | None:
                values = {"host": "pod", "pid": 1, "started_at": datetime(2026, 1, 1, tzinfo=UTC),
                          "output_name": None, "folder": None, **named}  # fmt: skip
                from core.store.statements import statement

                hit = connection.execute(statement("trainers.run_of"), values).fetchone()
                return int(hit[0]) if hit else None

            assert found() == run_id
            assert found(output_name="punk", folder="/out/") == run_id
            assert found(output_name="other") is None
            assert found(folder="/elsewhere/") is None
            connection.execute(
                "INSERT INTO epochwatch.trainers (host, pid, started_at, state)"
                " VALUES ('pod', 2, now(), 'training')"
            )
            assert found() is None
            assert found(output_name="punk") == run_id


def test_options_are_read_and_secrets_are_not_kept() -> None:
    """Both ways to write an option; a key never reaches the database."""
    command = (
        "python",
        "t.py",
        "--output-name=punk",
        "--output_dir",
        "/out",
        "--wandb_api_key",
        "s3",
    )
    assert option(command, "output_name") == "punk"
    assert option(command, "output_dir") == "/out"
    assert option(command, "missing") is None
    assert told_command((*command, "--huggingface_token=hf_1")) == (
        "python t.py --output-name=punk --output_dir /out --wandb_api_key '***' '--huggingface_token=***'"
    )


def test_a_stop_that_the_database_was_away_for_is_not_given_up(
    migrated_dsn: str, tmp_path: Path
) -> None:
    """Nothing was begun, so it is done when the database is back; a failure for good is one."""
    settings = Settings(home=tmp_path, host_name="pod")
    reporter = Reporter(
        settings=settings, pid=1, started_at=datetime(2026, 1, 1, tzinfo=UTC), command=("t",),
        log=LogReader(),
    )  # fmt: skip
    with Database(migrated_dsn) as database:

        def state() -> str:
            with database.transaction() as connection:
                return str(row(connection, "actions.one", key="stop/1")["state"])  # type: ignore[index]

        with database.transaction() as connection:
            run(
                connection, "actions.decide", key="stop/1", kind="stop", run_id=1, payload={},
                host=reporter.address,
            )  # fmt: skip
        for trouble, after in ((Retryable("away"), "pending"), (Permanent("no"), "failed")):

            def stop(_action: Row, trouble: Exception = trouble) -> str:
                raise trouble

            with contextlib.suppress(Retryable):
                reporter._obey(database, stop, {"key": "stop/1"})
            assert state() == after
