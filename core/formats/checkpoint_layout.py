"""Which family of models a file belongs to, in which layout, and of what rank: from its keys alone.

The tensor names are those of kohya's sd-scripts, LyCORIS, diffusers, PEFT and ai-toolkit.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from core.formats.base_model import family_of_names

Kind = Literal["lora", "base", "other"]

_LYCORIS = {
    "hada_w1_a": "LoHa", "lokr_w1": "LoKr", "lokr_w1_a": "LoKr", "oft_blocks": "OFT",
    "a1.weight": "GLoRA", "lora_mid.weight": "LoCon with Tucker decomposition",
    "on_input": "IA3", "q_layer.weight": "T-LoRA", "diff": "full difference", "w_norm": "norms",
}  # fmt: skip
_SUFFIXES = (
    ".lora_down.weight", ".lora_up.weight", ".lora_mid.weight", ".alpha", ".dora_scale",
    ".lora.down.weight", ".lora.up.weight", ".lora_magnitude_vector",
    ".lora_magnitude_vector.weight",
    ".lora_A.weight", ".lora_B.weight", ".lora_A.default.weight", ".lora_B.default.weight",
    ".hada_w1_a", ".hada_w1_b", ".hada_w2_a", ".hada_w2_b", ".hada_t1", ".hada_t2",
    ".lokr_w1", ".lokr_w1_a", ".lokr_w1_b", ".lokr_w2", ".lokr_w2_a", ".lokr_w2_b", ".lokr_t1",
    ".lokr_t2", ".oft_blocks", ".rescale", ".a1.weight", ".a2.weight", ".b1.weight",
    ".b2.weight", ".bm.weight", ".diff", ".diff_b", ".w_norm", ".b_norm", ".on_input",
    ".q_layer.weight", ".p_layer.weight", ".lambda_layer",
    ".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight",
    "_lora.down.weight", "_lora.up.weight",
)  # fmt: skip
_DOWN = (
    ".lora_down.weight", ".lora.down.weight", ".lora_A.weight", ".lora_A.default.weight",
    ".lora_linear_layer.down.weight", "_lora.down.weight",
)  # fmt: skip
_GUESSED = "SD 1.5"  # what the note says where the family is a guess
_CROSS_KEY = re.compile(r"attn2[._]to_k")
_FAMILY_OF_WIDTH = {768: "sd1", 1024: "sd2", 2048: "sdxl"}  # of the text states in cross-attention
_FAMILY_KEYS = (  # (what a key must contain, family); the first that is found decides
    ("joint_blocks", "sd3"), ("lora_te3_", "flux"),
    ("double_blocks_", "flux"), ("double_blocks.", "flux"), ("single_transformer_blocks", "flux"),
    ("transformer.transformer_blocks.", "unknown"),  # SD 3's in diffusers, and of others
    ("lora_te1_", "sdxl"), ("lora_te2_", "sdxl"), ("text_encoder_2.", "sdxl"), ("clip_g.", "sdxl"),
    ("lora_unet_input_blocks_", "sdxl"), ("lora_unet_middle_block_", "sdxl"),
    ("lora_unet_output_blocks_", "sdxl"),  # kohya has Stability's names for SDXL alone
)  # fmt: skip
_SD_BLOCKS = re.compile(
    r"(down|up)_blocks[._]\d+[._]|mid_block[._]|(input_blocks|middle_block|output_blocks)[._]\d"
)
_SDXL_ONLY = re.compile(r"attentions[._]\d+[._]transformer_blocks[._][1-9]")


class Shaped(Protocol):
    """A tensor, or what a header says of one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the size of each axis."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What the keys and shapes of a file say."""

    kind: Kind
    family: str  # "unknown" where the keys do not tell
    layout: str
    rank: int | None
    module_count: int
    notes: tuple[str, ...] = ()


def read_layout(tensors: Mapping[str, Shaped]) -> Layout:
    """Return what the keys and shapes say; never fails, the unknown is named so."""
    modules = {module for name in tensors if (module := _module(name))}
    if not modules or any(".base_layer." in name for name in tensors):
        kind, layout = _not_a_lora(tensors)
        family = family_of_names(tensors) if kind == "base" else "unknown"
        return Layout(kind=kind, family=family, layout=layout, rank=None, module_count=0)
    layout, notes = _lora_layout(tensors)
    family, doubts = _family(tensors)
    return Layout(
        kind="lora",
        family=family,
        layout=layout,
        rank=_rank(tensors),
        module_count=len(modules),
        notes=(*notes, *doubts),
    )


def read_family(tensors: Mapping[str, Shaped]) -> str:
    """Return the family of base models a LoRA is for, or "unknown"."""
    return _family(tensors)[0]


def is_family_certain(notes: Iterable[str]) -> bool:
    """Return whether the family beside these notes of a layout was read, and not assumed."""
    return not any(_GUESSED in note for note in notes)


def _module(name: str) -> str | None:
    for suffix in _SUFFIXES:
        if name.endswith(suffix):
            return name[: -len(suffix)]
    return None


def _lora_layout(tensors: Mapping[str, Shaped]) -> tuple[str, tuple[str, ...]]:
    for name in tensors:
        for suffix, algorithm in _LYCORIS.items():
            if name.endswith("." + suffix):
                return "lycoris", (f"LyCORIS algorithm: {algorithm}.",)
    dora = any(".dora_scale" in name or ".lora_magnitude_vector" in name for name in tensors)
    layout = _plain_layout([name for name in tensors if name.endswith(_DOWN)] or list(tensors))
    if layout == "kohya" and any(
        name.endswith(".lora_down.weight") and len(tensor.shape) == 4 and tensor.shape[2:] != (1, 1)
        for name, tensor in tensors.items()
    ):
        return ("kohya-dora" if dora else layout), ("It patches convolutions too (LoCon).",)
    return (f"{layout}-dora" if dora else layout), ()


def _plain_layout(names: list[str]) -> str:
    """Return the layout that the first of these keys is written in."""
    name = names[0]
    if name.startswith("base_model.model."):
        return "peft"
    if name.startswith("diffusion_model."):
        return "comfy"  # ai-toolkit's and OneTrainer's newer form
    if name.endswith(".lora_down.weight"):
        return "kohya" if name.startswith(("lora_unet_", "lora_te")) else "lycoris"
    if name.startswith(("unet.", "text_encoder", "transformer.")):
        return "diffusers"
    return "peft"


def _family(tensors: Mapping[str, Shaped]) -> tuple[str, tuple[str, ...]]:
    for part, family in _FAMILY_KEYS:
        if any(part in name for name in tensors):
            return family, ()
    if not any(_SD_BLOCKS.search(name) or name.startswith("lora_te_") for name in tensors):
        return "unknown", ()
    width = _cross_width(tensors)
    if width in _FAMILY_OF_WIDTH:
        return _FAMILY_OF_WIDTH[width], ()
    if any(_SDXL_ONLY.search(name) for name in tensors):
        return "sdxl", ()
    if width is None:
        return "sd1", ("No cross-attention key is patched: SD 1.5 is assumed from the names.",)
    return "sd1", (f"Built like SD 1.5, but its text states are {width} wide instead of 768.",)


def _cross_width(tensors: Mapping[str, Shaped]) -> int | None:
    """Return the input width of a cross-attention key projection, or None where none is patched."""
    for name, tensor in tensors.items():
        if _CROSS_KEY.search(name) and name.endswith((*_DOWN, ".hada_w1_b")) and tensor.shape[1:]:
            return tensor.shape[1]
    return None


def _rank(tensors: Mapping[str, Shaped]) -> int | None:
    """Return the most frequent rank, linear layers first; None where the layout has none."""
    ranks: Counter[int] = Counter()
    for name, tensor in tensors.items():
        if name.endswith((*_DOWN, ".hada_w1_b")) and len(tensor.shape) in {2, 4}:
            linear = len(tensor.shape) == 2 or tensor.shape[2:] == (1, 1)
            ranks[tensor.shape[0]] += 1000 if linear else 1
    return ranks.most_common(1)[0][0] if ranks else None


def _not_a_lora(tensors: Mapping[str, Shaped]) -> tuple[Kind, str]:  # noqa: PLR0911 - a list
    """Name what else lies in such folders."""
    names = list(tensors)

    def some(*starts: str) -> bool:
        return any(name.startswith(starts) for name in names)

    if not names:
        return "other", "empty"
    if any(".base_layer." in name for name in names):
        return "other", "training state"
    if some("control_model.", "controlnet_", "controlnet_cond_embedding."):
        return "other", "controlnet"
    if some("model.diffusion_model.", "cond_stage_model.", "first_stage_model.", "double_blocks."):
        return "base", "full model"
    if some("down_blocks.", "conv_in.", "transformer_blocks."):
        return "base", "part of a model"
    if some("encoder.down", "decoder.up", "decoder.mid", "encoder.mid"):
        return "other", "vae"
    if some("text_model.", "transformer.text_model.", "encoder.block."):
        return "other", "text encoder"
    if some("emb_params", "clip_l", "clip_g", "string_to_param") or _is_embedding(tensors):
        return "other", "textual inversion"
    return "other", "unknown"


def _is_embedding(tensors: Mapping[str, Shaped]) -> bool:
    """Tell a textual inversion: one or two small tensors, a vector of a text encoder each row."""
    return len(tensors) <= 2 and all(
        1 <= len(tensor.shape) <= 2 and tensor.shape[-1] in {768, 1024, 1280} and "." not in name
        for name, tensor in tensors.items()
    )
