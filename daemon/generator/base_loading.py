"""Load a base model from this disk and nowhere else, and keep it for the next job."""

from __future__ import annotations

import platform
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import diffusers
import torch
import transformers

from core.errors import Fixable
from core.formats.base_model import FAMILIES, base_sha256, family, vae_sha256
from daemon.generator.flow_models import FlowEncoder, open_flow
from daemon.generator.folder_parts import open_parts
from daemon.generator.job import DrawJob, JobError
from daemon.generator.memory import place
from daemon.generator.merging import Merger
from daemon.generator.noise_schedule import NoiseSchedule, told_by
from daemon.generator.prompt_text import PromptEncoder, TextPart, penultimate
from daemon.generator.single_file import likely_prediction, open_single_file, open_vae
from daemon.generator.suitability import FLOW, check_family

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_MARGIN = 2 * 1024**3  # bytes left free on a GPU beyond the weights, for the drawing itself
_MERGED = (
    "unet",
    "transformer",
    "text_encoder",
    "text_encoder_2",
    "text_encoder_3",
)  # the parts that a LoRA can change
_OF_A_SAMPLER = frozenset(  # what a folder's own scheduler is set to, and the recipe's is not
    {
        "algorithm_type",
        "euler_at_final",
        "final_sigmas_type",
        "interpolation_type",
        "lower_order_final",
        "solver_order",
        "solver_type",
        "use_beta_sigmas",
        "use_exponential_sigmas",
        "use_karras_sigmas",
        "use_lu_lambdas",
    }
)
_OTHER_NOISE = ("EDM", "FlowMatch")  # schedulers whose steps are no betas
_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True)
class Base:
    """A resident base model with what was built around it."""

    pipeline: Any
    scheduler_config: dict[str, Any]  # the base's own, without what a sampler decides
    noise: NoiseSchedule  # what the base says itself
    merger: Merger
    encoder: PromptEncoder | FlowEncoder
    family: str  # "sd1", "sd2", "sdxl", "sd3", "flux"
    empty_is_zero: bool  # an empty negative prompt is zeros and not encoded, as SDXL's say
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


def choose_precision(wanted: str, device: torch.device, kind: str = "unknown") -> str:
    """Return "fp16" on CUDA and "fp32" elsewhere for "auto", else what was asked for.

    fp16 rather than bf16: a small change of the weights survives rounding to fp16 far better. But
    T5 and the transformers of SD 3 and Flux were trained in bf16 and overflow fp16.
    """
    if wanted == "auto" and kind in FLOW and device.type == "cuda":
        return "bf16"
    if wanted == "auto":
        return "fp16" if device.type == "cuda" else "fp32"
    if wanted not in _DTYPES:
        message = f"The precision {wanted!r} is not known: auto, {', '.join(_DTYPES)}."
        raise JobError("bad_recipe", message)
    return wanted


def load_base(job: DrawJob, device: torch.device, precision: str) -> Base:
    """Load the base model of ``job`` after checking its hash; no network, nothing unpickled.

    Raises:
        JobError: "no_base" when it, or the VAE put in its place, is not there, not the one meant,
            or cannot be loaded; "oom" when the GPU is too full to start.
    """
    _check(job)
    kind = family(job.base_path)
    pipeline = _open(job, _DTYPES[precision])
    parts = {name: part for name in _MERGED if (part := getattr(pipeline, name, None)) is not None}
    _check_room(list(parts.values()), pipeline.vae, device, offloaded=job.squeeze == "offloaded")
    place(pipeline, device, job.squeeze)
    pipeline.set_progress_bar_config(disable=True)
    for part in (*parts.values(), pipeline.vae):
        part.requires_grad_(requires_grad=False).eval()
    return Base(
        pipeline=pipeline,
        scheduler_config=_scheduler_config(pipeline, kind),
        noise=NoiseSchedule() if kind in FLOW else _noise(job.base_path),
        merger=Merger(parts),
        encoder=FlowEncoder(pipeline, kind) if kind in FLOW else _encoder(pipeline),
        family=kind,
        empty_is_zero=bool(pipeline.config.get("force_zeros_for_empty_prompt")),
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


def _scheduler_config(pipeline: Any, kind: str) -> dict[str, Any]:
    """Return how the base model sees noise; all it says of a flow, whose sampler is its own."""
    config = dict(pipeline.scheduler.config)
    if kind in FLOW:
        return config
    return {key: value for key, value in config.items() if key not in _OF_A_SAMPLER}


def _encoder(pipeline: Any) -> PromptEncoder:
    """Return what turns prompts into embeddings for this pipeline, which has one CLIP or two."""
    if getattr(pipeline, "text_encoder_2", None) is None:
        return PromptEncoder(TextPart(pipeline.tokenizer, pipeline.text_encoder))
    return PromptEncoder(
        TextPart(pipeline.tokenizer, pipeline.text_encoder, penultimate),
        TextPart(pipeline.tokenizer_2, pipeline.text_encoder_2, penultimate, "clip_g"),
    )


def _noise(path: Path) -> NoiseSchedule:
    """Return what the base model says of its noise, and what its weights say where it is silent."""
    told = told_by(path)
    if path.is_dir() or told.prediction is not None:
        return told
    return replace(told, likely=likely_prediction(path, family(path)))


def _check(job: DrawJob) -> None:
    """Raise unless base model and VAE are those that are meant, and can be drawn."""
    try:
        found = base_sha256(job.base_path)
        vae = vae_sha256(job.vae_path) if job.vae_path is not None else ""
    except (Fixable, OSError) as error:
        raise JobError("no_base", str(error)) from error
    _compare("base model", job.base_path, found, job.base_sha256)
    if job.vae_path is not None:
        _compare("VAE", job.vae_path, vae, job.recipe.vae)
    check_family(job.base_path, family(job.base_path))


def _compare(what: str, path: Path, found: str, wanted: str) -> None:
    """Raise unless the hash that was found is the one that is wanted."""
    if found != wanted:
        message = f"The {what} {path} has changed: its hash is {found[:12]}, not {wanted[:12]}."
        raise JobError("no_base", message)


def _check_room(
    merged: Sequence[torch.nn.Module],
    vae: torch.nn.Module,
    device: torch.device,
    *,
    offloaded: bool,
) -> None:
    """Raise when a GPU has too little free memory: the trainer on it comes first."""
    if device.type != "cuda":
        return
    need = 2 * sum(map(_bytes, merged)) + _bytes(vae) + _MARGIN  # and a copy of what is merged
    if offloaded:
        need = max(map(_bytes, [*merged, vae])) + _MARGIN
    free, _ = torch.cuda.mem_get_info(device)
    if free < need:
        message = f"The GPU is busy: {free >> 20} MiB are free and {need >> 20} MiB are needed."
        raise JobError("oom", message)


def _bytes(model: torch.nn.Module) -> int:
    """Return the size of the weights of ``model`` in memory."""
    return sum(one.numel() * one.element_size() for one in model.parameters())


def _open(job: DrawJob, dtype: torch.dtype) -> Any:
    """Return the pipeline of ``job``, a folder or a single file, with another VAE if it has one.

    Raises:
        JobError: "no_base" with what is missing.
    """
    path, kind = job.base_path, family(job.base_path)
    doing = f"The base model {path}"
    usual = _XL if kind == "sdxl" else _SD
    try:
        parts: dict[str, Any] = {}
        if job.vae_path is not None:
            doing = f"The VAE {job.vae_path}"
            parts["vae"] = open_vae(job.vae_path, kind, dtype)
            doing = f"The base model {path}"
        if kind in FLOW:
            pipeline = open_flow(path, kind, dtype, **parts)
        elif path.is_dir():
            pipeline = _open_folder(path, kind, dtype, {**usual, **parts})
        else:
            pipeline = open_single_file(path, kind, dtype, **usual, **parts)
        _check_vae(pipeline, kind)
    except NotImplementedError as error:  # weights without a value cannot be cast or moved
        raise JobError("no_base", f"{doing} is not complete: tensors are missing.") from error
    except (OSError, ValueError, LookupError, ImportError) as error:
        first = (str(error).splitlines() or [""])[0]
        raise JobError("no_base", f"{doing} cannot be loaded: {first}") from error
    return pipeline


def _check_vae(pipeline: Any, kind: str) -> None:
    """Raise ValueError when the VAE is of another family: it cannot decode what the model draws."""
    model = pipeline.transformer if kind in FLOW else pipeline.unet
    drawn = model.config.in_channels // (4 if kind == "flux" else 1)  # Flux packs 2 x 2 into one
    config = pipeline.vae.config
    shift = config.get("shift_factor")  # Flux and SD 3 move the latents, SD and SDXL do not
    foreign = shift is None if kind in FLOW else bool(shift)
    if foreign or config.latent_channels != drawn:
        raise ValueError(
            f"the VAE is of another family, with {config.latent_channels} channels: an"
            f" {FAMILIES[kind]} model draws {drawn}. Take the VAE that belongs to it."
        )


_SD: Mapping[str, Any] = {
    "safety_checker": None,
    "feature_extractor": None,
    "image_encoder": None,
    "requires_safety_checker": False,
}
_XL: Mapping[str, Any] = {
    "feature_extractor": None,
    "image_encoder": None,
    "add_watermarker": False,  # it would change pixels wherever its package is installed
}


def _open_folder(path: Path, kind: str, dtype: torch.dtype, parts: Mapping[str, Any]) -> Any:
    """Return the pipeline of a diffusers folder."""
    pipeline_class = (
        diffusers.StableDiffusionXLPipeline if kind == "sdxl" else diffusers.StableDiffusionPipeline
    )
    own = open_parts(path, dtype, other_vae="vae" in parts)
    pipeline = pipeline_class.from_pretrained(str(path), local_files_only=True, **{**own, **parts})
    scheduler = type(pipeline.scheduler).__name__
    if scheduler.startswith(_OTHER_NOISE):
        raise ValueError(
            f"it was trained with other noise ({scheduler}), which is not drawn here. Choose an"
            f" {FAMILIES[kind]} model that predicts epsilon or v."
        )
    if pipeline.unet.config.in_channels != 4 or pipeline.text_encoder is None:
        raise ValueError("it is a model for inpainting, editing or refining. Choose the plain one.")
    return pipeline
