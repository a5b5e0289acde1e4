"""Seeing things on the demo's sprites: proven where it can be, and not measurable where not."""

import json
import random
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from core.metrics import TrainingProfile, learn_profile, measure
from core.metrics.color import Bytes
from core.metrics.probe import Probe, learn_probe
from core.metrics.profile import without_images
from core.metrics.proof import prove
from core.nouns import Expectation
from pictures import enlarged
from tests.bench.probes import demo_captions, held_out, shows

THINGS = ("crown", "sunglasses", "necklace")


@lru_cache
def sprites() -> tuple[list[Bytes], list[Expectation]]:
    """Give the demo's training images with what their captions say."""
    return demo_captions()


@pytest.fixture(scope="module")
def profile() -> TrainingProfile:
    """Give what the demo's training images teach."""
    return learn_profile(*sprites(), 24)


def worn(name: str) -> list[bool]:
    """Return which training captions name a thing."""
    return [name in caption.accessories for caption in sprites()[1]]


@pytest.mark.parametrize("thing", [*THINGS, "smile", "neutral"])
def test_things_are_seen_on_sprites_that_took_no_part(thing: str, profile: TrainingProfile) -> None:
    """Nine in ten are seen where they are, and under one in ten where they are not."""
    probe = profile.probe(thing)
    drawn = held_out(120)
    truth = np.array([shows(look, thing) for look, _ in drawn])

    assert probe
    points = np.array([probe.points(cells) for _, cells in drawn], dtype=float)
    assert prove(points[truth], points[~truth]).low > 0.9
    assert (points[truth] >= 50).mean() > 0.85
    assert (points[~truth] >= 50).mean() < 0.1


@pytest.mark.parametrize("seed", range(3))
def test_shuffled_captions_prove_nothing(seed: int) -> None:
    """A crown that captions name at random cannot be learned, and the reason says so."""
    labels = worn("crown")
    random.Random(seed).shuffle(labels)
    probe = learn_probe(sprites()[0], labels)

    assert probe.why_not
    assert "cannot tell them" in probe.why_not
    assert probe.weights == ""


def test_too_few_examples_are_told_as_the_reason() -> None:
    """Fourteen crowns are not enough, and neither are fourteen bare heads."""
    cells, labels = sprites()[0], worn("crown")
    crowned = [at for at, label in enumerate(labels) if label][:14]
    bare = [at for at, label in enumerate(labels) if not label]
    few = learn_probe([cells[at] for at in crowned + bare], [True] * 14 + [False] * len(bare))
    other = learn_probe([cells[at] for at in crowned + bare], [False] * 14 + [True] * len(bare))

    assert few.proof is None
    assert "14 training captions name it" in (few.why_not or "")
    assert "and 14 do not" in (other.why_not or "")


def test_a_probe_survives_json_and_is_learned_the_same_twice() -> None:
    """It is part of a rubric, so that it must not depend on the day."""
    probe, again = (learn_probe(sprites()[0], worn("necklace")) for _ in range(2))

    assert probe == again
    assert Probe.from_json(json.loads(json.dumps(probe.as_json()))) == probe


def test_pictures_of_another_shape_are_not_guessed_at(profile: TrainingProfile) -> None:
    """A probe of 24x24 cells says nothing of 16x24."""
    probe = profile.probe("necklace")

    assert probe
    assert probe.points(np.zeros((16, 24, 3), dtype=np.uint8)) is None


def test_a_promised_crown_counts_in_the_prompt_score_with_its_proof(
    profile: TrainingProfile,
) -> None:
    """Seen is full marks; missing costs its share and is told, with the area beside it."""
    cells, captions = sprites()
    crowned = worn("crown").index(True)
    bare = next(at for at, caption in enumerate(captions) if not caption.accessories)
    asked = replace(captions[bare], accessories=("crown",))
    there = measure(
        enlarged(cells[crowned], 96), expect=captions[crowned], grid=24, profile=profile
    )
    missing = measure(enlarged(cells[bare], 96), expect=asked, grid=24, profile=profile)
    without = measure(enlarged(cells[bare], 96), expect=captions[bare], grid=24, profile=profile)

    assert there.metrics["accessory_crown"].value == 100
    assert "AUC" in there.metrics["accessory_crown"].explanation
    assert "crown as promised" in there.strengths
    assert (missing.metrics["accessory_crown"].value or 0) < 50
    assert (missing.prompt_adherence or 0) < (without.prompt_adherence or 0) - 1
    assert "accessories" not in missing.reasons


def test_a_thing_that_nobody_asked_for_is_reported_and_costs_nothing(
    profile: TrainingProfile,
) -> None:
    """False presence stands beside the scores."""
    cells, captions = sprites()
    crowned = worn("crown").index(True)
    asked = replace(captions[crowned], accessories=())
    found = measure(enlarged(cells[crowned], 96), expect=asked, grid=24, profile=profile)

    assert found.metrics["unasked_crown"].value == 100
    assert (found.metrics["unasked_sunglasses"].value or 0) < 50
    assert "accessory_crown" not in found.metrics
    assert (found.prompt_adherence or 0) > 9


def test_a_promised_expression_is_an_atom_of_its_own(profile: TrainingProfile) -> None:
    """A neutral face where a smile was promised costs its share."""
    cells, captions = sprites()
    neutral = next(at for at, caption in enumerate(captions) if caption.expression == "neutral")
    asked = replace(captions[neutral], expression="smile")
    kept = measure(enlarged(cells[neutral], 96), expect=captions[neutral], grid=24, profile=profile)
    broken = measure(enlarged(cells[neutral], 96), expect=asked, grid=24, profile=profile)

    assert (kept.metrics["expression"].value or 0) > 50
    assert (broken.metrics["expression"].value or 0) < 50
    assert (broken.prompt_adherence or 0) < (kept.prompt_adherence or 0)


def test_what_cannot_be_seen_re_shares_its_weight(profile: TrainingProfile) -> None:
    """A monocle that no caption names is told as not measurable, and the colors still count."""
    cells, captions = sprites()
    asked = replace(captions[0], accessories=(), expression=None)
    more = replace(asked, accessories=("monocle",), expression="crying")
    plain = measure(enlarged(cells[0], 96), expect=asked, grid=24, profile=profile)
    found = measure(enlarged(cells[0], 96), expect=more, grid=24, profile=profile)
    nothing_known = measure(
        enlarged(cells[0], 96), expect=more, grid=24, profile=without_images("pixel_art", 24)
    )

    assert found.prompt_adherence == plain.prompt_adherence
    assert "0 training captions name it" in found.reasons["accessories"]
    assert "crying" in found.reasons["expression"]
    assert "training images" in nothing_known.reasons["accessories"]


def test_images_without_a_caption_teach_no_probe() -> None:
    """No caption is not the same as a caption without a crown."""
    cells, captions = (each[:60] for each in sprites())
    some = [caption if caption.accessories else None for caption in captions]
    probe = learn_profile(cells, some, 24).probe("crown")

    assert probe
    assert None in some
    assert probe.negatives == sum(caption is not None for caption in some) - probe.positives
