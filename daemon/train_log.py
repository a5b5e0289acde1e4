"""Reads what trainers print: epoch, step, loss and time left. Pure: bytes in, numbers out."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

_MOST = 16_384  # bytes of one piece of output that are looked at: the last ones say it all
_LONGEST = 2000  # characters of a line that is read: no bar is longer, and a flood takes seconds
_SMALLEST, _LARGEST = 1e-37, 3.4e38  # of 32-bit numbers
_ESCAPES = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]")
_LINES = re.compile(rb"[\r\n]+")
# tqdm writes what it counts, percent, bar, count, time spent < time left, rate, and its values.
_BAR = re.compile(
    r"(?P<what>[^|]*?):?\s*\d+%\|[^|]*\|\s*(?P<done>\d{1,9})/(?P<total>\d{1,9})\s*"
    r"\[[^<\]]*<(?P<left>[^,\]]*),?(?P<rest>[^\]]*)"
)
_STEPS = re.compile(r"(train(ing)?\s*)?steps?|train(ing)?|optimi[sz]ation steps?", re.IGNORECASE)
_EPOCHS = re.compile(r"(train(ing)?\s*)?epochs?", re.IGNORECASE)
_EPOCH = re.compile(r"\s*epoch\s*:?\s*(\d{1,9})\s*/\s*\d+", re.IGNORECASE)
_NUMBER = r"\s*[=:]\s*(nan|-?inf|[-+]?\d*\.?\d+(?:e[-+]?\d+)?)"
# The average of the epoch is steadier than the loss of one step, so it comes first.
_LOSSES = tuple(
    re.compile(rf"(?<![\w/]){name}{_NUMBER}", re.IGNORECASE)
    for name in ("avr_loss", "avg_loss", "train_loss", "step_loss", "loss")
)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a trainer says it is; None is what it did not say."""

    epoch: int | None = None  # 1-based
    step: int | None = None
    total_steps: int | None = None
    loss: float | None = None  # may be NaN, which is worth knowing
    seconds_left: float | None = None


class LogReader:
    """Follows output as it comes, in pieces of any size."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self.progress = Progress()
        self._rest = b""

    def feed(self, piece: bytes) -> None:
        """Read a piece of output; a bar that is not ended yet counts already."""
        *whole, self._rest = _LINES.split((self._rest + piece)[-_MOST:])
        for line in (*whole, self._rest):
            if b"%|" in line or b"poch" in line:
                text = _ESCAPES.sub(b"", line).decode("utf-8", "replace")
                if len(text) <= _LONGEST:
                    self.progress = _read(text, self.progress)


def _read(line: str, known: Progress) -> Progress:
    bar = _BAR.match(line)
    if bar is None:
        found = _EPOCH.match(line)
        return replace(known, epoch=int(found[1])) if found else known
    what, loss = bar["what"].strip(), _loss(bar["rest"])
    if _EPOCHS.fullmatch(what):
        return replace(known, epoch=int(bar["done"]))
    if loss is None and not _STEPS.fullmatch(what):
        return known  # loading, caching, drawing samples
    return replace(
        known,
        step=int(bar["done"]),
        total_steps=int(bar["total"]),
        loss=known.loss if loss is None else loss,
        seconds_left=_seconds(bar["left"]),
    )


def _loss(text: str) -> float | None:
    found = next((hit for name in _LOSSES if (hit := name.search(text))), None)
    if found is None:
        return None
    loss = float(found[1])
    if abs(loss) < _SMALLEST:  # as far as a trainer's numbers, and the database's, tell it from 0
        return 0.0
    return math.copysign(math.inf, loss) if abs(loss) > _LARGEST else loss


def _seconds(text: str) -> float | None:
    """Return the seconds of "12:00", "1:02:03" or "1 day, 1:02:03"; None for "?"."""
    parts = text.strip().split(":")
    if not all(re.fullmatch("[0-9]{1,9}", part) for part in parts):
        return None
    seconds = 0.0
    for part in parts:
        seconds = 60 * seconds + int(part)
    return seconds
