"""The child process that holds the GPU: one JSON job per line in, one JSON event per line out.

Run as ``python -m daemon.generator.child``. It knows no database and no secrets, it never uses
the network, and it may be killed at any moment.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import queue
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from daemon.generator.job import EXIT_CODES, DrawJob, JobError, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from daemon.generator.studio import Studio

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_NO_MEMORY = (
    "out of memory",
    "can't allocate",
    "cannot allocate",
    "can't start new thread",
    "could not create a primitive",
)
_NO_LIBRARIES = (
    "The libraries that draw cannot be imported. Install them beside Epochwatch with "
    "pip install 'epochwatch[gpu]'."
)


class Voice:
    """Says events on the channel that was standard output; safe from several threads."""

    def __init__(self, channel: IO[str]) -> None:
        """Own ``channel``."""
        self._channel = channel
        self._lock = threading.Lock()
        self.job: str | None = None
        self.memory: Callable[[str], dict[str, Any]] | None = None  # what a "memory" event tells

    def say(self, event: str, **facts: Any) -> None:
        """Write one event as one line; after loading, on the way and at the end, memory with it."""
        if event == "done":
            self._say_memory(event)
        self._write(event, **facts)
        if event in {"loaded", "step"}:
            self._say_memory(event)

    def _say_memory(self, when: str) -> None:
        if self.memory is not None:
            self._write("memory", when=when, **self.memory(when))

    def _write(self, event: str, **facts: Any) -> None:
        line = json.dumps({"event": event, "job": self.job, **facts})
        with self._lock:
            self._channel.write(line + "\n")
            self._channel.flush()


class Ear:
    """Reads lines from the parent on a thread, so that the parent's end is noticed at once."""

    def __init__(self) -> None:
        """Start listening; the process ends when the parent closes the channel."""
        self.jobs: queue.Queue[dict[str, Any]] = queue.Queue()
        self.expect: Callable[[list[tuple[Path, str]], Path | None], None] | None = None
        self._stopped: set[str] = set()
        threading.Thread(target=self._listen, daemon=True, name="ear").start()

    def stopped(self, job: str | None) -> bool:
        """Say whether ``job`` was called off."""
        return job in self._stopped

    def _listen(self) -> None:
        try:
            for line in sys.stdin:
                body = json.loads(line)
                if "stop" in body:
                    self._stopped.add(body["stop"])
                elif "prefetch" in body:
                    self._read_ahead(body)
                else:
                    self._stopped.discard(body["job"])  # the same job may come again
                    self.jobs.put(body)
        finally:
            os._exit(0)  # the parent is gone; a job in hand has no reader

    def _read_ahead(self, body: dict[str, Any]) -> None:
        """Pass on what the next job will need; before torch is here there is nobody to ask."""
        if self.expect is not None:
            files = [(Path(path), sha256) for path, sha256 in body["prefetch"]]
            self.expect(files, Path(body["base"]) if body["base"] else None)


def main() -> int:
    """Answer jobs until the parent goes away or the process has become useless."""
    voice = Voice(_take_stdout())
    _be_humble()
    ear = Ear()
    _quiet_libraries()
    try:
        studio = _open_studio(voice, ear)
    except ImportError as error:
        voice.say("error", kind="no_libraries", message=f"{_NO_LIBRARIES} ({error})")
        return EXIT_CODES["internal"]
    while True:
        body = ear.jobs.get()
        voice.job = body.get("job")
        kind = _draw(studio, voice, body)
        if kind in EXIT_CODES:
            return EXIT_CODES[kind]


def _draw(studio: Studio, voice: Voice, body: dict[str, Any]) -> str | None:
    """Draw one job and tell the end of it; return the kind of trouble, if any."""
    from daemon.generator.base_loading import choose_device
    from daemon.generator.memory import hold_at_most, memory_facts, start_counting

    try:
        job = DrawJob.from_json(body)
        device = choose_device(job.device)
        voice.memory = lambda when: memory_facts(device, at_rest=when == "done")
        hold_at_most(job.limit, device)
        start_counting(device)
        studio.draw(job)
    except Exception as error:  # noqa: BLE001 - the one broad catch: the parent decides
        kind, message = classify(error)
        if kind == "oom":
            hold_at_most(None, choose_device("cpu"))  # to tell it takes memory too
        if kind in EXIT_CODES:
            traceback.print_exc()
        voice.say("error", kind=kind, message=message)
        return kind
    return None


def classify(error: BaseException) -> tuple[Kind, str]:
    """Return the kind of trouble and its message.

    torch reports trouble on a GPU as RuntimeError with a text, so the text has to be read.
    """
    if isinstance(error, JobError):
        return error.kind, str(error)
    text = f"{type(error).__name__}: {error}"
    lowered = text.lower()
    if isinstance(error, MemoryError) or any(sign in lowered for sign in _NO_MEMORY):
        return "oom", f"Memory ran out while drawing. {text}"
    if any(sign in lowered for sign in ("cuda error", "cudnn", "cublas", "acceleratorerror")):
        return "cuda", f"The GPU failed. {text}"
    if isinstance(error, OSError):
        return "internal", f"The image cannot be written. {text}"
    return "internal", text


def _open_studio(voice: Voice, ear: Ear) -> Studio:
    """Import torch, which takes seconds, and say that jobs are welcome."""
    from daemon.generator.base_loading import library_versions
    from daemon.generator.reading_ahead import Shelf
    from daemon.generator.studio import Studio

    shelf = Shelf()
    ear.expect = shelf.expect
    studio = Studio(voice.say, lambda: ear.stopped(voice.job), shelf)
    voice.say("ready", pid=os.getpid(), **library_versions())
    return studio


def _take_stdout() -> IO[str]:
    """Return standard output for the events alone; whatever prints goes to standard error."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return channel


def _be_humble() -> None:
    """Give way to the trainer: low priority, first to be killed, no core dumps, no orphan."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    with contextlib.suppress(OSError, AttributeError):
        os.nice(10)
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer


def _quiet_libraries() -> None:
    """Keep the libraries offline and short of words, whoever started this process."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # not sys.exit: a sick GPU can hang the clean-up of torch
