"""What is learned from training images."""

import json
from functools import lru_cache

import numpy as np
import pytest

from core.errors import Fixable
from core.metrics import TrainingProfile, learn_profile, measure
from core.metrics.pixel_art import DRAWN_BY_PEOPLE
from core.nouns import Expectation
from pictures import Portrait, enlarged, portraits


@lru_cache
def learn(count: int = 60) -> TrainingProfile:
    """Learn from some of the portraits."""
    drawn = portraits()[:count]
    return learn_profile([one.cells() for one in drawn], [one.expect for one in drawn], 24)


def test_a_profile_survives_json() -> None:
    """The stored form gives back an equal profile."""
    profile = learn()

    assert TrainingProfile.from_json(json.loads(json.dumps(profile.as_json()))) == profile


def test_hair_is_found_where_it_is_drawn_and_nowhere_else() -> None:
    """The map of the hair covers the cells that every portrait has hair on, and no background."""
    region = learn().region("hair")

    assert region
    assert region.usable
    assert region.weights[5, 10] > 0.9
    assert region.weights[0, 0] == 0
    assert region.second_tone == 0


def test_large_and_small_copies_of_the_images_teach_the_same() -> None:
    """Training images of 512 pixels give the profile of the 24-pixel originals."""
    drawn = portraits()[::6]
    captions = [one.expect for one in drawn]
    small = learn_profile([one.cells() for one in drawn], captions, 24)
    large = learn_profile([enlarged(one.cells(), 512) for one in drawn], captions, 24)

    assert large == small


def test_few_images_make_no_map_and_no_anchors_of_their_own() -> None:
    """Under twenty images a region is not usable; under ten the fixed anchors stay."""
    few = learn(9)
    hair = few.region("hair")

    assert hair
    assert not hair.usable
    assert few.anchors == DRAWN_BY_PEOPLE


def test_what_often_covers_a_region_is_no_second_hue_of_it() -> None:
    """A crown that one in six training portraits wears is known, and a wearer is not two-toned."""
    drawn = portraits()
    crowned = [one.cells() for one in drawn]
    for cells in crowned[::6]:
        cells[4:6, 8:16] = (250, 210, 60)
    captions = [one.expect for one in drawn]
    profile = learn_profile(crowned, captions, 24)
    region = profile.region("hair")
    found = measure(enlarged(crowned[6], 96), expect=captions[6], grid=24, profile=profile)

    assert region
    assert region.intruders == ("#fad23c",)
    assert found.issues == ()


def test_very_clean_images_do_not_make_every_eye_a_fault() -> None:
    """The orphan anchors have floors."""
    assert learn().anchors.orphans_75 >= 0.017


def test_captions_without_colors_teach_no_region() -> None:
    """Nothing named, no map; unknown color words are passed over."""
    images = [one.cells() for one in portraits()[:12]]
    captions = [Expectation(regions=(("hair", "curly"),))] * 12

    assert learn_profile(images, captions, 24).regions == ()


@pytest.mark.parametrize("count", [0, 3])
def test_images_that_cannot_teach_are_refused_with_advice(count: int) -> None:
    """No image, or only images smaller than the grid, is a trouble to be told."""
    tiny = [np.zeros((5, 5, 3), dtype=np.uint8)] * count

    with pytest.raises(Fixable, match="nothing can be learned"):
        learn_profile(tiny, [Expectation()] * count, 24)


def test_an_image_without_its_caption_is_refused() -> None:
    """Sequences of two lengths would pair the wrong captions."""
    with pytest.raises(Fixable, match="captions"):
        learn_profile([Portrait().cells()], [], 24)


@pytest.mark.parametrize("body", [{}, {"version": 99}, {"version": 1, "grid": "x"}])
def test_a_broken_or_foreign_profile_is_refused_with_advice(body: dict[str, object]) -> None:
    """Another version or a damaged body says to learn again."""
    with pytest.raises(Fixable, match="learn it again"):
        TrainingProfile.from_json(body)
