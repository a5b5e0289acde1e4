"""Sample images that a trainer drew by itself while it trained: which run, epoch and prompt line.

Only names are read; an image is somebody else's bytes and is not opened here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath

_IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}
_LONGEST_NUMBER = 18  # digits; longer ones fit no database column and belong to a name

_KOHYA = re.compile(
    r"^(?:(?P<name>.+)_)?(?P<epoch>e)?(?P<number>\d{6,})_(?P<index>\d{2,})_\d{14}(?:_(?P<seed>\d+))?$",
    re.DOTALL,
)
_AI_TOOLKIT = re.compile(r"^\d+__(?P<step>\d{9,})_(?P<index>\d+)$")
_ONETRAINER = re.compile(r"training-sample-(?P<step>\d+)-(?P<epoch>\d+)-\d+$")
_ONETRAINER_FOLDER = re.compile(r"^(?P<index>\d+) - ", re.DOTALL)
_SIMPLETUNER = re.compile(
    r"^step_(?P<step>\d+)_(?P<short>.+)_(?P<index>\d+)_\d+(?:x\d+)?$", re.DOTALL
)


@dataclass(frozen=True, kw_only=True)
class TrainerSample:
    """One image the trainer left; what its name does not say is None."""

    path: str  # relative or absolute, as it was given
    output_name: str | None
    epoch: int | None  # as the trainer writes it: 1-based for kohya
    step: int | None
    index: int | None  # which line of the trainer's sample prompts, from 0
    seed: int | None


def read_sample(path: str | PurePath) -> TrainerSample | None:
    """Return what the name of a trainer's sample image says, or None if it is none.

    Known are the forms of kohya's sd-scripts, ai-toolkit, OneTrainer and SimpleTuner; the folder
    names are part of them, so parents must be given.
    """
    path = PurePath(path)
    folders = path.parts[:-1]
    if path.suffix.lower() not in _IMAGE_SUFFIXES or not folders:
        return None
    parent, run = folders[-1], folders[-2] if len(folders) > 1 else None
    if parent == "sample" and (match := _KOHYA.match(path.stem)):
        field = "epoch" if match["epoch"] else "step"
        return _sample(path, match["name"], match, **{field: match["number"]})
    if parent == "samples" and (match := _AI_TOOLKIT.match(path.stem)):
        return _sample(path, run, match, step=match["step"])
    if parent == "validation_images" and (match := _SIMPLETUNER.match(path.stem)):
        return _sample(path, run, match, step=match["step"])
    folder = _ONETRAINER_FOLDER.match(parent)
    if folder and run == "samples" and (match := _ONETRAINER.search(path.stem)):
        return _sample(path, None, folder, step=match["step"], epoch=match["epoch"])
    return None


def _sample(
    path: PurePath,
    output_name: str | None,
    match: re.Match[str],
    *,
    epoch: str | None = None,
    step: str | None = None,
) -> TrainerSample:
    found = match.groupdict()
    return TrainerSample(
        path=str(path),
        output_name=output_name,
        epoch=_whole(epoch),
        step=_whole(step),
        index=_whole(found.get("index")),
        seed=_whole(found.get("seed")),
    )


def _whole(digits: str | None) -> int | None:
    return int(digits) if digits and len(digits) <= _LONGEST_NUMBER else None
