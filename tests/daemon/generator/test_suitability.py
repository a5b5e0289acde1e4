"""What does not fit is refused from headers alone, with both names."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save_file

from daemon.generator.job import DrawJob, JobError, LoraFile
from daemon.generator.suitability import check_job

if TYPE_CHECKING:
    from pathlib import Path

MakeJob = Callable[..., DrawJob]
CROSS = "down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
SDXL_LORA = {"lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k": 2048, "lora_te2_x": 8}
SD1_LORA = {f"lora_unet_{CROSS}": 768, "lora_te_x": 8}
SD1_FILE = ("model.diffusion_model.input_blocks.0.0.weight", "cond_stage_model.transformer.x")
SDXL_FILE = ("model.diffusion_model.input_blocks.0.0.weight", "conditioner.embedders.1.x")


def a_lora(path: Path, widths: dict[str, int], **metadata: str) -> LoraFile:
    """Write a LoRA of rank 2 with modules of these input widths."""
    tensors = {f"{name}.lora_down.weight": torch.zeros(2, wide) for name, wide in widths.items()}
    tensors |= {f"{name}.lora_up.weight": torch.zeros(4, 2) for name in widths}
    save_file(tensors, path, metadata or None)
    return LoraFile(path=path, sha256="0" * 64)


def a_base(path: Path, names: tuple[str, ...]) -> Path:
    """Write a file with tensors of these names."""
    save_file({name: torch.zeros(1) for name in names}, path)
    return path


@pytest.mark.parametrize(
    ("lora", "names", "words"),
    [
        (SDXL_LORA, SD1_FILE, r"my-hero is a LoRA for SDXL, and the base model v.* is SD 1:"),
        (SD1_LORA, SDXL_FILE, r"my-hero is a LoRA for SD 1, and the base model v.* is SDXL:"),
        ({"transformer.single_transformer_blocks.0.proj": 8}, SD1_FILE, r"a LoRA for Flux"),
    ],
)
def test_a_lora_of_another_family_is_refused_with_both_names(
    lora: dict[str, int], names: tuple[str, ...], words: str, make_job: MakeJob, tmp_path: Path
) -> None:
    """Before a base model is even hashed: its hash here is wrong, and nobody asks."""
    path = a_base(tmp_path / "v1-5.safetensors", names)
    file = a_lora(tmp_path / "lora.safetensors", lora, ss_output_name="my-hero")
    with pytest.raises(JobError, match=words) as caught:
        check_job(make_job(file, base_path=path, base_sha256="0" * 64))
    assert caught.value.kind == "bad_lora"


def test_what_is_not_certain_is_left_to_the_merge(make_job: MakeJob, tmp_path: Path) -> None:
    """The right family, a guess, keys that disagree, no file at all: the merge counts them."""
    path = a_base(tmp_path / "xl.safetensors", SDXL_FILE)
    mixed = {f"lora_unet_{CROSS}": 768, "lora_te3_x": 8}
    files = [
        a_lora(tmp_path / "same.safetensors", SDXL_LORA),
        a_lora(tmp_path / "guess.safetensors", {"lora_unet_mid_block_resnets_0_conv1": 320}),
        a_lora(tmp_path / "mixed.safetensors", mixed),
        LoraFile(path=tmp_path / "gone.safetensors", sha256="0" * 64),
    ]
    check_job(make_job(*files, base_path=path))


@pytest.mark.parametrize(
    ("block", "kind"),
    [("joint_blocks.0.x_block.attn", "SD 3"), ("double_blocks.0.img_attn.norm.key_norm", "Flux")],
)
def test_transformers_in_one_file_are_refused_with_what_is_drawn(
    block: str, kind: str, make_job: MakeJob, tmp_path: Path
) -> None:
    """The sentence says what it is and what would work: its diffusers folder."""
    path = tmp_path / "great.safetensors"
    save_file({f"model.diffusion_model.{block}.scale": torch.zeros(1)}, path)
    words = rf"great.safetensors is {kind} in one file.*from a diffusers folder"
    with pytest.raises(JobError, match=words) as caught:
        check_job(make_job(base_path=path))
    assert caught.value.kind == "no_base"


def test_a_job_keeps_its_vae_on_the_way_to_the_child(make_job: MakeJob, tmp_path: Path) -> None:
    """The path goes along; one without a hash in the recipe is no job."""
    job = make_job()
    recipe = dataclasses.replace(job.recipe, vae="ab" * 32)
    job = dataclasses.replace(job, recipe=recipe, vae_path=tmp_path / "vae.safetensors")
    assert DrawJob.from_json(json.loads(json.dumps(job.as_json()))) == job
    with pytest.raises(ValueError, match="does not know the VAE"):
        make_job(vae_path=tmp_path / "vae.safetensors")


def test_a_transformer_with_two_text_encoders_is_not_taken_for_sdxl(
    make_job: MakeJob, tmp_path: Path
) -> None:
    """SD 3's LoRAs in diffusers' names: which transformer it is, the merge finds out."""
    folder = tmp_path / "sd3"
    folder.mkdir()
    (folder / "model_index.json").write_text('{"_class_name": "StableDiffusion3Pipeline"}')
    names = ("transformer.transformer_blocks.0.attn.to_q", "text_encoder_2.text_model.q_proj")
    path = tmp_path / "sd3.safetensors"
    save_file({f"{n}.lora_{end}.weight": torch.zeros(1, 1) for n in names for end in "AB"}, path)
    check_job(make_job(LoraFile(path=path, sha256="0" * 64), base_path=folder))
