"""What can be asked of a picture: a photograph or a smooth drawing never fails as pixel art."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage import data

from core.metrics import TrainingProfile, learn_profile, measure
from core.metrics.applicability import Kind, find_kind, grid_of
from core.metrics.evidence import evidence_of
from core.metrics.profile import without_images
from core.nouns import Expectation
from core.rules.scoring import summarize_epoch
from pictures import Bytes, Portrait, enlarged, jpeg, noisy, portraits
from tests.bench.probes import demo_captions

PHOTOS = ("astronaut", "coffee", "chelsea", "rocket", "hubble_deep_field", "retina")
PIXEL_TALK = {
    "photorealistic",
    "blurry",
    "random_pixels",
    "too_many_colors",
    "wrong_grid",
    "uneven_grid",
}


@cache
def photographs(size: int = 256) -> list[Bytes]:
    """Return views of the color photographs that scikit-image ships."""
    views = []
    for name in PHOTOS:
        whole = Image.fromarray(getattr(data, name)()[..., :3])
        for part in (0.0, 0.25):
            box = (whole.width * part, whole.height * part, whole.width, whole.height)
            views.append(np.asarray(whole.resize((size, size), box=box)))
    return views


@cache
def drawings(count: int = 12, size: int = 256) -> list[Bytes]:
    """Return smooth shaded drawings with dark outlines, as of an anime: flat areas, no grid."""
    dice, drawn = np.random.default_rng(3), []
    y, x = np.mgrid[0:size, 0:size] / size
    for _ in range(count):
        picture = np.ones((size, size, 3)) * dice.uniform(0.4, 1, 3) * (1 - 0.3 * y[..., None])
        for _ in range(5):
            cx, cy, rx, ry = (
                dice.uniform(0.2, 0.8),
                dice.uniform(0.2, 0.8),
                *dice.uniform(0.1, 0.3, 2),
            )
            far = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2
            shade = dice.uniform(0.2, 1, 3) * (1 - 0.4 * np.clip(far, 0, 1))[..., None]
            picture[far < 1] = shade[far < 1]
            picture[(far > 0.94) & (far < 1.02)] = 0.1
        smooth = ndimage.gaussian_filter(picture, (1.2, 1.2, 0))
        drawn.append((255 * np.clip(smooth, 0, 1)).astype(np.uint8))
    return drawn


def of_kind(kind: Kind) -> TrainingProfile:
    """Return a profile of this kind with nothing learned."""
    return without_images(kind, 24)


@pytest.mark.parametrize(
    ("images", "captions", "kind"),
    [
        (photographs, ["a photo of a sks woman, smiling"] * 12, "character"),
        (photographs, ["coffee on a table"] * 12, "style"),
        (lambda: photographs(64), ["in the style of sks"] * 12, "style"),
        (drawings, ["1girl, solo, blue hair"] * 12, "character"),
        (drawings, [""] * 12, "style"),
        (lambda: demo_captions()[0][:20], ["pixel art punk, pink hair"] * 20, "pixel_art"),
        (lambda: [enlarged(one.cells(), 512) for one in portraits()[:8]], ["a face"] * 8, "pixel_art"),
        (lambda: [jpeg(enlarged(one.cells(), 768), 85) for one in portraits()[:8]], [""] * 8, "pixel_art"),
        (list, ["a woman"], "unknown"),
    ],
)  # fmt: skip
def test_the_kind_is_told_by_the_training_images(
    images: Callable[[], list[Bytes]], captions: list[str], kind: Kind
) -> None:
    """Pixel art by its cells, a person by the captions, else a style; with the reason."""
    found = find_kind(images(), captions)

    assert found.kind == kind
    assert found.why
    assert (found.grid is not None) is (kind == "pixel_art")


def test_a_pixelated_photograph_is_no_pixel_art() -> None:
    """An even grid alone is not enough: drawings have few colors."""
    small = [np.asarray(Image.fromarray(photo).resize((64, 64))) for photo in photographs()]

    assert sum(grid_of(enlarged(one, 512)) is not None for one in small) <= 2


@pytest.mark.parametrize("kind", ["character", "style", "unknown"])
@pytest.mark.parametrize("images", [photographs, drawings])
def test_photographs_and_drawings_are_never_scored_as_failed_pixel_art(
    kind: Kind, images: type
) -> None:
    """Style and visual are not applicable, whatever grid the recipe has; colors still count."""
    asked = Expectation(background="brown")
    found = [measure(one, expect=asked, grid=24, profile=of_kind(kind)) for one in images()]

    for one in found:
        assert one.style_match is None
        assert one.visual_quality is None
        assert one.reasons["style_match"].startswith("not applicable")
        assert not PIXEL_TALK.intersection(one.issues)
        assert one.prompt_adherence is not None
    epoch = summarize_epoch(1, found)
    assert epoch.verdict != "failure"
    assert epoch.flags["is_photorealistic"] is None


@pytest.mark.parametrize("kind", ["character", "style"])
def test_what_does_not_apply_is_said_and_is_no_number(kind: Kind) -> None:
    """Every metric of pixel art carries the profile as its reason."""
    found = measure(photographs()[0], expect=Expectation(), grid=24, profile=of_kind(kind))

    for name in (
        "grid_alignment",
        "cell_flatness",
        "orphan_cells",
        "style_quality",
        "palette_size",
    ):
        assert found.metrics[name].value is None
        assert "not applicable" in found.metrics[name].explanation


def test_votes_only_gives_no_score_and_says_who_decides() -> None:
    """The picture is described, and not judged."""
    one = Portrait()
    found, evidence = evidence_of(
        one.drawn(96), expect=one.expect, grid=24, profile=of_kind("votes")
    )

    assert (found.visual_quality, found.style_match, found.prompt_adherence) == (None, None, None)
    assert "votes decide" in found.reasons["style_match"]
    assert found.issues == ()
    assert found.background_hex == one.background
    assert evidence is None
    assert "votes decide" in summarize_epoch(1, [found]).reasons["visual_quality"]


def test_pixel_art_that_is_found_without_training_images_is_scored() -> None:
    """Where nobody said what it is, an image that shows a grid counts."""
    one = Portrait()
    known = measure(one.drawn(), expect=one.expect, grid=24)
    found = measure(one.drawn(), expect=one.expect, grid=24, profile=of_kind("unknown"))

    assert found.style_match == known.style_match
    assert found.visual_quality == known.visual_quality


def test_a_pixel_art_profile_changes_no_score() -> None:
    """The kind that always was measures as it always did."""
    pixels = noisy(Portrait().drawn(), 10)
    plain = measure(pixels, expect=Portrait().expect, grid=24)
    same = measure(pixels, expect=Portrait().expect, grid=24, profile=of_kind("pixel_art"))

    assert plain.visual_quality == same.visual_quality
    assert plain.style_match == same.style_match
    assert plain.prompt_adherence == same.prompt_adherence
    assert plain.issues == same.issues


def test_a_character_keeps_its_regions_where_training_images_tell_them() -> None:
    """Photographs of 24 cells along the width teach where the hair is, as small pictures do."""
    drawn = portraits()
    images = [enlarged(one.cells(), 96, Image.Resampling.BICUBIC) for one in drawn]
    profile = learn_profile(images, [one.expect for one in drawn], 24, "character")
    found = measure(images[3], expect=drawn[3].expect, grid=24, profile=profile)

    assert "training" not in found.reasons
    assert "60 training images" in found.metrics["region_hair"].explanation
    assert found.style_match is None


@pytest.mark.parametrize(
    ("subject", "left_out", "kept"),
    [
        ("tile", {"background", "hair"}, set()),
        ("icon", {"hair"}, {"background"}),
        ("transparent", {"background"}, {"hair"}),
        ("full body", set(), {"background", "hair"}),
        (None, set(), {"background", "hair"}),
    ],
)
def test_nothing_is_asked_of_a_picture_that_cannot_have_it(
    subject: str | None, left_out: set[str], kept: set[str]
) -> None:
    """No background of a tile, no hair of an icon: not applicable, and never a 0."""
    one = Portrait()
    asked = replace(one.expect, regions=(("hair", one.hair),), subject=subject)
    found = measure(one.drawn(96), expect=asked, grid=24)

    for name in left_out:
        assert found.reasons[name].startswith("not applicable")
    assert not kept & set(found.reasons)
    assert (found.prompt_adherence == 10) is bool(kept)
    if left_out and not kept:
        assert found.prompt_adherence is None


def test_what_portraits_teach_is_not_held_against_a_full_body() -> None:
    """Hair lies elsewhere there: it is looked for anywhere, and things are not looked for."""
    cells, captions = demo_captions()
    profile = learn_profile(cells[:40], captions[:40], 24)
    asked = replace(captions[0], accessories=("crown",), subject="full body")
    found = measure(enlarged(cells[0], 96), expect=asked, grid=24, profile=profile)

    assert "looked for anywhere" in found.metrics["region_hair"].explanation
    assert "full body" in found.reasons["accessories"]
