"""The small picture as it is shipped: cells read, reduced to a palette, and enlarged."""

import numpy as np
from PIL import Image

from core.formats.finishing import Finishing, read_finishing
from core.metrics.cells import Grid, cell_colors, cell_samples, grid_over
from core.metrics.color import Bytes, delta_e, lab, rgb_of_hex


def finish(pixels: Bytes, columns: int, finishing: str = "cells") -> Bytes:
    """Return the picture that is shipped, (rows, columns, 3) uint8 times the factor of an upscale.

    ``columns`` may not exceed the width. Raises Fixable when ``finishing`` is not understood.
    """
    steps = read_finishing(finishing)
    cells = finished_cells(pixels, grid_over(pixels, columns), steps)
    return cells.repeat(steps.upscale, axis=0).repeat(steps.upscale, axis=1)


def finished_cells(pixels: Bytes, grid: Grid, steps: Finishing) -> Bytes:
    """Return the cells of (H, W, 3) as they are shipped, before an upscale: (rows, columns, 3).

    Its own palette is found by median cut, as Pillow does it, without dithering; of a given one,
    each cell takes the color with the smallest CIEDE2000.
    """
    cells = cell_colors(pixels, grid) if steps.reading == "cells" else _at_centers(pixels, grid)
    if steps.palette:
        return _nearest_of(cells, steps.palette)
    if steps.colors is not None:
        reduced = Image.fromarray(cells).quantize(
            steps.colors, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
        )
        return np.asarray(reduced.convert("RGB"))
    return cells


def _at_centers(pixels: Bytes, grid: Grid) -> Bytes:
    """Return the pixel at the center of each cell, by Pillow's resizing to the nearest neighbor.

    A shift of the grid does not count: who resizes a picture does not look for one. A cropped
    picture has no such size: there, the pixel at the center of each cell that is seen is taken.
    """
    if abs(grid.columns * grid.pitch - pixels.shape[1]) > 0.5:
        return cell_samples(pixels, grid, 0.0)[:, :, 0, 0]
    size = (grid.columns, grid.rows)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST))


def _nearest_of(cells: Bytes, palette: tuple[str, ...]) -> Bytes:
    """Return each cell in the color of ``palette`` that is most like it."""
    colors = np.array([rgb_of_hex(color) for color in palette], dtype=np.uint8)
    distances = np.stack([delta_e(lab(cells), one) for one in lab(colors)])
    return colors[distances.argmin(axis=0)]
