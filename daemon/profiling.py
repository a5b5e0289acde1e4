"""Finds what the images of a run are measured as, and learns a profile from its training images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.formats.caption_file import CaptionedImage
from core.formats.prompt_text import expectation_from_text
from core.metrics import TrainingProfile, learn_profile
from core.metrics.applicability import KIND_WORDS, KINDS, Found, Kind, find_kind
from core.metrics.detector import Detector
from core.metrics.look import COLOR_CELLS
from core.metrics.profile import without_images
from core.metrics.profile_proof import prove_on_captions
from core.metrics.set_level import evenly
from core.nouns import Expectation
from daemon.scorers.detecting import Detecting

Chosen = Literal["auto", "pixel-art", "character", "style", "votes"]
ENOUGH_TO_LEARN = 20  # captioned images before a profile means anything
_LOOKED_AT = 40  # training images, evenly over the folder, tell the kind as well as all
_SMOOTH_WIDTH = 96  # pixels: four a cell are enough where there is no grid, and save memory
_NAMED = 4  # things in a sentence

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Profiled:
    """What a run is measured as."""

    profile: TrainingProfile | None  # None: pixel art where the recipe has a grid, nothing learned
    sentences: tuple[str, ...]  # what a person has to know of it; () for plain pixel art


def profile_of(
    images: Sequence[CaptionedImage],
    grid: int | None,
    *,
    chosen: Chosen = "auto",
    grid_is_told: bool = False,
    detecting: Detecting | None = None,
) -> Profiled:
    """Return the profile for images drawn with a recipe of ``grid`` cells.

    What is ``chosen`` wins; else the training images tell; without any, a grid that the suite was
    told (``grid_is_told``) means pixel art, and else each image tells for itself. ``detecting``
    lets the plugged-in models prove which things they see.
    """
    found = _found(images, grid, chosen)
    if found.kind == "unknown" and (grid_is_told or grid is None):
        return Profiled(profile=None, sentences=())
    enough = len(images) >= ENOUGH_TO_LEARN and found.kind not in ("votes", "unknown")
    if found.kind == "pixel_art" and not (enough and grid):
        return Profiled(profile=None, sentences=())
    learned = (
        _learned(images, grid, found.kind) if enough else without_images(found.kind, COLOR_CELLS)
    )
    troubles: list[str] = []
    if detecting is not None:
        learned, troubles = detecting.taught(learned, images)
    told = (*_said_of(found), *said_of_proofs(learned), *troubles)
    return Profiled(profile=learned, sentences=told)


def grid_of_images(images: Sequence[CaptionedImage]) -> int | None:
    """Return the cells along the width of training images that are pixel art, else None."""
    return _found(images, None, "auto").grid


def _found(images: Sequence[CaptionedImage], grid: int | None, chosen: Chosen) -> Found:
    if chosen != "auto":
        kind = next(kind for kind in KINDS if kind == chosen.replace("-", "_"))
        return Found(kind=kind, why="it was chosen so")
    looked = [_pixels(image) for image in evenly(images, _LOOKED_AT)] if images else []
    return find_kind(looked, [image.caption for image in images], grid)


def _learned(images: Sequence[CaptionedImage], grid: int | None, kind: Kind) -> TrainingProfile:
    """Return what the training images teach, with what fails its proof on their captions off."""
    columns = grid if grid and kind == "pixel_art" else COLOR_CELLS
    pixels = [_pixels(each) if kind == "pixel_art" else _smooth(each) for each in images]
    captions = [caption_of(image) for image in images]
    profile = learn_profile(pixels, captions, columns, kind)
    return prove_on_captions(profile, pixels, captions)


def caption_of(image: CaptionedImage) -> Expectation | None:
    """Return what a caption promises; None where there is no caption, which promises nothing."""
    return expectation_from_text(image.caption) if image.caption else None


def _pixels(image: CaptionedImage) -> Pixels:
    with Image.open(image.path) as picture:
        return np.asarray(picture.convert("RGB"))


def _smooth(image: CaptionedImage) -> Pixels:
    """Return a picture without a grid, made small, since only the colors of places are learned."""
    with Image.open(image.path) as picture:
        height = max(COLOR_CELLS, round(picture.height * _SMOOTH_WIDTH / picture.width))
        return np.asarray(
            picture.convert("RGB").resize((_SMOOTH_WIDTH, height), Image.Resampling.BOX)
        )


def enlarged(image: CaptionedImage, width: int) -> Pixels:
    """Return a training image at about the width that images are drawn with, cells kept hard."""
    pixels = _pixels(image)
    factor = max(1, round(width / pixels.shape[1]))
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def _said_of(found: Found) -> list[str]:
    """Return what the kind of LoRA means for the numbers; nothing for pixel art."""
    if found.kind == "votes":
        return ["Votes only: no machine score is given, and people's votes decide."]
    if found.kind == "unknown":
        return [
            (
                "Without training images nobody knows what this LoRA is of: an image is measured as "
                "pixel art only where it shows a grid. Give --data, or say it with --profile."
            )
        ]
    if found.kind == "pixel_art":
        return []
    return [
        (
            f"Measured as {KIND_WORDS[found.kind]}, since {found.why}: grid, palette and photorealism "
            "are not applicable. If that is wrong, say what it is with --profile."
        )
    ]


def said_of_proofs(profile: TrainingProfile) -> list[str]:
    """Return what is off and what cannot be seen, with the reasons."""
    sentences = [f"{name.replace('_', ' ').capitalize()} is {why}." for name, why in profile.off]
    seers = {name: profile.seer(name) for name, _ in profile.probes}
    blind = [f"{name} ({profile.why_unseen(name)})" for name, seer in seers.items() if not seer]
    by_model = [
        f"{name} by {seer.scorer} ({seer.proof.said})"
        for name, seer in seers.items()
        if isinstance(seer, Detector) and seer.proof
    ]
    if by_model:
        sentences.append(
            f"Seen by plugged-in models, on machines that have them: {', '.join(by_model)}."
        )
    if blind:
        rest = f" and {len(blind) - _NAMED} more" if len(blind) > _NAMED else ""
        sentences.append(f"Not measurable: {'; '.join(blind[:_NAMED])}{rest}.")
    return sentences
