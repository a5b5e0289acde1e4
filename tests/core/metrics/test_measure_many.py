"""Measuring many pictures at once gives what measuring each one gives."""

import numpy as np
import pytest

from core.errors import Fixable
from core.metrics import learn_profile, measure, measure_many, shrink_to_cells
from core.metrics.color import delta_e, differences, lab, pairs_of
from core.nouns import Expectation
from pictures import Portrait, blurred, enlarged, noisy, portraits, with_random_cells


def test_every_number_is_the_same_to_the_last_bit() -> None:
    """Sizes, grids that are seen, promises and blank pictures may be mixed."""
    drawn = portraits()[::7]
    pictures = [noisy(one.drawn(96), 4.0, seed=at) for at, one in enumerate(drawn)]
    pictures += [shrink_to_cells(noisy(one.drawn(), 9.0), 24) for one in drawn]
    pictures += [blurred(drawn[0].drawn(120), 3.0), np.full((30, 30, 3), 9, dtype=np.uint8)]
    pictures += [enlarged(with_random_cells(drawn[0].cells(), 0.2)[:20], 192), drawn[0].cells()]
    word = Expectation(background="green and white", regions=(("hair", "dark brown"),))
    expects = [drawn[at % len(drawn)].expect if at % 3 else word for at in range(len(pictures))]
    for grid in (24, None):
        found = measure_many(pictures, expects=expects, grid=grid)
        alone = [
            measure(pixels, expect=expect, grid=grid)
            for pixels, expect in zip(pictures, expects, strict=True)
        ]
        assert [each.as_json() for each in found] == [each.as_json() for each in alone]


def test_a_profile_and_a_finishing_change_nothing_of_it() -> None:
    """Maps of regions, and the reading before the finishing, are told for each picture."""
    drawn = portraits()
    profile = learn_profile([one.cells() for one in drawn], [one.expect for one in drawn], 24)
    pictures = [noisy(one.drawn(96), 6.0, seed=at) for at, one in enumerate(drawn[::9])]
    expects = [one.expect for one in drawn[::9]]
    asked = {"grid": 24, "profile": profile, "finishing": "cells, palette:8"}
    found = measure_many(pictures, expects=expects, **asked)

    for pixels, expect, told in zip(pictures, expects, found, strict=True):
        assert told == measure(pixels, expect=expect, **asked)
        assert "unfinished_accuracy" in told.metrics


def test_none_gives_none_and_one_that_is_no_image_is_refused() -> None:
    """As when it is measured alone."""
    assert measure_many([], expects=[], grid=24) == []
    pictures = [Portrait().drawn(96), np.zeros((9, 9, 3))]
    with pytest.raises(Fixable, match="8-bit"):
        measure_many(pictures, expects=[Expectation()] * 2, grid=24)  # type: ignore[list-item]


@pytest.mark.parametrize("pairs", [100, 5_000])
def test_pairs_of_numbered_colors_differ_as_colors_do(pairs: int) -> None:
    """Few or many, often the same or not; infinite only where lightness shows more than asked."""
    dice = np.random.default_rng(2)
    for count in (20, 4_000):  # the same pairs again and again; hardly any pair twice
        colors = lab(dice.integers(0, 256, (count, 3)).astype(np.uint8))
        first, second = dice.integers(0, count, (2, pairs))
        every = differences(colors, pairs_of(first, second))
        near = differences(colors, pairs_of(second, first), 6.0)

        np.testing.assert_allclose(every, delta_e(colors[first], colors[second]), atol=1e-9)
        assert ((near == every) | ((near == np.inf) & (every > 6))).all()


def test_numbers_are_plain_ones() -> None:
    """Comparisons with a number of NumPy are no bool, and its type is none of JSON's."""
    [found] = measure_many([Portrait().drawn(96)], expects=[Portrait().expect], grid=24)
    values = [metric.value for metric in found.metrics.values()]
    values += [found.visual_quality, found.style_match, found.prompt_adherence]

    assert {type(value) for value in values} == {float, type(None)}
