"""Cropped pictures are measured on the lines they have, or not at all."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from PIL import Image
from skimage import data

from core.formats.finishing import read_finishing
from core.metrics import measure
from core.metrics.cells import cell_colors, grid_at, grid_over
from core.metrics.cropped import see_any_grid, see_asked_grid
from core.metrics.evidence import evidence_of
from core.metrics.grid_search import edge_profiles
from core.metrics.look import look_at
from core.metrics.pixel_art import compare_neighbors
from core.nouns import Expectation
from pictures import Bytes, Portrait, blurred, enlarged, jpeg, noisy, with_random_cells

Box = tuple[int, int, int, int]  # of 512: pixels cut off at the left, top, right and bottom
CROPS: dict[str, Box] = {
    "right": (0, 0, 12, 0),
    "left and top": (10, 10, 0, 0),
    "more": (30, 30, 0, 0),
    "along lines": (0, 0, 64, 64),
    "all sides, not square": (60, 100, 42, 112),
    "only rows": (0, 30, 0, 0),
}
SAME_PITCH = 0.015  # over the whole width that is a good third of a cell
DAMAGES = ("clean", "noise of 8 levels", "JPEG 75", "blur of a twelfth cell")


@cache
def sprite(size: int, damage: str = "clean") -> Bytes:
    """Return a portrait with 15 % of random cells."""
    drawn = enlarged(with_random_cells(Portrait().cells(), 0.15), size)
    if damage == "noise of 8 levels":
        return noisy(drawn, 8)
    if damage == "JPEG 75":
        return jpeg(drawn, 75)
    return blurred(drawn, size / 24 / 12) if damage == "blur of a twelfth cell" else drawn


def scaled(box: Box, size: int) -> Box:
    """Return the pixels to cut off a picture of another size."""
    left, top, right, bottom = (round(each * size / 512) for each in box)
    return left, top, right, bottom


def cut(pixels: Bytes, box: Box) -> Bytes:
    """Return the picture without what ``box`` cuts off."""
    left, top, right, bottom = box
    return pixels[top : len(pixels) - bottom, left : pixels.shape[1] - right]


def orphans_of_same_cells(whole: Bytes, box: Box) -> float:
    """Return the share of stray cells that the uncropped picture has where the crop lies."""
    pitch = whole.shape[1] / 24
    left, top, right, bottom = (int(each / pitch + 0.5) for each in box)
    cells = cell_colors(whole, grid_over(whole, 24))
    return compare_neighbors(cells[top : 24 - bottom, left : 24 - right]).orphans


@pytest.mark.parametrize("asked", [24, None])
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("crop", CROPS)
def test_a_crop_measures_like_what_it_was_cut_from(
    crop: str, damage: str, asked: int | None
) -> None:
    """The pitch is found, strays are counted alike, and no other grid is blamed."""
    whole, box = sprite(512, damage), CROPS[crop]
    before = measure(whole, expect=Expectation(), grid=24)
    after = measure(cut(whole, box), expect=Expectation(), grid=asked)
    strays = after.metrics["orphan_cells"].value

    assert look_at(cut(whole, box), asked, 24).grid.pitch == pytest.approx(512 / 24, rel=SAME_PITCH)
    assert strays == pytest.approx(orphans_of_same_cells(whole, box), abs=0.03)
    assert strays == pytest.approx(before.metrics["orphan_cells"].value, abs=0.05)
    assert {"random_pixels"} <= set(after.issues) <= {*before.issues, "noisy_background"}
    assert after.style_match == pytest.approx(before.style_match, abs=0.6)


@pytest.mark.parametrize("asked", [24, None])
@pytest.mark.parametrize("size", [512, 500, 96])  # cells of 21.33, 20.83 and 4 pixels
@pytest.mark.parametrize("crop", ["right", "left and top", "more", "all sides, not square"])
def test_crops_of_any_pitch_keep_it(crop: str, size: int, asked: int | None) -> None:
    """A clean crop loses nothing: all edges on lines, cells flat, every stray counted."""
    box = scaled(CROPS[crop], size)
    look = look_at(cut(sprite(size), box), asked, 24)

    assert look.grid.pitch == pytest.approx(size / 24, rel=SAME_PITCH)
    assert look.aligned
    assert look.aligned.score > 0.95
    assert look.flatness == pytest.approx(1, abs=0.01)
    assert look.neighbors.orphans == pytest.approx(
        orphans_of_same_cells(sprite(size), box), abs=0.01
    )


def test_a_crop_that_could_not_hold_the_cells_asked_for_keeps_its_pitch() -> None:
    """On 68 pixels 24 cells would be too small to have edges, but those of 4 pixels are seen."""
    look = look_at(cut(sprite(96), (18, 12, 10, 10)), 24, 24)

    assert look.cropped
    assert look.grid.pitch == pytest.approx(4, rel=SAME_PITCH)
    assert look.aligned


@pytest.mark.parametrize("cells", [16, 24, 32, 48])
def test_an_unknown_number_of_cells_is_found_in_a_crop(cells: int) -> None:
    """Not twice or three times as many, which hold the same edges."""
    drawn = np.random.default_rng(cells).integers(0, 6, (cells, cells, 3)) * 50
    crop = enlarged(drawn.astype(np.uint8), 512)[7:491, 13:503]
    seen = see_any_grid(edge_profiles(crop))

    assert seen
    assert crop.shape[1] / seen.columns == pytest.approx(512 / cells, rel=SAME_PITCH)
    assert seen.unsure is None


def test_a_crop_is_said_to_be_one() -> None:
    """In the explanation of the alignment, and for the picture that shows what was measured."""
    measured, evidence = evidence_of(
        Portrait().drawn()[30:, 30:], expect=Portrait().expect, grid=24
    )

    assert "cropped" in measured.metrics["grid_alignment"].explanation
    assert "grid_found" not in measured.metrics
    assert evidence
    assert evidence.cropped
    assert evidence.grid.columns == 23


@pytest.mark.parametrize("cells", [16, 20, 22, 23, 32, 40])
def test_art_on_another_grid_is_no_crop(cells: int) -> None:
    """A whole picture of a size that generators draw is blamed for the grid it has."""
    drawn = np.random.default_rng(cells).integers(0, 6, (cells, cells, 3)) * 50
    seen = see_asked_grid(edge_profiles(enlarged(drawn.astype(np.uint8), 512)), 24)

    assert not seen.cropped
    assert seen.unsure is None
    assert seen.found == cells


def test_a_crop_along_lines_that_may_be_another_grid_has_no_number() -> None:
    """20 whole cells on 417 pixels: cut from 24 on 500, or drawn so."""
    pixels = enlarged(with_random_cells(Portrait().cells(), 0.15), 500)[:417, :417]
    found = measure(pixels, expect=Expectation(), grid=24)

    assert found.style_match is None
    assert found.visual_quality is None
    assert "20 cells across and not on 24" in found.reasons["style_match"]
    assert found.metrics["orphan_cells"].value is None
    assert not {"wrong_grid", "uneven_grid", "random_pixels"}.intersection(found.issues)


def test_a_crop_with_too_few_edges_to_tell_has_no_number() -> None:
    """One square shows two lines an axis, which many grids hold."""
    pixels = np.full((501, 501, 3), (80, 190, 80), dtype=np.uint8)
    pixels[71:370, 93:349] = (250, 120, 200)
    found = measure(pixels, expect=Expectation(), grid=24)

    assert found.style_match is None
    assert found.visual_quality is None
    assert "several pixel grids fit" in found.reasons["style_match"]


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "rocket", "retina", "camera"])
@pytest.mark.parametrize("quality", [None, 75])
def test_cropped_photographs_have_no_grid(name: str, quality: int | None) -> None:
    """More pitches are tried than before, and none of them fits a photograph or its blocks."""
    photo = np.asarray(Image.fromarray(getattr(data, name)()).convert("RGB").resize((512, 400)))
    crop = (photo if quality is None else jpeg(photo, quality))[3:-10, 5:-7]

    assert see_any_grid(edge_profiles(crop)) is None
    assert not see_asked_grid(edge_profiles(crop), 24).cropped


def test_cells_seen_by_less_than_half_are_left_out() -> None:
    """The others are counted, and read inside the picture."""
    drawn = Portrait().drawn(480)[12:, 5:]  # cells of 20 pixels
    laid = grid_at(drawn, 475 / 20, -5.0, 8.0)

    assert (laid.columns, laid.rows) == (24, 23)
    assert np.array_equal(cell_colors(drawn, laid), Portrait().cells()[1:])


def test_the_pixel_at_the_center_is_that_of_the_cells_of_a_crop() -> None:
    """A finishing that takes single pixels takes them on the lines of the crop."""
    pixels = Portrait().drawn()[30:, 30:]
    look = look_at(pixels, 24, 24, read_finishing("nearest"))

    assert np.array_equal(look.cells, Portrait().cells()[1:, 1:])
