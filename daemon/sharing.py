"""Decide for each job how it is drawn beside other programs, and learn from how it went."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from core.errors import Retryable
from core.formats.base_size import parameter_counts
from core.nouns import Recipe
from core.rules.beside import (
    GIB,
    Decision,
    Mode,
    Need,
    Room,
    Rung,
    as_gib,
    decide,
    estimate,
    has_improved,
    lower,
    pause,
)
from core.settings import Settings
from daemon.generator.job import largest_batch
from daemon.memory_readings import read_memory
from daemon.neighbors import Neighbors

_LESSON_SECONDS = 3600.0  # after that, what ran out of memory may be tried again
_IDLE_SECONDS = 60.0  # until an idle drawing process is ended beside others
_OVERHEAD = {True: GIB // 2, False: GIB * 6 // 10}  # of CUDA on a GPU; of torch itself on a CPU
_MANNERS = {
    "auto": "auto: shares where it fits, else waits",
    "share": "share: draws beside a trainer, in the end on the CPU",
    "wait": "wait: draws only while no other program uses the GPU",
    "cpu": "cpu: draws on the CPU, on half the cores",
}


class NoRoom(Retryable):
    """There is no room to draw now; this counts as no try."""

    def __init__(self, message: str, seconds: float) -> None:
        """Keep when to ask again."""
        super().__init__(message)
        self.seconds = seconds


class _Lesson(NamedTuple):
    """What memory that ran out has taught about one base model."""

    rung: Rung
    room: Room | None  # how much there was then
    learned: float
    until: float  # nothing is tried before


class _Work(NamedTuple):
    """The job in hand."""

    base: str
    key: tuple[str, int, bool]
    decision: Decision
    had_room: bool


@dataclass(kw_only=True)
class Sharing:
    """One drawing process, and the manners it is to show on its device."""

    neighbors: Neighbors
    mode: Mode = "auto"
    device: str = "auto"
    cap: int | None = None  # bytes
    batch: int | None = None  # images at once that the user asks for
    clock: Callable[[], float] = time.monotonic
    _parts: dict[Path, dict[str, int]] = field(default_factory=dict)
    _needs: dict[tuple[str, int, bool], Need] = field(default_factory=dict)
    _lessons: dict[str, _Lesson] = field(default_factory=dict)
    _work: _Work | None = None
    _shape: int | None = None  # images at once in the job in hand, once its model is loaded
    _loaded: int | None = None  # bytes held then

    @property
    def idle_seconds(self) -> float:
        """How long a drawing process without work may keep its memory."""
        return 0.0 if self.mode == "wait" else _IDLE_SECONDS

    def begin(self, base: Path, base_sha256: str, recipe: Recipe, images: int) -> Decision:
        """Return how ``images`` images are drawn now.

        Raises:
            NoRoom: not now, with the reason for a person.
        """
        self.neighbors.look()
        room = self.neighbors.room()
        on_gpu = room.on_gpu if room is not None else self.device != "cpu"
        key = (base_sha256, recipe.width * recipe.height, on_gpu)
        need = self._needs.setdefault(key, self._estimate(base, recipe, on_gpu=on_gpu))
        most = self.batch or largest_batch(recipe, "cuda" if on_gpu else "cpu")
        found = decide(
            self.mode,
            room,
            need,
            most=max(1, min(most, images)),
            cap=self.cap,
            rung=self._rung(base_sha256, room),
        )
        if found.action == "wait":
            raise NoRoom(found.reason, found.seconds)
        self._work = _Work(base_sha256, key, found, room is not None)
        self._shape = self._loaded = None
        self.neighbors.starts()
        return found

    def heard(self, event: dict[str, Any]) -> None:
        """Learn from what the drawing process says."""
        if event["event"] == "loaded":
            self._shape = event["batch_shape"]
        elif event["event"] == "memory":
            self.neighbors.heard(event)
            if event["when"] == "loaded":
                self._loaded = event["held"]
            elif event["when"] == "done":
                self._went_well(event)

    def ran_out(self, words: str) -> None:
        """Take one step down for the base model in hand, since memory ran out.

        Raises:
            NoRoom: even the least was too much; with ``words``, and a longer pause each time.
        """
        work = self._work
        assert work is not None, "nothing was begun"
        room = self.neighbors.room()
        on_gpu = work.key[2] and work.decision.action != "cpu"
        rung = lower(work.decision.rung, drawn=self._shape, on_gpu=on_gpu)
        pausing = rung.pauses > work.decision.rung.pauses
        now = self.clock()
        seconds = pause(rung) if pausing else 0.0
        self._lessons[work.base] = _Lesson(rung, room, now, now + seconds)
        if pausing:
            raise NoRoom(_ran_out(words, seconds), seconds)

    def must_give_way(self, decision: Decision) -> bool:
        """Say whether others have grown into the memory that ``decision`` has planned with."""
        room, work = self.neighbors.room(), self._work
        if room is None or work is None or work.decision is not decision or not work.had_room:
            return False
        if decision.action == "cpu":
            return False
        if self.mode == "wait" and room.has_company:
            return True
        return room.free < room.reserve // 2

    def gave_way(self) -> NoRoom:
        """Return what a job that was stopped for others waits for."""
        message = (
            "Another program needed the memory, so drawing was stopped. What was drawn is kept, "
            "and the rest follows as soon as there is room."
        )
        return NoRoom(message, 30.0)

    def _rung(self, base: str, room: Room | None) -> Rung:
        """Return what was learned of ``base``, unless it is out of date."""
        lesson = self._lessons.get(base)
        if lesson is None:
            return Rung()
        now = self.clock()
        if now - lesson.learned > _LESSON_SECONDS or has_improved(lesson.room, room):
            del self._lessons[base]
            return Rung()
        if now < lesson.until:
            left = lesson.until - now
            raise NoRoom(_ran_out("Memory ran out while drawing.", left), left)
        return lesson.rung

    def _went_well(self, event: dict[str, Any]) -> None:
        """Correct the need by what was measured, and start pauses over."""
        work = self._work
        if work is None or work.decision.action == "cpu":
            return
        if lesson := self._lessons.get(work.base):
            self._lessons[work.base] = lesson._replace(rung=replace(lesson.rung, pauses=0))
        peak = event.get("peak")
        if self._loaded and peak and self._shape:
            self._needs[work.key] = self._needs[work.key].measured(
                resident=self._loaded,
                peak=peak,
                batch=self._shape,
                squeeze=work.decision.rung.squeeze,
            )

    def _estimate(self, base: Path, recipe: Recipe, *, on_gpu: bool) -> Need:
        parts = self._parts.get(base) or self._parts.setdefault(base, parameter_counts(base))
        half = recipe.precision in {"fp16", "bf16"} or (recipe.precision == "auto" and on_gpu)
        return estimate(
            parts,
            pixels=recipe.width * recipe.height,
            value_bytes=2 if half else 4,
            overhead=_OVERHEAD[on_gpu],
        )


def sharing_of(settings: Settings, our_pid: Callable[[], int | None]) -> Sharing:
    """Return the manners that ``settings`` ask for; ``our_pid`` is the drawing process's."""
    device = "cpu" if settings.beside == "cpu" else settings.device
    return Sharing(
        neighbors=Neighbors(read=lambda: read_memory(device), our_pid=our_pid),
        mode=settings.beside,
        device=device,
        cap=None if settings.memory_cap is None else int(settings.memory_cap * GIB),
        batch=settings.batch,
    )


def manners(settings: Settings) -> str:
    """Return in one line how the test images are drawn beside a trainer on this machine now."""
    found = read_memory("cpu" if settings.beside == "cpu" else settings.device)
    how = _MANNERS[settings.beside]
    cap = "" if settings.memory_cap is None else f", at most {settings.memory_cap:g} GiB"
    if found is None:
        return f"{how}{cap}; how much memory {settings.device} has is known once it draws"
    return f"{how}{cap}; {found.name}: {as_gib(found.free)} of {as_gib(found.total)} free"


def threads_of(settings: Settings) -> int | None:
    """Return the CPU threads of the drawing process: half the cores where it draws on them."""
    if settings.threads is None and settings.beside == "cpu":
        return max(1, (os.cpu_count() or 2) // 2)
    return settings.threads


def _ran_out(words: str, seconds: float) -> str:
    return (
        f"{words.rstrip('.')}. Even one image in the most sparing way was too much, so it is "
        f"tried again in {seconds:.0f} s. What was drawn is kept."
    )
