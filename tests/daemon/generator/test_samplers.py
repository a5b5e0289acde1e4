"""Samplers: the names people use, and that each of them draws."""

from __future__ import annotations

import dataclasses
import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from core.errors import Fixable
from core.formats.base_model import base_sha256
from core.formats.sampler_names import find_sampler, known_samplers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from daemon.generator.job import DrawJob
    from daemon.generator.studio import Studio


@pytest.mark.parametrize(
    ("written", "scheduler"),
    [
        ("Euler a", "EulerAncestralDiscreteScheduler"),
        ("euler_ancestral", "EulerAncestralDiscreteScheduler"),
        ("k_euler_a", "EulerAncestralDiscreteScheduler"),
        ("DPM++ 2M Karras", "DPMSolverMultistepScheduler"),
        ("dpmpp_2m", "DPMSolverMultistepScheduler"),
        ("dpmsolver++", "DPMSolverMultistepScheduler"),
        ("DDIM", "DDIMScheduler"),
        ("PLMS", "PNDMScheduler"),
        ("uni_pc", "UniPCMultistepScheduler"),
        ("k_lms", "LMSDiscreteScheduler"),
        ("heun", "HeunDiscreteScheduler"),
        ("dpm_2_ancestral", "KDPM2AncestralDiscreteScheduler"),
    ],
)
def test_the_names_of_other_programs_mean_the_same(written: str, scheduler: str) -> None:
    """A1111, ComfyUI and kohya spell the same sampler differently."""
    assert find_sampler(written).scheduler == scheduler


def test_karras_is_kept() -> None:
    """The noise schedule is part of the sampler."""
    assert find_sampler("DPM++ 2M Karras").options["use_karras_sigmas"] is True
    assert "use_karras_sigmas" not in find_sampler("dpm++ 2m").options


@pytest.mark.parametrize("name", ["warp 9", "ddim karras", ""])
def test_an_unknown_sampler_is_answered_with_the_known_ones(name: str) -> None:
    """A person can mend the name at once."""
    with pytest.raises(Fixable, match=r"dpm\+\+ 2m karras"):
        find_sampler(name)


@pytest.mark.filterwarnings("ignore")  # diffusers' arithmetic on tensors
def test_a_folder_decides_no_part_of_the_sampler(
    base: Path, studio: Studio, make_job: Callable[..., DrawJob], tmp_path: Path
) -> None:
    """Who saved it with another sampler's sigmas has not changed what "euler" means."""
    folder = tmp_path / "saved"
    shutil.copytree(base, folder)
    config = folder / "scheduler" / "scheduler_config.json"
    told = json.loads(config.read_text()) | {
        "_class_name": "DPMSolverMultistepScheduler",
        "algorithm_type": "sde-dpmsolver++",
        "use_exponential_sigmas": True,
    }
    config.write_text(json.dumps(told))
    other = {"base_path": folder, "base_sha256": base_sha256(folder)}
    for name in ("euler", "dpm++ 2s karras"):
        job = make_job(count=1)
        job = dataclasses.replace(job, recipe=dataclasses.replace(job.recipe, sampler=name))
        found = dataclasses.replace(job, out=tmp_path / "other", **other)
        for one in (job, found):
            studio.draw(one)
        images = [np.asarray(Image.open(one.out / "s0.png")) for one in (job, found)]
        assert (images[0] == images[1]).all()


@pytest.mark.filterwarnings("ignore")  # diffusers' arithmetic on tensors, thousands of times
def test_every_scheduler_draws(studio: Studio, make_job: Callable[..., DrawJob]) -> None:
    """No scheduler refuses the base model's settings or the list of generators."""
    names = [name for name in known_samplers() if not name.endswith(" karras")]
    for number, name in enumerate(names):
        job = make_job(count=2)
        recipe = dataclasses.replace(job.recipe, sampler=name, steps=2, width=16, height=16)
        out = job.out / str(number)
        studio.draw(dataclasses.replace(job, recipe=recipe, out=out))
        assert Image.open(out / "s1.png").size == (16, 16), name
