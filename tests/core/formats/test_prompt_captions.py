"""Captions become prompts that draw what the trainer read."""

from pathlib import Path

import pytest

from core.errors import Fixable
from core.formats.caption_suite import _recolored, derive_suite
from core.formats.prompt_suite import read_suite, write_suite_toml
from core.formats.prompt_weights import Span, parse_prompt
from core.nouns import Recipe

CAPTIONS = [
    r"rem \(re:zero\), blue hair",
    "saber (fate), [pink] hair {x}",
    "smile :), <lora:x:1>, __color__, AND so, BREAK",
]


def test_captions_draw_literally(tmp_path: Path) -> None:
    """Brackets, backslashes and all other syntax in them are characters, also once written."""
    suite = derive_suite(CAPTIONS, recipe=Recipe(), count=3)
    path = tmp_path / "s.toml"
    path.write_text(write_suite_toml(suite), encoding="utf-8")

    assert {parse_prompt(prompt.text) for prompt in suite.prompts} == {
        (Span(text=caption),) for caption in CAPTIONS
    }
    assert read_suite(path).suite == suite


@pytest.mark.parametrize("caption", ["pink hair #ff69b4, a girl's crown", "a_b: c"])
def test_plain_captions_stay_as_they_are(caption: str) -> None:
    """Their images keep the ids they have."""
    assert derive_suite([caption], recipe=Recipe(), count=1).prompts[0].text == caption


@pytest.mark.parametrize(
    ("phrase", "swapped"),
    [
        ("navy blue hair", "pink hair"),
        ("silver white hair", "pink hair"),
        ("red hair", "pink hair"),
    ],
)
def test_a_color_of_two_words_is_swapped_whole(phrase: str, swapped: str) -> None:
    """An unseen combination asks for one color, not for the new one and what was left of the old."""
    assert _recolored(phrase, "pink", "hair") == swapped


def test_a_caption_of_one_thing_makes_no_empty_prompt() -> None:
    """As the tags of a checkpoint's header are: without its hat nothing of "a hat" is left."""
    suite = derive_suite(["a cat", "a hat", "a ball"], recipe=Recipe())
    assert {prompt.text for prompt in suite.prompts} == {"a cat", "a hat", "a ball"}


def test_a_caption_of_commas_says_nothing() -> None:
    """A tagger that found no tag may leave one: it is passed over, and alone it is none."""
    suite = derive_suite(["a cat", " , ,"], recipe=Recipe())
    assert [prompt.text for prompt in suite.prompts] == ["a cat"]
    with pytest.raises(Fixable, match="no captions"):
        derive_suite([","], recipe=Recipe())
