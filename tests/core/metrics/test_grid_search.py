"""Edges on a grid, and the grid that fits."""

import numpy as np
import pytest
from PIL import Image
from skimage import data

from core.metrics.grid_search import alignment, edge_profiles, find_grid
from pictures import Portrait, blurred, enlarged, jpeg, noisy


def score(pixels: np.ndarray, columns: int = 24) -> float:
    """Return the alignment of an image that has edges."""
    found = alignment(edge_profiles(pixels), columns)
    assert found
    return found.score


@pytest.mark.parametrize("size", [96, 128, 512, 720])
def test_a_clean_drawing_sits_on_its_grid(size: int) -> None:
    """Alignment is 1 at large and at four-pixel cells, and noise takes nothing from it."""
    assert score(Portrait().drawn(size)) > 0.99
    assert score(noisy(Portrait().drawn(size), 8)) > 0.98


@pytest.mark.parametrize("size", [96, 512])
def test_a_smooth_enlargement_does_not(size: int) -> None:
    """A bilinear enlargement has no edges on lines."""
    assert score(enlarged(Portrait().cells(), size, Image.Resampling.BILINEAR)) < 0.1


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "rocket", "retina"])
@pytest.mark.parametrize("size", [96, 512])
def test_photographs_lie_at_chance(name: str, size: int) -> None:
    """Photographs have no grid and none is found."""
    photo = Image.fromarray(getattr(data, name)()[..., :3])
    edges = edge_profiles(np.asarray(photo.resize((size, size))))
    found = alignment(edges, 24)

    assert found
    assert found.score < 0.15
    assert find_grid(edges) is None


def test_alignment_falls_with_blur_without_a_jump_upwards() -> None:
    """More blur is never better aligned."""
    scores = [score(blurred(Portrait().drawn(), radius)) for radius in (0, 1, 2, 3, 4, 6, 9)]

    assert scores == sorted(scores, reverse=True)
    assert scores[1] > 0.95
    assert scores[-1] < 0.3


def test_a_jpeg_keeps_most_of_the_alignment() -> None:
    """The eight-pixel blocks of a JPEG do not hide the grid."""
    assert score(jpeg(Portrait().drawn(), 90)) > 0.8


def test_a_shifted_grid_is_found_with_its_shift() -> None:
    """A cropped image is aligned at a phase, and not at the border."""
    shifted = np.roll(Portrait().drawn(480), (7, -5), axis=(0, 1))
    found = alignment(edge_profiles(shifted), 24)

    assert found
    assert found.score > 0.95
    assert found.unshifted < 0.2
    assert found.phase_x == pytest.approx(-5, abs=0.5)
    assert found.phase_y == pytest.approx(7, abs=0.5)


def test_the_shift_of_small_cells_is_right_to_the_pixel() -> None:
    """At four pixels a cell, also between two pixels, half of all edges lie beside a line."""
    for radius in (0.0, 1 / 3):
        moved = np.roll(blurred(Portrait().drawn(96), radius), (1, -1), axis=(0, 1))
        found = alignment(edge_profiles(moved), 24)

        assert found
        assert found.phase_x == pytest.approx(-1, abs=0.1)
        assert found.phase_y == pytest.approx(1, abs=0.1)


def test_another_grid_than_asked_for_is_told_apart() -> None:
    """Art of 32 cells seen as 24 is poorly aligned."""
    cells = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)

    assert score(enlarged(cells, 512), 24) < 0.4
    assert score(enlarged(cells, 512), 32) > 0.99


@pytest.mark.parametrize("cells", [8, 13, 16, 24, 32, 48, 64, 100])
def test_the_number_of_cells_is_found(cells: int) -> None:
    """Any grid from 8 to 128 is found, not a multiple or a part of it."""
    drawn = np.random.default_rng(cells).integers(0, 256, (cells, cells, 3), dtype=np.uint8)

    assert find_grid(edge_profiles(enlarged(drawn, 512))) == cells


def test_a_blank_image_has_no_alignment() -> None:
    """Without edges there is nothing to align: None, not 0."""
    edges = edge_profiles(np.full((64, 64, 3), 9, dtype=np.uint8))

    assert alignment(edges, 24) is None
    assert find_grid(edges) is None
