"""Things seen by a model asked for them by name: only with a proof, and never a number without one."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from core.metrics import TrainingProfile, measure
from core.metrics.detector import Detector, prove_detector, scores_by_name, texts_of
from core.metrics.probe import Probe
from core.metrics.profile import without_images
from core.metrics.proof import Proof
from core.nouns import Expectation

_TRUTH = [True] * 20 + [False] * 20
_PIXELS = np.random.default_rng(1).integers(0, 256, (96, 96, 3), dtype=np.uint8)


def _detector(*, distance: float, images: int = 40) -> Detector:
    dice = np.random.default_rng(0)
    scores = dice.normal(size=40) * 0.01 + np.where(_TRUTH, distance * 0.01, 0)
    return prove_detector("clip", "ab12", scores[40 - images :], _TRUTH[40 - images :])


def _profile(detector: Detector, probe: Probe | None = None) -> TrainingProfile:
    return replace(
        without_images("character", 24),
        images=40,
        things=("crown",),
        probes=(("crown", probe or Probe(positives=20, negatives=20)),),
        detectors=(("crown", detector),),
    )


def test_scores_apart_prove_themselves_and_chance_does_not() -> None:
    """The area is that of the scores; under the bar the figure is the reason."""
    good, bad = _detector(distance=4), _detector(distance=0)

    assert good.why_not is None
    assert good.proof
    assert good.proof.auc > 0.95
    assert "AUC" in (bad.why_not or "")
    assert "clip" in (bad.why_not or "")


def test_a_model_that_sees_the_opposite_does_not_count() -> None:
    """An area far below one half is no proof."""
    assert _detector(distance=-4).why_not


def test_too_few_captions_prove_nothing() -> None:
    """Fifteen with the thing and fifteen without it are needed."""
    few = _detector(distance=4, images=30)  # ten of them with the thing

    assert few.proof is None
    assert "10 training captions name it" in (few.why_not or "")


def test_points_are_fifty_at_the_threshold_and_end_at_the_training_images() -> None:
    """The same scale as that of a probe."""
    detector = _detector(distance=4)

    assert detector.points_of(detector.threshold) == 50
    assert detector.points_of(-1.0) == 0
    assert detector.points_of(1.0) == 100


def test_only_what_differs_between_the_texts_counts() -> None:
    """An image that is as near to the bare text as to the named one scores 0."""
    named, bare = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    even = np.array([[0.5, 0.5]]) * np.sqrt(2)

    assert scores_by_name(even, named, bare)[0] == pytest.approx(0)
    assert scores_by_name(named, named, bare)[0] == pytest.approx(1)


def test_a_proven_thing_is_a_promise_that_counts() -> None:
    """Prompt adherence follows it, with its area beside the number."""
    profile, expect = _profile(_detector(distance=4)), Expectation(accessories=("crown",))
    there, gone = (
        measure(_PIXELS, expect=expect, grid=None, profile=profile, detected={"crown": score})
        for score in (0.08, -0.08)
    )

    assert (there.prompt_adherence, gone.prompt_adherence) == (10.0, 0.0)
    assert "by clip" in there.metrics["accessory_crown"].explanation
    assert "AUC" in there.metrics["accessory_crown"].explanation


@pytest.mark.parametrize(
    ("distance", "detected", "why"),
    [(0, {"crown": 0.08}, "AUC"), (4, {}, "not at hand")],
    ids=["not proved", "the model is not here"],
)
def test_what_is_not_proved_or_not_here_is_no_number(
    distance: float, detected: dict[str, float], why: str
) -> None:
    """It is not measurable with its reason, and prompt adherence does without it."""
    found = measure(
        _PIXELS,
        expect=Expectation(accessories=("crown",)),
        grid=None,
        profile=_profile(_detector(distance=distance)),
        detected=detected,
    )
    metric = found.metrics["accessory_crown"]

    assert metric.value is None
    assert metric.explanation.startswith("crown: not measurable")
    assert why in metric.explanation
    assert found.prompt_adherence is None


def test_the_better_area_wins_and_a_probe_wins_a_tie() -> None:
    """A probe needs no model at hand, so only a better model is asked."""
    detector = _detector(distance=4)
    assert detector.proof
    better, same = (
        Probe(
            positives=20,
            negatives=20,
            proof=Proof(auc=auc, low=0.7, high=1, positives=20, negatives=20),
        )
        for auc in (0.8, detector.proof.auc)
    )

    assert _profile(detector, better).seer("crown") == detector
    assert _profile(detector, same).seer("crown") == same


def test_detectors_are_stored_and_a_profile_without_any_stays_what_it_was() -> None:
    """Both come back from JSON; the key is not there when there are none."""
    profile = _profile(_detector(distance=4))
    body = json.loads(json.dumps(profile.as_json()))

    assert TrainingProfile.from_json(body) == profile
    assert "detectors" not in replace(profile, detectors=()).as_json()


def test_texts_differ_in_the_thing_alone() -> None:
    """Every wording has its bare twin."""
    named, bare = texts_of("crown")

    assert len(named) == len(bare)
    assert all("crown" in text for text in named)
    assert not any("crown" in text for text in bare)
    assert texts_of("sunglasses")[0][0] == "sunglasses"
    assert texts_of("smile")[0][0] == "a smile on the face"
