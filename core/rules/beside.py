"""Whether to draw now beside whatever else uses the device, and how sparingly: numbers in, decision out.

All amounts are bytes. What others were seen to hold at most stays theirs, also while they hold less.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

Mode = Literal["auto", "share", "wait", "cpu"]
Squeeze = Literal["none", "sliced", "offloaded"]
SQUEEZES: tuple[Squeeze, ...] = ("none", "sliced", "offloaded")
GIB = 1024**3
NOBODY = GIB  # what a screen and idle programs hold of a GPU; less than any trainer
_PAUSES_BEFORE_CPU = 3
_FIRST_PAUSE, _LONGEST_PAUSE = 30.0, 600.0  # seconds
_SLICED = 0.6  # share of the memory per image that is left when attention and decoding are sliced


@dataclass(frozen=True, kw_only=True)
class Room:
    """The memory of one device as it is now."""

    total: int
    free: int  # by anyone
    ours: int = 0  # held by our own drawing process
    peak: int = 0  # the most that others were seen to hold lately
    on_gpu: bool = True

    @property
    def others(self) -> int:
        """What others hold now."""
        return max(0, self.total - self.free - self.ours)

    @property
    def others_at_most(self) -> int:
        """What others hold now or are likely to hold again."""
        return max(self.peak, self.others)

    @property
    def reserve(self) -> int:
        """What nobody plans with: fragmentation, and the start of another program."""
        return max((512 if self.on_gpu else 256) * 1024**2, self.total // 32)

    @property
    def left(self) -> int:
        """What is ours to use without taking anything from others."""
        return max(0, self.total - self.others_at_most - self.reserve)

    @property
    def has_company(self) -> bool:
        """Whether another program is at work on the GPU; in main memory others always are."""
        return self.on_gpu and self.others_at_most > NOBODY


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One step of the ladder that is climbed down when memory runs out."""

    batch: int | None = None  # images at once, at most; None: as many as are worth it
    squeeze: Squeeze = "none"
    pauses: int = 0  # how often even the lowest step was not enough

    def __post_init__(self) -> None:
        """Refuse a batch without an image."""
        if self.batch is not None and self.batch < 1:
            raise ValueError(f"a batch of {self.batch} holds no image")


@dataclass(frozen=True, kw_only=True)
class Need:
    """What drawing takes: estimated, and after the first job as it was measured."""

    resident: int  # model, copies of what LoRAs change, the libraries' own
    offloaded: int  # the same when only the part at work is on the device
    image: int  # more for each image drawn at once
    decoding: int  # more while a picture is decoded

    def of(self, batch: int, squeeze: Squeeze) -> int:
        """Return what ``batch`` images at once take."""
        working = batch * self.image + self.decoding
        if squeeze != "none":
            working = int(working * _SLICED)
        return working + (self.offloaded if squeeze == "offloaded" else self.resident)

    def measured(self, *, resident: int, peak: int, batch: int, squeeze: Squeeze) -> Need:
        """Return the need corrected by one job: held before drawing, and at most, ``batch`` at once."""
        if not 0 < resident <= peak:
            return self
        working = int((peak - resident) / (1.0 if squeeze == "none" else _SLICED))
        image = max(1, (working - min(self.decoding, working // 2)) // batch)
        decoding = max(0, working - batch * image)
        place = "offloaded" if squeeze == "offloaded" else "resident"
        return replace(self, image=image, decoding=decoding, **{place: resident})


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What to do now."""

    action: Literal["draw", "wait", "cpu"]
    rung: Rung = Rung()
    limit: int | None = None  # the drawing process may not hold more
    seconds: float = 0.0  # when to ask again
    reason: str = ""  # for a person, when there is something to say


def estimate(parts: dict[str, int], *, pixels: int, value_bytes: int, overhead: int) -> Need:
    """Return the need before anything was measured.

    ``parts`` maps "unet", "text" and "vae" to their numbers of parameters, ``value_bytes`` is 2 on
    a GPU and 4 on a CPU, ``overhead`` what the libraries hold themselves. The working memory is
    that of Stable Diffusion with scaled-dot-product attention, rounded up.
    """
    unet, text, vae = (parts.get(name, 0) * value_bytes for name in ("unet", "text", "vae"))
    area = pixels / (512 * 512) * value_bytes / 2
    return Need(
        resident=2 * (unet + text) + vae + overhead,  # a copy of what LoRAs change
        offloaded=max(unet, text, vae) + overhead,
        image=int(area * 0.6 * GIB),
        decoding=int(area * 1.0 * GIB),
    )


def decide(
    mode: Mode, room: Room | None, need: Need, *, most: int, cap: int | None = None, rung: Rung
) -> Decision:
    """Return whether to draw now, with how many images at once and how squeezed.

    ``most`` images at once are worth it, ``cap`` is what the user allows, ``rung`` what was
    learned from memory that ran out. Without ``room`` nothing is known of the device: drawing is
    tried, and ``rung`` says what to do when it fails.
    """
    if rung.pauses >= _PAUSES_BEFORE_CPU and mode == "share" and (room is None or room.on_gpu):
        return _on_cpu("Memory of the GPU ran out again and again")
    if room is None:
        first = Rung(batch=min(most, rung.batch or most), squeeze=rung.squeeze, pauses=rung.pauses)
        return Decision(action="draw", rung=first, limit=cap)
    if mode == "cpu" and room.on_gpu:
        return _on_cpu("Drawing on the CPU was asked for")
    if mode == "wait" and room.has_company:
        return Decision(action="wait", seconds=_FIRST_PAUSE, reason=_waits_for_others(room))
    limit = room.left if cap is None else min(cap, room.left)
    for step in _steps(most, rung, on_gpu=room.on_gpu):
        if need.of(step.batch or 1, step.squeeze) <= limit:
            return Decision(action="draw", rung=step, limit=limit if room.on_gpu else cap)
    return _no_room(mode, room, need, cap)


def lower(rung: Rung, *, drawn: int | None, on_gpu: bool) -> Rung:
    """Return the next step down after memory ran out.

    ``drawn`` is how many images were drawn at once, None when it ran out while the model was
    loaded: then fewer images would not help.
    """
    if drawn is None:
        if on_gpu and rung.squeeze != "offloaded":
            return Rung(batch=1, squeeze="offloaded", pauses=rung.pauses)
        return replace(rung, batch=1, pauses=rung.pauses + 1)
    batch = min(drawn, rung.batch or drawn)
    if batch > 1:
        return replace(rung, batch=batch // 2)
    lowest = "offloaded" if on_gpu else "sliced"
    if rung.squeeze == lowest:
        return replace(rung, batch=1, pauses=rung.pauses + 1)
    return replace(rung, batch=1, squeeze=SQUEEZES[SQUEEZES.index(rung.squeeze) + 1])


def pause(rung: Rung) -> float:
    """Return the seconds to wait on a step where even the least was too much: 30, 60, ... 600."""
    return min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** max(0, rung.pauses - 1))


def has_improved(before: Room | None, now: Room | None) -> bool:
    """Say whether so much more is left than when memory ran out that it is worth to forget that."""
    if before is None or now is None:
        return False
    return now.left >= before.left + max(GIB, before.left // 4)


def as_gib(amount: int) -> str:
    """Return an amount as people read it: "22.5 GiB"; small ones in MiB."""
    return f"{amount / GIB:.1f} GiB" if amount >= GIB // 2 else f"{amount >> 20} MiB"


def _steps(most: int, rung: Rung, *, on_gpu: bool) -> Iterator[Rung]:
    """Yield the steps from ``rung`` down: fewer images, then one image in slices, then offloaded."""
    batch = min(most, rung.batch or most)
    while batch > 1:
        yield replace(rung, batch=batch)
        batch //= 2
    for squeeze in SQUEEZES[SQUEEZES.index(rung.squeeze) :]:
        if on_gpu or squeeze != "offloaded":
            yield replace(rung, batch=1, squeeze=squeeze)


def _on_cpu(why: str) -> Decision:
    said = f"{why}, so the test images are drawn on the CPU: slower, and nothing is taken from it."
    return Decision(action="cpu", rung=Rung(batch=1, squeeze="sliced"), reason=said)


def _waits_for_others(room: Room) -> str:
    return (
        f"Advice only after training: another program holds {as_gib(room.others_at_most)} of the "
        "GPU, and EPOCHWATCH_BESIDE is wait. The tests begin by themselves when it has ended."
    )


def _no_room(mode: Mode, room: Room, need: Need, cap: int | None) -> Decision:
    """Return what to do where not even one image in the most sparing way fits."""
    least = need.of(1, "offloaded" if room.on_gpu else "sliced")
    seconds = _FIRST_PAUSE
    where = "the GPU's memory" if room.on_gpu else "this machine's memory"
    if cap is not None and least > cap:
        reason = (
            f"The test images need {as_gib(least)}, and EPOCHWATCH_MEMORY_CAP allows "
            f"{as_gib(cap)}. Raise it, or choose a smaller base model."
        )
        return Decision(action="wait", seconds=_LONGEST_PAUSE, reason=reason)
    if least > room.total - room.reserve:
        if mode == "share" and room.on_gpu:
            return _on_cpu("The base model is too large for this GPU")
        reason = (
            f"The test images need {as_gib(least)}, and {where} is {as_gib(room.total)} in all. "
            "Draw elsewhere: EPOCHWATCH_BESIDE=cpu, or EPOCHWATCH_DEVICE for another GPU."
        )
        return Decision(action="wait", seconds=_LONGEST_PAUSE, reason=reason)
    training = "Advice only after training: " if room.has_company else ""
    reason = (
        f"{training}the test images need {as_gib(least)} beside other programs that take up to "
        f"{as_gib(room.others_at_most)} of {where}, {as_gib(room.total)}. They are drawn as soon "
        "as there is room; until then the trainer's own samples are shown. To test now, set "
        "EPOCHWATCH_DEVICE to another GPU or EPOCHWATCH_BESIDE=cpu."
    )
    return Decision(action="wait", seconds=seconds, reason=reason[0].upper() + reason[1:])
