"""Sample images of the trainers, by name."""

from __future__ import annotations

import pytest

from core.formats.trainer_samples import TrainerSample, read_sample

EXAMPLES = {
    "out/sample/punk_e000007_01_20251109145320_42.png": ("punk", 7, None, 1, 42),
    "out/sample/punk_v2_e000007_00_20251109145320.png": ("punk_v2", 7, None, 0, None),
    "out/sample/punk_000500_02_20251109145320_7.png": ("punk", None, 500, 2, 7),
    "out/sample/e000001_00_20251109145320.png": (None, 1, None, 0, None),
    "job/samples/1762700000123__000000250_3.jpg": ("job", None, 250, 3, None),
    "w/samples/2 - a punk/2025-11-09-training-sample-1200-6-0.png": (None, 6, 1200, 2, None),
    "run/validation_images/step_300_punk_portrait_1_512x512.png": ("run", None, 300, 1, None),
}


@pytest.mark.parametrize("path", EXAMPLES)
def test_a_sample_image_tells_epoch_step_and_line(path: str) -> None:
    """The forms of kohya, ai-toolkit, OneTrainer and SimpleTuner are read."""
    name, epoch, step, index, seed = EXAMPLES[path]
    assert read_sample(path) == TrainerSample(
        path=path, output_name=name, epoch=epoch, step=step, index=index, seed=seed
    )


@pytest.mark.parametrize(
    "path",
    [
        "punk_e000007_01_20251109145320_42.png",
        "out/other/punk_e000007_01_20251109145320_42.png",
        "out/sample/holiday.png",
        "out/sample/punk_e000007_01_20251109145320_42.txt",
        "out/samples/cat.jpg",
    ],
)
def test_other_images_are_not_taken_for_samples(path: str) -> None:
    """A picture that only lies nearby is nobody's sample."""
    assert read_sample(path) is None


def test_a_seed_too_long_for_any_database_is_unknown() -> None:
    """A number that is out of every range is left out instead of breaking a row."""
    sample = read_sample(f"out/sample/punk_e000007_01_20251109145320_{'9' * 40}.png")
    assert sample is not None
    assert sample.seed is None
