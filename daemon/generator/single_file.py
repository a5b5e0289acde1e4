"""Load base models that are one .safetensors file, and VAEs, without any hub.

Such a file holds weights alone; the configurations of the known architectures and the tokenizer
ship with us. diffusers converts the names.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import safetensors
import torch
from diffusers.loaders.single_file_utils import (
    SingleFileComponentError,
    create_diffusers_clip_model_from_ldm,
)
from transformers import CLIPTextModel

from core.formats.base_model import FAMILIES, ONE_FILE, base_name
from core.formats.checkpoint_header import Header, read_header
from daemon.generator.clip_tokenizer import clip_tokenizer
from daemon.generator.folder_parts import open_model
from daemon.generator.job import JobError
from daemon.generator.noise_schedule import Prediction

CONFIGS = Path(__file__).parent / "configs"  # a diffusers folder without weights per family
_UNET = "model.diffusion_model."
_CLIP = "cond_stage_model.transformer."
_FIRST = f"{_UNET}input_blocks.0.0.weight"
_TELLING = f"{_UNET}output_blocks.11.1.transformer_blocks.0.norm1.bias"
_SPREAD_OF_V = 0.09
_OTHER_NOISE = ("edm_mean", "edm_vpred.sigma_max")  # Playground 2.5, CosXL
_ZEROS = "!"  # the token with the number 0


def open_single_file(path: Path, family: str, dtype: torch.dtype, **parts: Any) -> Any:
    """Return the pipeline of ``path``, a file of "sd1", "sd2" or "sdxl"; ``parts`` replace its own.

    Raises:
        JobError: "no_base", a variant of the family that is not drawn, or tensors are missing.
        ValueError: the shapes are not those of the family.
    """
    header = _refuse_variants(path, family)
    xl = family == "sdxl"
    pipeline_class = (
        diffusers.StableDiffusionXLPipeline if xl else diffusers.StableDiffusionPipeline
    )
    tokenizers = {"tokenizer": clip_tokenizer(_ZEROS) if family == "sd2" else clip_tokenizer()}
    if xl:
        tokenizers["tokenizer_2"] = clip_tokenizer(_ZEROS)
    if family == "sd1" and not any(
        name.startswith(f"{_CLIP}text_model.") for name in header.tensors
    ):
        parts = {"text_encoder": _older_text_encoder(path, dtype), **parts}
    try:
        pipeline = pipeline_class.from_single_file(
            str(path.resolve()),
            config=str(CONFIGS / family),
            local_files_only=True,
            torch_dtype=dtype,
            **tokenizers,
            **parts,
        )
    except SingleFileComponentError as error:
        first = str(error).split(". ", 1)[0]
        raise JobError("no_base", _incomplete(path, first)) from error
    except NotImplementedError as error:  # weights without a value cannot be cast
        lacking = "tensors of its UNet, its VAE or a text encoder are missing"
        raise JobError("no_base", _incomplete(path, lacking)) from error
    for name, part in pipeline.components.items():
        if isinstance(part, torch.nn.Module) and any(one.is_meta for one in part.parameters()):
            raise JobError("no_base", _incomplete(path, f"tensors of its {name} are missing"))
    return pipeline


def _older_text_encoder(path: Path, dtype: torch.dtype) -> Any:
    """Return the text encoder of a file from 2022, whose names have one level less.

    NovelAI's model and the merges made of it are written so; sd-scripts (library/model_util.py)
    and ComfyUI put the level back, too.

    Raises:
        JobError: "no_base", there is none.
    """
    with safetensors.safe_open(path.resolve(), framework="pt") as file:
        tensors = {
            name.replace(_CLIP, f"{_CLIP}text_model."): file.get_tensor(name)
            for name in file.keys()  # noqa: SIM118 - not a mapping
            if name.startswith(_CLIP)
        }
    try:
        return create_diffusers_clip_model_from_ldm(
            CLIPTextModel,
            tensors,
            subfolder="text_encoder",
            config=str(CONFIGS / "sd1"),
            torch_dtype=dtype,
            local_files_only=True,
        )
    except (ValueError, NotImplementedError) as error:
        raise JobError("no_base", _incomplete(path, "it has no whole text encoder")) from error


def open_vae(path: Path, family: str, dtype: torch.dtype) -> Any:
    """Return the VAE at ``path``, a file in either layout or a diffusers folder.

    Raises:
        OSError, ValueError: it cannot be loaded, or is no VAE of ``family``.
    """
    if path.is_dir():
        return open_model(diffusers.AutoencoderKL, path, dtype)
    if family not in ONE_FILE:
        raise ValueError(
            f"for {FAMILIES[family]} it is taken from a diffusers folder, such as the vae of the"
            " base model, and not from one file."
        )
    return diffusers.AutoencoderKL.from_single_file(
        str(path.resolve()),
        config=str(CONFIGS / family),
        subfolder="vae",
        local_files_only=True,
        torch_dtype=dtype,
    )


def likely_prediction(path: Path, family: str) -> Prediction:
    """Return what a single file predicts that does not say so: "epsilon" or "v_prediction".

    Only SD 2 has both in one family. Its weights tell them apart: the spread of one bias, as
    ComfyUI does it (comfy/supported_models.py, SD20.model_type).
    """
    if family != "sd2":
        return "epsilon"
    with safetensors.safe_open(path, framework="pt") as file:
        if _TELLING not in file.keys():  # noqa: SIM118 - not a mapping
            return "epsilon"
        spread = file.get_tensor(_TELLING).float().std(unbiased=False)
    return "v_prediction" if float(spread) > _SPREAD_OF_V else "epsilon"


def _refuse_variants(path: Path, family: str) -> Header:
    """Return the header; raise for a relative that needs more than a prompt, or another noise."""
    header = read_header(path.resolve())
    if not isinstance(header, Header):
        message = f"The base model {path} cannot be read: {header.reason}"
        raise JobError("no_base", message)
    first = header.tensors.get(_FIRST)
    channels = first.shape[1] if first is not None and len(first.shape) == 4 else 4
    if channels != 4:
        message = (
            f"{base_name(path)} takes {channels} channels instead of 4: it is a model for"
            f" inpainting or editing. Choose the plain {FAMILIES[family]} model it was made from."
        )
        raise JobError("no_base", message)
    if any(name in header.tensors for name in _OTHER_NOISE):
        message = (
            f"{base_name(path)} was trained with EDM's noise, which this version cannot draw."
            f" Choose an {FAMILIES[family]} model that predicts epsilon or v."
        )
        raise JobError("no_base", message)
    return header


def _incomplete(path: Path, what: str) -> str:
    """Return the sentence for a file in which a part of the model is missing."""
    return (
        f"The base model {path} is not complete: {what}. Take the full version of the file, with"
        " text encoder and VAE in it, or point the base model at its diffusers folder."
    )
