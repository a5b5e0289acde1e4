"""Read a LoRA file into pairs of matrices, or say why it cannot be read; never half of it.

Known are kohya LoRA and LoCon, diffusers and PEFT names. Everything else is refused: a file of
which a part is dropped draws an image that belongs to no checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from daemon.generator.job import JobError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_DOWN = (
    ".lora_down.weight",
    ".lora_A.weight",
    ".lora_A.default.weight",
    ".lora.down.weight",
    ".lora_linear_layer.down.weight",
    "_lora.down.weight",
)
_UP = (
    ".lora_up.weight",
    ".lora_B.weight",
    ".lora_B.default.weight",
    ".lora.up.weight",
    ".lora_linear_layer.up.weight",
    "_lora.up.weight",
)
_ALPHA = (".alpha",)
_PEFT = "base_model.model."
_FOREIGN = (  # part of a tensor's name -> what it belongs to; the more telling ones first
    (r"dora_scale|lora_magnitude_vector", "DoRA"),
    (r"\.hada_", "LyCORIS LoHa"),
    (r"\.lokr_", "LyCORIS LoKr"),
    (r"\.lora_mid\.", "LyCORIS LoCon with a Tucker core"),
    (r"oft_blocks|oft_diag|\.oft_", "OFT"),
    (r"\.(a1|a2|b1|b2|bm)\.weight$", "LyCORIS GLoRA"),
    (r"\.on_input$", "LyCORIS IA3"),
    (r"\.(q_layer|p_layer|lambda_layer)", "T-LoRA"),
    (r"\.(diff|diff_b|w_norm|b_norm)$", "LyCORIS full or norm differences"),
)


@dataclass(frozen=True, kw_only=True)
class LoraPair:
    """The change of one module: scale * up @ down."""

    name: str  # as the file spells the module
    up: torch.Tensor  # (out, rank) or (out, rank, 1, 1)
    down: torch.Tensor  # (rank, in) or (rank, in, height, width)
    scale: float  # alpha / rank

    @property
    def rank(self) -> int:
        """Return the inner dimension."""
        return int(self.down.shape[0])


@dataclass(frozen=True, kw_only=True)
class LoraWeights:
    """A whole file, checked: every pair is complete and finite."""

    sha256: str
    pairs: tuple[LoraPair, ...]


def read_lora(path: Path, sha256: str) -> LoraWeights:
    """Read ``path`` once into memory, check its hash, and return its pairs.

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
    if not tensors:
        raise JobError("bad_lora", f"{path.name} holds no tensors at all.")
    _refuse_foreign(path.name, tensors)
    _refuse_not_finite(path.name, tensors)
    scales = _Scales.of(metadata, path)
    if not scales.config and any(key.startswith(_PEFT) for key in tensors):
        message = (
            f"{path.name} has PEFT's names, and its scale stands in an adapter_config.json that is "
            "not beside it. Keep the two together."
        )
        raise JobError("bad_lora", message)
    return LoraWeights(sha256=sha256, pairs=_pairs(path.name, tensors, scales))


def _read_bytes(path: Path, sha256: str) -> bytes:
    """Return the bytes of ``path`` after checking that they are the ones that were meant."""
    try:
        data = path.read_bytes()
    except OSError as error:
        message = f"The LoRA {path.name} cannot be read: {error.strerror}."
        raise JobError("bad_lora", message) from error
    if hashlib.sha256(data).hexdigest() != sha256:
        message = f"{path.name} is not the file it was: its SHA-256 is not {sha256[:12]}… any more."
        raise JobError("bad_lora", message)
    return data


def _metadata(data: bytes) -> dict[str, str]:
    """Return the metadata of a safetensors file; empty when there is none."""
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]).get("__metadata__") or {}


def _refuse_foreign(name: str, tensors: Mapping[str, torch.Tensor]) -> None:
    """Raise when any tensor belongs to an adapter that is not up @ down."""
    for pattern, kind in _FOREIGN:
        count = sum(1 for key in tensors if re.search(pattern, key))
        if count:
            message = (
                f"{name} is {kind}: {count} of its {len(tensors)} tensors cannot be merged by this "
                "version, which knows LoRA and LoCon. It was not drawn, since without them the "
                "image would not be this checkpoint's."
            )
            raise JobError("bad_lora", message)


def _refuse_not_finite(name: str, tensors: Mapping[str, torch.Tensor]) -> None:
    """Raise when the training has left NaN or infinity in the weights."""
    broken = [key for key, tensor in tensors.items() if not torch.isfinite(tensor.float()).all()]
    if broken:
        message = (
            f"{name} has NaN or infinite values in {len(broken)} of its {len(tensors)} tensors "
            f"(first: {broken[0]}): the training has diverged. Lower the learning rate."
        )
        raise JobError("bad_lora", message)


def _pairs(file: str, tensors: Mapping[str, torch.Tensor], scales: _Scales) -> tuple[LoraPair, ...]:
    """Put the tensors together by module.

    Raises:
        JobError: a tensor is not known, or a module lacks its other half.
    """
    ups, downs, alphas, unknown = _sort(tensors)
    halves = sorted(ups.keys() ^ downs.keys())
    orphans = sorted(alphas.keys() - downs.keys())
    if unknown or halves or orphans:
        first = (unknown + halves + orphans)[0]
        message = (
            f"{file} cannot be understood: of {len(tensors)} tensors {len(unknown)} have unknown "
            f"names, and {len(halves) + len(orphans)} modules are incomplete (first: {first})."
        )
        raise JobError("bad_lora", message)
    pairs = []
    for name in sorted(ups):
        up, down = ups[name], downs[name]
        if up.dim() < 2 or down.dim() < 2 or up.shape[1] != down.shape[0] or 0 in down.shape:
            message = f"{file}: the two halves of {name} do not fit each other."
            raise JobError("bad_lora", message)
        rank = int(down.shape[0])
        alpha = alphas.get(name)
        scale = scales.of_module(name, rank) if alpha is None else float(alpha) / rank
        pairs.append(LoraPair(name=name, up=up, down=down, scale=scale))
    return tuple(pairs)


Sorted = dict[str, torch.Tensor]


def _sort(tensors: Mapping[str, torch.Tensor]) -> tuple[Sorted, Sorted, Sorted, list[str]]:
    """Return ups, downs and alphas by module name, and the names that are none of these."""
    ups: Sorted = {}
    downs: Sorted = {}
    alphas: Sorted = {}
    unknown: list[str] = []
    for key, tensor in tensors.items():
        for suffixes, into in ((_DOWN, downs), (_UP, ups), (_ALPHA, alphas)):
            suffix = next((one for one in suffixes if key.endswith(one)), None)
            if suffix is not None:
                into[_module_name(key.removesuffix(suffix))] = tensor
                break
        else:
            unknown.append(key)
    return ups, downs, alphas, unknown


def _module_name(stem: str) -> str:
    """Return the module a tensor belongs to, in today's spelling of older names."""
    name = stem.removeprefix(_PEFT)
    name = re.sub(r"\.processor\.to_out$", ".to_out.0", name)
    return re.sub(r"\.processor\.(to_[qkv])$", r".\1", name)


@dataclass(frozen=True, kw_only=True)
class _Scales:
    """What is known of scales beside the tensors: PEFT's configuration, if there is one."""

    config: dict[str, Any]

    @classmethod
    def of(cls, metadata: dict[str, str], path: Path) -> _Scales:
        """Take the configuration from the metadata, else from a file beside the weights."""
        if "lora_adapter_metadata" in metadata:
            return cls(config=json.loads(metadata["lora_adapter_metadata"]))
        beside = path.with_name("adapter_config.json")
        if beside.is_file():
            return cls(config=json.loads(beside.read_text(encoding="utf-8")))
        return cls(config={})

    def of_module(self, name: str, rank: int) -> float:
        """Return alpha / rank (or over its root); 1.0 when nothing says otherwise."""
        part, _, rest = name.partition(".")
        prefix = f"{part}." if f"{part}.lora_alpha" in self.config else ""
        patterns = self.config.get(f"{prefix}alpha_pattern") or {}
        alpha = next(
            (value for key, value in patterns.items() if re.search(rf"(^|\.){key}$", rest or name)),
            self.config.get(f"{prefix}lora_alpha"),
        )
        if alpha is None:
            return 1.0
        root = bool(self.config.get(f"{prefix}use_rslora"))
        return float(alpha) / (math.sqrt(rank) if root else rank)
