"""Load a base model from this disk and nowhere else, and keep it for the next job."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import diffusers
import torch
import transformers

from core.errors import Fixable
from core.formats.base_model import base_sha256, family
from daemon.generator.job import JobError
from daemon.generator.merging import Merger
from daemon.generator.prompt_text import PromptEncoder

if TYPE_CHECKING:
    from pathlib import Path

_MARGIN = 2 * 1024**3  # bytes left free on a GPU beyond the weights, for the drawing itself
_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True)
class Base:
    """A resident base model with what was built around it."""

    pipeline: Any
    scheduler_config: dict[str, Any]  # the base's own, before any sampler replaced it
    merger: Merger
    encoder: PromptEncoder
    precision: str
    facts: dict[str, Any]  # library versions and device, for the provenance of an image


def choose_device(wanted: str) -> torch.device:
    """Return the device for "auto", "cpu", "cuda", "cuda:1" or "mps"."""
    if wanted == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise JobError(
            "cuda", f"{wanted} was asked for, and torch {torch.__version__} sees no GPU."
        )
    return torch.device(wanted)


def choose_precision(wanted: str, device: torch.device) -> str:
    """Return "fp16" on CUDA and "fp32" elsewhere for "auto", else what was asked for.

    fp16 rather than bf16: a small change of the weights survives rounding to fp16 far better.
    """
    if wanted == "auto":
        return "fp16" if device.type == "cuda" else "fp32"
    if wanted not in _DTYPES:
        message = f"The precision {wanted!r} is not known: auto, {', '.join(_DTYPES)}."
        raise JobError("bad_recipe", message)
    return wanted


def load_base(path: Path, sha256: str, device: torch.device, precision: str) -> Base:
    """Load the base model at ``path`` after checking its hash; no network, nothing unpickled.

    Raises:
        JobError: "no_base" when it is not there, not the one meant, or of a family this version
            cannot draw; "oom" when the GPU is too full to start.
    """
    _check(path, sha256)
    pipeline = _open(path, _DTYPES[precision])
    _check_room(pipeline, device)
    pipeline.to(device)
    if device.type == "cuda":
        pipeline.vae.enable_slicing()  # decoding a whole batch at once needs gigabytes
    pipeline.set_progress_bar_config(disable=True)
    parts = {"unet": pipeline.unet, "text_encoder": pipeline.text_encoder}
    for part in (*parts.values(), pipeline.vae):
        part.requires_grad_(requires_grad=False).eval()
    return Base(
        pipeline=pipeline,
        scheduler_config=dict(pipeline.scheduler.config),
        merger=Merger(parts),
        encoder=PromptEncoder(pipeline.tokenizer, pipeline.text_encoder),
        precision=precision,
        facts={**library_versions(), "device": device_name(device), "precision": precision},
    )


def library_versions() -> dict[str, str]:
    """Return the versions of what decides the pixels."""
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "diffusers": str(diffusers.__version__),
        "transformers": str(transformers.__version__),
    }


def device_name(device: torch.device) -> str:
    """Return the device as a person knows it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({platform.machine()}, {torch.get_num_threads()} threads)"


def _check(path: Path, sha256: str) -> None:
    """Raise unless ``path`` is the base model that is meant, of a family that can be drawn."""
    try:
        found = base_sha256(path)
    except (Fixable, OSError) as error:
        raise JobError("no_base", str(error)) from error
    if found != sha256:
        message = f"The base model {path} has changed: its hash is {found[:12]}, not {sha256[:12]}."
        raise JobError("no_base", message)
    kind = family(path)
    if kind not in {"sd1", "sd2"}:
        message = f"{path} is of the family {kind!r}; this version draws SD 1 and SD 2 models."
        raise JobError("no_base", message)


def _check_room(pipeline: Any, device: torch.device) -> None:
    """Raise when a GPU has too little free memory: the trainer on it comes first."""
    if device.type != "cuda":
        return
    merged = _bytes(pipeline.unet) + _bytes(pipeline.text_encoder)  # and a copy of as much
    need = 2 * merged + _bytes(pipeline.vae) + _MARGIN
    free, _ = torch.cuda.mem_get_info(device)
    if free < need:
        message = f"The GPU is busy: {free >> 20} MiB are free and {need >> 20} MiB are needed."
        raise JobError("oom", message)


def _bytes(model: torch.nn.Module) -> int:
    """Return the size of the weights of ``model`` in memory."""
    return sum(one.numel() * one.element_size() for one in model.parameters())


def _open(path: Path, dtype: torch.dtype) -> Any:
    """Return the pipeline at ``path``, a folder or a single file.

    Raises:
        JobError: "no_base" with what is missing.
    """
    options: dict[str, Any] = {
        "torch_dtype": dtype,
        "use_safetensors": True,
        "local_files_only": True,
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }
    try:
        if path.is_dir():
            variant = _variant(path)
            return diffusers.StableDiffusionPipeline.from_pretrained(
                str(path), variant=variant, image_encoder=None, **options
            )
        return diffusers.StableDiffusionPipeline.from_single_file(str(path), **options)
    except (OSError, ValueError, LookupError) as error:
        first = (str(error).splitlines() or [""])[0]
        alone = isinstance(error, FileNotFoundError) and path.is_file()
        message = f"The base model {path} cannot be loaded: {_SINGLE_FILE if alone else first}"
        raise JobError("no_base", message) from error


_SINGLE_FILE = (
    "a single file has no tokenizer and no configuration in it, and they are not in the Hugging"
    " Face cache of this machine either. Point the base model at its diffusers folder instead."
)


def _variant(path: Path) -> str | None:
    """Return "fp16" when the UNet is there in half precision only."""
    plain = path / "unet" / "diffusion_pytorch_model.safetensors"
    sharded = path / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    half = path / "unet" / "diffusion_pytorch_model.fp16.safetensors"
    return "fp16" if half.is_file() and not plain.is_file() and not sharded.is_file() else None
