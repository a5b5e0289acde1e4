"""What can be asked of a picture at all: by the kind of LoRA, the kind of picture, and by proof.

What does not apply is left out with its reason; it is never a 0.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from core.metrics.cells import cell_colors, grid_over
from core.metrics.color import Bytes, merge_palette
from core.metrics.grid_search import FITS, SMALLEST_PITCH, alignment, edge_profiles, find_grid
from core.metrics.pixel_art import DRAWN_BY_PEOPLE
from core.metrics.proof import Proof
from core.nouns import NOT_APPLICABLE, Expectation

Kind = Literal["pixel_art", "character", "style", "votes", "unknown"]
KINDS: tuple[Kind, ...] = get_args(Kind)
KIND_WORDS: Mapping[Kind, str] = {
    "pixel_art": "pixel art",
    "character": "a character or person",
    "style": "a style or an object",
    "votes": "votes only",
    "unknown": "pixel art where a grid is found",
}
_ENOUGH = 0.6  # of the training images decide
_SMALLEST = 8  # cells a side: fewer are no picture
_SMALL = 128  # pixels a side up to which a picture may be pixel art at one pixel a cell
_PERSON = re.compile(
    r"\b(?:1girl|1boy|girls?|boys?|wom[ae]n|m[ae]n|persons?|people|face|faces|portrait|selfie|"
    r"character|she|he|her|his|hair|haired|eyes|smiling|lady|guy|actor|actress)\b",
    re.IGNORECASE,
)
_OF_PEOPLE = frozenset(("hair", "skin", "eyes", "lips", "expression"))


def grid_to_ask(kind: Kind | None, grid: int | None) -> int | None:
    """Return the grid that images are held to: none outside pixel art, whatever the recipe says."""
    return grid if kind in (None, "pixel_art") else None


def looks_for_grid(kind: Kind | None) -> bool:
    """Return whether an image that shows a grid by itself is measured as pixel art."""
    return kind in (None, "pixel_art", "unknown")


def why_no_pixel_art(kind: Kind | None) -> str | None:
    """Return why style cannot be measured for a kind of LoRA, or None for pixel art."""
    if kind in ("character", "style"):
        return f"{NOT_APPLICABLE}: the profile is {KIND_WORDS[kind]}, not pixel art"
    return None


def not_applicable(expect: Expectation, name: str) -> str | None:
    """Return why "background", a region or a thing cannot be asked of such a picture, or None."""
    subject = expect.subject
    if subject == "tile":
        return f"{NOT_APPLICABLE}: a tile has no {name}"
    if subject == "icon" and name in _OF_PEOPLE:
        return f"{NOT_APPLICABLE}: an icon has no {name}"
    if subject == "transparent" and name == "background":
        return f"{NOT_APPLICABLE}: the background is meant to be transparent, and images are opaque"
    return None


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a LoRA is of, and how that was told."""

    kind: Kind
    why: str
    grid: int | None = None  # cells along the width of most training images that are pixel art


def find_kind(images: Sequence[Bytes], captions: Sequence[str], grid: int | None = None) -> Found:
    """Return what training images (h, w, 3) uint8 are of; ``grid`` is the one asked for, if any.

    Pixel art by the pictures themselves; a character or person by the words of the captions; else
    a style or an object. "unknown" without images.
    """
    if not images:
        return Found(kind="unknown", why="there are no training images to tell by")
    grids = [found for image in images if (found := grid_of(image, grid))]
    said = f"{len(grids)} of {len(images)} training images looked at are pixel art"
    if len(grids) >= _ENOUGH * len(images):
        return Found(kind="pixel_art", why=said, grid=Counter(grids).most_common(1)[0][0])
    told = [caption for caption in captions if caption.strip()]
    people = sum(bool(_PERSON.search(caption)) for caption in told)
    if told and people >= _ENOUGH * len(told):
        return Found(kind="character", why=f"{people} of {len(told)} captions speak of a person")
    spoken = f"{people} of {len(told)} captions speak of a person" if told else "none has a caption"
    return Found(kind="style", why=f"{said}, and {spoken}")


def grid_of(pixels: Bytes, asked: int | None = None) -> int | None:
    """Return the cells along the width of a (h, w, 3) picture that is pixel art, else None.

    Pixel art has few flat colors, and is tiny, or has its edges on a grid: the one ``asked`` for
    or any of 8 to 128 cells.
    """
    height, width = pixels.shape[:2]
    if max(height, width) <= _SMALL and _few_colors(pixels):
        return width
    edges = edge_profiles(pixels)
    for columns in dict.fromkeys((asked, find_grid(edges))):
        if columns is None or columns > width / SMALLEST_PITCH:
            continue
        aligned = alignment(edges, columns)
        cells = cell_colors(pixels, grid_over(pixels, columns))
        if aligned is not None and aligned.score >= FITS and _few_colors(cells):
            return columns
    return None


def grid_at_hand(pixels: Bytes) -> int | None:
    """Return the width of a small (h, w, 3) picture that is pixel art at one pixel a cell, else None.

    A grid of larger cells wins: such a picture is found on it.
    """
    small = max(pixels.shape[:2]) <= _SMALL and min(pixels.shape[:2]) >= _SMALLEST
    if not small or not _few_colors(pixels) or find_grid(edge_profiles(pixels)) is not None:
        return None
    return int(pixels.shape[1])


def _few_colors(cells: Bytes) -> bool:
    """Return whether cells have about as few colors as drawings have."""
    flat = cells.reshape(-1, 3)
    if len(np.unique(flat, axis=0)) > len(flat) / 2:
        return False
    return merge_palette(flat).size <= 2 * DRAWN_BY_PEOPLE.palette_limit(len(flat))


def common_subject(captions: Sequence[Expectation]) -> str | None:
    """Return the kind of picture that most captions name, or None."""
    if not captions:
        return None
    subject, times = Counter(caption.subject for caption in captions).most_common(1)[0]
    return subject if times >= _ENOUGH * len(captions) else None


def why_off(what: str, proof: Proof) -> str:
    """Return why a number does not count, for a person."""
    return f"off: {what} ({proof.said})"
