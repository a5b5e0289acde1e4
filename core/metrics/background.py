"""The background: the ring of outermost cells at the top, left and right.

Not the bottom, which a bust touches; and by geometry, never by the color that was promised.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from core.metrics.color import (
    MERGE,
    Bools,
    Bytes,
    delta_e,
    distinct,
    hex_of_rgb,
    lab,
    merge_palette,
)
from core.metrics.color_words import CellMatch, Target, match_cells


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

    @property
    def score(self) -> float:
        """The graded score: a plainly green background must not count as 0 for one wrong shade."""
        return 0.5 * self.match + 0.3 * self.closeness + 0.2 * self.hue

    @property
    def is_wrong(self) -> bool:
        """Whether most cells neither match nor share the hue class."""
        return self.match < 50 and self.hue < 50


def figures_of(answer: CellMatch) -> ColorFigures:
    """Return the three figures of cells that all count the same."""
    return ColorFigures(
        match=100 * float(answer.match.mean()),
        closeness=100 * float(answer.closeness.mean()),
        hue=100 * float(answer.hue.mean()),
    )


def ring_mask(rows: int, columns: int) -> Bools:
    """Return (rows, columns): the outermost cells of top, left and right."""
    ring = np.zeros((rows, columns), dtype=bool)
    ring[0, :] = ring[:, 0] = ring[:, -1] = True
    return ring


def ring_cells(cells: Bytes) -> Bytes:
    """Return the ring of (rows, columns, 3) cells as (n, 3)."""
    return cells[ring_mask(*cells.shape[:2])]


def background_of(cells: Bytes) -> Background:
    """Return the ring's main color and how much of the ring has it.

    Shades merge within CIEDE2000 of 6; the medoid is the cell with the least sum of differences.
    """
    ring = ring_cells(cells)
    palette = merge_palette(ring)
    main = np.unique(ring[palette.of == 0], axis=0)
    colors = lab(main)
    medoid = delta_e(colors[:, None], colors[None, :]).sum(axis=1).argmin()
    return Background(rgb=main[medoid], solid=100 * float(palette.share[0]))


def background_figures(cells: Bytes, targets: tuple[Target, ...]) -> ColorFigures:
    """Return how the ring answers to the promised color or, for a pattern, to any of its colors."""
    return figures_of(match_cells(ring_cells(cells), targets))


def foreground_mask(cells: Bytes, background: Background) -> Bools:
    """Return (rows, columns): cells not reached from the ring over the background's color."""
    rgb, of = distinct(cells)
    alike = (delta_e(lab(rgb), lab(background.rgb)) <= MERGE)[of].reshape(cells.shape[:2])
    areas, _ = ndimage.label(alike)
    touching = np.unique(areas[ring_mask(*cells.shape[:2])])
    return np.asarray(~np.isin(areas, touching[touching > 0]))
