"""Commands of people end, or are ended, and what they leave running is nobody's trap."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from core.errors import Fixable
from daemon.commands import run_to_end, words_of


def test_words_are_read_as_a_shell_does_and_name_a_program_that_is_here() -> None:
    """A slip of the pen is told now, not in the night."""
    assert words_of("sh -c 'a b'", "--then") == ("sh", "-c", "a b")
    for wrong in ("", "no-such-program", "'open"):
        with pytest.raises(Fixable, match="--then"):
            words_of(wrong, "--then")


def test_how_it_ended_and_its_last_words_are_known() -> None:
    """On one line and not too long; nothing reads a NUL or half a character as an error."""
    ended = run_to_end(("sh", "-c", r"printf '\377 no\n  GPU'; exit 3"), seconds=10)
    assert (ended.code, ended.said) == (3, "\ufffd no GPU")
    assert len(run_to_end(("sh", "-c", "yes hello | head -5000"), seconds=10).said) == 500
    assert run_to_end(("sh", "-c", "echo $NAME"), seconds=10, environment={"NAME": "x"}).said == "x"
    with pytest.raises(OSError, match="nowhere"):
        run_to_end(("/nowhere/reload",), seconds=1)


def test_what_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    """Even by a command that started it in the background."""
    mark = tmp_path / "late"
    ended = run_to_end(("sh", "-c", f"(sleep 1; touch {mark}) & wait"), seconds=0.3)
    assert ended.code is None
    time.sleep(1.2)
    assert not mark.exists()


@pytest.mark.skipif(shutil.which("setsid") is None, reason="no setsid here")
@pytest.mark.parametrize("seconds", [20.0, 0.5])
def test_a_server_that_it_starts_is_not_waited_for(seconds: float) -> None:
    """A generator application restarted by the command holds its output open and lives on."""
    more = "" if seconds > 1 else "; sleep 60"
    began = time.monotonic()
    ended = run_to_end(("sh", "-c", f"setsid sleep 60 & echo $!{more}"), seconds=seconds)
    assert time.monotonic() - began < 5
    assert ended.code == (0 if seconds > 1 else None)
    os.kill(int(ended.said), signal.SIGTERM)  # it is there to be ended
