"""Promised things asked of a plugged-in CLIP by name: off until the user's own captions prove it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_clip import clip_that_learned, untrained_clip

from core.formats.caption_file import CaptionedImage, read_captions
from core.metrics import TrainingProfile, measure
from core.metrics.detector import Detector
from core.metrics.probe import Probe
from core.metrics.profile import without_images
from core.metrics.proof import Proof
from core.nouns import Expectation
from daemon.demo.story import DATASET
from daemon.profiling import profile_of, said_of_proofs
from daemon.scorers.detecting import Detecting, things_in

_IMAGES = read_captions(DATASET)
_TAUGHT, _NEVER_SEEN = _IMAGES[::2], _IMAGES[1::2]
pytestmark = pytest.mark.timeout(900)  # processes that import transformers, on a busy machine


@pytest.fixture(scope="module")
def detecting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Detecting]:
    """Plug in a CLIP that learned crowns on half of the demo's sprites."""
    folder = clip_that_learned(["crown"], _TAUGHT, tmp_path_factory.mktemp("learned"))
    with Detecting(scorers={"learned": folder}) as found:
        yield found


@pytest.fixture(scope="module")
def taught(detecting: Detecting) -> TrainingProfile:
    """Give what it proves on sprites it has not seen, where no probe of ours sees anything."""
    blind = Probe(positives=0, negatives=len(_NEVER_SEEN))
    bare = replace(
        without_images("character", 24),
        images=len(_NEVER_SEEN),
        probes=(("crown", blind), ("smile", blind)),
    )
    profile, troubles = detecting.taught(bare, _NEVER_SEEN)
    assert troubles == []
    return profile


def _pixels(image: CaptionedImage) -> np.ndarray:
    with Image.open(image.path) as picture:
        return np.asarray(picture.convert("RGB"))


def test_a_clip_that_has_learned_a_thing_counts_and_finds_it(
    taught: TrainingProfile, detecting: Detecting
) -> None:
    """It proves itself on sprites it has not seen, and then prompt adherence follows the crown."""
    seer = taught.seer("crown")
    assert isinstance(seer, Detector)
    assert seer.scorer == "learned"
    worn = next(each for each in _NEVER_SEEN if "crown" in things_in(each.caption))
    bare = next(each for each in _NEVER_SEEN if "crown" not in things_in(each.caption))
    with_crown, without = (
        measure(
            pixels,
            expect=Expectation(accessories=("crown",)),
            grid=None,
            profile=taught,
            detected=detecting.see(taught, pixels),
        ).prompt_adherence
        for pixels in (_pixels(worn), _pixels(bare))
    )

    assert with_crown is not None
    assert without is not None
    assert with_crown > 5 > without


def test_a_run_is_set_up_with_what_its_models_proved(detecting: Detecting) -> None:
    """Beside the probes, and with the reason of a thing that neither sees."""
    found = profile_of(_NEVER_SEEN, 24, chosen="character", detecting=detecting)
    assert found.profile

    assert dict(found.profile.detectors)["crown"].why_not is None
    assert dict(found.profile.detectors)["smile"].why_not
    assert found.profile.seer("crown")


def test_what_it_has_not_learned_is_not_measurable_with_its_area(
    taught: TrainingProfile,
) -> None:
    """A smile it does not know: the run's page says so, and by which model the crown is seen."""
    assert taught.seer("smile") is None
    said = " ".join(said_of_proofs(taught))

    assert "Not measurable: smile" in said
    assert "AUC" in said.split("Not measurable")[1]
    assert "crown by learned (AUC" in said


def test_a_model_of_random_weights_proves_nothing(taught: TrainingProfile, tmp_path: Path) -> None:
    """No thing that captions name is measured by it, not even under the name of a proven one."""
    blind = Probe(positives=0, negatives=1)
    bare = replace(
        without_images("character", 24),
        probes=tuple((name, blind) for name in ("crown", "necklace", "smile", "sunglasses")),
    )
    pixels = _pixels(_NEVER_SEEN[0])
    with Detecting(scorers={"learned": untrained_clip(tmp_path)}) as detecting:
        profile, _ = detecting.taught(bare, _NEVER_SEEN)
        own, of_another = (detecting.see(each, pixels) for each in (profile, taught))

    assert len(profile.detectors) == 4
    assert all("AUC" in (detector.why_not or "") for _, detector in profile.detectors)
    assert (own, of_another) == ({}, {})


def test_a_machine_without_the_model_is_told_apart() -> None:
    """Nothing is started, and what is missing has a name."""
    proof = Proof(auc=0.9, low=0.8, high=1, positives=20, negatives=20)
    detector = Detector(scorer="clip", model="ab", positives=20, negatives=20, proof=proof)
    profile = replace(without_images("character", 24), detectors=(("crown", detector),))
    with Detecting() as detecting:
        assert detecting.missing(profile) == ["clip"]
        assert detecting.see(profile, _pixels(_IMAGES[0])) == {}


def test_a_folder_without_a_model_is_told_and_blocks_nothing(tmp_path: Path) -> None:
    """The run goes on with what else can be seen."""
    bare = replace(
        without_images("character", 24), probes=(("crown", Probe(positives=0, negatives=1)),)
    )
    with Detecting(scorers={"clip": tmp_path}) as detecting:
        profile, troubles = detecting.taught(bare, _IMAGES)

    assert profile.detectors == ()
    assert "Nothing is downloaded" in troubles[0]
