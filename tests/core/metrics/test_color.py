"""Color differences, hues and merged palettes."""

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from core.metrics.color import (
    closeness,
    delta_e,
    distinct,
    hex_of_rgb,
    hue_gap,
    lab,
    merge_palette,
    oklab,
    rgb_of_hex,
)

# The 34 pairs of Sharma, Wu & Dalal 2004, table 1: L a b, L a b, CIEDE2000.
SHARMA = """
50 2.6772 -79.7751 50 0 -82.7485 2.0425
50 3.1571 -77.2803 50 0 -82.7485 2.8615
50 2.8361 -74.0200 50 0 -82.7485 3.4412
50 -1.3802 -84.2814 50 0 -82.7485 1.0000
50 -1.1848 -84.8006 50 0 -82.7485 1.0000
50 -0.9009 -85.5211 50 0 -82.7485 1.0000
50 0 0 50 -1 2 2.3669
50 -1 2 50 0 0 2.3669
50 2.4900 -0.0010 50 -2.4900 0.0009 7.1792
50 2.4900 -0.0010 50 -2.4900 0.0010 7.1792
50 2.4900 -0.0010 50 -2.4900 0.0011 7.2195
50 2.4900 -0.0010 50 -2.4900 0.0012 7.2195
50 -0.0010 2.4900 50 0.0009 -2.4900 4.8045
50 -0.0010 2.4900 50 0.0010 -2.4900 4.8045
50 -0.0010 2.4900 50 0.0011 -2.4900 4.7461
50 2.5 0 50 0 -2.5 4.3065
50 2.5 0 73 25 -18 27.1492
50 2.5 0 61 -5 29 22.8977
50 2.5 0 56 -27 -3 31.9030
50 2.5 0 58 24 15 19.4535
50 2.5 0 50 3.1736 0.5854 1.0000
50 2.5 0 50 3.2972 0 1.0000
50 2.5 0 50 1.8634 0.5757 1.0000
50 2.5 0 50 3.2592 0.3350 1.0000
60.2574 -34.0099 36.2677 60.4626 -34.1751 39.4387 1.2644
63.0109 -31.0961 -5.8663 62.8187 -29.7946 -4.0864 1.2630
61.2901 3.7196 -5.3901 61.4292 2.2480 -4.9620 1.8731
35.0831 -44.1164 3.7933 35.0232 -40.0716 1.5901 1.8645
22.7233 20.0904 -46.6940 23.0331 14.9730 -42.5619 2.0373
36.4612 47.8580 18.3852 36.2715 50.5065 21.2231 1.4146
90.8027 -2.0831 1.4410 91.1528 -1.6435 0.0447 1.4441
90.9257 -0.5406 -0.9208 88.6381 -0.8985 -0.7239 1.5381
6.7747 -0.2908 -2.4247 5.8714 -0.0985 -2.2286 0.6377
2.0776 0.0795 -1.1350 0.9033 -0.0636 -0.5514 0.9082
"""
PAIRS = np.array([[float(number) for number in row.split()] for row in SHARMA.strip().split("\n")])


def test_the_34_published_pairs_come_out_to_four_decimals() -> None:
    """CIEDE2000 equals the published values, both ways round."""
    assert len(PAIRS) == 34
    assert delta_e(PAIRS[:, :3], PAIRS[:, 3:6]) == pytest.approx(PAIRS[:, 6], abs=5e-5)
    assert delta_e(PAIRS[:, 3:6], PAIRS[:, :3]) == pytest.approx(PAIRS[:, 6], abs=5e-5)


def test_differences_agree_with_an_independent_implementation() -> None:
    """Random color pairs give what scikit-image gives."""
    dice = np.random.default_rng(1)
    first, second = lab(dice.integers(0, 256, (2, 5000, 3), dtype=np.uint8))

    assert delta_e(first, second) == pytest.approx(deltaE_ciede2000(first, second), abs=1e-9)


def test_lab_agrees_with_an_independent_implementation() -> None:
    """CIELAB equals scikit-image's but for its differently rounded white."""
    rgb = np.random.default_rng(2).integers(0, 256, (1000, 3), dtype=np.uint8)

    assert lab(rgb) == pytest.approx(rgb2lab(rgb[None])[0], abs=0.02)


def test_grays_have_no_hue_in_either_space() -> None:
    """Equal channels give a = b = 0, so that gray never counts as colored."""
    gray = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)

    assert np.abs(lab(gray)[:, 1:]).max() < 1e-3
    assert np.abs(oklab(gray)[:, 1:]).max() < 1e-3


def test_oklab_gives_the_published_values_of_the_primaries() -> None:
    """Red, green and blue come out as in the CSS Color 4 examples."""
    rgb = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], dtype=np.uint8)
    expected = [[0.628, 0.2249, 0.1258], [0.8664, -0.2339, 0.1795], [0.452, -0.0325, -0.3115]]

    assert oklab(rgb) == pytest.approx(np.array(expected), abs=5e-4)


@pytest.mark.parametrize(
    ("first", "second", "difference"),
    [("#00b050", "#00c850", 6.9), ("#00b050", "#00ff00", 21), ("#ff0000", "#c80000", 11.8)],
)
def test_known_pairs_feel_as_far_apart_as_they_should(
    first: str, second: str, difference: float
) -> None:
    """A few pairs fix the feel of the thresholds."""
    assert delta_e(lab(rgb_of_hex(first)), lab(rgb_of_hex(second))) == pytest.approx(
        difference, abs=0.3
    )


def test_closeness_falls_from_one_to_zero_between_5_and_25() -> None:
    """The graded part of a color score has no cliff."""
    assert closeness(np.array([0.0, 5.0, 15.0, 25.0, 90.0])).tolist() == [1, 1, 0.5, 0, 0]


def test_hue_gap_goes_the_short_way_round() -> None:
    """Hues on both sides of zero are near each other."""
    assert float(hue_gap(np.array([0.5, 0.1, 0.01]), np.array([0.5, 0.1, -0.01]))) < 12


def test_hex_codes_survive_the_way_there_and_back() -> None:
    """A hex code becomes bytes and the same hex code."""
    assert hex_of_rgb(rgb_of_hex("#0a50be")) == "#0a50be"


def test_shades_too_alike_to_tell_are_one_palette_entry() -> None:
    """Noise around three colors merges into three entries with their shares."""
    dice = np.random.default_rng(3)
    base = np.array([[200, 40, 40]] * 60 + [[40, 200, 40]] * 30 + [[40, 40, 200]] * 10)
    noisy = np.clip(base + dice.integers(-3, 4, base.shape), 0, 255).astype(np.uint8)

    palette = merge_palette(noisy)

    assert palette.size == 3
    assert palette.share.tolist() == [0.6, 0.3, 0.1]
    assert palette.of.tolist() == [0] * 60 + [1] * 30 + [2] * 10


@pytest.mark.parametrize("count", [500, 300_000])
def test_the_colors_of_few_cells_and_of_many_are_numbered_alike(count: int) -> None:
    """Sorted or marked in a table: each once, in order, and each cell finds its own."""
    dice = np.random.default_rng(4)
    rgb = dice.integers(0, 256, (200, 3)).astype(np.uint8)[dice.integers(0, 200, count)]
    colors, which = distinct(rgb)

    assert [*map(tuple, colors.tolist())] == sorted(set(map(tuple, rgb.tolist())))
    assert (colors[which] == rgb).all()


def test_opposite_hues_differ_alike_from_either_side() -> None:
    """Their mean hue is a choice, and rounding does not make it."""
    turn = np.linspace(0, 2 * np.pi, 50)
    first = np.stack([np.full(50, 40.0), 30 * np.cos(turn), 30 * np.sin(turn)], axis=-1)
    second = first * np.array([1.5, -1.0, -1.0])

    np.testing.assert_allclose(delta_e(first, second), delta_e(second, first), atol=1e-9)
    assert (delta_e(first, second) > 40).all()
