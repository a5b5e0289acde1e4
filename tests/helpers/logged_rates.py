"""TensorBoard logs as trainers leave them, written by tensorboardX at any time of day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from tensorboardX import SummaryWriter

Line = tuple[int, float, float]  # step, Unix seconds, value


def write_log(folder: Path, rates: Mapping[str, Iterable[Line]], *, name: str = "pod") -> Path:
    """Write a log with these numbers, in the order of time, and return its path.

    Its name tells when it was begun, as a log's name does.
    """
    lines = sorted(
        (time, step, tag, value) for tag, each in rates.items() for step, time, value in each
    )
    folder.mkdir(parents=True, exist_ok=True)
    with SummaryWriter(str(folder / "new"), write_to_disk=True) as writer:
        for time, step, tag, value in lines:
            writer.add_scalar(tag, value, step, walltime=time)
    (written,) = (folder / "new").iterdir()
    path = folder / f"events.out.tfevents.{int(lines[0][0])}.{name}"
    written.rename(path)
    (folder / "new").rmdir()
    return path
