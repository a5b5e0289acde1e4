"""Refuse what cannot be drawn before anything is loaded: no second of a GPU is spent on it.

It must not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from core.formats.base_model import FAMILIES, base_name, family, mismatch
from core.formats.checkpoint_header import Header, Tensor, read_header
from core.formats.checkpoint_layout import is_family_certain, read_layout
from core.nouns import Recipe
from daemon.generator.job import DrawJob, JobError, LoraFile

# Transformers that follow a flow, instead of a UNet, and the tokens that T5 reads for them.
FLOW = {"sd3": 256, "flux": 512}
_DRAWN = frozenset({"sd1", "sd2", "sdxl"})


def check_job(job: DrawJob) -> None:
    """Raise for a recipe, a base model or a LoRA that cannot be drawn, or that do not fit.

    Raises:
        JobError: "bad_recipe", "no_base" or "bad_lora".
    """
    _check_recipe(job)
    kind = family(job.base_path)
    if kind != "unknown":  # else it may not even be a base model, which its hash will tell
        check_family(job.base_path, kind)
    for lora in job.loras:
        _check_pair(lora, base_name(job.base_path), kind)


def check_family(path: Path, kind: str) -> None:
    """Raise unless base models of the family ``kind`` can be drawn.

    Raises:
        JobError: "no_base".
    """
    if kind in _DRAWN or (kind in FLOW and path.is_dir()):
        return
    name = base_name(path)
    told = f"It cannot be told what kind of base model {name} is."
    if kind in FLOW:
        told = f"{name} is {FAMILIES[kind]} in one file, whose text encoders are elsewhere."
    message = (
        f"{told} This version draws Stable Diffusion 1 and 2 and SDXL, from a diffusers folder or "
        "an original .safetensors file, and SD 3 and Flux from a diffusers folder. Choose a base "
        "model of these, or judge this run by the trainer's own samples."
    )
    raise JobError("no_base", message)


def _check_recipe(job: DrawJob) -> None:
    """Refuse numbers that mean nothing."""
    recipe: Recipe = job.recipe
    small = min(recipe.width, recipe.height) < 1
    troubles = {
        f"{recipe.width}x{recipe.height} pixels: both must be multiples of 8": recipe.width % 8
        or recipe.height % 8
        or small,
        f"{recipe.steps} steps: at least 1 is needed": recipe.steps < 1,
        f"the VAE {recipe.vae[:12]} is wanted, and the setting `vae` names none": recipe.vae
        and job.vae_path is None,
        f"the renderer {recipe.renderer!r} is not known": recipe.renderer != "diffusers",
    }
    found = [trouble for trouble, present in troubles.items() if present]
    if found:
        raise JobError("bad_recipe", f"The recipe cannot be drawn: {'; '.join(found)}.")


def _check_pair(lora: LoraFile, base: str, base_family: str) -> None:
    """Raise when the LoRA was certainly made for another family than the base model's.

    A file that cannot be read, or whose family is not certain, is left to the merge, which
    compares every name and shape.
    """
    try:
        header = read_header(lora.path)
    except OSError:
        return
    if not isinstance(header, Header):
        return
    found = _certain_family(header.tensors)
    name = header.metadata.get("ss_output_name") or lora.path.name
    reason = mismatch(name, found, base, base_family)
    if reason is not None:
        raise JobError("bad_lora", reason)


def _certain_family(tensors: Mapping[str, Tensor]) -> str:
    """Return the family all of the tensors speak for; "unknown" when it is a guess or they differ."""
    whole = read_layout(tensors)
    unet = read_layout({name: one for name, one in tensors.items() if "lora_te" not in name})
    differ = whole.family != unet.family != "unknown"
    return "unknown" if differ or not is_family_certain(whole.notes) else whole.family
