"""The narrow peer of B5: what the owner's documents describe, as one writes it on a first afternoon.

Each pixel's distance to each promised color, the palette in a dict, neighbors and edges in loops.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.formats.color_names import COLOR_NAMES
from core.nouns import Expectation

Color = tuple[int, int, int]
Point = tuple[float, float, float]  # a color in the space that its distance is told in
Rows = list[list[Point]]
Distance = Callable[[Point, Point], float]
SAME = 10.0  # the same color, in CIEDE2000; the RGB distance is scaled to be about as strict
ALIKE = 6.0
_RGB_PER_STEP = 4.0


@dataclass(frozen=True, kw_only=True)
class Space:
    """A way to compare colors: each pixel is converted once, each pair of points is compared."""

    point: Callable[[Color], Point]
    distance: Callable[[Point, Point], float]


def loops(pixels: NDArray[np.uint8], expect: Expectation, space: Space) -> dict[str, Any]:
    """Return background match, region shares, colors, stray pixels and edges of (H, W, 3) uint8."""
    colors: list[list[Color]] = [[tuple(one) for one in row] for row in pixels.tolist()]
    rows = [[space.point(color) for color in row] for row in colors]
    wanted = {name: space.point(_color(value)) for name, value in expect.regions}
    ground = space.point(_color(expect.background or "#000000"))
    return {
        "background_match": _background(rows, ground, space.distance),
        "regions": {name: _share(rows, value, space.distance) for name, value in wanted.items()},
        "colors": _palette(rows, space.distance),
        "stray": _stray(rows, space.distance),
        "edges": _edges(colors),
    }


def _color(text: str) -> Color:
    """Return "#rrggbb", or the one color that a word stands for in a style sheet."""
    text = text if text.startswith("#") else COLOR_NAMES[text].hex
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def _background(rows: Rows, wanted: Point, distance: Distance) -> float:
    """Return the % of the border at the top, left and right, one cell wide, in a color."""
    height, width = len(rows), len(rows[0])
    band = max(1, width // 24)
    seen = matching = 0
    for y in range(height):
        for x in range(width):
            if y < band or x < band or x >= width - band:
                seen += 1
                matching += distance(rows[y][x], wanted) <= SAME
    return 100 * matching / seen


def _share(rows: Rows, wanted: Point, distance: Distance) -> float:
    """Return the % of all pixels in a color."""
    matching = seen = 0
    for row in rows:
        for pixel in row:
            seen += 1
            matching += distance(pixel, wanted) <= SAME
    return 100 * matching / seen


def _palette(rows: Rows, distance: Distance) -> dict[Point, int]:
    """Return the dominant colors: the commonest takes in what is alike, and so on."""
    counts: Counter[Point] = Counter()
    for row in rows:
        for pixel in row:
            counts[pixel] += 1
    entries: dict[Point, int] = {}
    for color, count in counts.most_common():
        like = next((entry for entry in entries if distance(entry, color) <= ALIKE), color)
        entries[like] = entries.get(like, 0) + count
    return entries


def _stray(rows: Rows, distance: Distance) -> float:
    """Return the share of pixels unlike all their neighbors."""
    height, width = len(rows), len(rows[0])
    stray = 0
    for y in range(height):
        for x in range(width):
            alone = True
            for down in (-1, 0, 1):
                for right in (-1, 0, 1):
                    beside, below = x + right, y + down
                    if not (down or right) or not (0 <= beside < width and 0 <= below < height):
                        continue
                    if alone and distance(rows[y][x], rows[below][beside]) <= ALIKE:
                        alone = False
            stray += alone
    return stray / (height * width)


def _edges(rows: list[list[Color]]) -> tuple[list[float], list[float]]:
    """Return the edge strength before each column and each row."""
    height, width = len(rows), len(rows[0])
    columns, lines = [0.0] * width, [0.0] * height
    for y in range(height):
        for x in range(width):
            if x:
                columns[x] += math.dist(rows[y][x], rows[y][x - 1])
            if y:
                lines[y] += math.dist(rows[y][x], rows[y - 1][x])
    return columns, lines


def _as_it_is(color: Color) -> Point:
    return color


def plain_rgb(first: Point, second: Point) -> float:
    """Return the straight distance in RGB, scaled: cheap, and blind to how colors look."""
    return math.dist(first, second) / _RGB_PER_STEP


def ciede2000(first: Point, second: Point) -> float:
    """Return CIEDE2000 (Sharma, Wu and Dalal 2004) of two CIELAB colors, step by step."""
    l1, a1, b1 = first
    l2, a2, b2 = second
    c7 = ((math.hypot(a1, b1) + math.hypot(a2, b2)) / 2) ** 7
    g = 0.5 * (1 - math.sqrt(c7 / (c7 + 25**7)))
    a1, a2 = (1 + g) * a1, (1 + g) * a2
    c1, c2 = math.hypot(a1, b1), math.hypot(a2, b2)
    h1, h2 = math.degrees(math.atan2(b1, a1)) % 360, math.degrees(math.atan2(b2, a2)) % 360
    turn = 0.0 if c1 * c2 == 0 else (h2 - h1 + 180) % 360 - 180
    hue = h1 + h2 if c1 * c2 == 0 else h1 + turn / 2
    return _weighted((l1 + l2) / 2, (c1 + c2) / 2, hue, (l2 - l1, c2 - c1, _arc(c1, c2, turn)))


def _arc(c1: float, c2: float, turn: float) -> float:
    return 2 * math.sqrt(c1 * c2) * math.sin(math.radians(turn / 2))


def _weighted(light: float, chroma: float, hue: float, by: tuple[float, float, float]) -> float:
    t = (
        1
        - 0.17 * math.cos(math.radians(hue - 30))
        + 0.24 * math.cos(math.radians(2 * hue))
        + 0.32 * math.cos(math.radians(3 * hue + 6))
        - 0.20 * math.cos(math.radians(4 * hue - 63))
    )
    middle = (light - 50) ** 2
    dl = by[0] / (1 + 0.015 * middle / math.sqrt(20 + middle))
    dc = by[1] / (1 + 0.045 * chroma)
    dh = by[2] / (1 + 0.015 * chroma * t)
    bend = math.exp(-(((hue % 360 - 275) / 25) ** 2))
    c7 = chroma**7
    rotation = -2 * math.sqrt(c7 / (c7 + 25**7)) * math.sin(math.radians(60 * bend))
    return math.sqrt(max(0.0, dl * dl + dc * dc + dh * dh + rotation * dc * dh))


def lab_of(color: Color) -> Point:
    """Return sRGB as CIELAB."""
    red, green, blue = (linear(value / 255) for value in color)
    x = (0.4124564 * red + 0.3575761 * green + 0.1804375 * blue) / 0.9504700
    y = 0.2126729 * red + 0.7151522 * green + 0.0721750 * blue
    z = (0.0193339 * red + 0.1191920 * green + 0.9503041 * blue) / 1.0888300
    fx, fy, fz = _bent(x), _bent(y), _bent(z)
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def linear(value: float) -> float:
    """Return an sRGB channel of 0-1 as light."""
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def _bent(value: float) -> float:
    return value ** (1 / 3) if value > 216 / 24389 else (24389 / 27 * value + 16) / 116


CIEDE2000 = Space(point=lab_of, distance=ciede2000)
RGB = Space(point=_as_it_is, distance=plain_rgb)
