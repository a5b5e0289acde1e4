"""Programs that we start: without a shell, and waited for no longer than was said."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import Fixable

_SAID = 500  # characters of what a command says that are kept


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int | None  # None: it took too long, so we ended it
    said: str  # its last words, on one line


def words_of(text: str, option: str) -> tuple[str, ...]:
    """Return the words of a command. Raises Fixable when it names no program that is here.

    ``option`` is where the text was given.
    """
    try:
        words = tuple(shlex.split(text))
    except ValueError as trouble:
        raise Fixable(f"{option} cannot be read: {trouble}.") from None
    if not words or shutil.which(words[0]) is None:
        raise Fixable(
            f"{option} starts with {words[0] if words else 'nothing'!r}, which is no program here. "
            "It is run without a shell; for one, write: sh -c '...'"
        )
    return words


def end_program(process: subprocess.Popen[Any], *, seconds: float = 5.0) -> None:
    """End a program that we started: it is asked to, and killed where it still runs after ``seconds``."""
    process.terminate()
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def run_to_end(
    command: tuple[str, ...], *, seconds: float, environment: Mapping[str, str] | None = None
) -> Ended:
    """Run a command in a session of its own until it ends, or end it and its group after ``seconds``.

    What it leaves running on purpose goes on, and is not waited for. Raises OSError when it cannot
    be started.
    """
    # A file, not a pipe: a server that the command starts would hold a pipe open for good.
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        code: int | None
        try:
            code = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            code = None
        output.seek(max(0, output.seek(0, os.SEEK_END) - 4 * _SAID))
        words = output.read().decode("utf-8", "replace").split()
    return Ended(code=code, said=" ".join(words)[-_SAID:])
