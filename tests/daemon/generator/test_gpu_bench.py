"""The benchmark of the drawing on a GPU: its code runs without one, and its limit is counted right."""

from __future__ import annotations

import sys

import pytest
import torch

from daemon.generator.single_file import CONFIGS
from tests.bench import gpu
from tests.bench.device_limit import (
    Rates,
    Work,
    image_work,
    seconds_at_the_limit,
    unet_work,
    vae_work,
)
from tests.bench.random_base import adapted_layers, random_parts


@pytest.mark.timeout(900)
def test_a_tiny_model_goes_through_the_whole_benchmark(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Checkpoints are drawn, swapped and compared, and the figures say what made them."""
    sizes = ["--steps=1", "--images=2", "--checkpoints=1", "--swaps=1", "--files=text"]
    monkeypatch.setattr(sys, "argv", ["gpu", "--device=cpu", "--model=tiny", *sizes])
    assert gpu.main() == 0
    page = capsys.readouterr().out
    assert "--model=tiny" in page
    assert "UNet and text encoders (132 layers)" in page
    assert "share of the limit" in page
    assert "The images are a fresh pipeline's" in page


def test_without_a_gpu_it_says_so_and_fails_nobody(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A machine without one has no figures, which is no error."""
    monkeypatch.setattr(sys, "argv", ["gpu"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main() == 0
    assert "not run: no GPU here" in capsys.readouterr().out


def test_the_work_is_that_of_the_real_size() -> None:
    """Of SD 1.5: TFLOP a pass and to decode, and the layers kohya adapts, without any weights."""
    parts = random_parts(CONFIGS / "sd1", torch.device("meta"))
    assert len(dict(adapted_layers(parts, text=True))) == 264
    assert unet_work(parts["unet"], 64).total / 1e12 == pytest.approx(0.8033, abs=1e-4)
    assert vae_work(parts["vae"], 64).total / 1e12 == pytest.approx(2.5145, abs=1e-4)


def test_an_image_takes_two_passes_a_step_and_one_decoding() -> None:
    """And convolutions count at their own rate where it is told apart."""
    work = image_work(Work(total=10, convolutions=4), Work(total=5, convolutions=5), steps=2)
    assert work == Work(total=45, convolutions=21)
    plain, mixed = seconds_at_the_limit(work, Rates(products=1, convolutions=2))
    assert (plain, mixed) == (45, 34.5)
