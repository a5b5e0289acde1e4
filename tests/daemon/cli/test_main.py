"""The program as a whole: help at once, exit codes, one line for an error, no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from databases import old_database

COMMANDS = (
    "", "log", "report", "watch", "evaluate", "dashboard", "demo", "converge", "measure", "doctor",
    "db", "db migrate", "db status", "db stop", "runs", "runs list", "runs show", "runs scores",
    "runs finish", "suite", "suite check", "suite init", "alerts", "alerts list", "alerts test",
)  # fmt: skip
SECRET = "s3cr3t-t0ken"
# Refuses what takes seconds to import, whatever the command.
STRICT = """
import sys
for name in ("torch", "diffusers", "transformers", "streamlit"):
    sys.modules[name] = None
from daemon.cli.main import main
sys.argv[0] = "epochwatch"
main()
"""


def _seconds(*words: str) -> float:
    """Return the processor time of a command: other work on this machine does not count."""
    with subprocess.Popen(
        [sys.executable, "-m", "daemon.cli.main", *words], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert b"Usage" in process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize("command", ["", "runs list", "measure"])
def test_help_comes_in_under_half_a_second(command: str) -> None:
    """A person who asks what there is does not wait."""
    assert min(_seconds(*command.split(), "--help") for _ in range(2)) < 0.5


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_that_imports_nothing_slow(command: str, epochwatch: Any) -> None:
    """It says in a sentence what it does."""
    slow = {"numpy", "psycopg", "pydantic", "rich.table", "PIL", "torch"} - set(sys.modules)
    said = epochwatch(*command.split(), "--help")
    assert said.code == 0
    assert len(said.out.split("\n\n")[1].strip()) > 5
    assert not slow & set(sys.modules)


@pytest.mark.parametrize(
    "words", [("converge", "6,7,7"), ("runs", "list"), ("doctor",), ("alerts", "list")]
)
def test_no_fact_needs_torch_or_streamlit(words: tuple[str, ...], dsn: str) -> None:
    """They run where neither is installed, and start fast where they are."""
    done = subprocess.run(
        [sys.executable, "-c", STRICT, *words], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "words",
    [(), ("nonsense",), ("converge",), ("runs", "show"), ("log", "x", "1", "1", "1"), ("watch",)],
)
def test_wrong_words_end_with_two(words: tuple[str, ...], epochwatch: Any) -> None:
    """As every command line does."""
    said = epochwatch(*words)
    assert said.code == 2
    assert "Usage" in said.out + said.err


@pytest.mark.parametrize(
    "words", [("runs", "list"), ("doctor",), ("db", "status"), ("alerts", "test")]
)
def test_a_bad_variable_is_named_in_one_line(
    words: tuple[str, ...], epochwatch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No traceback, and exit code 2: a person can repair it."""
    monkeypatch.setenv("EPOCHWATCH_BATCH", "many")
    said = epochwatch(*words)
    assert said.code == 2
    assert said.err.startswith("epochwatch: Settings are wrong")
    assert "EPOCHWATCH_BATCH" in said.err
    assert said.err.count("\n") == 1


def test_an_unknown_key_of_the_file_is_named(epochwatch: Any, here: Path) -> None:
    """A typing mistake would otherwise change nothing, silently."""
    (here / "epochwatch.toml").write_text("bacth = 4\n")
    said = epochwatch("runs", "list")
    assert said.code == 2
    assert "bacth in epochwatch.toml: there is no such setting" in said.err


@pytest.mark.parametrize("words", [("runs", "list")])
def test_a_database_that_is_away_is_one_line_and_hides_the_password(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing to repair in the settings: exit code 1."""
    monkeypatch.setenv("DATABASE_URL", f"postgresql://u:{SECRET}@127.0.0.1:1/x?connect_timeout=2")
    done = subprocess.run(
        [sys.executable, "-m", "daemon.cli.main", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("epochwatch: The database cannot be reached")
    assert done.stderr.count("\n") == 1
    assert SECRET not in done.stdout + done.stderr


def test_a_folder_that_may_not_be_written_is_one_line(
    epochwatch: Any, here: Path, dsn: str, add_run: Any
) -> None:
    """The system's own words and the path, without a traceback."""
    add_run("punks")
    (here / "file").write_text("")
    said = epochwatch("report", "punks", "-o", here / "file" / "reports")
    assert said.code == 1
    assert said.err.startswith("epochwatch: ")
    assert said.err.count("\n") == 1


def test_ctrl_c_at_a_question_gives_no_traceback(
    server_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was changed, and nothing frightens."""
    with old_database(server_dsn) as dsn:
        monkeypatch.setenv("DATABASE_URL", dsn)
        with subprocess.Popen(
            [sys.executable, "-u", "-m", "daemon.cli.main", "db", "migrate"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            said = b""
            while b"Go on?" not in said:
                said += os.read(process.stdout.fileno(), 4096)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=10)
    assert process.returncode in (1, 130)
    assert b"Traceback" not in err


def test_a_reader_that_has_had_enough_gives_no_traceback(dsn: str, add_run: Any) -> None:
    """`epochwatch runs list | head -1` is a thing people type."""
    for number in range(50):
        add_run(f"run-{number}")
    with subprocess.Popen(
        [sys.executable, "-m", "daemon.cli.main", "runs", "list", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
