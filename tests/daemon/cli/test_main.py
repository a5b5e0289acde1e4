"""The program as a whole: help at once, exit codes, one line for an error, no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from databases import old_database

COMMANDS = (
    "", "log", "report", "watch", "evaluate", "dashboard", "demo", "converge", "measure", "doctor",
    "db", "db migrate", "db status", "db stop", "runs", "runs list", "runs show", "runs scores",
    "runs finish", "runs export", "suite", "suite check", "suite show", "suite init", "alerts", "alerts list",
    "alerts test", "plan", "plan check", "plan set", "plan show", "production", "production show",
    "production history", "production rollback", "votes", "votes stats", "votes export",
    "votes invite", "votes links", "votes revoke", "train", "wait", "costs", "compare", "rescore",
    "calibrate", "backtest", "scorers", "promote",
)  # fmt: skip
GROUPS = ("db", "runs", "suite", "plan", "alerts", "production", "votes")
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


# The least a program of this kind costs: the peer that the help is compared with.
SMALLEST = """
import typer

def greet(name: str = "you") -> None:
    print(name)

typer.run(greet)
"""
OURS = "from daemon.cli.main import main; main()"


def _modules(program: str, *words: str) -> int:
    """Return how many modules a program has imported when its help is told."""
    counted = (
        "import atexit, sys; atexit.register(lambda: print(len(sys.modules), file=sys.stderr))"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{counted}\n{program}", *words, "--help"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "Usage" in done.stdout
    return int(done.stderr)


@pytest.mark.parametrize("command", ["", "runs list", "measure"])
def test_help_costs_little_more_than_the_smallest_program(command: str) -> None:
    """A person who asks what there is does not wait: 0.2 to 0.3 s on two idle cores.

    Nearly all of that is spent on imports, whose number is the same on a busy machine.
    """
    assert _modules(OURS, *command.split()) < 1.3 * _modules(SMALLEST)


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
    [
        ("nonsense",), ("wacth",), ("converge",), ("runs", "show"), ("log", "x", "1", "1", "1"), ("watch",),
        ("promote", "punk", "0"), ("votes", "stats", "x"), ("costs", "--price", "-1"),
        ("converge", "6,7,7", "--planned", "-3"), ("converge", "6,7,7", "--price-per-hour", "-3"),
        ("runs", "list", "--jsn"),
    ],
)  # fmt: skip
def test_wrong_words_end_with_two_and_one_line(words: tuple[str, ...], epochwatch: Any) -> None:
    """It says what is wrong, and where the right words stand."""
    said = epochwatch(*words)
    assert said.code == 2
    assert said.out == ""
    assert said.err.startswith("epochwatch: ")
    assert said.err.count("\n") == 1
    assert f"See: epochwatch {words[0]}" in said.err or "See: epochwatch --help" in said.err
    assert "?." not in said.err


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (("wait", "punk", "--then"), "wait"),
        (("watch", "--base-model"), "watch"),
        (("votes", "invite", "1", "--judge"), "votes invite"),
    ],
)
def test_an_option_without_its_value_names_the_help_of_its_command(
    words: tuple[str, ...], command: str, epochwatch: Any
) -> None:
    """The help of the whole program does not tell what --then takes."""
    assert epochwatch(*words).err.endswith(f"See: epochwatch {command} --help\n")


def test_the_version_is_that_of_the_package(epochwatch: Any) -> None:
    """What a person is asked for first; nothing is set up and no command is needed."""
    told = tomllib.loads((Path(__file__).resolve().parents[3] / "pyproject.toml").read_text())
    said = epochwatch("--version")
    assert said.code == 0
    assert said.out.split()[:2] == ["epochwatch", told["project"]["version"]]
    assert said.out.count("\n") == 1


@pytest.mark.parametrize("group", ["", *GROUPS])
def test_a_group_without_a_command_shows_its_help(group: str, epochwatch: Any) -> None:
    """Whoever types half of it sees what there is."""
    said = epochwatch(*group.split())
    assert said.code == 2
    assert "Commands:" in said.out + said.err


@pytest.mark.parametrize("group", ["", *GROUPS])
def test_no_line_of_help_is_cut_off(group: str, epochwatch: Any) -> None:
    """Each command's first sentence fits into 80 columns."""
    lines = epochwatch(*group.split(), "--help").out.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line for line in lines[1:] if line.endswith("...")] == []


def test_help_needs_no_settings() -> None:
    """They are slow to import, and may be wrong: help comes all the same."""
    strict = STRICT.replace('"torch"', '"pydantic", "core.settings", "torch"')
    done = subprocess.run(
        [sys.executable, "-c", strict, "--help"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: epochwatch")


def test_watching_once_where_nothing_is_says_so(epochwatch: Any) -> None:
    """A typing mistake in the folder would look like a test that passed."""
    said = epochwatch("watch", "no folder", "--once")
    assert said.code == 2
    assert "There is no folder" in said.err


def test_a_test_that_is_broken_off_is_no_success(here: Path, dsn: str) -> None:
    """A script must not go on as if all had been tested."""
    (here / "output").mkdir()
    command = [sys.executable, "-m", "daemon.cli.main", "watch", "output", "--once"]
    with psycopg.connect(dsn) as connection:
        connection.execute("DELETE FROM epochwatch.hosts")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        with psycopg.connect(dsn, autocommit=True) as connection:  # until it is at work
            while connection.execute("SELECT 1 FROM epochwatch.hosts").fetchone() is None:
                assert process.poll() is None
                time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate()
    assert process.returncode == 130
    assert "Ended before all was tested." in said
    assert "Traceback" not in said


def test_evaluating_a_file_that_is_refused_fails(epochwatch: Any, here: Path, dsn: str) -> None:
    """A script must not go on as if it had been tested."""
    (here / "suite.toml").write_text('name = "no checkpoint"\n')
    said = epochwatch("evaluate", "suite.toml")
    assert said.code == 1
    assert "suite.toml: refused" in said.out
    assert "epochwatch: Not tested: suite.toml." in said.err


@pytest.mark.parametrize("words", [("watch", "--once"), ("evaluate",)])
def test_a_folder_without_checkpoints_is_told_and_nothing_of_others(
    words: tuple[str, ...], epochwatch: Any, here: Path, dsn: str
) -> None:
    """Silence would look like a test that passed; what was refused before elsewhere is no answer."""
    (here / "suite.toml").write_text('name = "no checkpoint"\n')
    epochwatch("evaluate", "suite.toml")
    (here / "empty").mkdir()
    said = epochwatch(*words, "empty")
    assert said.code == 2
    assert said.out == ""
    assert "No checkpoint was found in empty, so nothing was tested." in said.err


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--base-model", "/no/model.safetensors", "no base model /no/model.safetensors"),
        ("--data", "no-data", "There is no folder no-data"),
        ("--suite", "no-suite.toml", "no-suite.toml cannot be read"),
    ],
)
def test_what_is_named_and_not_there_is_told_before_a_checkpoint_is_waited_for(
    option: str, value: str, words: str, epochwatch: Any, here: Path
) -> None:
    """The first checkpoint may come in an hour, when nobody looks at the terminal."""
    (here / "output").mkdir()
    for command in ("watch", "evaluate"):
        said = epochwatch(command, "output", option, value)
        assert said.code == 2
        assert words in said.err
        assert said.err.count("\n") == 1


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


@pytest.mark.parametrize("words", [("runs", "list"), ("db", "status")])
def test_a_database_that_is_away_is_one_line_and_hides_the_password(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing to repair in the settings: exit code 1."""
    monkeypatch.setenv("DATABASE_URL", f"postgresql://u:{SECRET}@127.0.0.1:1/x?connect_timeout=60")
    done = subprocess.run(
        [sys.executable, "-m", "daemon.cli.main", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("epochwatch: The database cannot be reached: ")
    assert "port 1 failed: Connection refused. Check DATABASE_URL" in done.stderr
    assert done.stderr.count("\n") == 1
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize("words", [("runs", "list"), ("db", "status")])
def test_a_database_that_does_not_exist_is_told_in_the_servers_words(
    words: tuple[str, ...], server_dsn: str, epochwatch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is mistyped is no server that is away."""
    wrong = make_conninfo(server_dsn, dbname="postgers")
    monkeypatch.setenv("DATABASE_URL", wrong)
    said = epochwatch(*words)
    assert said.code == 1
    assert 'database "postgers" does not exist' in said.err
    assert said.err.count("\n") == 1


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


def test_a_home_that_may_not_be_written_is_named_with_what_to_set(
    epochwatch: Any, here: Path, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a pod the root disk may be read-only: the volume is where it must go."""
    (here / "file").write_text("")
    (here / "output").mkdir()
    monkeypatch.setenv("EPOCHWATCH_HOME", str(here / "file" / "home"))
    said = epochwatch("watch", "output")
    assert said.code == 2
    assert f"The home folder {here}/file/home cannot be written (Not a directory)" in said.err
    assert "Set EPOCHWATCH_HOME" in said.err
    told = epochwatch("doctor").out
    assert f"{here}/file/home cannot be written (Not a directory). Set EPOCHWATCH_HOME" in told


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
            _, err = process.communicate()
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
