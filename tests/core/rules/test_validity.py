"""What makes a test mislead is said before anything is drawn; what agrees is left unsaid."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from core.nouns import Prompt, Recipe, Suite
from core.rules.validity import Trial, doubts, trained_recipe

BASE = "b" * 64
CAPTIONS = ("punk, pink hair #ff69b4, green background #50be50", "punk, red hair, gold crown")
TRAINED = {
    "ss_max_token_length": "None",
    "ss_clip_skip": "None",
    "ss_resolution": "(512, 512)",
    "ss_new_sd_model_hash": BASE,
}


def trial(*texts: str, base: str = BASE, is_file: bool = True, **recipe: int | str) -> Trial:
    """Plan a test with these prompts, by default just as the training was."""
    prompts = tuple(
        Prompt(name=f"p{number}", text=text)
        for number, text in enumerate(texts or ("punk, pink hair",), start=1)
    )
    suite = Suite(name="test", recipe=replace(Recipe(), **recipe), prompts=prompts)  # type: ignore[arg-type]
    return Trial(suite=suite, base_sha256=base, base_is_file=is_file)


def test_a_test_just_as_the_training_raises_no_doubt() -> None:
    """Nothing to say, nothing said; and no metadata at all is no reason to doubt."""
    assert doubts(TRAINED, trial(), CAPTIONS) == ()
    assert doubts({}, trial()) == ()


def test_a_base_that_reads_sentences_is_asked_for_its_own_length_only() -> None:
    """Flux has no clip skip, and T5 reads far more than 75 tokens of a prompt."""
    told = TRAINED | {"ss_clip_skip": "2", "ss_max_token_length": "225"}
    flux = replace(trial("hair " * 80), sentence_tokens=512)
    assert doubts(told, flux, CAPTIONS) == ()
    (sentence,) = doubts(told, replace(trial("hair " * 600), sentence_tokens=512), CAPTIONS)
    assert sentence.endswith("more than 512 tokens, and what comes later has no effect: shorten.")


@pytest.mark.parametrize(
    ("told", "planned", "words"),
    [
        ({"ss_max_token_length": "150"}, trial(), "token_length = 150"),
        ({"ss_clip_skip": "2"}, trial(), "clip_skip = 2"),
        ({}, trial(clip_skip=2), "clip_skip = 1"),
        ({"ss_resolution": "(1024, 1024)"}, trial(), "Trained at 1024x1024"),
        ({"ss_resolution": "512"}, trial(width=768, height=768), "Trained at 512x512"),
        ({}, trial(base="c" * 64), "another file"),
        ({"ss_new_vae_hash": "d" * 64}, trial(), "a VAE of its own"),
        ({"modelspec.trigger_phrase": "zork"}, trial(), "trigger word 'zork'"),
        ({}, trial("punk, a purple walrus"), "walrus"),
        ({}, trial("hair " * 80), "more than 75 tokens"),
    ],
)
def test_each_difference_is_one_sentence(told: dict[str, str], planned: Trial, words: str) -> None:
    """It names what was trained, what is tested, and mostly what to set."""
    (sentence,) = doubts(TRAINED | told, planned, CAPTIONS)
    assert words in sentence
    assert sentence.endswith(".")


def test_a_base_model_without_a_hash_is_unverified() -> None:
    """Its name is all that is known; a full model tested without one has nothing to verify."""
    nameless = {key: value for key, value in TRAINED.items() if "hash" not in key}
    (sentence,) = doubts(nameless, trial(), CAPTIONS)
    assert "unverified" in sentence
    assert doubts(nameless, replace(trial(), base_sha256=None), CAPTIONS) == ()


def test_a_folder_has_no_hash_a_trainer_knows() -> None:
    """A diffusers folder is hashed our way, so that a comparison would always differ."""
    assert doubts(TRAINED, trial(base="c" * 64, is_file=False)) == ()


def test_one_color_for_two_features_is_counted() -> None:
    """A caption that gives hair and background the same hex teaches neither."""
    confused = ("punk, pink hair #ff69b4, pink background #ff69b4", *CAPTIONS)
    (sentence,) = doubts(TRAINED, trial(), confused)
    assert sentence.startswith("In 1 of 3 captions")
    assert "hair and background #ff69b4" in sentence


def test_long_lists_of_prompts_are_cut() -> None:
    """Three names and a count; a sentence stays a sentence."""
    strange = trial(*(f"punk, walrus number {letter * 4}" for letter in "abcdef"))
    (sentence,) = doubts(TRAINED, strange, CAPTIONS)
    assert "'p1', 'p2', 'p3' and 3 more" in sentence


def test_what_the_trainer_wrote_becomes_the_recipe() -> None:
    """Unset means kohya's default; what no trainer can mean is ignored."""
    assert trained_recipe(TRAINED) == {"token_length": 75, "clip_skip": 1}
    assert trained_recipe({"ss_max_token_length": "225"}) == {"token_length": 225}
    assert trained_recipe({"ss_clip_skip": "99", "ss_max_token_length": "-7"}) == {
        "token_length": 75
    }


def test_hostile_metadata_does_not_stop_it() -> None:
    """All of it was written by somebody else."""
    hostile = {
        "ss_resolution": "9" * 5000,
        "ss_clip_skip": "2" * 400,
        "ss_tag_frequency": json.dumps([1, {"a": "b"}]),
        "modelspec.trigger_phrase": "\x00" * 50,
    }
    assert isinstance(doubts(hostile, trial()), tuple)
