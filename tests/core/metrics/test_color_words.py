"""Promised colors, in words and in hex, against measured ones."""

import numpy as np
import pytest
from PIL import ImageColor

from core.formats.color_names import BASIC_TERMS, COLOR_NAMES, CSS_COLORS, color_word, normal_hex
from core.metrics.color import rgb_of_hex
from core.metrics.color_words import basic_term, match_cells, resolve

SEEN = {
    "pink": "#ff69b4", "blue": "#3c5adc", "brown": "#784828", "green": "#50be50",
    "red": "#cd3232", "yellow": "#f0d246", "purple": "#8c46b4", "black": "#1e1c22",
    "white": "#f0f0f0", "orange": "#f08c28", "gray": "#82828c",
}  # fmt: skip


def matches(measured: str, promised: str) -> bool:
    """Return whether one cell of a color matches a promise."""
    return bool(match_cells(rgb_of_hex(measured)[None], resolve(promised)).match[0])


def test_the_css_table_is_the_standard_one() -> None:
    """All 148 names have the values that Pillow has, too."""
    assert CSS_COLORS.keys() == ImageColor.colormap.keys()
    for name, color in CSS_COLORS.items():
        assert tuple(rgb_of_hex(color.hex)) == ImageColor.getrgb(name)


def test_every_color_is_called_by_basic_terms_only() -> None:
    """The labels of the table are the eleven basic terms."""
    assert {term for color in COLOR_NAMES.values() for term in color.terms} == set(BASIC_TERMS)


@pytest.mark.parametrize("word", SEEN)
def test_a_basic_word_matches_its_own_color_and_no_other(word: str) -> None:
    """Eleven everyday colors are each called by their own word alone."""
    assert [other for other in SEEN if matches(SEEN[word], other)] == [word]
    assert basic_term(rgb_of_hex(SEEN[word])) == word


def test_a_hex_matches_within_ten_and_keeps_its_hue_beyond() -> None:
    """A plainly green background of another shade has no match, but closeness and hue."""
    answer = match_cells(rgb_of_hex("#00c530")[None], resolve("#00ff00"))

    assert not answer.match[0]
    assert answer.hue[0]
    assert 0 < answer.closeness[0] < 1


def test_shades_of_a_word_are_told_by_direction() -> None:
    """Dark brown is brown and dark; a light brown is not it."""
    assert matches("#3b2414", "dark brown")
    assert not matches("#c8925a", "dark brown")
    assert matches("#add8e6", "light blue")
    assert not matches("#10206a", "light blue")


def test_a_word_between_two_terms_does_not_stretch_to_both() -> None:
    """Teal is neither plain blue nor plain green."""
    assert matches("#28a0a0", "teal")
    assert not matches("#3c5adc", "teal")
    assert not matches("#50be50", "teal")


@pytest.mark.parametrize("text", ["hot pink", "hotpink", "Hot-Pink", "hot_pink"])
def test_css_names_may_be_written_in_two_words(text: str) -> None:
    """Spelling does not matter, and hot is no modifier of pink."""
    word = color_word(text)

    assert word
    assert word.color.hex == "#ff69b4"
    assert word.modifiers == ()


@pytest.mark.parametrize("text", ["checkered", "", "dark", "blue and checkered", "a b c d e f"])
def test_what_is_no_color_resolves_to_nothing(text: str) -> None:
    """No guess is made about other words."""
    assert resolve(text) == ()


def test_a_pattern_matches_any_of_its_colors() -> None:
    """Blue and white is satisfied by cells of either."""
    cells = np.stack([rgb_of_hex("#3c5adc"), rgb_of_hex("#f0f0f0"), rgb_of_hex("#cd3232")])

    assert match_cells(cells, resolve("blue and white")).match.tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("text", "value"),
    [("#ABC", "#aabbcc"), (" #0a50BE ", "#0a50be"), ("#12345", None), ("red", None)],
)
def test_hex_codes_are_brought_to_one_form(text: str, value: str | None) -> None:
    """Six digits, lower case, or nothing."""
    assert normal_hex(text) == value


@pytest.mark.parametrize(
    ("word", "right", "wrong"),
    [
        ("dark gray", "#404040 #303030 #555555", "#a9a9a9 #d3d3d3"),
        ("light gray", "#d3d3d3 #c8c8c8", "#808080 #404040"),
        ("dark red", "#8b0000 #5a0000 #a01010", "#ff0000 #d7322d"),
        ("dark blue", "#00008b #10103c #1a2a6c", "#0000ff #3c5adc #1e90ff"),
        ("navy", "#000080 #14285a", "#0000ff"),
        ("dark orange", "#cc5500", "#ffc878"),
        ("hot pink", "#ff69b4 #ff50a0 #ff1493", "#ffc0cb #ffd0dc"),
        ("pastel pink", "#ffd1dc #ffb6c1", "#ff1493"),
        ("bright blue", "#0000ff #1e78ff", "#10103c"),
        ("bright red", "#ff0000 #f01e1e", "#5a0000"),
        ("neon green", "#39ff14 #00ff00", "#006400"),
        ("violet", "#8f00ff #7f3fbf #ee82ee", "#008000"),
        ("cyan", "#00ffff #00c8dc", "#0000ff"),
        ("emerald", "#50c878 #00a050", "#c8f0c8"),
    ],
)
def test_a_word_takes_the_shades_a_person_would_call_so(word: str, right: str, wrong: str) -> None:
    """Dark gray is no light gray, and pure blue no navy."""
    for text, holds in ((right, True), (wrong, False)):
        for shade in text.split():
            found = match_cells(rgb_of_hex(shade)[None], resolve(word))
            assert bool(found.match[0]) == holds, shade


def test_another_shade_than_the_word_says_is_not_close_either() -> None:
    """Closeness is to the shades that "dark" allows, not to any gray."""
    light = rgb_of_hex("#d3d3d3")[None]

    assert match_cells(light, resolve("dark gray")).closeness[0] < 0.3
    assert match_cells(light, resolve("gray")).closeness[0] == 1
