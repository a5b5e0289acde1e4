"""A UNet that torch compiled stays valid while one checkpoint after the other is merged into it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch._dynamo.utils import counters

from daemon.generator.studio import Studio

if TYPE_CHECKING:
    from collections.abc import Callable

    from daemon.generator.job import DrawJob, LoraFile


def _pixels(job: DrawJob) -> np.ndarray:
    return np.stack(
        [np.asarray(Image.open(job.out / f"{one.sample_id}.png")) for one in job.samples]
    )


def test_a_compiled_unet_is_compiled_once_for_all_checkpoints(
    make_job: Callable[..., DrawJob], lora: LoraFile, locon: LoraFile
) -> None:
    """Merging writes into the same weights: no recompilation, and the very same pixels."""
    studio = Studio(lambda *_, **__: None, lambda: False)  # of its own: it stays compiled
    bare = make_job()
    jobs = [
        dataclasses.replace(make_job(*stack), out=bare.out / name)
        for name, stack in {"one": (lora,), "two": (locon,), "none": ()}.items()
    ]
    for job in jobs:
        studio.draw(job)
    plain = [_pixels(job) for job in jobs]
    assert studio._base is not None
    studio._base.pipeline.unet.compile(backend="eager")
    counters.clear()
    with torch._dynamo.config.patch(error_on_recompile=True):
        for job, expected in zip(jobs, plain, strict=True):
            again = dataclasses.replace(job, out=job.out / "compiled")
            studio.draw(again)
            assert (_pixels(again) == expected).all()
    assert counters["stats"]["unique_graphs"] >= 1
