"""The picture of what was measured: its marks are where the faults are, and it never fails."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from skimage import data

from core.charts.annotated import SIDE, annotate
from core.metrics import TrainingProfile, learn_profile, measure
from core.metrics.evidence import Evidence, evidence_of
from pictures import Bytes, Portrait, enlarged, noisy, portraits


@pytest.fixture(scope="module")
def profile() -> TrainingProfile:
    """Give what 60 portraits teach."""
    drawn = portraits()
    return learn_profile([one.cells() for one in drawn], [one.expect for one in drawn], 24)


def seen(pixels: Bytes, one: Portrait, profile: TrainingProfile | None = None) -> Evidence:
    """Return the evidence of an image that can be measured."""
    measured, evidence = evidence_of(pixels, expect=one.expect, grid=24, profile=profile)
    assert measured == measure(pixels, expect=one.expect, grid=24, profile=profile)
    assert evidence
    return evidence


def test_a_clean_portrait_has_nothing_marked(profile: TrainingProfile) -> None:
    """Nothing fails but its four eye cells that stand alone, and every color is as promised."""
    one = Portrait()
    found = seen(one.drawn(), one, profile)

    assert found.uneven is not None
    assert found.wrong_background is not None
    assert not found.uneven.any()
    assert not found.wrong_background.any()
    assert found.wrong_regions == {}
    assert {each.name for each in found.comparisons} == {"background", "hair", "lips"}
    assert max(each.difference for each in found.comparisons) < 1


def test_exactly_the_cells_that_fail_are_marked() -> None:
    """A wrong border cell, a stray cell and a cell with a ramp are each found in their place."""
    one = Portrait()
    cells = one.cells()
    cells[0, 3] = cells[20, 3] = (140, 70, 180)
    pixels = enlarged(cells, 480).copy()
    pixels[400:420, 440:460] = np.linspace(0, 255, 20, dtype=np.uint8)[None, :, None]
    found = seen(pixels, one)

    assert found.wrong_background is not None
    assert np.argwhere(found.wrong_background).tolist() == [[0, 3]]
    assert found.stray[0, 3]
    assert found.stray[20, 3]
    assert found.uneven is not None
    assert np.argwhere(found.uneven).tolist() == [[20, 22]]


def test_wrong_hair_is_marked_where_hair_should_be_and_named(profile: TrainingProfile) -> None:
    """Blue hair for pink: its cells are marked, and both colors stand side by side."""
    found = seen(Portrait(hair="#3c5adc").drawn(), Portrait(), profile)
    hair = next(each for each in found.comparisons if each.name == "hair")

    assert found.wrong_regions["hair"][5, 8]
    assert not found.wrong_regions["hair"][0].any()
    assert (hair.wanted, hair.measured) == ("#ff69b4", "#3c5adc")
    assert hair.difference > 20


def test_what_does_not_apply_is_neither_marked_nor_compared(profile: TrainingProfile) -> None:
    """A tile has no background and no hair, so no border cell of it is wrong."""
    asked = replace(Portrait().expect, subject="tile")
    pixels = Portrait(background="#8c46b4", hair="#3c5adc").drawn(192)
    measured, found = evidence_of(pixels, expect=asked, grid=24, profile=profile)

    assert found
    assert measured.metrics["background_match"].value is None
    assert found.wrong_background is None
    assert found.wrong_regions == {}
    assert found.comparisons == ()


def test_what_is_off_by_its_proof_is_neither_marked_nor_compared(profile: TrainingProfile) -> None:
    """Where the background's and the hair's numbers do not count, only the lips are compared."""
    off = (("background", "off: it failed"), ("region_hair", "off: it failed"))
    pixels = Portrait(background="#8c46b4", hair="#3c5adc").drawn(192)
    found = seen(pixels, Portrait(), replace(profile, off=off))

    assert found.wrong_background is None
    assert found.wrong_regions == {}
    assert [each.name for each in found.comparisons] == ["lips"]


def test_the_image_is_enlarged_with_its_marks_and_a_panel(profile: TrainingProfile) -> None:
    """Small or large, the image is shown at one size; a fault changes the picture at its cell."""
    one = Portrait()
    clean = annotate(one.drawn(96), one.expect, profile, 24)
    cells = one.cells()
    cells[0, 3] = (140, 70, 180)
    spoiled = annotate(enlarged(cells, 96), one.expect, profile, 24)

    assert clean.size[0] > SIDE
    assert clean.size[1] >= SIDE
    pitch = SIDE / 24
    corner = (20 + round(3 * pitch), 20, 20 + round(4 * pitch), 20 + round(pitch))
    colors = spoiled.crop(corner).getcolors()
    assert colors
    assert len(colors) > 3  # more than the cell and its lines: a mark with its dark edge
    assert annotate(one.drawn(512), one.expect, profile, 24).size == clean.size


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((1, 1, 3), dtype=np.uint8),
        np.zeros((96, 96, 3), dtype=np.uint8),
        np.full((3, 700, 3), 200, dtype=np.uint8),
        np.random.default_rng(0).integers(0, 256, (40, 1500, 3), dtype=np.uint8),
        np.asarray(Image.fromarray(data.astronaut()).resize((200, 150))),
        noisy(Portrait().drawn(96), 80),
    ],
    ids=["one pixel", "black", "strip", "wide noise", "photograph", "noise"],
)
@pytest.mark.parametrize("grid", [24, None])
def test_any_image_gives_a_picture(pixels: Bytes, grid: int | None) -> None:
    """What cannot be measured is shown with the reason."""
    picture = annotate(pixels, Portrait().expect, None, grid)

    assert picture.mode == "RGB"
    assert max(picture.size) < 3 * SIDE
