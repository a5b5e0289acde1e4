"""The background: the ring of outermost cells at the top, left and right.

Not the bottom, which a bust touches; and by geometry, never by the color that was promised.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Self

import numpy as np
from scipy import ndimage

from core.metrics.color import (
    MERGE,
    Bools,
    Bytes,
    Numbers,
    differences,
    distinct,
    hex_of_rgb,
    lab,
    merge_palettes,
    pairs_of,
    told_of_pairs,
)
from core.metrics.color_words import Painted, Shades, by_shape, paint

# neighbors within a picture of a stack, not from one to the next
_BESIDE = np.stack([np.zeros((3, 3)), ndimage.generate_binary_structure(2, 1), np.zeros((3, 3))])


@dataclass(frozen=True, kw_only=True)
class Background:
    """What the ring shows."""

    rgb: Bytes  # (3,) the medoid of its largest palette entry
    solid: float  # 0-100, share of the ring in that entry

    @property
    def hex(self) -> str:
        """The color as "#rrggbb"."""
        return hex_of_rgb(self.rgb)


@dataclass(frozen=True, kw_only=True)
class ColorFigures:
    """Agreement with a promised color, each 0-100."""

    match: float
    closeness: float
    hue: float

    @cached_property
    def score(self) -> float:
        """The graded score: a plainly green background must not count as 0 for one wrong shade."""
        return 0.5 * self.match + 0.3 * self.closeness + 0.2 * self.hue

    def times(self, share: float) -> Self:
        """Return the figures less what is missing, for a share of 0-1."""
        if share == 1.0:
            return self
        return replace(
            self, match=share * self.match, closeness=share * self.closeness, hue=share * self.hue
        )

    @property
    def is_wrong(self) -> bool:
        """Whether most cells neither match nor share the hue class."""
        return self.match < 50 and self.hue < 50


@lru_cache(maxsize=16)  # a run has one shape
def ring_mask(rows: int, columns: int) -> Bools:
    """Return (rows, columns): the outermost cells of top, left and right."""
    ring = np.zeros((rows, columns), dtype=bool)
    ring[0, :] = ring[:, 0] = ring[:, -1] = True
    ring.setflags(write=False)
    return ring


def background_of(cells: Bytes) -> Background:
    """Return the ring's main color and how much of the ring has it.

    Shades merge within CIEDE2000 of 6; the medoid is the cell with the least sum of differences.
    """
    return backgrounds_of(paint([cells]))[0]


def backgrounds_of(stack: Sequence[Painted]) -> list[Background]:
    """Return ``background_of`` for pictures that were painted together."""
    shades = stack[0].shades
    rings = [each.number[ring_mask(*each.number.shape)] for each in stack]
    palettes = merge_palettes(shades.rgb, shades.lab, rings)
    mains = [
        np.array(sorted(set(ring[palette.of == 0].tolist())))
        for ring, palette in zip(rings, palettes, strict=True)
    ]
    return [
        Background(rgb=shades.rgb[medoid], solid=100 * float(palette.share[0]))
        for medoid, palette in zip(_medoids(shades, mains), palettes, strict=True)
    ]


def _medoids(shades: Shades, groups: Sequence[Numbers]) -> list[int]:
    """Return of each group of colors the one that differs least from the others in sum."""
    pairs = [pairs_of(group[:, None], group).reshape(-1) for group in groups]
    apart = differences(shades.lab, np.concatenate(pairs))
    found, at = [], 0
    for group in groups:
        sums = apart[at : at + len(group) ** 2].reshape(len(group), -1).sum(axis=1)
        found.append(int(group[sums.argmin()]))
        at += len(group) ** 2
    return found


def foreground_mask(cells: Bytes, background: Background) -> Bools:
    """Return (rows, columns): cells not reached from the ring over the background's color."""
    return foreground_masks(paint([cells]), [background])[0]


def foreground_masks(stack: Sequence[Painted], grounds: Sequence[Background]) -> list[Bools]:
    """Return ``foreground_mask`` for pictures that were painted together."""
    masks: dict[int, Bools] = {}
    for places, number in by_shape(stack):
        rgb = np.stack([grounds[at].rgb for at in places])
        alike = _like(stack[0].shades, number, rgb)
        areas, count = ndimage.label(alike, _BESIDE)
        touched = np.zeros(count + 1, dtype=bool)
        touched[areas[:, ring_mask(*number.shape[1:])]] = True
        touched[0] = False
        masks |= zip(places, ~touched[areas], strict=True)
    return [masks[at] for at in range(len(stack))]


def _like(shades: Shades, number: Numbers, grounds: Bytes) -> Bools:
    """Return which numbered cells (n, rows, columns) look the same as their picture's background."""
    different, which = distinct(grounds)
    colors = lab(np.concatenate([shades.rgb, different]))
    ground = (len(shades.rgb) + which).repeat(number[0].size)
    pairs = pairs_of(number.reshape(-1), ground)
    return told_of_pairs(colors, pairs, lambda apart: apart <= MERGE, MERGE).reshape(number.shape)
