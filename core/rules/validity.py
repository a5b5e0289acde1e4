"""Is this test valid? What a run was trained with against what it is tested with.

A checkpoint tested otherwise than it was trained looks worse than it is, or better. Nothing here
forbids a test: each doubt is a sentence that is shown before the first image is drawn.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.formats.checkpoint_metadata import Values
from core.formats.prompt_text import expectation_from_text, plain_text
from core.formats.prompt_trigger import missing_trigger, trigger_of_captions, trigger_of_metadata
from core.nouns import BLEEDING, Recipe, Suite

_TOKENS = re.compile(r"[^\W\d_]+|\d|[^\s\w]+")  # CLIP's own pieces: each is one token or more
_WORDS = re.compile(r"[^\W\d_]{3,}")
_FAR = 1.6  # times the trained area, or its inverse: the base then composes another way
_NAMED = 3  # examples in a sentence
_TRAINED = {  # our name -> kohya's, and the values it can have
    "token_length": ("ss_max_token_length", (75, 150, 225)),
    "clip_skip": ("ss_clip_skip", tuple(range(1, 13))),
}


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What a run is going to be tested with."""

    suite: Suite
    base_sha256: str | None
    base_is_file: bool  # a folder's hash cannot be compared with a trainer's
    sentence_tokens: int | None = None  # of a base that reads sentences: it has no clip skip


def doubts(
    metadata: Mapping[str, str], trial: Trial, captions: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return a sentence for each way in which the test differs from the training, gravest first.

    ``metadata`` is a checkpoint's own, in kohya's keys; what it does not say is not doubted.
    ``captions`` are those of the training images, if they are known.
    """
    return (
        *_base(metadata, trial),
        *(_encoding(metadata, trial.suite.recipe) if trial.sentence_tokens is None else ()),
        *_recipe(metadata, trial.suite.recipe),
        *_too_long(trial),
        *_trigger(metadata, trial.suite, captions),
        *_vocabulary(trial.suite, captions),
        *_shared_colors(captions),
    )


def trained_recipe(metadata: Mapping[str, str]) -> dict[str, int]:
    """Return the token length and clip skip of the training, as far as the metadata says them."""
    found, values = {}, Values(metadata)
    for key, (name, possible) in _TRAINED.items():
        if name in metadata:
            value = values.whole(name) or possible[0]  # unset is the least
            if value in possible:
                found[key] = value
    return found


def _base(metadata: Mapping[str, str], trial: Trial) -> list[str]:
    """Compare the base model's hash, where both are known; say so where it cannot be verified."""
    trained = Values(metadata).sha256("ss_new_sd_model_hash")
    if metadata and trained is None and trial.base_sha256 is not None:
        return [
            (
                "The base model is unverified: the checkpoints carry no hash of the one they were "
                "trained on, so it was found by its name alone."
            )
        ]
    if trained is None or not trial.base_is_file or trial.base_sha256 in (None, trained):
        return []
    return [
        (
            f"It was trained on a base model with the SHA-256 {trained[:12]}…, and is tested on "
            f"{str(trial.base_sha256)[:12]}…: another file. Give the one it was trained on with "
            "--base-model."
        )
    ]


def _encoding(metadata: Mapping[str, str], recipe: Recipe) -> list[str]:
    """Compare how CLIP reads a prompt: token length and clip skip."""
    tested = {"token_length": recipe.token_length, "clip_skip": recipe.clip_skip}
    return [
        f"Trained with {key} {value}, tested with {tested[key]}: set {key} = {value} in the "
        "suite's recipe."
        for key, value in trained_recipe(metadata).items()
        if value != tested[key]
    ]


def _recipe(metadata: Mapping[str, str], recipe: Recipe) -> list[str]:
    """Compare resolution and VAE."""
    found = []
    sides = [int(side) for side in re.findall(r"\d{2,5}", metadata.get("ss_resolution", ""))[:2]]
    if sides:
        ratio = recipe.width * recipe.height / (sides[0] * sides[-1])
        if not 1 / _FAR <= ratio <= _FAR:
            found.append(
                f"Trained at {sides[0]}x{sides[-1]} pixels, tested at {recipe.width}x"
                f"{recipe.height}: composition and detail change with the size. Set width and "
                "height in the suite's recipe."
            )
    vae = Values(metadata).sha256("ss_new_vae_hash")
    if vae is not None and vae != recipe.vae:
        found.append(
            f"Trained with a VAE of its own (SHA-256 {vae[:12]}…), tested with "
            f"{'another one' if recipe.vae else 'that of the base model'}: colors may be off."
        )
    return found


def _too_long(trial: Trial) -> list[str]:
    """Name prompts that certainly have more tokens than the encoder is given."""
    suite, fixed = trial.suite, trial.sentence_tokens
    length = fixed or suite.recipe.token_length
    cut = [one.name for one in suite.prompts if len(_TOKENS.findall(plain_text(one.text))) > length]
    if not cut:
        return []
    more = "" if fixed else ", or raise token_length as in training"
    return [
        (
            f"{_listed(cut)} {'has' if len(cut) == 1 else 'have'} more than {length} tokens, and what "
            f"comes later has no effect: shorten{more}."
        )
    ]


def _trigger(metadata: Mapping[str, str], suite: Suite, captions: Sequence[str]) -> list[str]:
    """Name prompts that leave out the word the LoRA answers to."""
    trigger = trigger_of_metadata(metadata) or trigger_of_captions(captions) or ""
    scored = [prompt for prompt in suite.prompts if prompt.category != BLEEDING]
    silent = missing_trigger(scored, trigger)
    if not silent:
        return []
    word = trigger or next(one.trigger for one in suite.prompts if one.name == silent[0])
    return [
        (
            f"{_listed(silent)} {'leaves' if len(silent) == 1 else 'leave'} out the trigger word "
            f"'{word}': such a prompt shows bleeding, not what the LoRA can do."
        )
    ]


def _vocabulary(suite: Suite, captions: Sequence[str]) -> list[str]:
    """Name prompts with words that no caption has."""
    if not captions:
        return []
    known = {word for caption in captions for word in _words(caption)}
    strange = {one.name: sorted(set(_words(one.text)) - known) for one in suite.prompts}
    names = [name for name, words in strange.items() if words]
    if not names:
        return []
    words = sorted({word for each in strange.values() for word in each})
    return [
        (
            f"{_listed(names)} {'uses' if len(names) == 1 else 'use'} words that no caption has "
            f"({', '.join(words[:_NAMED])}): the base model draws these, not the LoRA."
        )
    ]


def _words(text: str) -> list[str]:
    return _WORDS.findall(plain_text(text).lower())


def _shared_colors(captions: Sequence[str]) -> list[str]:
    """Say in how many captions one hex stands for two features, which cannot be told apart."""
    confused = [caption for caption in captions if _shared_color(caption)]
    if not confused:
        return []
    return [
        (
            f"In {len(confused)} of {len(captions)} captions one color stands for two features "
            f"({_shared_color(confused[0])}): the training cannot tell them apart."
        )
    ]


def _shared_color(caption: str) -> str:
    """Return "hair and background #ff69b4" where a hex is given to two features, else ""."""
    expect = expectation_from_text(caption)
    features = [
        *expect.regions,
        *([("background", expect.background)] if expect.background else []),
    ]
    seen: dict[str, str] = {}
    for feature, color in features:
        if color.startswith("#"):
            if color in seen:
                return f"{seen[color]} and {feature} {color}"
            seen[color] = feature
    return ""


def _listed(names: Sequence[str]) -> str:
    """Return "Prompt 'a'", or "Prompts 'a', 'b', 'c' and 4 more"."""
    if len(names) == 1:
        return f"The prompt '{names[0]}'"
    shown = ", ".join(f"'{name}'" for name in names[:_NAMED])
    rest = len(names) - _NAMED
    return f"The prompts {shown}" + (f" and {rest} more" if rest > 0 else "")
