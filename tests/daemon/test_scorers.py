"""Plugged-in scorers: local, off until proved, and never a number that proves nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_clip import untrained_clip
from transformers import Dinov2Config, Dinov2Model

from core.errors import Fixable
from core.formats.caption_file import CaptionedImage, read_captions
from core.settings import load_settings
from daemon.demo.story import DATASET
from daemon.scorers.client import Scorer
from daemon.scorers.contract import Trial, likeness, proof_by_captions, proof_by_likeness


@pytest.fixture(scope="module")
def randomly_initialized_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a tiny CLIP that has learned nothing: it shows the contract, and can prove nothing."""
    return untrained_clip(tmp_path_factory.mktemp("randomly_initialized_clip"))


@pytest.fixture(scope="module")
def randomly_initialized_dino(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a tiny DINOv2 that has learned nothing; random features part sprites from noise."""
    folder = tmp_path_factory.mktemp("randomly_initialized_dino")
    torch.manual_seed(7)
    config = Dinov2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8
    )
    Dinov2Model(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def sprites() -> tuple[CaptionedImage, ...]:
    """Give some of the demo's training images."""
    return read_captions(DATASET)[:40]


def test_a_scorer_that_has_learned_nothing_is_off_with_its_area(
    randomly_initialized_clip: Path, sprites: tuple[CaptionedImage, ...]
) -> None:
    """It gives no number at all, and says why."""
    with Scorer(name="clip", folder=randomly_initialized_clip) as scorer:
        trial = scorer.trial(sprites, images=[sprites[0].path], text="a crown")

    assert trial.what == "image and text"
    assert trial.proof
    assert trial.proof.positives == 40
    assert trial.values is None
    assert "AUC" in (trial.why_off or "")
    assert json.loads(json.dumps(trial.as_json()))["values"] is None


def test_a_likeness_that_parts_training_images_from_others_counts(
    randomly_initialized_dino: Path, tmp_path: Path
) -> None:
    """Its values are higher for a picture like the training images than for another one."""
    dice = np.random.default_rng(1)
    one = dice.integers(40, 216, (32, 32, 3))
    paths = [tmp_path / f"{number:02d}.png" for number in range(34)]
    for number, path in enumerate(paths):
        like = one + dice.integers(-40, 40, one.shape)
        flat = np.full(one.shape, dice.integers(0, 256, 3))
        Image.fromarray((like if number < 18 else flat).astype(np.uint8)).save(path)
    training = tuple(CaptionedImage(path=path, caption="a punk") for path in paths[:17])
    with Scorer(name="dino", folder=randomly_initialized_dino) as scorer:
        trial = scorer.trial(training, images=[paths[17], paths[18]], base=paths[19:])

    assert trial.what == "likeness"
    assert trial.why_off is None
    assert trial.values
    assert trial.values[0] > trial.values[1]


def test_too_few_images_of_the_base_prove_no_likeness() -> None:
    """Without a proof there is no number."""
    vectors = np.eye(20)

    assert proof_by_likeness(vectors, vectors[:14]) is None
    unproved = Trial(name="x", what="likeness", proof=None, values=None)
    assert "15 images a side" in (unproved.why_off or "")


def test_likeness_to_the_right_captions_proves_and_shuffled_ones_do_not() -> None:
    """The contract on vectors whose answer is known."""
    dice = np.random.default_rng(2)
    texts = dice.normal(size=(30, 8))
    captions = [f"caption {number}" for number in range(30)]
    similar = (texts + 0.2 * dice.normal(size=texts.shape)) @ texts.T
    good, bad = (
        Trial(
            name="x", what="image and text", proof=proof_by_captions(each, captions), values=(1.0,)
        )
        for each in (similar, dice.permutation(similar))
    )

    assert good.why_off is None
    assert bad.why_off
    assert proof_by_captions(similar, ["the same"] * 30) is None
    assert proof_by_likeness(texts[:20], texts[20:]) is None


def test_no_training_image_is_compared_with_itself() -> None:
    """Else each would look most like the training set."""
    vectors = np.eye(4)

    assert likeness(vectors, vectors, own=True).max() == 0
    assert likeness(vectors, vectors).min() == 0.25


@pytest.mark.parametrize("broken", ["missing", "pickled", "another kind"])
def test_what_cannot_be_loaded_safely_is_refused_with_advice(
    broken: str,
    randomly_initialized_clip: Path,
    sprites: tuple[CaptionedImage, ...],
    tmp_path: Path,
) -> None:
    """No download, nothing unpickled, and no model that is not understood."""
    if broken != "missing":
        told = json.loads((randomly_initialized_clip / "config.json").read_text())
        told |= {"model_type": "bert"} if broken == "another kind" else {}
        (tmp_path / "config.json").write_text(json.dumps(told))
        torch.save({}, tmp_path / "pytorch_model.bin")

    with pytest.raises(Fixable, match="Nothing is downloaded"):
        Scorer(name="x", folder=tmp_path).trial(sprites)


def test_no_scorer_is_plugged_in_by_default() -> None:
    """Whoever wants one names its folder."""
    assert load_settings().scorers == {}


def test_a_scorers_process_is_given_no_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads files that somebody else made."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\nprintf \'{"trouble": "secret %s."}\' "$DATABASE_URL"\n')
    python.chmod(0o755)
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr("sys.executable", str(python))
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hidden@db/x")
    with pytest.raises(Fixable, match="secret \\."):
        Scorer(name="s", folder=tmp_path).look([], [])
