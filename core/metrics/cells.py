"""Where the cells of a pixel grid lie, and the one color of each: everything is measured on cells.

A pitch is real-valued (512 pixels over 24 cells: 21.33 pixels a cell), so edges are ``k * pitch``.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from core.metrics.color import Bools, Bytes, Floats

INNER = 0.6  # of a cell, away from edges that resizing or a VAE has mixed
_MOST_SAMPLES = 9  # per axis and cell: a median over 81 pixels is as good as one over 169


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A grid laid over an image: ``columns`` by ``rows`` square cells of ``pitch`` pixels."""

    columns: int
    rows: int
    pitch: float
    phase_x: float = 0.0  # pixels by which the first line lies right of the left border
    phase_y: float = 0.0

    @property
    def cells(self) -> int:
        """Number of cells."""
        return self.columns * self.rows


def grid_over(pixels: Bytes, columns: int) -> Grid:
    """Return the grid of ``columns`` cells along the width of an (H, W, 3) image."""
    height, width = pixels.shape[:2]
    pitch = width / columns
    return Grid(columns=columns, rows=max(1, round(height / pitch)), pitch=pitch)


def grid_at(pixels: Bytes, columns: float, phase_x: float, phase_y: float) -> Grid:
    """Return a grid whose first lines lie up to half a pitch beside the borders of (H, W, 3).

    ``columns`` need not be whole. A cell of which less than half is seen is left out; of the
    others, what lies beyond a border is read at the border, which is still inside the cell.
    """
    height, width = pixels.shape[:2]
    pitch = width / columns
    across, down = ((size - at) / pitch for size, at in ((width, phase_x), (height, phase_y)))
    return Grid(
        columns=_most_seen(across),
        rows=_most_seen(down),
        pitch=pitch,
        phase_x=phase_x,
        phase_y=phase_y,
    )


def _most_seen(cells: float) -> int:
    """Return the number of cells, the last one counted if at least half of it is seen."""
    return max(1, int(np.floor(cells + 0.5 + 1e-9)))


def sample_positions(count: int, pitch: float, phase: float, part: float) -> NDArray[np.float64]:
    """Return (count, n) pixel centers that lie in the inner ``part`` of each cell, n at least 1."""
    low, high = (1 - part) / 2 * pitch, (1 + part) / 2 * pitch
    n = max(1, int(np.floor(high - 0.5 + 1e-9) - np.ceil(low - 0.5 - 1e-9)) + 1)
    offsets = np.linspace(-(n - 1) / 2, (n - 1) / 2, min(n, _MOST_SAMPLES))
    return np.asarray((np.arange(count)[:, None] + 0.5) * pitch + phase + offsets)


def pixels_at(length: int, positions: Floats) -> NDArray[np.intp]:
    """Return positions as indices into an axis of ``length`` pixels."""
    return np.clip(np.floor(positions), 0, length - 1).astype(np.intp)


@lru_cache(maxsize=16)  # a run has one grid
def _sampled(length: int, count: int, pitch: float, phase: float, part: float) -> NDArray[np.intp]:
    """Return (count, n) indices into an axis of ``length`` pixels: the inner ones of each cell."""
    return pixels_at(length, sample_positions(count, pitch, phase, part))


def cell_samples(pixels: Bytes, grid: Grid, part: float = INNER) -> Bytes:
    """Return the inner pixels of all cells: (rows, columns, n, n, 3) uint8."""
    height, width = pixels.shape[:2]
    ys = _sampled(height, grid.rows, grid.pitch, grid.phase_y, part)
    xs = _sampled(width, grid.columns, grid.pitch, grid.phase_x, part)
    taken = pixels.take(ys.reshape(-1), axis=0).take(xs.reshape(-1), axis=1)
    return taken.reshape(*ys.shape, *xs.shape, 3).swapaxes(1, 2)


def median_color(samples: Bytes) -> Bytes:
    """Return the channel-wise median over axis -2 of (..., n, 3) uint8, n below 256, as uint8.

    An even number of samples gives the mean of the middle two, a half rounded up.
    """
    n = samples.shape[-2]
    flat = np.ascontiguousarray(np.moveaxis(samples, -2, 0))
    low = _by_rank(flat, (n - 1) // 2)
    if n % 2:
        return low
    next_up = np.where(flat > low, flat, np.uint8(255)).min(axis=0)
    high = np.where(_count(flat <= low) > n // 2, low, next_up)
    return ((low.astype(np.uint16) + high + 1) // 2).astype(np.uint8)


def _by_rank(flat: Bytes, rank: int) -> Bytes:
    """Return the value that ``rank`` others along axis 0 precede, found bit by bit.

    Eight counts over whole arrays are several times faster than sorting thousands of short rows.
    """
    found = np.zeros(flat.shape[1:], dtype=np.uint8)
    for bit in (128, 64, 32, 16, 8, 4, 2, 1):
        trial = found | np.uint8(bit)
        found = np.where(_count(flat < trial) <= rank, trial, found)
    return found


def _count(truths: Bools) -> Bytes:
    """Return how many are true along axis 0, which is shorter than 256."""
    return np.asarray(np.add.reduce(truths.view(np.uint8), axis=0, dtype=np.uint8))


def cell_colors(pixels: Bytes, grid: Grid) -> Bytes:
    """Return (rows, columns, 3) uint8: the median color of the inner 60 % of each cell."""
    samples = cell_samples(pixels, grid)
    rows, columns, n = samples.shape[:3]
    if n == 1:
        return np.ascontiguousarray(samples[:, :, 0, 0])
    return median_color(samples.reshape(rows, columns, -1, 3))


def shrink_to_cells(pixels: Bytes, grid: int) -> Bytes:
    """Return the small image: (rows, grid, 3) uint8, one pixel a cell; square stays square.

    The cell median keeps flat colors exact where nearest-neighbor resizing picks a noisy pixel
    and averaging mixes neighbors. ``grid`` may not exceed the width.
    """
    return cell_colors(pixels, grid_over(pixels, grid))
