"""Lays test images on one sheet: PNG bytes in, PNG bytes out; pixels stay crisp."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

_TILE = 192  # pixels on each side
_GAP = 12
_LINE = 18  # height of a label
_LONGEST = 80  # characters of a label: more never fit
_PAPER, _INK = (24, 24, 27), (212, 212, 216)


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One image and what is written under it."""

    png: bytes
    label: str


def contact_sheet(tiles: Sequence[Tile], *, columns: int = 4) -> bytes:
    """Return one PNG with all tiles, row by row.

    Raises ValueError when there is no tile, OSError when one is no PNG that can be read.
    """
    if not tiles:
        raise ValueError("a contact sheet needs at least one tile")
    columns = min(columns, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    width = _GAP + columns * (_TILE + _GAP)
    height = _GAP + rows * (_TILE + _LINE + _GAP)
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(12)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        left = _GAP + column * (_TILE + _GAP)
        top = _GAP + row * (_TILE + _LINE + _GAP)
        sheet.paste(crisp(tile.png, _TILE), (left, top))
        draw.text((left + 1, top + _TILE + 2), _clipped(tile.label, draw, font), _INK, font)
    out = io.BytesIO()
    sheet.save(out, "PNG", optimize=True)
    return out.getvalue()


def crisp(png: bytes, side: int) -> Image.Image:
    """Return the image fitted into a square: whole-number enlargement, or careful reduction.

    Raises OSError when it is no PNG that can be read.
    """
    with Image.open(io.BytesIO(png), formats=["PNG"]) as source:
        image = _opaque(source)
    longest = max(image.size)
    if longest <= side:
        factor = side // longest
        size = (image.width * factor, image.height * factor)
        image = image.resize(size, Image.Resampling.NEAREST)
    else:
        image.thumbnail((side, side), Image.Resampling.BOX)
    square = Image.new("RGB", (side, side), _PAPER)
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


def _opaque(image: Image.Image) -> Image.Image:
    """Return the image on our paper where it is transparent."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    paper = Image.new("RGBA", image.size, (*_PAPER, 255))
    return Image.alpha_composite(paper, image.convert("RGBA")).convert("RGB")


def _clipped(
    label: str, draw: ImageDraw.ImageDraw, font: ImageFont.ImageFont | ImageFont.FreeTypeFont
) -> str:
    """Return as much of a label as fits under a tile."""
    text = "".join(sign if sign.isprintable() else " " for sign in label[:_LONGEST])
    if isinstance(font, ImageFont.ImageFont):  # without FreeType only Latin letters can be drawn
        text = text.encode("latin-1", "replace").decode("latin-1")
    if len(label) <= _LONGEST and draw.textlength(text, font) < _TILE:
        return text
    while text and draw.textlength(f"{text}...", font) >= _TILE:
        text = text[:-1]
    return f"{text}..."
