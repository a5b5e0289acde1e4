"""Draws the demo's training set: 24x24 pixel-art punks with captions that name what was drawn.

Knows colors, captions and cells; knows nothing about models or training.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable

Cells = NDArray[np.uint8]

GRID = 24
DATASET_SEED = 360  # shows pink on green, blue on red and brown on yellow often enough
COLORS: dict[str, str] = {
    "pink": "#ff69b4",
    "blue": "#3c64e6",
    "brown": "#784828",
    "green": "#50be50",
    "red": "#d7322d",
    "yellow": "#fadc46",
    "purple": "#8c46c8",
    "orange": "#f08c28",
    "teal": "#28aaa0",
    "gray": "#8c8c96",
    "white": "#f0f0f0",
    "black": "#1e1e23",
}
SKINS: dict[str, str] = {"light": "#fad7b4", "medium": "#cd966e", "dark": "#784e37"}
LIPS: dict[str, str] = {"red": "#c82d41", "pink": "#eb78a0", "purple": "#783278"}
ACCESSORIES = ("none", "crown", "sunglasses", "necklace")
EXPRESSIONS = ("smile", "neutral")
HAIRCUTS = ("crop", "bob", "long", "mohawk", "spikes")
JACKETS = ("#32323c", "#465a82", "#6e3c3c", "#5a5a4b")
PIXEL_PREFIX = "pixel art punk"
PHOTO_PREFIX = "photo portrait"

INK = (26, 20, 32)
GOLD = (250, 205, 60)
GOLD_SHADE = (205, 145, 35)
RUBY = (215, 40, 70)
EYE_WHITE = (250, 248, 244)


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a caption promises; colors are keys of COLORS, SKINS and LIPS."""

    hair: str
    background: str
    skin: str
    lips: str
    expression: str
    accessory: str


@dataclass(frozen=True, kw_only=True)
class Variation:
    """What a caption leaves open, so that a checkpoint may choose it freely."""

    haircut: str
    jacket: str
    phase: int  # 0..6, shifts the hair's texture


def rgb(code: str) -> tuple[int, int, int]:
    """Turn `#rrggbb` into 0-255 channels."""
    return int(code[1:3], 16), int(code[3:5], 16), int(code[5:7], 16)


def shade(color: tuple[int, int, int], factor: float) -> tuple[int, int, int]:
    """Darken (factor < 1) toward black, or lighten (factor > 1) toward white."""
    if factor <= 1:
        return tuple(round(c * factor) for c in color)  # type: ignore[return-value]
    return tuple(round(c + (255 - c) * (factor - 1)) for c in color)  # type: ignore[return-value]


def caption(look: Look, prefix: str = PIXEL_PREFIX) -> str:
    """Word a look as the owner's captions do: color word and hex for hair and background."""
    parts = [
        prefix,
        f"{look.hair} hair {COLORS[look.hair]}",
        f"{look.background} background {COLORS[look.background]}",
        f"{look.skin} skin",
        f"{look.lips} lips",
        look.expression,
    ]
    return ", ".join(parts if look.accessory == "none" else [*parts, look.accessory])


def parse_caption(text: str) -> Look:
    """Read a look back from `caption`'s wording; raises ValueError naming the caption."""
    parts = text.strip().split(", ")
    if len(parts) not in (6, 7):
        raise ValueError(f"not a demo caption: {text!r}")
    hair, background, skin, lips = (part.split(" ")[0] for part in parts[1:5])
    look = Look(
        hair=hair,
        background=background,
        skin=skin,
        lips=lips,
        expression=parts[5],
        accessory=parts[6] if len(parts) == 7 else "none",
    )
    if not is_known(look) or caption(look, parts[0]) != text.strip():
        raise ValueError(f"not a demo caption: {text!r}")
    return look


def is_known(look: Look) -> bool:
    """Say whether every word of the look is one the demo can draw."""
    return (
        look.hair in COLORS
        and look.background in COLORS
        and look.skin in SKINS
        and look.lips in LIPS
        and look.expression in EXPRESSIONS
        and look.accessory in ACCESSORIES
    )


def is_held_out(hair: str, background: str) -> bool:
    """Say whether the training set never shows this hair on this background.

    Every color still appears in both roles, so a held-out pair tests recombination, not new words.
    """
    names = list(COLORS)
    return (names.index(hair) * 5 + names.index(background) * 3) % 7 == 0


def random_look(rng: random.Random) -> Look:
    """Draw a look uniformly, hair and background always of different colors."""
    hair, background = rng.sample(list(COLORS), 2)
    return Look(
        hair=hair,
        background=background,
        skin=rng.choice(list(SKINS)),
        lips=rng.choice(list(LIPS)),
        expression=rng.choice(EXPRESSIONS),
        accessory=rng.choice(ACCESSORIES),
    )


def random_variation(rng: random.Random) -> Variation:
    """Draw what the caption does not say."""
    return Variation(
        haircut=rng.choice(HAIRCUTS), jacket=rng.choice(JACKETS), phase=rng.randrange(7)
    )


def hair_mask(haircut: str) -> NDArray[np.bool_]:
    """Return the (24, 24) cells behind and around the face that the haircut fills."""
    mask = np.zeros((GRID, GRID), bool)
    mask[5, 8:16] = mask[6:8, 7:17] = mask[8, 7:9] = mask[8, 15:17] = True
    if haircut == "mohawk":
        mask[:] = False
        mask[2, 11:14] = mask[3:5, 10:15] = mask[5:8, 9:15] = mask[8, 10:14] = True
        return mask
    mask[4, 9:15] = True
    mask[7:10, 6] = mask[7:10, 17] = True
    if haircut == "spikes":
        mask[3, [7, 10, 13, 16]] = mask[4, 7:17] = mask[5, 6:18] = True
    if haircut in ("bob", "long"):
        mask[6:15, 5:7] = mask[6:15, 17:19] = mask[5, 7:17] = True
    if haircut == "long":
        mask[15:21, 5:8] = mask[15:21, 16:19] = True
    return mask


def draw(look: Look, variation: Variation) -> Cells:
    """Draw a look as (24, 24, 3) uint8 cells; the top and side borders are pure background."""
    cells = np.zeros((GRID, GRID, 3), np.uint8)
    cells[:] = rgb(COLORS[look.background])
    paint_body(cells, rgb(SKINS[look.skin]), rgb(variation.jacket))
    paint_hair(cells, rgb(COLORS[look.hair]), variation)
    paint_face(cells, rgb(SKINS[look.skin]), rgb(LIPS[look.lips]), look.expression)
    PAINTERS[look.accessory](cells)
    return cells


def paint_body(cells: Cells, skin: tuple[int, int, int], jacket: tuple[int, int, int]) -> None:
    """Paint shoulders, neck, head and ears, with an ink outline down the face."""
    cells[21, 6:18] = cells[22:, 4:20] = jacket
    cells[21, 6] = cells[21, 17] = cells[22:, 4] = cells[22:, 19] = shade(jacket, 0.65)
    cells[22:, 8] = cells[22:, 15] = shade(jacket, 0.65)
    cells[8:18, 6] = cells[8:18, 17] = cells[18, 7] = cells[18, 16] = INK
    cells[19, 8:16] = cells[20, 9] = cells[20, 14] = INK
    cells[6:18, 7:17] = cells[18, 8:16] = skin
    cells[19:22, 10:14] = skin
    cells[19, 10:14] = cells[18, 15] = cells[13:18, 16] = shade(skin, 0.8)
    cells[11:13, 6] = skin
    cells[11:13, 17] = shade(skin, 0.8)


def paint_hair(cells: Cells, hair: tuple[int, int, int], variation: Variation) -> None:
    """Fill the haircut with the hair color, a darker lower right rim and a few lit strands."""
    mask = hair_mask(variation.haircut)
    for y, x in np.argwhere(mask).tolist():
        below, right = mask[min(y + 1, GRID - 1), x], mask[y, min(x + 1, GRID - 1)]
        strand = (x * 2 + y * 3 + variation.phase) % 7
        if not right or (not below and strand < 3):
            cells[y, x] = shade(hair, 0.72)
        elif strand == 0 and y < 9 and x < 13:
            cells[y, x] = shade(hair, 1.35)
        else:
            cells[y, x] = hair


def paint_face(
    cells: Cells, skin: tuple[int, int, int], lips: tuple[int, int, int], expression: str
) -> None:
    """Paint brows, eyes, nose and mouth on the head."""
    dark = shade(skin, 0.55)
    cells[10, 8:11] = cells[10, 13:16] = dark
    cells[12, 8:10] = cells[12, 13:15] = EYE_WHITE
    cells[11:13, 10] = cells[11:13, 15] = INK
    cells[11, 8:10] = cells[11, 13:15] = shade(skin, 0.8)
    cells[13:15, 12] = shade(skin, 0.8)
    if expression == "smile":
        cells[15, 9] = cells[15, 15] = lips
        cells[16, 10:15] = lips
        cells[17, 11:14] = shade(lips, 0.72)
    else:
        cells[16, 10:15] = lips


def paint_crown(cells: Cells) -> None:
    """Set a gold crown with two rubies on the head."""
    cells[1, [7, 11, 12, 16]] = cells[2, [7, 8, 11, 12, 15, 16]] = GOLD
    cells[3:5, 7:17] = GOLD
    cells[5, 7:17] = GOLD_SHADE
    cells[3:5, 9] = cells[3:5, 14] = RUBY


def paint_sunglasses(cells: Cells) -> None:
    """Put wide dark glasses with one glint each over the eyes."""
    cells[11, 6:18] = INK
    cells[12:14, 8:11] = cells[12:14, 13:16] = INK
    cells[11, 8:10] = cells[11, 13:15] = (96, 104, 128)


def paint_necklace(cells: Cells) -> None:
    """Hang a gold chain with a ruby round the neck."""
    cells[20, 9] = cells[20, 14] = cells[21, 8:16] = GOLD
    cells[22, 9:15] = GOLD_SHADE
    cells[22:24, 11:13] = RUBY


def paint_nothing(cells: Cells) -> None:
    """Leave the sprite bare."""


PAINTERS: dict[str, Callable[[Cells], None]] = {
    "none": paint_nothing,
    "crown": paint_crown,
    "sunglasses": paint_sunglasses,
    "necklace": paint_necklace,
}


def training_set(count: int, seed: int) -> list[tuple[Look, Variation]]:
    """List the looks of a training set; held-out hair and background pairs never occur."""
    rng = random.Random(seed)
    chosen: list[tuple[Look, Variation]] = []
    while len(chosen) < count:
        look = random_look(rng)
        if not is_held_out(look.hair, look.background):
            chosen.append((look, random_variation(rng)))
    return chosen


def write_training_set(folder: Path, *, count: int, seed: int) -> None:
    """Write `punk_001.png` with `punk_001.txt` and so on; the same seed gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (look, variation) in enumerate(training_set(count, seed), start=1):
        stem = folder / f"punk_{number:03d}"
        Image.fromarray(draw(look, variation)).save(stem.with_suffix(".png"))
        stem.with_suffix(".txt").write_text(caption(look) + "\n", encoding="utf-8")


def main() -> None:
    """Write the training set from the command line."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=203)
    parser.add_argument("--seed", type=int, default=DATASET_SEED)
    options = parser.parse_args()
    write_training_set(options.out, count=options.count, seed=options.seed)


if __name__ == "__main__":
    main()
