"""What prompts promise."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.formats.color_names import color_word, normal_hex
from core.formats.prompt_text import expectation_from_text, plain_text
from core.nouns import Expectation


def said(text: str) -> tuple[str | None, dict[str, str], tuple[str, ...]]:
    """Return background, regions and accessories of a prompt."""
    found = expectation_from_text(text)
    return found.background, dict(found.regions), found.accessories


def test_a_detailed_caption_is_read_as_its_author_meant_it() -> None:
    """Hex wins over word, tones of skin are no colors, and a crown is a thing."""
    found = expectation_from_text(
        "pixel art punk, pink hair #ff69b4, green background #50be50, light skin, red lips, "
        "smile, crown"
    )

    assert found == Expectation(
        background="#50be50",
        regions=(("hair", "#ff69b4"), ("lips", "red")),
        accessories=("crown",),
        expression="smile",
    )


@pytest.mark.parametrize(
    ("text", "background", "regions", "accessories"),
    [
        ("(pink hair:1.2), [blue eyes]", None, {"eyes": "blue", "hair": "pink"}, ()),
        ("<lora:punk:0.8> white background", "white", {}, ()),
        ("green_background, blue-haired girl", "green", {"hair": "blue"}, ()),
        ("pink hair and green background", "green", {"hair": "pink"}, ()),
        ("hair #ff69b4 background #50be50", "#50be50", {"hair": "#ff69b4"}, ()),
        ("#ff69b4 hair #50be50 background", "#50be50", {"hair": "#ff69b4"}, ()),
        ("background: #abc, hair color is hot pink", "#aabbcc", {"hair": "hot pink"}, ()),
        ("background #50be50, hair (#ff69b4, #d84c94)", "#50be50", {"hair": "#ff69b4"}, ()),
        ("pink and blue hair", None, {"hair": "pink and blue"}, ()),
        ("pink long curly hair", None, {"hair": "pink"}, ()),
        ("dark brown hair, light blue background", "light blue", {"hair": "dark brown"}, ()),
        ("solid green background", "green", {}, ()),
        ("a blonde woman in a red hat on a gray background", "gray", {"hair": "blonde"}, ("hat",)),
        ("red shirt blue hair", None, {"hair": "blue"}, ()),
        ("red hair ribbon, eye patch", None, {}, ("eyepatch",)),
        ("green skin, purple eyes", None, {"eyes": "purple", "skin": "green"}, ()),
        ("dark skin, medium skin, brown skin", None, {}, ()),
        ("sunglasses, earring, no crown, without a hat", None, {}, ("sunglasses", "earrings")),
        ("glasses, gold crown, glasses", None, {}, ("glasses", "crown")),
        ("16-bit knight sprite, white background", "white", {}, ()),
        ("gradient background, curly hair", None, {}, ()),
        ("half pink half blue hair", None, {"hair": "pink and blue"}, ()),
        ("black hair with pink tips", None, {"hair": "black and pink"}, ()),
        ("#101010 hair with #ff69b4 streaks", None, {"hair": "#101010 and #ff69b4"}, ()),
        ("pink hair, fox with white tips", None, {"hair": "pink"}, ()),
        ("navy blue background", "navy", {}, ()),
        ("emerald green hair, red orange background", "red or orange", {"hair": "emerald"}, ()),
        ("blue to purple gradient background", "blue and purple", {}, ()),
        ("hat-less punk never wearing a crown", None, {}, ()),
        ("with no green in the background", None, {}, ()),
        (
            "silver white hair, pink or blue background",
            "pink or blue",
            {"hair": "silver or white"},
            (),
        ),
        ("FF69B4 hair, 0x50BE50 background", "#50be50", {"hair": "#ff69b4"}, ()),
        ("#ff00ff80 hair, a decade of backgrounds", None, {"hair": "#ff00ff"}, ()),
        ("long hair, pink, simple background, white", "white", {"hair": "pink"}, ()),
        ("hair, pink dress, closed eyes, black", None, {}, ()),
        ("eyes blue hair pink background white", "white", {"eyes": "blue", "hair": "pink"}, ()),
        ("the background behind her blue hair is green", None, {"hair": "blue"}, ()),
        ("half pink, half blue hair", None, {"hair": "pink and blue"}, ()),
        ("hair dyed pink, background that is gold", "gold", {"hair": "pink"}, ()),
        ("golden hair, amber eyes", None, {"eyes": "amber", "hair": "golden"}, ()),
        ("background going from pink to blue", None, {}, ()),
        ("gradient background from pink to blue", "pink and blue", {}, ()),
        ("", None, {}, ()),
        ("#zzz hair, ((((", None, {}, ()),
    ],
)
def test_colors_and_things_are_bound_to_what_they_stand_beside(
    text: str, background: str | None, regions: dict[str, str], accessories: tuple[str, ...]
) -> None:
    """Tags, sentences, weights, underscores and hex codes on either side are understood."""
    assert said(text) == (background, regions, accessories)


def test_attention_syntax_is_taken_out() -> None:
    """Weights, brackets and BREAK leave plain words."""
    plain = plain_text("((pink hair:1.3)) BREAK [green:0.5] <lora:x:1>")

    assert "1.3" not in plain
    assert "BREAK" not in plain
    assert "lora" not in plain
    assert "pink hair" in plain


@given(st.text(max_size=300))
def test_no_text_makes_it_crash(text: str) -> None:
    """Anything may be typed, and comes back from JSON as it was."""
    found = expectation_from_text(text)

    assert Expectation.from_json(found.as_json()) == found


WORDS = st.sampled_from(
    (
        "pink", "green", "dark", "hot", "#ff69b4", "#abc", "hair", "background", "skin", "lips",
        "eyes", "and", "with", ",", ".", "crown", "no", "is", "(red:1.2)", "blonde", "of", "long",
    )
)  # fmt: skip


@given(st.lists(WORDS, max_size=25))
def test_whatever_is_promised_can_be_measured(words: list[str]) -> None:
    """Every color that is bound is a hex or a known color word."""
    found = expectation_from_text(" ".join(words))
    colors = [found.background, *(color for _, color in found.regions)]

    for color in filter(None, colors):
        for part in re.split(" and | or ", color):
            assert normal_hex(part) or color_word(part)


@given(st.lists(WORDS, max_size=25))
def test_a_hex_is_never_hidden_by_a_word(words: list[str]) -> None:
    """A region never mixes hex codes and words."""
    found = expectation_from_text(" ".join(words))

    for _, color in found.regions:
        assert len({part.startswith("#") for part in color.split(" and ")}) == 1
