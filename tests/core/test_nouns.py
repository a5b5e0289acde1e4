"""The keys of the house never change, and everything that is stored comes back as it was."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.nouns import (
    EpochScore,
    Expectation,
    Measurement,
    MetricValue,
    Recipe,
    Sample,
    Stack,
    canonical_json,
    decimal_text,
    digest,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
SHA = st.text("0123456789abcdef", min_size=64, max_size=64)
LORAS = st.lists(st.tuples(SHA, st.sampled_from(("0.50", "0.80", "1.00"))), max_size=4)
SCORE = st.none() | st.floats(0, 10)


def _sample(**changes: Any) -> Sample:
    whole: dict[str, Any] = {
        "stack": Stack(base_sha256="b" * 64, loras=(("a" * 64, "1.00"),)),
        "prompt": "pixel art punk, pink hair #ff69b4, \u7c89",
        "seed": 42,
        "recipe": Recipe(),
    }
    return Sample(**{**whole, **changes})


def test_the_golden_sample_id_holds_for_ever() -> None:
    """If this fails, every image of every database would be drawn again: give it back its form."""
    assert _sample().sample_id == GOLDEN_SAMPLE
    assert _sample().stack.key == GOLDEN_STACK
    assert Stack(base_sha256="b" * 64).key == GOLDEN_BASELINE
    assert canonical_json(_sample().as_json()) == GOLDEN_JSON


GOLDEN_SAMPLE = "3cfdac4a7678a15595969914fe069d1823b9bea1e1d26b193b86e59982886b7b"
GOLDEN_STACK = "0c5a650a8fe9b678f4264320c943015274871df928a9421786d7a3f8a5d8c698"
GOLDEN_BASELINE = "8ab5733c3a7cc3df56f3f5ded4ba5c0aa2ecc2f405c70bde8f2dcb129c68e2c3"
GOLDEN_JSON = (
    '{"prompt":"pixel art punk, pink hair #ff69b4, \\u7c89","recipe":{"clip_skip":1,"f'
    'inishing":"cells","grid":24,"guidance":"7.50","height":512,"negative":"","precis'
    'ion":"auto","renderer":"diffusers","sampler":"dpm++ 2m","steps":30,"token_length'
    '":75,"vae":"","width":512},"seed":42,"stack":{"base":"bbbbbbbbbbbbbbbbbbbbbbbbbb'
    'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","loras":[["aaaaaaaaaaaaaaaaaaaaaaaaaaaaa'
    'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","1.00"]]}}'
)


@pytest.mark.parametrize(
    "other",
    [
        _sample(seed=43),
        _sample(prompt="pixel art punk, pink hair #ff69b4"),
        _sample(stack=Stack(base_sha256="b" * 64)),
        _sample(stack=Stack(base_sha256="b" * 64, loras=(("a" * 64, "0.90"),))),
        *(
            _sample(recipe=Recipe(**{name: value}))
            for name, value in {
                "sampler": "euler", "steps": 31, "guidance": "7.00", "width": 768, "height": 768,
                "grid": None, "negative": "blur", "clip_skip": 2, "token_length": 150, "vae": "c" * 64,
                "precision": "fp16", "renderer": "comfy", "finishing": "none",
            }.items()
        ),
    ],
)  # fmt: skip
def test_whatever_decides_the_pixels_changes_the_id(other: Sample) -> None:
    """Two different images never share a name."""
    assert other.sample_id != _sample().sample_id


def test_every_part_of_a_recipe_is_in_its_canonical_form() -> None:
    """A field that is forgotten here would be drawn once for all its values."""
    assert set(Recipe().as_json()) == set(Recipe.__dataclass_fields__)
    assert Recipe(**Recipe().as_json()) == Recipe()


@given(SHA, LORAS, st.randoms())
def test_the_order_of_loras_does_not_matter(base: str, loras: list[Any], dice: Any) -> None:
    """Merging adds, so any order gives the same weights and the same key."""
    shuffled = list(loras)
    dice.shuffle(shuffled)
    assert Stack(base_sha256=base, loras=tuple(loras)) == Stack(
        base_sha256=base, loras=tuple(shuffled)
    )


@given(SHA, LORAS)
def test_a_stack_comes_back_from_its_json(base: str, loras: list[Any]) -> None:
    """The database holds lists where we hold tuples."""
    stack = Stack(base_sha256=base, loras=tuple(loras))
    body = json.loads(canonical_json(stack.as_json()))
    assert Stack(base_sha256=body["base"], loras=tuple(body["loras"])).key == stack.key


@given(JSON)
def test_canonical_json_says_the_same_and_is_a_fixed_point(value: Any) -> None:
    """What is read back has the same text again, so a key survives the database."""
    text = canonical_json(value)
    assert text.isascii()
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text


@given(st.dictionaries(st.text(), st.integers(), max_size=6), st.randoms())
def test_the_order_of_keys_does_not_matter(value: dict[str, int], dice: Any) -> None:
    """Two programs that fill a dictionary in another order mean the same."""
    items = list(value.items())
    dice.shuffle(items)
    assert digest(dict(items)) == digest(value)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_not_a_number_has_no_canonical_form(number: float) -> None:
    """Databases refuse it, so it must not get as far as a key."""
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json({"x": [number]})


@pytest.mark.parametrize(
    ("number", "text"),
    [(1, "1.00"), (0.8, "0.80"), (7.5, "7.50"), (0.1 + 0.2, "0.30"), (-1, "-1.00")],
)
def test_strengths_are_decimal_text(number: float, text: str) -> None:
    """A float's last digits must not make two keys of one strength."""
    assert decimal_text(number) == text


METRICS = st.builds(
    MetricValue,
    value=st.none() | st.floats(0, 100),
    low=st.just(0.0),
    high=st.just(100.0),
    higher_is_better=st.none() | st.booleans(),
    explanation=st.text(),
    version=st.integers(1, 9),
)


@given(
    st.builds(
        Measurement,
        visual_quality=SCORE,
        style_match=SCORE,
        prompt_adherence=SCORE,
        reasons=st.dictionaries(st.text(), st.text(), max_size=2),
        metrics=st.dictionaries(st.text(), METRICS, max_size=3),
        issues=st.lists(st.text(), max_size=3).map(tuple),
        strengths=st.lists(st.text(), max_size=3).map(tuple),
        background_hex=st.none() | st.just("#50be50"),
        unique_colors=st.none() | st.integers(0, 500),
    )
)
def test_a_measurement_comes_back_as_it_was(measured: Measurement) -> None:
    """Unknown stays None with its reason on the way through JSON."""
    assert Measurement.from_json(json.loads(canonical_json(measured.as_json()))) == measured


@given(
    st.builds(
        Expectation,
        background=st.none() | st.text(),
        regions=st.dictionaries(st.text(), st.text(), max_size=3).map(
            lambda found: tuple(sorted(found.items()))
        ),
        accessories=st.lists(st.text(), max_size=3).map(tuple),
    )
)
def test_an_expectation_comes_back_as_it_was(expect: Expectation) -> None:
    """What a prompt promises is stored beside its sample."""
    assert Expectation.from_json(json.loads(canonical_json(expect.as_json()))) == expect


@pytest.mark.parametrize("body", [None, {}])
def test_no_body_promises_nothing(body: dict[str, Any] | None) -> None:
    """Old rows hold an empty one."""
    assert Expectation.from_json(body) == Expectation()


@given(SCORE, SCORE, SCORE)
def test_an_average_is_of_the_scores_that_exist(
    visual: float | None, style: float | None, prompt: float | None
) -> None:
    """Unknown is left out, never counted as 0; and nothing known is None."""
    score = EpochScore(position=1, visual=visual, style=style, prompt=prompt, images=3)
    known = [each for each in (visual, style, prompt) if each is not None]
    if known:
        assert score.average == pytest.approx(sum(known) / len(known))
    else:
        assert score.average is None
