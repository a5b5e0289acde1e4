"""Base models of the real sizes with random weights, and random LoRAs for them.

Weights decide what an image shows and not what it costs, so that no download is needed to measure
Stable Diffusion 1.5 and SDXL; their configurations ship with the generator.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from torch import nn

from daemon.demo.lora_file import write_checkpoint
from daemon.generator.clip_tokenizer import clip_tokenizer
from daemon.generator.single_file import CONFIGS
from tests.bench.tiny_base import build_base
from tests.helpers.tiny_models import tiny_pipeline

MODELS = {"tiny": 64, "tiny-xl": 32, "sd15": 512, "sdxl": 1024}  # name -> usual pixels a side
RANK = 16
_FAMILIES = {"sd15": "sd1", "sdxl": "sdxl"}
_TEXT = ("text_encoder", "text_encoder_2")
_UNET_LAYER = re.compile(
    r"attentions\..*(to_[qkv]|to_out\.0|ff\.net\.0\.proj|ff\.net\.2|proj_in|proj_out)$"
)
_TEXT_LAYER = re.compile(r"(self_attn\.[qkv]_proj|self_attn\.out_proj|mlp\.fc[12])$")
_LIVELY = 3.0  # a random UNet predicts noise of a third of the spread that a trained one does
_STRENGTH = 0.5  # spread of a LoRA's change by that of torch's initial weights, 1 / sqrt(inputs)


def build(model: str, folder: Path, device: torch.device, dtype: torch.dtype) -> None:
    """Save the pipeline of ``model``, one of ``MODELS``, with random weights of ``dtype``."""
    torch.manual_seed(7)
    if model == "tiny":
        build_base(folder)
        return
    if model == "tiny-xl":
        tiny_pipeline("sdxl").save_pretrained(folder)
        return
    family = _FAMILIES[model]
    parts = {
        name: part.to(dtype=dtype) for name, part in random_parts(CONFIGS / family, device).items()
    }
    with torch.no_grad():
        parts["unet"].conv_out.weight.mul_(_LIVELY)
    index = _read(CONFIGS / family / "model_index.json")
    scheduler = _read(CONFIGS / family / "scheduler" / "scheduler_config.json")
    extra: dict[str, Any] = {"tokenizer_2": clip_tokenizer("!")}
    if family != "sdxl":
        extra = {
            "safety_checker": None,
            "feature_extractor": None,
            "requires_safety_checker": False,
        }
    getattr(diffusers, index["_class_name"])(
        **parts,
        **extra,
        tokenizer=clip_tokenizer(),
        scheduler=getattr(diffusers, scheduler["_class_name"]).from_config(scheduler),
    ).save_pretrained(folder)


def random_parts(configs: Path, device: torch.device) -> dict[str, Any]:
    """Return UNet, VAE and text encoders of a diffusers folder's configurations, made on ``device``.

    On torch's "meta" device they have shapes and no weights, and cost no memory.
    """
    index = _read(configs / "model_index.json")
    found: dict[str, Any] = {}
    with device:
        for name in ("unet", "vae"):
            kind = getattr(diffusers, index[name][1])
            found[name] = kind.from_config(_read(configs / name / "config.json"))
        for name in _TEXT:
            if name in index:
                config = transformers.CLIPTextConfig(**_read(configs / name / "config.json"))
                found[name] = getattr(transformers, index[name][1])(config)
    return {name: part.eval().requires_grad_(requires_grad=False) for name, part in found.items()}


def write_lora(file: Path, parts: dict[str, Any], seed: int, *, text: bool) -> int:
    """Write a random LoRA in kohya's layout for all attention and MLP layers; return their number.

    ``parts`` tell the shapes and may be on the meta device; ``text``: the text encoders, too.
    """
    dice = torch.Generator().manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    count = 0
    for name, layer in adapted_layers(parts, text=text):
        outputs, inputs = layer.weight.shape[:2]
        spread = _STRENGTH / (inputs * RANK) ** 0.5
        down = torch.randn((RANK, inputs), generator=dice)
        up = torch.randn((outputs, RANK), generator=dice) * spread
        ones = (1,) * (layer.weight.dim() - 2)  # a convolution of 1 x 1 keeps its four dimensions
        tensors[f"{name}.lora_down.weight"] = down.reshape(RANK, inputs, *ones).half()
        tensors[f"{name}.lora_up.weight"] = up.reshape(outputs, RANK, *ones).half()
        tensors[f"{name}.alpha"] = torch.tensor(float(RANK)).half()
        count += 1
    write_checkpoint(file, tensors, {"ss_epoch": str(seed), "ss_network_dim": str(RANK)})
    return count


def adapted_layers(parts: dict[str, Any], *, text: bool) -> Iterator[tuple[str, nn.Module]]:
    """Yield kohya's name and the layer, for all attention and MLP layers of ``parts``."""
    for name, layer in parts["unet"].named_modules():
        if _UNET_LAYER.search(name):
            yield f"lora_unet_{name.replace('.', '_')}", layer
    encoders = [part for part in _TEXT if text and part in parts]
    for number, part in enumerate(encoders, start=1):
        prefix = f"lora_te{number if 'text_encoder_2' in parts else ''}_text_model"
        for name, layer in parts[part].named_modules():
            if _TEXT_LAYER.search(name):
                yield f"{prefix}_{name.removeprefix('text_model.').replace('.', '_')}", layer


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))
