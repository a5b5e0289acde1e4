"""Draw with a command of the user's: one call per picture, its arguments filled in one by one.

The command line comes from the settings and never from a suite, which may be somebody else's file.
No shell ever sees it, so nothing in a prompt can become a command.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from daemon.generator.client import Event, Interrupted, Refused, clean_environment
from daemon.generator.job import DrawJob, DrawSample
from daemon.generator.renderer import (
    LARGEST,
    Watch,
    draw_each,
    fill,
    identity,
    placeholders,
    recipe_values,
)

_POLL_SECONDS = 0.05
_LAST_WORDS = 600  # characters of its error output that are quoted
_NAMES = "prompt", "negative"  # what people write, and an option could be hidden in


class CommandRenderer:
    """Calls one program for each picture."""

    kind = "command"

    def __init__(
        self, template: Sequence[str], *, environment: Mapping[str, str] | None = None
    ) -> None:
        """Use ``template``, a program and its arguments; secrets are taken out of what it sees."""
        self._template = tuple(template)
        self._environment = clean_environment(os.environ if environment is None else environment)

    @property
    def identity(self) -> str:
        """What a recipe calls this command line."""
        return identity(self.kind, list(self._template))

    def close(self) -> None:
        """Do nothing: no program outlives its picture."""

    def draw(
        self,
        job: DrawJob,
        on_event: Callable[[Event], None],
        *,
        image_timeout: float,
        should_stop: Callable[[], bool],
    ) -> None:
        """Draw all samples of ``job``.

        Raises:
            Refused: the command line cannot draw this job, or what it made is no such picture.
            Interrupted: the command failed or took too long; it may work next time.
        """
        self._check(job)
        provenance = {
            "renderer": self.identity,
            "program": Path(self._template[0]).name,
            "base_sha256": job.base_sha256,
            "loras": [[lora.sha256, lora.strength] for lora in job.loras],
        }
        watch = Watch(seconds=image_timeout, should_stop=should_stop)
        draw_each(job, lambda one, clock: self._call(job, one, clock), on_event, watch, provenance)

    def _check(self, job: DrawJob) -> None:
        """Raise for a template that would draw something else than this job."""
        used = set().union(*(placeholders(part) for part in self._template))
        lacking = [name for name in ("prompt", "seed", "out") if name not in used]
        if job.loras and not used & {"lora", "stack"}:
            lacking.append("lora")
        if len(job.loras) > 1 and "stack" not in used:
            lacking.append("stack")
        if lacking:
            names = ", ".join(f"{{{name}}}" for name in lacking)
            message = (
                f"The setting renderer_command lacks {names}, so it would draw the same picture "
                "whatever is tested. Add it to the arguments."
            )
            raise Refused("bad_recipe", message)

    def _call(self, job: DrawJob, sample: DrawSample, watch: Watch) -> bytes:
        """Run the command for one sample and return the bytes of its picture."""
        with tempfile.TemporaryDirectory(prefix=".command-", dir=job.out) as folder:
            out = Path(folder) / f"{sample.sample_id[:16]}.png"
            arguments = self._arguments(job, sample, out)
            words = Path(folder) / "said"
            self._run(arguments, words, watch)
            if out.is_symlink() or not out.is_file():
                message = (
                    f"{arguments[0]} ended well but left no picture at {{out}}. It must write one "
                    f"there.{_quoted(words)}"
                )
                raise Refused("bad_recipe", message)
            with out.open("rb") as stream:
                return stream.read(LARGEST + 1)

    def _arguments(self, job: DrawJob, sample: DrawSample, out: Path) -> list[str]:
        """Return the command line for one sample."""
        first = job.loras[0] if job.loras else None
        values = recipe_values(job, sample) | {
            "sampler": job.recipe.sampler,
            "base": str(job.base_path),
            "lora": str(first.path) if first else "",
            "strength": first.strength if first else "0.00",
            "stack": json.dumps(
                [{"path": str(one.path), "strength": one.strength} for one in job.loras]
            ),
            "out": str(out),
        }
        filled = [str(fill(part, values, where="renderer_command")) for part in self._template]
        for part, text in zip(self._template, filled, strict=True):
            if "\0" in text:
                raise Refused("bad_recipe", "A prompt holds a NUL character: take it out.")
            if part in {f"{{{name}}}" for name in _NAMES} and text.startswith("-"):
                message = (
                    f"The prompt {text[:40]!r} begins like an option, and the program could take "
                    f"it for one. Write --option={part} in renderer_command."
                )
                raise Refused("bad_recipe", message)
        return filled

    def _run(self, arguments: list[str], words: Path, watch: Watch) -> None:
        """Run the program to its end.

        Raises:
            Refused: there is no such program.
            Interrupted: it failed, took too long, or was stopped.
        """
        deadline = watch.deadline()
        with words.open("wb") as channel:
            try:
                process = subprocess.Popen(
                    arguments,
                    stdin=subprocess.DEVNULL,
                    stdout=channel,
                    stderr=subprocess.STDOUT,
                    env=self._environment,
                    start_new_session=True,  # so that it is ended with all that it has started
                )
            except OSError as error:
                message = (
                    f"The program {arguments[0]!r} of the setting renderer_command cannot be "
                    f"started: {error.strerror}."
                )
                raise Refused("bad_recipe", message) from error
            try:
                while process.poll() is None:
                    watch.check(deadline, f"The program {arguments[0]}")
                    time.sleep(_POLL_SECONDS)
            finally:
                _end(process)
        if process.returncode:
            message = (
                f"The program {arguments[0]} of the setting renderer_command ended with exit code "
                f"{process.returncode}. It is tried again.{_quoted(words)}"
            )
            raise Interrupted("crash", message)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the program and what it has started, if any of it is still there."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _quoted(words: Path) -> str:
    """Return the last of what the program said, as a sentence."""
    with contextlib.suppress(OSError):
        with words.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - 4 * _LAST_WORDS))
            said = stream.read().decode("utf-8", "replace")
        shown = " | ".join(line.strip() for line in said.splitlines() if line.strip())
        clean = "".join(sign if sign.isprintable() else " " for sign in shown)[-_LAST_WORDS:]
        return f" It said last: {clean}" if clean else ""
    return ""
