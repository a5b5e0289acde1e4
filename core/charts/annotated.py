"""Draws an image with its grid, the cells that fail, and promised beside measured colors.

Every mark has a shape of its own, edged in black and white, so that no color needs to be told apart.
The picture brings its own ground and is as legible on a light page as on a dark one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from core.metrics.color import MATCH, Bools, Bytes
from core.metrics.evidence import Comparison, Evidence, evidence_of
from core.metrics.profile import TrainingProfile
from core.nouns import Expectation, Measurement

SIDE = 768  # pixels of the longer side of the enlarged image
_PANEL, _MARGIN, _SWATCH = 420, 20, 52
_GROUND, _INK, _QUIET, _RULE = "#24262b", "#f4f4f2", "#b9bcc4", "#4a4e57"
# vermilion, sky blue, yellow and purple of Okabe and Ito 2008, "Color universal design"
_STRAY, _UNEVEN, _BORDER, _REGION = "#f0e442", "#56b4e9", "#ff7a1a", "#e39ac6"
_FEWEST_PIXELS = 5  # a cell below which lines would hide the image

Box = tuple[float, float, float, float]
Draw = Callable[[ImageDraw.ImageDraw, Box, str, int], None]


@dataclass(frozen=True, kw_only=True)
class _Mark:
    """One kind of failing cells: its shape, its color, where it is, and its words."""

    draw: Draw
    color: str
    cells: Bools
    words: str

    @property
    def corner(self) -> tuple[float, float]:
        """Where in a cell it goes when others are there too."""
        return _CORNERS[self.draw]


def annotate(
    pixels: Bytes,
    expectation: Expectation,
    profile: TrainingProfile | None,
    grid: int | None,
    finishing: str = "cells",
) -> Image.Image:
    """Return an RGB picture of what was measured on (H, W, 3) uint8.

    ``grid`` is the number of cells asked for, None to find it; ``finishing`` is the recipe's. An
    image that cannot be measured is shown with the reason.

    Raises Fixable when ``pixels`` is no 8-bit RGB image.
    """
    measured, evidence = evidence_of(
        pixels, expect=expectation, grid=grid, profile=profile, finishing=finishing
    )
    height, width = pixels.shape[:2]
    scale = SIDE / max(height, width)
    large = _enlarged(pixels, scale)
    marks = list(_marks(evidence)) if evidence else []
    if evidence:
        _draw_grid(large, evidence, scale)
        _draw_marks(large, marks, evidence, scale)
    panel = _panel(measured, evidence, marks)
    size = (large.width + panel.width + 3 * _MARGIN, max(large.height, panel.height) + 2 * _MARGIN)
    page = Image.new("RGB", size, _GROUND)
    page.paste(large, (_MARGIN, _MARGIN))
    page.paste(panel, (large.width + 2 * _MARGIN, _MARGIN))
    return page


def _enlarged(pixels: Bytes, scale: float) -> Image.Image:
    """Return the image at ``scale``; pixels stay squares when it grows."""
    height, width = pixels.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX
    return Image.fromarray(pixels).resize(size, how)


def _draw_grid(large: Image.Image, evidence: Evidence, scale: float) -> None:
    """Lay the lines of the grid over the image: dark beside light, seen on any color."""
    grid = evidence.grid
    if grid.pitch * scale < _FEWEST_PIXELS:
        return
    veil = Image.new("RGBA", large.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(veil)
    strong = 110 if evidence.is_pixel_art else 45
    for count, phase, across in (
        (grid.columns, grid.phase_x, True),
        (grid.rows, grid.phase_y, False),
    ):
        for line in range(count + 1):
            at = round((line * grid.pitch + phase) * scale)
            for shift, shade in ((0, 0), (1, 255)):
                ends = (at + shift, 0, at + shift, large.height)
                draw.line(ends if across else _turned(ends, large.width), (shade,) * 3 + (strong,))
    large.paste(veil, (0, 0), veil)


def _turned(ends: tuple[int, int, int, int], width: int) -> tuple[int, int, int, int]:
    return 0, ends[0], width, ends[0]


def _marks(evidence: Evidence) -> Iterator[_Mark]:
    """Return every kind of mark that was looked for, with its count in words."""
    if evidence.wrong_background is not None:
        words = "border cells in another color than promised"
        yield _mark(_cross, _BORDER, evidence.wrong_background, words)
    for name, wrong in evidence.wrong_regions.items():
        yield _mark(_ring, _REGION, wrong, f"cells where the {name} should be, in another hue")
    if evidence.is_pixel_art:
        yield _mark(_diamond, _STRAY, evidence.stray, "stray cells, unlike all neighbors")
    if evidence.uneven is not None:
        yield _mark(_slash, _UNEVEN, evidence.uneven, "cells that are not flat")


def _mark(draw: Draw, color: str, cells: Bools, words: str) -> _Mark:
    return _Mark(draw=draw, color=color, cells=cells, words=f"{np.count_nonzero(cells)} {words}")


def _draw_marks(large: Image.Image, marks: list[_Mark], evidence: Evidence, scale: float) -> None:
    """Put each mark on the cells it is for."""
    draw, grid = ImageDraw.Draw(large), evidence.grid
    step = grid.pitch * scale
    crowd = np.sum([mark.cells for mark in marks], axis=0) if marks else np.zeros(0)
    for mark in marks:
        for row, column in np.argwhere(mark.cells).tolist():
            left = (column * grid.pitch + grid.phase_x) * scale
            top = (row * grid.pitch + grid.phase_y) * scale
            corner = mark.corner if crowd[row, column] > 1 else (0.5, 0.5)
            box = _box(left, top, step, corner)
            mark.draw(draw, box, mark.color, max(1, round(step / 14)))


def _box(left: float, top: float, step: float, place: tuple[float, float]) -> Box:
    """Return where a mark goes: the middle of its cell, or its own corner beside other marks."""
    half = 0.28 * step if place == (0.5, 0.5) else 0.17 * step
    x, y = left + place[0] * step, top + place[1] * step
    return x - half, y - half, x + half, y + half


def _strokes(
    draw: ImageDraw.ImageDraw, lines: list[list[tuple[float, float]]], color: str, width: int
) -> None:
    """Draw lines in a color with a dark edge, so that they show on every ground."""
    for ink, wide in (("#101114", width + 3), (color, width)):
        for line in lines:
            draw.line(line, ink, wide, joint="curve")


def _cross(draw: ImageDraw.ImageDraw, box: Box, color: str, width: int) -> None:
    x0, y0, x1, y1 = box
    _strokes(draw, [[(x0, y0), (x1, y1)], [(x0, y1), (x1, y0)]], color, width)


def _slash(draw: ImageDraw.ImageDraw, box: Box, color: str, width: int) -> None:
    x0, y0, x1, y1 = box
    _strokes(draw, [[(x0, y1), (x1, y0)]], color, width)


def _diamond(draw: ImageDraw.ImageDraw, box: Box, color: str, width: int) -> None:
    x0, y0, x1, y1 = box
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    _strokes(draw, [[(x, y0), (x1, y), (x, y1), (x0, y), (x, y0)]], color, width)


def _ring(draw: ImageDraw.ImageDraw, box: Box, color: str, width: int) -> None:
    x0, y0, x1, y1 = box
    draw.ellipse((x0 - 1, y0 - 1, x1 + 1, y1 + 1), outline="#101114", width=width + 3)
    draw.ellipse(box, outline=color, width=width)


class _Pen:
    """Writes down a panel, line after line."""

    def __init__(self) -> None:
        """Begin at the top of a tall empty panel."""
        self.image = Image.new("RGB", (_PANEL, 3 * SIDE), _GROUND)
        self.draw = ImageDraw.Draw(self.image)
        self.y = 0

    def write(self, words: str, size: int = 15, ink: str = _INK, left: int = 0) -> None:
        """Write words, broken into lines that fit."""
        font = ImageFont.load_default(size)
        for line in _broken(words, font, _PANEL - left):
            self.draw.text((left, self.y), line, ink, font)
            self.y += round(size * 1.35)

    def rule(self) -> None:
        """Draw a thin line between two parts."""
        self.y += 10
        self.draw.line((0, self.y, _PANEL, self.y), _RULE)
        self.y += 12

    def finished(self) -> Image.Image:
        """Return what was written."""
        return self.image.crop((0, 0, _PANEL, min(self.y, self.image.height)))


def _broken(
    words: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int
) -> list[str]:
    """Return words as lines of at most ``width`` pixels."""
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _panel(measured: Measurement, evidence: Evidence | None, marks: list[_Mark]) -> Image.Image:
    """Return the words beside the image."""
    pen = _Pen()
    _write_scores(pen, measured)
    if evidence is None:
        pen.rule()
        pen.write(next(iter(measured.reasons.values()), "not measured"))
        return pen.finished()
    pen.rule()
    _write_grid(pen, evidence)
    for mark in marks:
        mark.draw(pen.draw, (4, pen.y + 1, 20, pen.y + 17), mark.color, 2)
        pen.write(mark.words, left=34)
        pen.y += 4
    if evidence.comparisons:
        pen.rule()
        pen.write("promised beside measured, CIEDE2000 between them", 13, _QUIET)
        pen.y += 6
        for each in evidence.comparisons:
            _write_comparison(pen, each)
    pen.rule()
    _write_palette(pen, evidence.palette)
    return pen.finished()


def _write_scores(pen: _Pen, measured: Measurement) -> None:
    """Write the three scores and what is wrong."""
    scores = {
        "visual": measured.visual_quality,
        "style": measured.style_match,
        "prompt": measured.prompt_adherence,
    }
    for at, (name, score) in enumerate(scores.items()):
        # shown as everywhere: cut to one decimal, never rounded up
        said = "-" if score is None else f"{int(score * 10 + 1e-9) / 10:.1f}"
        pen.draw.text((at * 110, 0), said, _INK, ImageFont.load_default(28))
        pen.draw.text((at * 110, 36), name, _QUIET, ImageFont.load_default(14))
    pen.y = 64
    if measured.issues:
        issues = ", ".join(issue.replace("_", " ") for issue in measured.issues)
        pen.write(f"Issues: {issues}.")
    else:
        pen.write("No issues.", ink=_QUIET)


def _write_grid(pen: _Pen, evidence: Evidence) -> None:
    """Write which grid lies over the image, and how well it fits."""
    grid, fit = evidence.grid, evidence.alignment
    name = f"{grid.columns} x {grid.rows} cells of {grid.pitch:.4g} pixels"
    if not evidence.is_pixel_art:
        pen.write(f"No pixel grid was found; colors are read on {name}.")
    elif evidence.cropped:
        pen.write(f"Cropped: measured on the {name} that are seen by half or more.")
    elif evidence.asked is None:
        pen.write(f"Grid found: {name}.")
    else:
        pen.write(f"Grid asked for: {name}.")
        if evidence.found is not None:
            pen.write(f"It does not fit; {evidence.found:.4g} cells across do.")
    if evidence.is_pixel_art and fit is not None:
        pen.write(f"{100 * max(fit, 0):.0f} % of the edges lie on its lines.", ink=_QUIET)
    pen.y += 8


def _write_comparison(pen: _Pen, each: Comparison) -> None:
    """Write one pair of swatches, side by side so that a difference shows at once."""
    top, far = pen.y, each.difference > MATCH
    pen.draw.rectangle((0, top, 2 * _SWATCH, top + _SWATCH), _GROUND, _QUIET)
    pen.draw.rectangle((1, top + 1, _SWATCH, top + _SWATCH - 1), each.wanted)
    pen.draw.rectangle((_SWATCH + 1, top + 1, 2 * _SWATCH - 1, top + _SWATCH - 1), each.measured)
    left = 2 * _SWATCH + 14
    promised = each.promised if each.promised == each.wanted else f"{each.promised}, {each.wanted}"
    verdict = "another color" if far else "the same color"
    pen.write(f"{each.name}: {each.difference:.1f}, {verdict}", left=left)
    pen.write(f"{promised} / {each.measured}", 13, _QUIET, left)
    pen.write(each.how, 13, _QUIET, left)
    pen.y = max(pen.y, top + _SWATCH) + 12


def _write_palette(pen: _Pen, colors: tuple[str, ...]) -> None:
    """Write the palette as a strip, the largest entry first."""
    pen.write(f"colors of more than two cells: {len(colors)}", 13, _QUIET)
    pen.y += 4
    across = 16
    side = _PANEL // across
    for at, color in enumerate(colors[: 3 * across]):
        x, y = (at % across) * side, pen.y + (at // across) * side
        pen.draw.rectangle((x, y, x + side - 3, y + side - 3), color, _RULE)
    pen.y += side * -(-min(len(colors), 3 * across) // across)


_CORNERS: Mapping[Draw, tuple[float, float]] = {
    _cross: (0.27, 0.27),
    _ring: (0.73, 0.27),
    _diamond: (0.27, 0.73),
    _slash: (0.73, 0.73),
}
