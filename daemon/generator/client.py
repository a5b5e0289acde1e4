"""Own the child process that draws: start it when needed, watch it, and replace it when it fails.

It must not import torch: the command line and a worker without a GPU import this module.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from core.errors import EpochwatchError, Permanent, Retryable
from core.formats.sampler_names import find_sampler
from daemon.generator.job import EXIT_CODES, DrawJob, DrawSample, LoraFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

__all__ = ["DrawJob", "DrawSample", "Generator", "Interrupted", "LoraFile", "Refused"]

Event = dict[str, Any]
_log = logging.getLogger(__name__)

_START_SECONDS = 300.0  # until "ready": importing torch from a cold network disk
_LOAD_SECONDS = 1800.0  # until "loaded": hashing and reading a base model from such a disk
_STOP_SECONDS = 2.0  # to answer a stop; a service has about 4 s for its own end
_POLL_SECONDS = 0.2
_SECRET = re.compile(
    r"DATABASE_URL|SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIAL|API_?KEY|ACCESS_KEY|PRIVATE"
    r"|^EPOCHWATCH_|^PG(HOST|USER|PASS|SERVICE|DATABASE)|^AWS_|DSN$|WEBHOOK",
    re.IGNORECASE,
)


class Refused(Permanent):
    """This job fails the same way each time."""

    def __init__(self, kind: str, message: str) -> None:
        """Keep the kind ("bad_lora", "bad_recipe", "no_base", "not_finite") for the caller."""
        super().__init__(message)
        self.kind = kind


class Interrupted(Retryable):
    """The drawing was cut off; images finished before are in the folder."""

    def __init__(self, kind: str, message: str) -> None:
        """Keep the kind ("oom", "cuda", "internal", "crash", "timeout", "stopped")."""
        super().__init__(message)
        self.kind = kind


class Generator:
    """The drawing child, for one caller at a time; it keeps its base model between jobs."""

    def __init__(
        self, *, threads: int | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start nothing yet. ``threads``: CPU threads of the child, None for torch's own choice."""
        self._environment = clean_environment(os.environ if environment is None else environment)
        if threads is not None:
            self._environment["OMP_NUM_THREADS"] = str(threads)
        self._child: _Child | None = None

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the child."""
        self.close()

    @property
    def pid(self) -> int | None:
        """Process id of a child that is alive, else None."""
        return self._child.pid if self._child is not None and self._child.alive else None

    def draw(
        self,
        job: DrawJob,
        on_event: Callable[[Event], None],
        *,
        image_timeout: float,
        should_stop: Callable[[], bool],
    ) -> None:
        """Draw all samples of ``job``; return when each has its PNG and JSON in ``job.out``.

        ``on_event`` gets the child's events as they come. ``image_timeout`` is in seconds per
        image; a batch may take that for each of its images.

        Raises:
            Fixable: the sampler's name is not known.
            Refused: the same job would fail again (its ``kind`` says why).
            Interrupted: it may work next time; with ``kind`` "stopped" ``should_stop`` ended it.
        """
        find_sampler(job.recipe.sampler)
        if not job.samples:
            return
        if self._child is None or not self._child.alive:
            self.close()
            self._child = _Child(self._environment)
        try:
            self._child.send(job.as_json())
            self._follow(self._child, job, on_event, image_timeout, should_stop)
        except BaseException as error:
            if not (isinstance(error, Refused) or _was_stopped(error)):
                self.close()  # its state is not known, or it is of no use any more
            raise

    def prefetch(self, loras: Iterable[LoraFile], base: Path | None = None) -> None:
        """Let the child read these files while it draws; ``base`` when it is another one's turn.

        For the one that calls ``draw``, from ``on_event``. Without a child nothing happens.
        """
        if self._child is not None and self._child.alive:
            files = [[str(one.path), one.sha256] for one in loras]
            self._child.send({"prefetch": files, "base": None if base is None else str(base)})

    def close(self) -> None:
        """End the child, at once."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def _follow(
        self,
        child: _Child,
        job: DrawJob,
        on_event: Callable[[Event], None],
        image_timeout: float,
        should_stop: Callable[[], bool],
    ) -> None:
        """Pass on the events of ``job`` until its end, minding the clock and the wish to stop."""
        clock = _Clock(image_timeout)
        stopping: float | None = None
        refused = False
        while True:
            if stopping is None and should_stop():
                child.send({"stop": job.job})
                stopping = time.monotonic() + _STOP_SECONDS
            event = child.next_event(_POLL_SECONDS)
            if event is None:
                _check_life(child)
                if stopping is not None and time.monotonic() > stopping:
                    child.kill()
                    message = "The drawing was stopped; what was finished is kept."
                    raise Interrupted("stopped", message)
                clock.check()
                continue
            if event.get("job") not in {None, job.job}:
                continue  # the tail of a job that was called off
            clock.saw(event)
            on_event(event)
            refused = refused or event["event"] == "refused"
            if event["event"] == "error":
                raise _as_error(event)
            if event["event"] == "done" and not refused:
                return


class _Clock:
    """Knows until when the next sign of progress must come."""

    def __init__(self, image_timeout: float) -> None:
        """Wait for the start of the child first."""
        self._image_timeout = image_timeout
        self._what, self._allowed = "starting", _START_SECONDS
        self._deadline = time.monotonic() + self._allowed

    def saw(self, event: Event) -> None:
        """Move the deadline on, for events that are progress; steps alone are not."""
        kind = event["event"]
        if kind in {"ready", "loading"}:
            self._what, self._allowed = "loading", _LOAD_SECONDS
        elif kind == "loaded":
            self._what = "drawing"
            self._allowed = self._image_timeout * event["batch_shape"]
        elif kind in {"step", "memory"}:
            return
        self._deadline = time.monotonic() + self._allowed

    def check(self) -> None:
        """Raise Interrupted when it is too late."""
        if time.monotonic() > self._deadline:
            message = (
                f"The generator has made no progress in {self._allowed:.0f} s of {self._what} and "
                "was ended. It is started again for the next attempt."
            )
            raise Interrupted("timeout", message)


class _Child:
    """One child process and the threads that read what it says."""

    def __init__(self, environment: dict[str, str]) -> None:
        """Start it; it is ready some seconds later.

        Raises:
            Interrupted: the system has no room for another process.
        """
        self._events: queue.Queue[Event | None] = queue.Queue()
        self._last_words: deque[str] = deque(maxlen=20)
        self._ended = False
        self._kills_before = system_kills()
        started: queue.Queue[subprocess.Popen[str] | OSError] = queue.Queue()
        self._threads = [threading.Thread(target=self._live, args=(environment, started))]
        self._threads[0].daemon = True
        self._threads[0].start()
        process = started.get()
        if isinstance(process, OSError):
            message = f"The generator cannot be started: {process}. It is tried again."
            raise Interrupted("internal", message) from process
        self._process = process
        self._threads.append(
            threading.Thread(target=self._overhear, args=(process.stderr,), daemon=True)
        )
        self._threads[1].start()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    @property
    def ended(self) -> bool:
        """Whether everything it has said has been heard, and it says no more."""
        return self._ended

    def send(self, body: dict[str, Any]) -> None:
        """Write one line to it; a child that has gone is noticed where its events are read."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(json.dumps(body) + "\n")
            self._process.stdin.flush()

    def next_event(self, timeout: float) -> Event | None:
        """Return what it says next, or None after ``timeout`` seconds or at its end."""
        if self._ended:
            return None
        try:
            event = self._events.get(timeout=timeout)
        except queue.Empty:
            return None
        self._ended = event is None
        return event

    def death(self) -> tuple[str, str]:
        """Return the kind and the sentence for a child that has ended by itself."""
        code = self._process.wait()
        words = " | ".join(self._last_words)[-600:]
        said = f" It said last: {words}" if words else ""
        if code < 0:
            name = signal.Signals(-code).name
            if name == "SIGKILL" and system_kills() > self._kills_before:
                return "oom", f"The system was out of memory and ended the generator.{said}"
            return "crash", f"The generator was killed by {name}.{said}"
        kind = next((name for name, number in EXIT_CODES.items() if number == code), "crash")
        return kind, f"The generator ended with exit code {code}.{said}"

    def kill(self) -> None:
        """End it at once and let go of its channels."""
        if self.alive:
            self._process.kill()
        self._process.wait()
        for thread in self._threads:
            thread.join(timeout=5)
        for channel in (self._process.stdin, self._process.stdout, self._process.stderr):
            if channel is not None:
                with contextlib.suppress(OSError):
                    channel.close()

    def _live(
        self, environment: dict[str, str], started: queue.Queue[subprocess.Popen[str] | OSError]
    ) -> None:
        """Start the process and listen to it for as long as it lives.

        Linux' parent-death signal comes when the thread that started a process ends, so that
        thread must be this one and not the caller's.
        """
        try:
            process = _start(environment)
        except OSError as error:
            started.put(error)
            return
        started.put(process)
        assert process.stdout is not None
        for line in process.stdout:
            try:
                self._events.put(json.loads(line))
            except ValueError:
                self._last_words.append(line.strip())
        self._events.put(None)

    def _overhear(self, channel: IO[str]) -> None:
        for line in channel:
            words = line.strip()
            if words:
                self._last_words.append(words)
                _log.debug("generator: %s", words)


def _start(environment: dict[str, str]) -> subprocess.Popen[str]:
    """Start the child process."""
    return subprocess.Popen(
        [sys.executable, "-m", "daemon.generator.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        cwd=Path(__file__).resolve().parents[2],
        env=environment,
        start_new_session=True,  # Ctrl-C goes to the service, which then ends its child
    )


def system_kills() -> int:
    """Return how many processes Linux has ended for want of memory since it was started."""
    found = 0
    for place in (Path("/proc/vmstat"), Path("/sys/fs/cgroup/memory.events")):
        with contextlib.suppress(OSError):
            text = place.read_text(encoding="ascii", errors="replace")
            found += sum(map(int, re.findall(r"^oom_kill (\d+)$", text, re.MULTILINE)))
    return found


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return ``environment`` without anything that could be a secret, and offline."""
    kept = {name: value for name, value in environment.items() if not _SECRET.search(name)}
    kept.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # cuda:1 is the 1 of nvidia-smi
    return kept | {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "ignore",  # so that its last words are about what ended it
    }


def _was_stopped(error: BaseException) -> bool:
    """Say whether the caller called the job off: a child that survived it can be used again."""
    return isinstance(error, Interrupted) and error.kind == "stopped"


def _check_life(child: _Child) -> None:
    """Raise Interrupted when the child is dead and has nothing more to say."""
    if child.ended:
        kind, message = child.death()
        raise Interrupted(kind, f"{message} A new one is started for the next attempt.")


def _as_error(event: Event) -> EpochwatchError:
    """Return the error that an "error" event stands for."""
    kind, message = event["kind"], event["message"]
    if kind in EXIT_CODES or kind == "stopped":
        return Interrupted(kind, message)
    return Refused(kind, message)
