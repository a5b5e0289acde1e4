"""Diffusers folders as people have them: in another precision, cut short, or with something foreign."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusion3Pipeline
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_flow_models import tiny_flow_pipeline

from core.formats.base_model import base_sha256
from daemon.generator.folder_parts import open_parts
from daemon.generator.job import DrawJob, JobError

if TYPE_CHECKING:
    from daemon.generator.studio import Studio

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")


@pytest.fixture
def folder(base: Path, tmp_path: Path) -> Path:
    """A copy of the small base model, to be spoiled."""
    return Path(shutil.copytree(base, tmp_path / "copy"))


def edit(path: Path, **values: Any) -> None:
    """Change values of a JSON object."""
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def renamed(part: Path, variant: str) -> None:
    """Leave the weights of ``part`` in one variant only."""
    for file in part.glob("*.safetensors"):
        file.rename(file.with_suffix(f".{variant}.safetensors"))


def opened(folder: Path) -> dict[str, Any]:
    """Return the parts of ``folder`` in full precision."""
    return open_parts(folder, torch.float32)


@pytest.mark.parametrize("part", ["unet", "text_encoder", "vae"])
def test_a_part_that_lacks_a_tensor_is_never_filled_with_random_numbers(
    part: str, folder: Path
) -> None:
    """The libraries draw on with a text encoder that is part noise; here it is told which."""
    file = next((folder / part).glob("*.safetensors"))
    tensors = load_file(file)
    gone = min(name for name in tensors if name.endswith(".weight"))
    save_file({name: one for name, one in tensors.items() if name != gone}, file, {"format": "pt"})
    with pytest.raises(ValueError, match=f"in its {part} 1 tensors are missing"):
        opened(folder)
    save_file(tensors | {gone: torch.zeros(3, 3)}, file, {"format": "pt"})
    with pytest.raises(ValueError, match=f"in its {part} 1 tensors .* have another shape"):
        opened(folder)


def test_a_tokenizer_without_its_vocabulary_is_told(folder: Path) -> None:
    """It would read every prompt as nothing, and the images would look like images."""
    for file in (folder / "tokenizer").iterdir():
        if file.name != "tokenizer_config.json":
            file.unlink()
    with pytest.raises(ValueError, match="its tokenizer has no vocabulary"):
        opened(folder)


def test_a_part_that_is_not_there_is_told(folder: Path) -> None:
    """In words about the folder, not about a hub that nobody asked for."""
    shutil.rmtree(folder / "vae")
    with pytest.raises(ValueError, match="its vae is not there"):
        opened(folder)


def test_code_that_lies_in_a_folder_is_not_run(
    folder: Path, studio: Studio, make_job: Callable[..., DrawJob]
) -> None:
    """Nor is a library imported because a folder names it: the class must be one that is known."""
    marker = folder / "ran"
    (folder / "unet" / "mine.py").write_text(f"open({str(marker)!r}, 'w')\nclass Model: pass\n")
    for entry in (["mine", "Model"], ["antigravity", "fly"], ["transformers", "AutoModel"]):
        edit(folder / "model_index.json", unet=entry)
        job = make_job(base_path=folder, base_sha256=base_sha256(folder))
        with pytest.raises(JobError, match="Code of a model's own is never run") as refused:
            studio.draw(job)
        assert refused.value.kind == "no_base"
    assert not marker.exists()


@pytest.mark.parametrize(
    ("parts", "variant"),
    [(("unet", "text_encoder", "vae"), "fp16"), (("text_encoder",), "fp16"), (("vae",), "bf16")],
)
def test_weights_are_found_under_the_name_of_their_variant(
    parts: tuple[str, ...], variant: str, base: Path, folder: Path
) -> None:
    """Each part by itself, as hubs offer them for download."""
    for part in parts:
        renamed(folder / part, variant)
    plain, found = opened(base), opened(folder)
    assert found.keys() == plain.keys() == {"unet", "text_encoder", "vae"}
    for name, part in plain.items():
        other = found[name].state_dict()
        assert all(torch.equal(one, other[key]) for key, one in part.state_dict().items())


@pytest.mark.parametrize("scheduler", ["EDMEulerScheduler", "FlowMatchEulerDiscreteScheduler"])
def test_other_noise_is_refused_in_a_folder_too(
    scheduler: str, folder: Path, studio: Studio, make_job: Callable[..., DrawJob]
) -> None:
    """A sampler with betas would draw something, and it would be no picture of this model."""
    (folder / "scheduler" / "scheduler_config.json").write_text("{}")
    edit(folder / "model_index.json", scheduler=["diffusers", scheduler])
    with pytest.raises(JobError, match=f"other noise .{scheduler}.") as refused:
        studio.draw(make_job(base_path=folder, base_sha256=base_sha256(folder)))
    assert refused.value.kind == "no_base"


def test_sd3_without_t5_in_half_precision_files_is_drawn(
    studio: Studio, make_job: Callable[..., DrawJob], tmp_path: Path
) -> None:
    """As small GPUs have it: the folder says that it has no third encoder, and diffusers agrees."""
    pipeline = tiny_flow_pipeline("sd3")
    without = StableDiffusion3Pipeline(
        **(pipeline.components | {"text_encoder_3": None, "tokenizer_3": None})
    )
    without.set_progress_bar_config(disable=True)
    without.save_pretrained(tmp_path / "sd3", variant="fp16", safe_serialization=True)
    job = make_job(count=1, base_path=tmp_path / "sd3", base_sha256=base_sha256(tmp_path / "sd3"))
    recipe = dataclasses.replace(job.recipe, width=32, height=16, steps=2, sampler="euler")
    studio.draw(dataclasses.replace(job, recipe=recipe))
    expected = without(
        job.samples[0].prompt, negative_prompt="", width=32, height=16, num_inference_steps=2,
        guidance_scale=4.0, generator=torch.Generator().manual_seed(job.samples[0].seed),
    ).images[0]  # fmt: skip
    drawn = np.asarray(Image.open(job.out / "s0.png")).astype(int)
    assert np.abs(drawn - np.asarray(expected).astype(int)).max() <= 1
