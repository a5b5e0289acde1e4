"""What lies between cells: how sharply one becomes the next, and steps too small to be drawn.

Both are diagnostics, and no score uses them.
"""

import numpy as np
from numpy.typing import NDArray

from core.metrics.cells import INNER, Grid, sample_positions
from core.metrics.color import Bools, Bytes, Floats
from core.metrics.grid_search import SMALLEST_PITCH

RISE = 0.8  # of a cell: the 10-90 % width of an even ramp from the middle of a cell to the next's
_CONTRAST = 48.0  # levels of RGB that make an edge: below, noise is a good part of the step
_MOST_EDGES = 64  # each way, the strongest first: plenty for a median
_ROWS, _MOST_STEPS = 3, 16  # pixels that are averaged along an edge, and taken across it
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
    phases = (grid.phase_x, grid.phase_y)
    areas = [
        _ramp_areas(pixels, cells, grid.pitch, phases),
        _ramp_areas(pixels.swapaxes(0, 1), cells.swapaxes(0, 1), grid.pitch, phases[::-1]),
    ]
    found = np.concatenate(areas)
    return float(np.clip(1 - 6 * np.median(found), 0, 1)) if found.size else None


def _ramp_areas(pixels: Bytes, cells: Bytes, pitch: float, phases: tuple[float, float]) -> Floats:
    """Return (n,): the area of t (1 - t) over each vertical edge, t rising from 0 to 1, in pitches.

    It is w / 4.8 for an even ramp of the 10-90 % width w, and 0 for a step.
    """
    colors = cells.astype(np.float32)
    step = colors[:, 1:] - colors[:, :-1]
    squared = (step * step).sum(axis=-1)
    rows, columns = _strongest(squared)
    if not rows.size:
        return np.empty(0)
    xs = _pick(pixels.shape[1], _across(cells.shape[1], pitch) + phases[0])
    ys = _pick(pixels.shape[0], _along(cells.shape[0], pitch) + phases[1])
    taken = pixels[ys[rows][:, :, None], xs[columns][:, None, :]]
    onto = step[rows, columns] / squared[rows, columns][:, None]
    at = (taken.reshape(len(rows), -1, 3) @ onto[:, :, None]).reshape(taken.shape[:3])
    share = at.mean(axis=1) - (colors[rows, columns] * onto).sum(axis=-1)[:, None]
    return np.asarray((share * (1 - share)).mean(axis=1))


def _strongest(squared: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return rows and columns of the edges with the most contrast."""
    flat = squared.reshape(-1)
    order = np.argsort(-flat, kind="stable")[:_MOST_EDGES]
    rows, columns = np.unravel_index(order[flat[order] >= _CONTRAST**2], squared.shape)
    return rows, columns


def _across(columns: int, pitch: float) -> Floats:
    """Return (columns - 1, n): positions from the middle of each cell to that of the next."""
    n = min(_MOST_STEPS, int(np.ceil(pitch)))
    steps = (np.arange(n) + 0.5) / n
    return np.asarray((np.arange(columns - 1)[:, None] + 0.5 + steps) * pitch)


def _along(rows: int, pitch: float) -> Floats:
    """Return (rows, n): positions in the inner part of each cell."""
    within = sample_positions(rows, pitch, 0.0, INNER)
    n = within.shape[1]
    return within[:, np.linspace(0, n - 1, min(_ROWS, n)).astype(np.intp)]


def _pick(length: int, positions: Floats) -> NDArray[np.intp]:
    """Return positions as indices into an axis of ``length`` pixels."""
    return np.clip(np.floor(positions), 0, length - 1).astype(np.intp)


def banding(colors: Floats, across: Floats, down: Floats) -> float | None:
    """Return the share of neighboring cells, 0-1, that a step too small to be drawn divides.

    ``colors`` are cells (rows, columns, 3) in CIELAB, ``across`` (rows, columns - 1) and ``down``
    (rows - 1, columns) the CIEDE2000 of neighbors. Such a step is between 0.5 and 4, and goes on:
    the cells before and after it do not return, as they do in noise. None for a single cell.
    """
    if not across.size and not down.size:
        return None
    steps = [_goes_on(colors, across), _goes_on(colors.swapaxes(0, 1), down.T)]
    return float(np.concatenate([each.reshape(-1) for each in steps]).mean())


def _goes_on(colors: Floats, difference: Floats) -> Bools:
    """Return (rows, columns - 1): the small steps to the right that the cells around continue."""
    rows, columns = np.nonzero((difference > _SEEN) & (difference <= _DRAWN))
    here, there = colors[rows, columns], colors[rows, columns + 1]
    before = colors[rows, np.maximum(columns - 1, 0)]
    after = colors[rows, np.minimum(columns + 2, colors.shape[1] - 1)]
    step = there - here
    most = _ONWARD * np.einsum("nx,nx->n", step, step)
    onward = np.einsum("nx,nx->n", before - here, step) <= most
    onward &= np.einsum("nx,nx->n", there - after, step) <= most
    found = np.zeros(difference.shape, dtype=bool)
    found[rows, columns] = onward
    return found
