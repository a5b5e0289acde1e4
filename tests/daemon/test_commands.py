"""Commands of people end, or are ended, and what they leave running is nobody's trap."""

from __future__ import annotations

import os
import shutil
import signal
import time

import psutil
import pytest

from core.errors import Fixable
from daemon.commands import run_to_end, words_of
from whole_program import wait_for


def test_words_are_read_as_a_shell_does_and_name_a_program_that_is_here() -> None:
    """A slip of the pen is told now, not in the night."""
    assert words_of("sh -c 'a b'", "--then") == ("sh", "-c", "a b")
    for wrong in ("", "no-such-program", "'open"):
        with pytest.raises(Fixable, match="--then"):
            words_of(wrong, "--then")


def test_how_it_ended_and_its_last_words_are_known() -> None:
    """On one line and not too long; nothing reads a NUL or half a character as an error."""
    ended = run_to_end(("sh", "-c", r"printf '\377 no\n  GPU'; exit 3"), seconds=240)
    assert (ended.code, ended.said) == (3, "\ufffd no GPU")
    assert len(run_to_end(("sh", "-c", "yes hello | head -5000"), seconds=240).said) == 500
    assert (
        run_to_end(("sh", "-c", "echo $NAME"), seconds=240, environment={"NAME": "x"}).said == "x"
    )
    with pytest.raises(OSError, match="nowhere"):
        run_to_end(("/nowhere/reload",), seconds=1)


def test_what_takes_too_long_is_ended_with_all_that_it_started() -> None:
    """Even by a command that started it in the background."""
    words = ["sleep", f"6000.{os.getpid()}"]
    ended = run_to_end(("sh", "-c", f"{' '.join(words)} & wait"), seconds=0.5)
    assert ended.code is None
    wait_for(
        lambda: words not in [each.info["cmdline"] for each in psutil.process_iter(["cmdline"])],
        what="the end of what it started",
    )


@pytest.mark.skipif(shutil.which("setsid") is None, reason="no setsid here")
@pytest.mark.parametrize(("more", "code"), [("", 0), ("; sleep 900", None)])
def test_a_server_that_it_starts_is_not_waited_for(more: str, code: int | None) -> None:
    """A generator application restarted by the command holds its output open and lives on."""
    for seconds in (240.0,) if code == 0 else (1.0, 10.0, 60.0):  # until it had time to say it
        began = time.monotonic()
        ended = run_to_end(("sh", "-c", f"setsid sleep 900 & echo $!{more}"), seconds=seconds)
        assert time.monotonic() - began < 120
        assert ended.code == code
        if ended.said:
            break
    os.kill(int(ended.said), signal.SIGTERM)  # it is there to be ended
