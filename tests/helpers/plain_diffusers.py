"""What diffusers draws by itself, for comparison with what the generator draws."""

from __future__ import annotations

from typing import Any

import diffusers
import numpy as np
import torch

from core.formats.sampler_names import find_sampler
from daemon.generator.job import DrawJob


def plainly_drawn(pipeline: Any, job: DrawJob) -> np.ndarray:
    """Return the pixels that ``pipeline`` draws by itself: (images, height, width, 3) levels."""
    sampler = find_sampler(job.recipe.sampler)
    pipeline.scheduler = getattr(diffusers, sampler.scheduler).from_config(
        pipeline.scheduler.config, **sampler.options
    )
    images = pipeline(
        [one.prompt for one in job.samples],
        negative_prompt=[job.recipe.negative] * len(job.samples),
        width=job.recipe.width,
        height=job.recipe.height,
        num_inference_steps=job.recipe.steps,
        guidance_scale=float(job.recipe.guidance),
        generator=[torch.Generator().manual_seed(one.seed) for one in job.samples],
    ).images
    return np.stack([np.asarray(image).astype(int) for image in images])
