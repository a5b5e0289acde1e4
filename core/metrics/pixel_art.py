"""Is it clean pixel art: flat cells, a small palette, no stray cells, no photograph.

The anchors are those of 204 portraits of 24x24 cells drawn by people; all lengths are in pitches.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.metrics.cells import Grid, cell_samples, median_color
from core.metrics.color import (
    JND,
    MERGE,
    Bools,
    Bytes,
    Floats,
    Numbers,
    delta_e,
    lab,
    pairs_of,
    told_of_pairs,
)
from core.metrics.color_words import Painted, by_shape, paint
from core.metrics.edges import banding, is_small_step
from core.metrics.grid_search import SMALLEST_PITCH

_HALVES = 0.7  # inner part of a cell whose halves are compared
_ROOMY = 8.0  # pixels a cell from which its inner part alone can show a ramp
_ALIGNED = 0.95  # alignment that earns 100
_FLAT, _UNEVEN = 0.98, 0.5  # flatness that earns 100 and 0 (photographs lie at 0.4-0.8)
_MANY_TONES = 45.0
_FEW_PIXELS = 16_384
_DRAWN_PLAIN = 0.5
# down, right: each pair of neighbors once, those side by side and one below the other first
_STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))
_UNLIKE, _SAME, _STEP = np.array([1, 2, 4], dtype=np.uint8)  # bits of what is told of neighbors
ALIGNMENT_LOST, FLATNESS_LOST = 0.25, 0.95


@dataclass(frozen=True, kw_only=True)
class StyleAnchors:
    """What good pixel art measures, at a grid of 24x24 cells."""

    palette_95: float = 22.0  # entries
    orphans_75: float = 0.027  # share of cells
    orphans_95: float = 0.053
    orphans_99: float = 0.085

    def palette_limit(self, cells: int) -> float:
        """Return the palette size that earns full marks: it grows with the side of the grid."""
        return self.palette_95 * math.sqrt(cells) / 24


DRAWN_BY_PEOPLE = StyleAnchors()


def cell_flatness(pixels: Bytes, grid: Grid) -> float | None:
    """Return the share of cells, 0-1, without a visible ramp; None below 3 pixels a cell."""
    flat = flat_mask(pixels, grid)
    return None if flat is None else float(flat.mean())


def flat_mask(pixels: Bytes, grid: Grid) -> Bools | None:
    """Return (rows, columns): the cells without a visible ramp; None below 3 pixels a cell.

    A ramp is a CIEDE2000 of 3 between the medians of the left and right or the top and bottom
    halves of the inner 70 %. Medians do not see noise, but those of few pixels do, so the
    threshold grows as cells shrink.
    """
    if grid.pitch < SMALLEST_PITCH:
        return None
    samples = cell_samples(pixels, grid, _HALVES if grid.pitch >= _ROOMY else 1.0)
    n = samples.shape[2]
    half = n // 2
    turned = samples.swapaxes(2, 3)
    halves = np.stack(
        [
            each[:, :, part]
            for part in (slice(half), slice(n - half, n))
            for each in (samples, turned)
        ]
    )
    colors = lab(median_color(halves.reshape(*halves.shape[:3], -1, 3)))
    ramp = delta_e(colors[:2], colors[2:]).max(axis=0)
    return np.asarray(ramp < JND * (1 + 4 / (half * n)))


@dataclass(frozen=True, kw_only=True)
class Neighbors:
    """How cells resemble their neighbors."""

    orphans: float  # 0-1, share of cells unlike all their up to 8 neighbors
    plain: float  # 0-1, share of neighboring pairs that look the same
    banding: float | None  # 0-1, share of those side by side with a step too small to be drawn


def compare_neighbors(cells: Bytes) -> Neighbors:
    """Return how (rows, columns, 3) cells resemble their neighbors.

    Unlike means a CIEDE2000 above 6, the same one below 3. Eyes and jewels are legitimate orphans:
    judge their share against what good art has, never against 0.
    """
    return neighbors_of(paint([cells]))[0]


def neighbors_of(stack: Sequence[Painted]) -> list[Neighbors]:
    """Return ``compare_neighbors`` for pictures that were painted together."""
    found: dict[int, Neighbors] = {}
    for places, number in by_shape(stack):
        alone, sides = _against_neighbors(number, stack[0].shades.lab)
        pairs = sum(side[0].size for side in sides)
        same = sum(np.count_nonzero(side & _SAME, axis=(1, 2)) for side in sides)
        plain = same / pairs if pairs else np.ones(len(number))
        small = [side & _STEP != 0 for side in sides[:2]]
        bands = banding(number, stack[0].shades.lab, *small)
        orphans = alone.mean(axis=(1, 2))
        for at, share, alike, band in zip(places, orphans, plain, bands, strict=True):
            found[at] = Neighbors(orphans=float(share), plain=float(alike), banding=band)
    return [found[at] for at in range(len(stack))]


def orphan_mask(cells: Bytes) -> Bools:
    """Return (rows, columns): the cells unlike all their neighbors."""
    painted = paint([cells])[0]
    return _against_neighbors(painted.number[None], painted.shades.lab)[0][0]


def _against_neighbors(number: Numbers, colors: Floats) -> tuple[Bools, list[Bytes]]:
    """Compare all neighbors of (n, rows, columns) cells, numbered in (k, 3) CIELAB ``colors``.

    Return (n, rows, columns), the orphans, and what is told of the pairs in the directions of
    _STEPS: the sum of _UNLIKE, _SAME and _STEP where they hold.
    """
    sides = [_neighbors(*step) for step in _STEPS]
    short = number.astype(np.min_scalar_type(-len(colors) * (len(colors) + 1)))  # half the memory
    pairs = [pairs_of(short[:, *here], short[:, *there]) for here, there in sides]
    asked = np.concatenate([each.reshape(-1) for each in pairs], dtype=np.intp)
    told = told_of_pairs(colors, asked, _told, MERGE)
    ends = np.cumsum([each.size for each in pairs])[:-1]
    found = [
        each.reshape(pair.shape) for each, pair in zip(np.split(told, ends), pairs, strict=True)
    ]
    alone = np.full(number.shape, _UNLIKE, dtype=np.uint8)
    for (here, there), each in zip(sides, found, strict=True):
        alone[:, *here] &= each
        alone[:, *there] &= each
    return alone != 0, found


def _told(apart: Floats) -> Bytes:
    """Return what neighbors are asked, of their CIEDE2000."""
    return (apart > MERGE) * _UNLIKE | (apart < JND) * _SAME | is_small_step(apart) * _STEP


def _neighbors(down: int, right: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the slices of all cells that have a neighbor in a direction, and of the neighbors."""
    rows = slice(0, -down or None), slice(down, None)
    if right < 0:
        return (rows[0], slice(-right, None)), (rows[1], slice(0, right))
    columns = slice(0, -right or None), slice(right, None)
    return (rows[0], columns[0]), (rows[1], columns[1])


def alignment_points(score: float) -> float:
    """Return 0-100 for a grid alignment; 0.95 earns 100."""
    return 100 * _within(score / _ALIGNED)


def flatness_points(share: float) -> float:
    """Return 0-100 for a cell flatness; 0.98 earns 100, 0.5 (photographs) earns 0."""
    return 100 * _within((share - _UNEVEN) / (_FLAT - _UNEVEN))


def palette_points(size: int, cells: int, anchors: StyleAnchors) -> float:
    """Return 0-100 for a palette size: 100 up to the limit, 0 with a color for every cell."""
    limit = anchors.palette_limit(cells)
    if size <= limit or cells <= limit:
        return 100.0
    return 100 * _within(float(1 - np.log(size / limit) / np.log(cells / limit)))


def orphan_points(share: float, anchors: StyleAnchors) -> float:
    """Return 0-100 for a share of orphans: 100 to the 75 % quantile, 0 at five times the 95 %."""
    good, bad = anchors.orphans_75, 5 * anchors.orphans_95
    return 100 * _within((bad - share) / (bad - good))


def _within(value: float) -> float:
    """Return a value, but not below 0 nor above 1."""
    return min(max(value, 0.0), 1.0)


def has_random_pixels(share: float, anchors: StyleAnchors) -> bool:
    """Return whether more cells are orphans than in nearly all good art."""
    return share > max(0.04, anchors.orphans_99)


def has_lost_the_grid(aligned: float | None, flatness: float | None) -> bool:
    """Return whether neither edges nor cells show a grid: a photograph or a blurred image."""
    if aligned is None or flatness is None:
        return False
    return aligned < ALIGNMENT_LOST and flatness < FLATNESS_LOST


def tone_counts(pictures: Sequence[Bytes]) -> list[float]:
    """Return the effective number of tones, from 1: exp of the entropy of 5-bit colors.

    Blurred or smoothly enlarged sprites stay below about 45, photographs mostly lie above 60.
    """
    height, width = pictures[0].shape[:2]
    if height * width < _FEW_PIXELS and len({pixels.shape for pixels in pictures}) == 1:
        counted = _sorted_counts(_tone_codes(np.stack(pictures)))
    else:
        counted = [_table_counts(_tone_codes(pixels[None])[0]) for pixels in pictures]
    shares = (counts / counts.sum() for counts in counted)
    return [float(np.exp(-np.add.reduce(share * np.log(share)))) for share in shares]


def _tone_codes(stack: Bytes) -> NDArray[np.int32]:
    """Return (n, m) 15-bit codes of every other pixel each way of (n, H, W, 3)."""
    shifted = (stack[:, ::2, ::2] >> 3).astype(np.int32)
    codes = (shifted[..., 0] << 10) | (shifted[..., 1] << 5) | shifted[..., 2]
    return codes.reshape(len(stack), -1)


def _table_counts(codes: NDArray[np.int32]) -> Numbers:
    """Return how often each code comes that comes at all."""
    counts = np.bincount(codes)
    return counts[counts > 0]


def _sorted_counts(codes: NDArray[np.int32]) -> list[Numbers]:
    """Return the same for each row of (n, m) codes, where m is small against all that can be."""
    codes.sort(axis=1)
    begins = np.ones(codes.shape, dtype=bool)
    np.not_equal(codes[:, 1:], codes[:, :-1], out=begins[:, 1:])
    counts = np.diff(np.append(np.flatnonzero(begins), codes.size))
    return np.split(counts, np.cumsum(np.count_nonzero(begins, axis=1))[:-1])


def is_photographic(
    *, lost_grid: bool, tones: float, size: int, neighbors: Neighbors, cells: int
) -> bool:
    """Return whether an image reads as a photograph, or as one that was merely pixelated.

    Without a grid: stray cells, a large palette or many tones. With one: stray cells and a large
    palette, where less than half of the neighbors look the same, as they do in a spoiled drawing.
    Fixed anchors only, so that the flag means the same in every run.
    """
    many = size > 1.5 * DRAWN_BY_PEOPLE.palette_limit(cells)
    if lost_grid:
        return many or neighbors.orphans > 0.04 or tones > _MANY_TONES
    stray = neighbors.orphans > DRAWN_BY_PEOPLE.orphans_99
    return many and stray and neighbors.plain < _DRAWN_PLAIN
