"""Drawing with less memory draws the same pictures, and says what it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from daemon.generator.memory import memory_facts

if TYPE_CHECKING:
    from collections.abc import Callable

    from daemon.generator.job import DrawJob, LoraFile
    from daemon.generator.studio import Studio


def _pictures(job: DrawJob) -> np.ndarray:
    """Return all pictures of a job, as integers."""
    files = sorted(job.out.glob("*.png"))
    return np.stack([np.asarray(Image.open(file)).astype(int) for file in files])


@pytest.mark.parametrize("squeeze", ["sliced", "offloaded"])
def test_drawing_sparingly_draws_the_same(
    squeeze: str,
    studio: Studio,
    make_job: Callable[..., DrawJob],
    lora: LoraFile,
    tmp_path: object,
) -> None:
    """Within one grey level on a thousandth of the values, and the LoRA acts as before."""
    plain = make_job(lora)
    studio.draw(plain)
    before = _pictures(plain)
    sparing = make_job(lora, squeeze=squeeze, out=plain.out.parent / squeeze)
    studio.draw(sparing)
    after = _pictures(sparing)
    assert np.abs(after - before).max() <= 1
    assert (after != before).mean() < 0.001
    base = make_job(squeeze=squeeze, out=plain.out.parent / f"{squeeze}-base")
    studio.draw(base)
    assert (np.abs(_pictures(base) - after) > 8).mean() > 0.2


def test_a_batch_is_never_larger_than_allowed(
    studio: Studio, make_job: Callable[..., DrawJob]
) -> None:
    """Whatever the user asked for: memory has the last word."""
    from daemon.generator.studio import batch_shape

    assert batch_shape(make_job(count=8, batch=8, most=3), "cpu") == 3
    assert batch_shape(make_job(count=8, most=2), "cpu") == 2
    assert batch_shape(make_job(count=8), "cpu") == 8
    with pytest.raises(ValueError, match="no way to save memory"):
        make_job(squeeze="thin")


def test_the_memory_of_this_process_is_told() -> None:
    """Main memory is counted by Linux; what a CPU has in all is not this process's to say."""
    facts = memory_facts(torch.device("cpu"), at_rest=True)
    assert facts["on"] == "cpu"
    assert facts["total"] is None
    assert facts["held"] is None or 0 < facts["held"] <= facts["peak"]
