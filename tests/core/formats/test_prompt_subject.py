"""The look on a face, and what kind of picture is asked for."""

import pytest

from core.formats.prompt_subject import expression_in, subject_in, subject_of_category
from core.formats.prompt_text import expectation_from_text
from core.nouns import Expectation


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("pixel art punk, smile, crown", "smile"),
        ("a smiling woman in a park", "smile"),
        ("portrait, neutral", "neutral"),
        ("portrait, Neutral expression", "neutral"),
        ("portrait, a sad face", "sad"),
        ("neutral gray background", None),
        ("a sad street in the rain", None),
        ("a face without smile", None),
        ("crown", None),
    ],
)
def test_an_expression_is_read_where_a_face_is_meant(text: str, expression: str | None) -> None:
    """Words that speak of moods or colors too count alone, or before "face" and the like."""
    assert expression_in(text) == expression


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("seamless stone texture", "tile"),
        ("grass tile, top down", "tile"),
        ("pixel art icon, red potion", "icon"),
        ("knight, full-body, standing", "full body"),
        ("knight, transparent background", "transparent"),
        ("punk with a tiled wall behind", None),
        ("iconic portrait", None),
    ],
)
def test_the_kind_of_picture_is_read_where_it_is_said(text: str, subject: str | None) -> None:
    """Tiles, icons, full bodies and transparency; all else is a picture like the others."""
    assert subject_in(text) == subject


def test_a_category_names_the_kind_too() -> None:
    """As people write it in their suites."""
    assert subject_of_category("Full_Body") == "full body"
    assert subject_of_category("icons") == "icon"
    assert subject_of_category("hair_color") is None


def test_both_are_part_of_the_promise_and_of_no_older_digest() -> None:
    """They survive JSON, and a promise without them reads as it always did."""
    told = expectation_from_text("icon of a mask, smiling")

    assert (told.expression, told.subject) == ("smile", "icon")
    assert Expectation.from_json(told.as_json()) == told
    assert set(Expectation().as_json()) == {"background", "regions", "accessories"}
