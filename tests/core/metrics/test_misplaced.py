"""A promised color that is there, but elsewhere, on pictures whose answer is known."""

from dataclasses import replace

import numpy as np
import pytest

from core.metrics import TrainingProfile, learn_profile, measure
from core.nouns import Expectation, Measurement
from pictures import Bytes, Portrait, enlarged, portraits, rgb

PINK, BLUE = "#ff69b4", "#3c5adc"
ASKED = Portrait(hair=PINK, background=BLUE)
SWAPPED = Portrait(hair=BLUE, background=PINK)


@pytest.fixture(scope="module")
def profile() -> TrainingProfile:
    """Give what 60 portraits teach."""
    drawn = portraits()
    return learn_profile([one.cells() for one in drawn], [one.expect for one in drawn], 24)


def of(
    cells: Bytes, expect: Expectation = ASKED.expect, profile: TrainingProfile | None = None
) -> Measurement:
    """Measure cells at eight pixels each."""
    return measure(enlarged(cells, 192), expect=expect, grid=24, profile=profile)


def elsewhere(count: int) -> str:
    """Return the words for so many cells."""
    return f"the promised color is there, but elsewhere ({count} cells)"


@pytest.mark.parametrize("images", ["known", "unknown"])
def test_hair_and_background_that_have_changed_places_are_told_with_their_cells(
    images: str, profile: TrainingProfile
) -> None:
    """Pink hair on blue, drawn as blue hair on pink: both colors are there, elsewhere."""
    cells = SWAPPED.cells()
    found = of(cells, profile=profile if images == "known" else None)
    hair = int((cells == rgb(BLUE)).all(axis=-1).sum())

    assert {"misplaced_color", "wrong_background", "wrong_colors"} <= set(found.issues)
    assert elsewhere(hair) in found.metrics["background_match"].explanation
    assert "but elsewhere (" in found.metrics["region_hair"].explanation


def test_words_are_looked_for_elsewhere_too(profile: TrainingProfile) -> None:
    """The same in color words."""
    asked = Expectation(background="blue", regions=(("hair", "hot pink"),))

    assert "misplaced_color" in of(SWAPPED.cells(), asked, profile).issues


@pytest.mark.parametrize("images", ["known", "unknown"])
def test_a_color_that_is_nowhere_is_only_wrong(images: str, profile: TrainingProfile) -> None:
    """Teal hair on purple holds neither of the promised colors."""
    other = Portrait(hair="#28a0a0", background="#8c46b4").cells()
    found = of(other, profile=profile if images == "known" else None)

    assert "wrong_background" in found.issues
    assert "misplaced_color" not in found.issues
    assert "elsewhere" not in found.metrics["background_match"].explanation


def test_what_is_in_its_place_is_not_said_to_be_elsewhere(profile: TrainingProfile) -> None:
    """A portrait as promised, even with its hair's color on the body as well."""
    cells = ASKED.cells()
    cells[19:24, 9:16] = rgb(PINK)
    found = of(cells, profile=profile)

    assert "misplaced_color" not in found.issues
    assert "elsewhere" not in found.metrics["region_hair"].explanation


def test_a_few_cells_are_no_place(profile: TrainingProfile) -> None:
    """Three stray cells of the promised color are not called the color."""
    cells = replace(ASKED, hair="#28a0a0").cells()
    cells[21, [10, 12, 14]] = rgb(PINK)

    assert "misplaced_color" not in of(cells, profile=profile).issues


def test_a_color_that_another_promise_shares_is_there_by_right(profile: TrainingProfile) -> None:
    """Pink hair on pink, drawn as blue hair on pink: the pink that is there is the background."""
    asked = Expectation(background="#ff70b8", regions=(("hair", PINK),))
    found = of(SWAPPED.cells(), asked, profile)

    assert "wrong_colors" in found.issues
    assert "misplaced_color" not in found.issues


def test_a_frame_around_the_right_background_is_told() -> None:
    """The border alone is another color: the promised one is behind it."""
    cells = ASKED.cells()
    inside = cells[1:, 1:-1].copy()
    cells[:] = rgb("#f0f0f0")
    cells[1:, 1:-1] = inside
    blue = int((cells == np.array(rgb(BLUE))).all(axis=-1).sum())

    assert elsewhere(blue) in of(cells).metrics["background_match"].explanation
