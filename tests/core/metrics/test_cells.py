"""Cells, and the small image made of them."""

import numpy as np
import pytest
from PIL import Image

from core.metrics import shrink_to_cells
from core.metrics.cells import cell_colors, grid_over, sample_positions
from core.metrics.color import delta_e, lab
from pictures import Portrait, blurred, enlarged, jpeg, noisy


@pytest.mark.parametrize("size", [24, 48, 72, 96, 100, 128, 500, 512, 720, 1024])
def test_a_clean_enlargement_shrinks_to_exactly_what_was_drawn(size: int) -> None:
    """The small image is the drawing, pixel for pixel, at any real-valued pitch."""
    cells = Portrait().cells()

    assert np.array_equal(shrink_to_cells(enlarged(cells, size), 24), cells)


@pytest.mark.parametrize(
    ("pitch", "pixels"), [(1.0, 1), (3.0, 1), (4.0, 2), (5.0, 3), (6.0, 4), (21.3333, 9)]
)
def test_only_the_inner_part_of_a_cell_is_read(pitch: float, pixels: int) -> None:
    """Sample positions stay within the inner 60 % of their cell and are centered in it."""
    positions = sample_positions(24, pitch, 0.0, 0.6)
    inside = positions / pitch - np.arange(24)[:, None]

    assert positions.shape == (24, pixels)
    assert inside.mean() == pytest.approx(0.5)
    assert inside.min() >= 0.2
    assert inside.max() <= 0.8


@pytest.mark.parametrize("damage", ["noise 4", "noise 8", "blur and noise", "jpeg 90", "bilinear"])
def test_damage_hardly_moves_the_color_of_a_cell(damage: str) -> None:
    """The median of the inner cell is nearly immune: the background moves by under 1."""
    cells, drawn = Portrait().cells(), Portrait().drawn()
    spoiled = {
        "noise 4": lambda: noisy(drawn, 4),
        "noise 8": lambda: noisy(drawn, 8),
        "blur and noise": lambda: noisy(blurred(drawn, 1), 4),
        "jpeg 90": lambda: jpeg(drawn, 90),
        "bilinear": lambda: enlarged(cells, 512, Image.Resampling.BILINEAR),
    }[damage]()

    moved = delta_e(lab(shrink_to_cells(spoiled, 24)[0]), lab(cells[0]))

    assert moved.max() < 1


def test_a_picture_that_is_not_square_keeps_square_cells() -> None:
    """512x768 over 24 cells has 36 rows."""
    pixels = np.zeros((768, 512, 3), dtype=np.uint8)

    assert shrink_to_cells(pixels, 24).shape == (36, 24, 3)
    assert grid_over(pixels, 24).rows == 36


def test_cells_can_be_read_from_a_grid_that_is_shifted() -> None:
    """A phase moves every cell by the same number of pixels."""
    drawn = np.roll(Portrait().drawn(480), (7, -5), axis=(0, 1))
    laid = grid_over(drawn, 24)
    moved = type(laid)(columns=24, rows=24, pitch=20.0, phase_x=-5.0, phase_y=7.0)

    inner = (slice(1, 23), slice(1, 23))
    assert np.array_equal(cell_colors(drawn, moved)[inner], Portrait().cells()[inner])
