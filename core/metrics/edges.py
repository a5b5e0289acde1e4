"""What lies between cells: how sharply one becomes the next, and steps too small to be drawn.

Both are diagnostics, and no score uses them.
"""

from functools import lru_cache
from statistics import median
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from core.metrics.cells import Grid, pixels_at
from core.metrics.color import Bools, Bytes, Floats
from core.metrics.grid_search import SMALLEST_PITCH

Places = NDArray[np.intp]
_Real = TypeVar("_Real", np.float32, np.float64)

RISE = 0.8  # of a cell: the 10-90 % width of an even ramp from the middle of a cell to the next's
_CONTRAST = 48.0  # levels of RGB that make an edge: below, noise is a good part of the step
_MOST_EDGES = 64  # each way, the strongest first: plenty for a median
_MOST_STEPS = 16  # pixels taken across an edge
_WITHIN = np.array([0.3, 0.5, 0.7])  # of a cell, where pixels are averaged along its edge
_SEEN, _DRAWN = 0.5, 4.0  # CIEDE2000: below nothing is to be seen, above a step stands by itself
_ONWARD = 0.25  # of a step that the cells before and after it may go back


def edge_sharpness(pixels: Bytes, grid: Grid, cells: Bytes) -> float | None:
    """Return 0-1: 1 where cells change from one pixel to the next, 0 where over a whole cell.

    That is 1 - w / 0.8, w being the median 10-90 % width in pitches of the edges between cells
    (rows, columns, 3) as they lie in ``pixels``. The width comes from the area between an edge
    and a step, which noise hardly moves: exact for an even ramp, 6 % too wide for a Gaussian blur.
    None below 3 pixels a cell, and where no two neighbors are 48 levels apart.
    """
    if grid.pitch < SMALLEST_PITCH:
        return None
    height, width = pixels.shape[:2]
    right, beside = _positions(grid.columns, grid.pitch, grid.phase_x, width)
    down, below = (width * at for at in _positions(grid.rows, grid.pitch, grid.phase_y, height))
    colors = cells.astype(np.float32)
    both = _edges(colors, right, below), _edges(colors.swapaxes(0, 1), down, beside)
    begin, step = (
        np.concatenate([each[0] for each in both]),
        np.concatenate([each[1] for each in both]),
    )
    where = np.concatenate([each[2] for each in both])
    if not len(step):
        return None
    rise = _rise(pixels.reshape(-1, 3).take(where, axis=0), begin, step)
    area = (rise * (1 - rise)).mean(axis=1)  # w / 4.8 for an even ramp, 0 for a step
    return min(max(1 - 6 * median(area.tolist()), 0.0), 1.0)


@lru_cache(maxsize=16)  # a run has one grid
def _positions(count: int, pitch: float, phase: float, length: int) -> tuple[Places, Places]:
    """Return (count - 1, n) pixels between the middles of neighbors, (count, m) within each cell."""
    n = min(_MOST_STEPS, int(np.ceil(pitch)))
    across = np.arange(1, count)[:, None] + (np.arange(n) + 0.5) / n - 0.5
    along = np.arange(count)[:, None] + _WITHIN
    return pixels_at(length, across * pitch + phase), pixels_at(length, along * pitch + phase)


def _edges(
    colors: NDArray[np.float32], across: Places, along: Places
) -> tuple[NDArray[np.float32], NDArray[np.float32], Places]:
    """Return the strongest edges between neighbors in a row of (rows, columns, 3) colors.

    The (k, 3) color on the left, the (k, 3) step from it, and (k, m, n) indices of the pixels.
    """
    step = colors[:, 1:] - colors[:, :-1]
    squared = _products(step, step).reshape(-1)
    order = np.flatnonzero(squared >= _CONTRAST**2)
    if len(order) > _MOST_EDGES:
        order = order[np.argpartition(-squared[order], _MOST_EDGES)[:_MOST_EDGES]]
    row, column = np.divmod(order, max(step.shape[1], 1))
    where = across[column][:, None, :] + along[row][:, :, None]
    return colors[row, column], step[row, column], where


def _rise(
    taken: Bytes, begin: NDArray[np.float32], step: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return (k, n): how far (k, m, n, 3) pixels are on the way from one cell's color to the next's."""
    onto = step / _products(step, step)[:, None]
    at = (taken.reshape(len(step), -1, 3) @ onto[:, :, None]).reshape(taken.shape[:3])
    return np.asarray(at.mean(axis=1) - _products(begin, onto)[:, None])


def is_small_step(apart: Floats) -> Bools:
    """Return which CIEDE2000 between neighbors are seen, and are too small to be drawn."""
    return (apart > _SEEN) & (apart <= _DRAWN)


def banding(number: Places, colors: Floats, across: Bools, down: Bools) -> list[float | None]:
    """Return the share of neighboring cells, 0-1, that a step too small to be drawn divides.

    One for each picture of (n, rows, columns) cells, numbered in (k, 3) CIELAB ``colors``;
    ``across`` (n, rows, columns - 1) and ``down`` (n, rows - 1, columns) tell which neighbors are
    an ``is_small_step`` apart, a CIEDE2000 of 0.5 to 4. It has to go on: the cells before and
    after it do not return, as they do in noise. None for a single cell.
    """
    pairs = across[0].size + down[0].size
    if not pairs:
        return [None] * len(number)
    turned = number.swapaxes(1, 2), down.swapaxes(1, 2)
    counts = _small_steps(number, colors, across) + _small_steps(turned[0], colors, turned[1])
    return [float(count) / pairs for count in counts]


def _small_steps(number: Places, colors: Floats, step_there: Bools) -> Places:
    """Return (n,): how many steps within the rows of (n, rows, columns) are small and go on.

    At the ends of a row the next cell is taken to be the same, which is no way back.
    """
    longer = np.concatenate([number[:, :, :1], number, number[:, :, -1:]], axis=2)
    small = np.zeros(longer.shape, dtype=bool)
    small[:, :, 1:-2] = step_there
    at = np.flatnonzero(small)
    around = [longer.reshape(-1)[at + cell] for cell in (-1, 0, 1, 2)]
    square, turn_before, turn_after = np.zeros((3, len(at)))
    for plane in np.ascontiguousarray(colors.T):
        before, here, there, after = (plane[cell] for cell in around)
        step = there - here
        square += step * step
        turn_before += (here - before) * step
        turn_after += (after - there) * step
    # below 0: goes back
    small.reshape(-1)[at] = np.minimum(turn_before, turn_after) >= -_ONWARD * square
    return np.count_nonzero(small, axis=(1, 2))


def _products(first: NDArray[_Real], second: NDArray[_Real]) -> NDArray[_Real]:
    """Return the scalar products of (..., 3) vectors."""
    return np.asarray(np.einsum("...x,...x->...", first, second))
