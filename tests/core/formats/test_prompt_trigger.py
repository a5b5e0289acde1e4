"""The trigger word: where it is named, and which prompts leave it out."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.formats.prompt_trigger import (
    missing_trigger,
    trigger_of_captions,
    trigger_of_metadata,
)
from core.nouns import Prompt


def prompts(*texts: str, trigger: str = "") -> list[Prompt]:
    """Return prompts that are named like their texts."""
    return [Prompt(name=text, text=text, trigger=trigger) for text in texts]


def test_prompts_without_the_trigger_are_named() -> None:
    """A word is not found within another; weights, case and underscores hide nothing."""
    found = prompts("sks punk, hair", "(SKS_Punk:1.2)", "a sks, punk", "sks punks", "punk", "")

    assert missing_trigger(found, "sks punk") == ("sks punks", "punk", "")


def test_a_prompt_s_own_trigger_counts_first() -> None:
    """The one of the metadata stands in where a prompt names none; without any, none is missed."""
    assert missing_trigger(prompts("a cat", trigger="cat"), "dog") == ()
    assert missing_trigger(prompts("a cat", trigger="dog")) == ("a cat",)
    assert missing_trigger(prompts("a cat")) == ()


def test_an_escaped_trigger_is_found() -> None:
    """A tag with parentheses is the same word on both sides."""
    assert missing_trigger(prompts(r"rem \(re:zero\), hat"), "rem (re:zero)") == ()


KOHYA = {
    "ss_tag_frequency": json.dumps({"5_punk": {"punk": 40, "pixel art": 40, "crown": 12}}),
    "ss_dataset_dirs": json.dumps({"5_punk": {"n_repeats": 5, "img_count": 40}}),
}
DATASETS = {
    "ss_datasets": json.dumps(
        [
            {
                "subsets": [{"img_count": 40, "image_dir": "C:\\data\\5_punk"}],
                "tag_frequency": {"5_punk": {"hat": 3, "punk": 38}},
            }
        ]
    )
}


@pytest.mark.parametrize(
    ("metadata", "trigger"),
    [
        ({"modelspec.trigger_phrase": "sks punk"} | KOHYA, "sks punk"),
        ({"trained_words": '["sks", "punk"]'}, "sks"),
        ({"ss_trigger_words": "sks, punk"}, "sks"),
        (KOHYA, "punk"),
        (DATASETS, "punk"),
        (KOHYA | {"ss_dataset_dirs": "{}"}, None),
        ({"ss_tag_frequency": json.dumps({"a": {"x": 3}}), "ss_dataset_dirs": '{"a": {"img_count": 9}}'},
         None),
        ({"modelspec.trigger_phrase": "None"}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_the_metadata_s_trigger_is_found_or_unknown(
    metadata: dict[str, str], trigger: str | None
) -> None:
    """A written phrase first, then the tag nearly all images have; counts must be known."""
    assert trigger_of_metadata(metadata) == trigger


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.sampled_from((*KOHYA, *DATASETS, "trained_words")), JSON)
def test_foreign_metadata_never_raises(key: str, value: object) -> None:
    """Whatever somebody wrote there, the answer is a phrase or None."""
    found = trigger_of_metadata(KOHYA | {key: json.dumps(value)})

    assert found is None or found


def test_captions_name_the_tag_that_nearly_all_have() -> None:
    """The first such tag, wherever it stands; too few captions, or none in common, tell nothing."""
    captions = ["punk, a cat", "punk, a dog, day", "night, punk", "punk"]
    assert trigger_of_captions(captions) == "punk"
    assert trigger_of_captions([*captions, "a bird"]) is None
    assert trigger_of_captions(captions[:2]) is None
    assert trigger_of_captions([]) is None
