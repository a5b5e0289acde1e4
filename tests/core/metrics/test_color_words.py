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
