"""Writes a LoRA the way kohya's sd-scripts does: tensor names, header texts and hashes.

Source: kohya-ss/sd-scripts, `library/train_util.py` (names, hashes) and `networks/lora.py` (keys).
"""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING

import torch
from peft.tuners.lora import LoraLayer
from safetensors.torch import save, save_file
from torch import Tensor, nn

if TYPE_CHECKING:
    from pathlib import Path

ADAPTER = "default"


def checkpoint_name(name: str, epoch: int, epochs: int) -> str:
    """Name an epoch's file; the last epoch carries no number, as kohya has it."""
    return f"{name}.safetensors" if epoch == epochs else f"{name}-{epoch:06d}.safetensors"


def sample_name(name: str, epoch: int, *, number: int, moment: str, seed: int) -> str:
    """Name an epoch's sample picture; `moment` is YYYYmmddHHMMSS."""
    return f"{name}_e{epoch:06d}_{number:02d}_{moment}_{seed}.png"


def kohya_tensors(unet: nn.Module, text_encoder: nn.Module) -> dict[str, Tensor]:
    """Collect both models' adapters under kohya's keys, half precision, alphas included."""
    return {**adapter_tensors(unet, "lora_unet_"), **adapter_tensors(text_encoder, "lora_te_")}


def adapter_tensors(model: nn.Module, prefix: str) -> dict[str, Tensor]:
    """Collect one model's adapter; convolutions keep their four dimensions (LoCon)."""
    tensors: dict[str, Tensor] = {}
    for path, layer in model.named_modules():
        if isinstance(layer, LoraLayer):
            key = prefix + kohya_path(path, prefix)
            tensors[f"{key}.lora_down.weight"] = layer.lora_A[ADAPTER].weight
            tensors[f"{key}.lora_up.weight"] = layer.lora_B[ADAPTER].weight
            tensors[f"{key}.alpha"] = torch.tensor(float(layer.lora_alpha[ADAPTER]))
    return {key: value.detach().half().contiguous() for key, value in tensors.items()}


def kohya_path(path: str, prefix: str) -> str:
    """Flatten a module path; newer transformers dropped `text_model.`, kohya's keys keep it."""
    if prefix == "lora_te_" and not path.startswith("text_model."):
        path = f"text_model.{path}"
    return path.replace(".", "_")


def hashes(tensors: dict[str, Tensor], metadata: dict[str, str]) -> dict[str, str]:
    """Hash the weights alone (everything after the header), and the old eight-digit way."""
    kept = {key: value for key, value in metadata.items() if key.startswith("ss_")}
    content = save(tensors, kept)
    (header,) = struct.unpack("<Q", content[:8])
    old = hashlib.sha256(content[0x100000 : 0x100000 + 0x10000])
    return {
        "sshs_model_hash": hashlib.sha256(content[8 + header :]).hexdigest(),
        "sshs_legacy_hash": old.hexdigest()[:8],
    }


def write_checkpoint(file: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write one checkpoint with its hashes in the header."""
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, file, metadata | hashes(tensors, metadata))
