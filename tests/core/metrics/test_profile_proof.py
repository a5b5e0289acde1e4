"""A number counts when it has proved itself, and else is off with its reason."""

import random
from dataclasses import replace

import pytest

from core.metrics import TrainingProfile, learn_profile, measure
from core.metrics.color import Bytes
from core.metrics.profile_proof import prove_against_base, prove_on_captions, with_base_proofs
from core.nouns import Expectation, Measurement
from pictures import blurred, enlarged, portraits

CELLS: list[Bytes] = [one.cells() for one in portraits()]
CAPTIONS: list[Expectation] = [one.expect for one in portraits()]


@pytest.fixture(scope="module")
def profile() -> TrainingProfile:
    """Give what 60 portraits teach."""
    return learn_profile(CELLS, CAPTIONS, 24)


def measured(pixels: list[Bytes], profile: TrainingProfile) -> list[Measurement]:
    """Measure pictures as the first portraits."""
    return [
        measure(each, expect=caption, grid=24, profile=profile)
        for each, caption in zip(pixels, CAPTIONS, strict=False)
    ]


def test_colors_that_follow_the_captions_stay_on(profile: TrainingProfile) -> None:
    """Nothing is off, so that no score of good training sets changes."""
    assert prove_on_captions(profile, CELLS, CAPTIONS) == profile


def test_a_background_that_captions_name_at_random_is_off_and_re_shared() -> None:
    """It counts neither for nor against an image, and the reason has its area."""
    grounds = [caption.background for caption in CAPTIONS]
    random.Random(4).shuffle(grounds)
    wrong = [
        replace(caption, background=ground)
        for caption, ground in zip(CAPTIONS, grounds, strict=True)
    ]
    proven = prove_on_captions(learn_profile(CELLS, wrong, 24), CELLS, wrong)
    asked = replace(CAPTIONS[0], background="#00ffff")
    found = measure(enlarged(CELLS[0], 96), expect=asked, grid=24, profile=proven)

    assert dict(proven.off).keys() == {"background"}
    assert "AUC" in found.reasons["background"]
    assert found.prompt_adherence == 10
    assert "wrong_background" not in found.issues
    assert TrainingProfile.from_json(proven.as_json()) == proven


def test_few_captions_prove_nothing_and_turn_nothing_off() -> None:
    """Fourteen images are no proof, neither way."""
    few = learn_profile(CELLS[:14], CAPTIONS[:14], 24)

    assert prove_on_captions(few, CELLS[:14], CAPTIONS[:14]).off == ()


def test_scores_that_part_training_images_from_the_base_count(profile: TrainingProfile) -> None:
    """Blurred pictures of a base model are told from sharp sprites."""
    sharp = measured([enlarged(cells, 96) for cells in CELLS], profile)
    soft = measured([blurred(enlarged(cells, 96), 3) for cells in CELLS[:8]], profile)
    proofs = prove_against_base(sharp, soft)

    assert proofs["style_match"].auc == 1
    assert with_base_proofs(profile, proofs).off == ()


def test_a_base_model_that_draws_the_same_turns_scores_off(profile: TrainingProfile) -> None:
    """What cannot tell them apart says so instead of a number; it is never a 0."""
    sharp = measured([enlarged(cells, 96) for cells in CELLS], profile)
    proven = with_base_proofs(profile, prove_against_base(sharp, sharp[:12]))
    found = measured([enlarged(CELLS[0], 96)], proven)[0]

    assert dict(proven.off).keys() == {"visual_quality", "style_match"}
    assert found.style_match is None
    assert found.reasons["style_match"].startswith("off:")
    assert found.prompt_adherence == 10


def test_what_is_not_applicable_is_not_proved(profile: TrainingProfile) -> None:
    """A score that neither side has, or only three images have, is left out."""
    photo = replace(profile, kind="style")
    soft = measured([blurred(enlarged(cells, 96), 3) for cells in CELLS[:8]], photo)
    sharp = measured([enlarged(cells, 96) for cells in CELLS[:8]], profile)

    assert prove_against_base(soft, soft) == {}
    assert prove_against_base(sharp, sharp[:3]) == {}
