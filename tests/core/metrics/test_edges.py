"""Edges and ramps between cells, on pictures whose answer is known."""

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from core.metrics import measure
from core.metrics.cells import cell_colors, grid_over
from core.metrics.edges import RISE, edge_sharpness
from core.nouns import MetricValue
from pictures import Bytes, Portrait, blurred, enlarged, noisy, rgb

ONE = Portrait()


def found(name: str, pixels: Bytes, grid: int | None = 24) -> MetricValue:
    """Return one metric of a picture."""
    return measure(pixels, expect=ONE.expect, grid=grid).metrics[name]


def gradient(step: int, columns: int = 24) -> Bytes:
    """Return (24, columns, 3) gray cells that grow lighter by ``step`` levels from left to right."""
    light = np.minimum(40 + step * np.arange(columns), 240)
    return np.broadcast_to(light[None, :, None], (24, columns, 3)).astype(np.uint8)


@pytest.mark.parametrize("size", [96, 192, 500, 512])
def test_hard_cells_are_perfectly_sharp_at_every_pitch(size: int) -> None:
    """A hard edge has no width, whether a cell has 4 pixels, 20.83 or 21.33."""
    assert found("edge_sharpness", ONE.drawn(size)).value == pytest.approx(1, abs=0.01)


def test_the_width_of_a_known_blur_is_measured_in_cells() -> None:
    """A Gaussian of s has a 10-90 % width of 2.56 s; what is measured is 6 % more."""
    cells = np.indices((12, 12))[1] // 6 * 150 + 40  # one edge, far from everything else
    pixels = blurred(enlarged(np.stack([cells] * 3, axis=-1).astype(np.uint8), 480), 4)
    grid = grid_over(pixels, 12)
    sharp = edge_sharpness(pixels, grid, cell_colors(pixels, grid))

    assert sharp is not None
    assert RISE * (1 - sharp) == pytest.approx(1.06 * 2.56 * 4 / 40, rel=0.05)


def test_a_smooth_enlargement_is_not_sharp_and_says_how_wide_its_edges_are() -> None:
    """Bilinear cells are ramps from middle to middle."""
    smooth = found("edge_sharpness", enlarged(ONE.cells(), 512, Image.Resampling.BILINEAR))

    assert smooth.value is not None
    assert smooth.value < 0.1
    assert "over 0.7" in smooth.explanation


def test_noise_and_a_shifted_grid_take_no_sharpness() -> None:
    """Only what widens edges counts."""
    shifted = np.roll(ONE.drawn(), (7, -5), axis=(0, 1))

    for pixels in (noisy(ONE.drawn(), 16), shifted):
        value = found("edge_sharpness", pixels).value
        assert value is not None
        assert value > 0.94


@pytest.mark.parametrize(
    ("name", "pixels", "grid", "reason"),
    [
        ("edge_sharpness", ONE.cells(), 24, "under 3 pixels"),
        ("edge_sharpness", enlarged(gradient(2), 192), 24, "no edges"),
        ("edge_sharpness", gradient(9, 200)[:, ::-1].repeat(8, axis=0), None, "not applicable"),
        ("banding", gradient(9, 200)[:, ::-1].repeat(8, axis=0), None, "not applicable"),
        ("banding", noisy(gradient(9), 9), 1, "a single cell"),
    ],
)
def test_where_there_is_nothing_to_measure_it_says_so(
    name: str, pixels: Bytes, grid: int | None, reason: str
) -> None:
    """None with a reason, never 0."""
    told = found(name, pixels, grid)

    assert told.value is None
    assert reason in told.explanation


def test_a_gradient_is_banding_and_what_is_drawn_is_not() -> None:
    """Half of all neighbors of a gradient from left to right; none of a clean portrait."""
    assert found("banding", enlarged(gradient(4), 192)).value == pytest.approx(0.5, abs=0.02)
    assert found("banding", ONE.drawn(192)).value == 0


def test_steps_that_nobody_sees_and_steps_that_stand_by_themselves_are_no_banding() -> None:
    """One level of gray is even; twenty levels are shades of their own."""
    for step in (1, 20):
        assert found("banding", enlarged(gradient(step), 192)).value == 0


def test_noise_is_no_ramp() -> None:
    """Steps of the same size that lead nowhere are a tenth at most, whatever their strength."""
    for sigma in (4, 8, 16, 32):
        assert (found("banding", noisy(ONE.drawn(), sigma)).value or 0) < 0.12


def test_fewer_bands_in_the_same_gradient_are_less_banding() -> None:
    """A gradient in ever fewer colors ends as two areas with a step that is drawn."""
    smooth = gradient(3).astype(int) - 40
    shares = []
    for each in (3, 6, 12, 24):  # levels a band
        bands = enlarged((40 + smooth // each * each).astype(np.uint8), 192)
        shares.append(found("banding", bands).value or 0.0)

    assert all(later <= earlier for earlier, later in pairwise(shares))
    assert shares[0] > 0.4 > shares[1] > 0
    assert shares[-1] == 0


def test_neither_enters_a_score() -> None:
    """Banding all over the background changes no score that its other numbers leave alone."""
    cells = ONE.cells()
    ground = (cells == rgb(ONE.background)).all(axis=-1)
    cells[ground] = np.add(rgb(ONE.background), [0, 3, 0])
    cells[:, :12][ground[:, :12]] = rgb(ONE.background)
    clean, banded = (
        measure(enlarged(each, 192), expect=ONE.expect, grid=24) for each in (ONE.cells(), cells)
    )

    assert (banded.metrics["banding"].value or 0) > 0
    assert (clean.visual_quality, clean.style_match, clean.prompt_adherence) == (
        banded.visual_quality,
        banded.style_match,
        banded.prompt_adherence,
    )
