"""Read a LoRA file into changes of modules, or say why it cannot be read; never half of it.

A file of which a part is dropped draws an image that belongs to no checkpoint, so whatever is not
understood refuses the whole file.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError

from core.formats.checkpoint_file import COMPANION, pair_sha256
from core.formats.checkpoint_layout import read_family
from daemon.generator import adapter_math
from daemon.generator.adapter_config import AdapterConfig
from daemon.generator.adapter_math import Change
from daemon.generator.adapter_tensors import PEFT, group
from daemon.generator.job import JobError

_FOREIGN = (  # part of a tensor's name -> what it belongs to; the more telling ones first
    (r"oft_diag|\.oft_(?!blocks$)", "OFT of PEFT or OneTrainer"),
    (r"\.bm\.weight$", "LyCORIS GLoRA with a Tucker core"),
    (r"\.on_input$|\.ia3_", "IA3"),
    (r"\.(q_layer|p_layer|lambda_layer)", "T-LoRA"),
    (r"\.vera_lambda", "VeRA"),
    (r"^bundle_emb", "a LoRA with an embedding bundled in"),
)
_TOLD = re.compile(r"flux|sd3|stable-diffusion-3", re.IGNORECASE)
_KNOWN_BLOCKS = re.compile(r"(^|\.)(single_)?transformer_blocks[._]\d")
_UNET = re.compile(r"(down|up|input|output)_blocks|mid(dle)?_block")
_TRANSFORMER = ("transformer.", "diffusion_model.")


@dataclass(frozen=True, kw_only=True)
class LoraWeights:
    """A whole file, checked: every change is complete and finite."""

    sha256: str
    changes: tuple[Change, ...]
    family: str = "unknown"  # of base models, as far as names and shapes tell: "sd1", "sdxl"

    @property
    def modules(self) -> int:
        """Return how many modules the file changes; a weight and its bias are one."""
        return len({change.module for change in self.changes})


def read_lora(path: Path, sha256: str) -> LoraWeights:
    """Read ``path`` once into memory, check its hash, and return its changes.

    ``sha256`` is that of the file, or of the pair that it is with the configuration beside it.

    Raises:
        JobError: "bad_lora" with counts, when any part of it cannot be used.
    """
    data = _read_bytes(path, sha256)
    try:
        tensors = safetensors.torch.load(data)
        metadata = _metadata(data)
    except (SafetensorError, ValueError, struct.error) as error:
        message = f"{path.name} is no whole safetensors file: {error}"
        raise JobError("bad_lora", message) from error
    except LookupError as error:  # a type of numbers that torch or safetensors has not
        message = f"{path.name} holds numbers of the type {error}. Save it as fp16, bf16 or fp32."
        raise JobError("bad_lora", message) from error
    if not tensors:
        raise JobError("bad_lora", f"{path.name} holds no tensors at all.")
    family = read_family(tensors)
    _refuse_foreign(path.name, tensors)
    _refuse_transformers(path.name, tensors, metadata, family)
    _refuse_no_numbers(path.name, tensors)
    config = _config(path, tensors, metadata)
    return LoraWeights(sha256=sha256, changes=_changes(path.name, tensors, config), family=family)


def _read_bytes(path: Path, sha256: str) -> bytes:
    """Return the bytes of ``path`` after checking that they are the ones that were meant."""
    try:
        data = path.read_bytes()
    except OSError as error:
        message = f"The LoRA {path.name} cannot be read: {error.strerror}."
        raise JobError("bad_lora", message) from error
    if sha256 not in _known_by(path, data):
        message = f"{path.name} is not the file it was: its SHA-256 is not {sha256[:12]}… any more."
        raise JobError("bad_lora", message)
    return data


def _known_by(path: Path, data: bytes) -> tuple[str, ...]:
    """Return the SHA-256 of the file, and of the pair where PEFT's configuration lies beside it."""
    alone = hashlib.sha256(data).hexdigest()
    try:
        config = path.with_name(COMPANION).read_bytes()
    except OSError:
        return (alone,)
    return alone, pair_sha256(alone, hashlib.sha256(config).hexdigest())


def _metadata(data: bytes) -> dict[str, str]:
    """Return the metadata of a safetensors file; empty when there is none."""
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]).get("__metadata__") or {}


def _config(
    path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]
) -> AdapterConfig:
    """Return PEFT's configuration: from the metadata, or from the file beside PEFT's weights."""
    if "lora_adapter_metadata" in metadata:
        return AdapterConfig.parse(metadata["lora_adapter_metadata"], path.name)
    if not any(key.startswith(PEFT) for key in tensors):
        return AdapterConfig(body={})
    try:
        text = path.with_name(COMPANION).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = (
            f"{path.name} has PEFT's names, and its scale stands in an adapter_config.json that is "
            "not beside it. Keep the two together."
        )
        raise JobError("bad_lora", message) from error
    return AdapterConfig.parse(text, path.name)


def _refuse_foreign(name: str, tensors: Mapping[str, torch.Tensor]) -> None:
    """Raise when any tensor belongs to an adapter that cannot be merged."""
    for pattern, kind in _FOREIGN:
        count = sum(1 for key in tensors if re.search(pattern, key))
        if count:
            message = (
                f"{name} is {kind}: {count} of its {len(tensors)} tensors cannot be merged by this "
                "version, which knows LoRA, LoCon, DoRA, LoHa, LoKr, GLoRA, OFT and full "
                "differences. It was not drawn, since without them the image would not be this checkpoint's."
            )
            raise JobError("bad_lora", message)


def _refuse_transformers(
    name: str, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str], family: str
) -> None:
    """Raise when the LoRA is for a transformer that is neither SD 3 nor Flux, as far as it says."""
    if family != "unknown" or any(_UNET.search(key) for key in tensors):
        return
    if not any(key.startswith(_TRANSFORMER) for key in tensors):
        return
    told = metadata.get("modelspec.architecture") or metadata.get("ss_base_model_version")
    likely = _TOLD.search(told) if told else any(_KNOWN_BLOCKS.search(key) for key in tensors)
    if not likely:
        kind = told or "a transformer whose name it does not tell"
        message = (
            f"{name} is a LoRA for {kind}, and this version draws SD 1, SD 2, SDXL, SD 3 and Flux. "
            "It was not drawn."
        )
        raise JobError("bad_lora", message)


def _refuse_no_numbers(name: str, tensors: Mapping[str, torch.Tensor]) -> None:
    """Raise when tensors are empty, or when the training has left NaN or infinity in them."""
    empty = [key for key, tensor in tensors.items() if not tensor.numel()]
    if empty:
        message = (
            f"{name} has {len(empty)} empty tensors of {len(tensors)} (first: {empty[0]}): its rank "
            "is 0 and it can change nothing. Train with a network dimension of 1 or more."
        )
        raise JobError("bad_lora", message)
    complex_ = [key for key, tensor in tensors.items() if tensor.is_complex()]
    if complex_:
        message = f"{name} holds complex numbers (first: {complex_[0]}), which no model has."
        raise JobError("bad_lora", message)
    broken = [key for key, tensor in tensors.items() if not torch.isfinite(tensor.float()).all()]
    if broken:
        message = (
            f"{name} has NaN or infinite values in {len(broken)} of its {len(tensors)} tensors "
            f"(first: {broken[0]}): the training has diverged. Lower the learning rate."
        )
        raise JobError("bad_lora", message)


def _changes(
    file: str, tensors: Mapping[str, torch.Tensor], config: AdapterConfig
) -> tuple[Change, ...]:
    """Put the tensors together by module.

    Raises:
        JobError: a tensor is not known, a module is not complete, or its tensors do not fit.
    """
    try:
        grouped = group(tensors, config.scale)
    except (
        ArithmeticError,
        AttributeError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        message = (
            f"{file} cannot be understood: an alpha or rank, in it or in its adapter configuration, "
            f"is no number ({error}). Save it again with its trainer."
        )
        raise JobError("bad_lora", message) from error
    if grouped.unknown or grouped.incomplete:
        first = (*grouped.unknown, *grouped.incomplete)[0]
        message = (
            f"{file} cannot be understood: of {len(tensors)} tensors {len(grouped.unknown)} have "
            f"unknown names, and {len(grouped.incomplete)} modules are incomplete or have a tensor "
            f"twice (first: {first})."
        )
        raise JobError("bad_lora", message)
    for change in grouped.changes:
        try:
            adapter_math.check(change.tensors)
        except ValueError as error:
            message = f"{file}: {error} in {change.module}."
            raise JobError("bad_lora", message) from error
    return grouped.changes
