"""Find the module of a base model that a name in a LoRA file means, however the trainer spells it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from diffusers.loaders.lora_conversion_utils import _maybe_map_sgm_blocks_to_diffusers
from diffusers.loaders.single_file_utils import DIFFUSERS_TO_LDM_MAPPING
from torch import nn

from daemon.generator.transformer_names import diffusers_names

# What a name begins with, dots as underscores, and the part it means. A text encoder's name with a
# number means a base model that has two, and one without a number a base model that has one.
_PARTS = {
    "unet_": "unet",
    "lora_unet_": "unet",
    "diffusion_model_": "unet",  # ComfyUI, ai-toolkit, OneTrainer
    "lycoris_": "unet",  # LyCORIS' own wrapper, SimpleTuner
    "oft_unet_": "unet",  # kohya's OFT
    "text_encoder_": "text_encoder",
    "text_encoders_clip_l_transformer_": "text_encoder",  # ComfyUI, OneTrainer
}
_PARTS_OF_TRANSFORMERS = {
    "transformer_": "transformer",
    "lora_transformer_": "transformer",
    "lora_unet_": "transformer",  # kohya, whatever the model is
    "diffusion_model_": "transformer",
    "lycoris_": "transformer",
    "text_encoder_": "text_encoder",
    "text_encoder_2_": "text_encoder_2",
    "text_encoder_3_": "text_encoder_3",
    "lora_te_": "text_encoder",
    "lora_te1_": "text_encoder",
    "lora_te2_": "text_encoder_2",
    "clip_l_": "text_encoder",
    "clip_g_": "text_encoder_2",
    "text_encoders_clip_l_transformer_": "text_encoder",
    "text_encoders_clip_g_transformer_": "text_encoder_2",
}
_T5 = ("lora_te3_", "t5xxl_", "text_encoders_t5xxl_transformer_")
_PARTS_OF_ONE = {
    "lora_te_": "text_encoder",
    "clip_l_": "text_encoder",  # OneTrainer
    "text_encoders_clip_h_transformer_": "text_encoder",  # SD 2
}
_PARTS_OF_TWO = {
    "lora_te1_": "text_encoder",
    "clip_l_": "text_encoder",  # OneTrainer
    "lora_te2_": "text_encoder_2",
    "clip_g_": "text_encoder_2",
    "text_encoder_2_": "text_encoder_2",
    "text_encoders_clip_g_transformer_": "text_encoder_2",
}
_OLDER = (  # diffusers' attention processors, before version 0.22
    (re.compile(r"_processor_(to_[qkv])$"), r"_\1"),
    (re.compile(r"_processor_to_out$"), "_to_out_0"),
    (re.compile(r"(_self_attn)_to_([qkv])$"), r"\1_\2_proj"),
    (re.compile(r"(_self_attn)_to_out$"), r"\1_out_proj"),
)
_OUTSIDE = {  # Stability's names of what stands outside the blocks -> diffusers'
    original.removesuffix(".weight").replace(".", "_"): name.removesuffix(".weight")
    for group in ("layers", "addition_embed_type")
    for name, original in DIFFUSERS_TO_LDM_MAPPING["unet"][group].items()
    if name.endswith(".weight")
}
_BLOCK = re.compile(r"(input_blocks|middle_block|output_blocks)_\d+_")
_INSIDE = (  # Stability's names inside a block -> diffusers'
    ("input_blocks", "down_blocks"),
    ("middle_block", "mid_block"),
    ("output_blocks", "up_blocks"),
    ("in_layers_0", "norm1"),
    ("in_layers_2", "conv1"),
    ("emb_layers_1", "time_emb_proj"),
    ("out_layers_0", "norm2"),
    ("out_layers_3", "conv2"),
    ("skip_connection", "conv_shortcut"),
    ("samplers_0_op", "samplers_0_conv"),
)


class ModuleNames:
    """The modules of a base model's parts, under every spelling that is known."""

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        """Index all modules with a weight of ``parts``: "unet", "text_encoder", "text_encoder_2"."""
        self._config: Any = getattr(parts.get("unet"), "config", None)
        self._main = "transformer" if "transformer" in parts else "unet"
        if self._main == "transformer":
            third = "text_encoder_3" in parts
            self.family = "sd3" if _is_sd3(parts["transformer"]) else "flux"
            self._blocks = len(getattr(parts["transformer"], "transformer_blocks", ()))
            last = "text_encoder_3" if third else "text_encoder_2"
            prefixes = _PARTS_OF_TRANSFORMERS | dict.fromkeys(_T5, last)
        else:
            self.family = _family(self._config, two="text_encoder_2" in parts)
            prefixes = _PARTS | (_PARTS_OF_TWO if "text_encoder_2" in parts else _PARTS_OF_ONE)
        self._prefixes = sorted(prefixes.items(), key=lambda item: len(item[0]), reverse=True)
        self.modules: dict[str, nn.Module] = dict(_named(parts))
        self._full = {_flat(*name.split(".", 1)): name for name in self.modules}

    def find(self, name: str) -> str | None:
        """Return the key in ``modules`` that ``name`` means, or None; the first of several."""
        return next(iter(self.find_all(name)), None)

    def find_all(self, name: str) -> tuple[str, ...]:
        """Return the keys in ``modules`` that ``name`` means; none unless all of them are there.

        Several are layers that stand below each other as rows of one.
        """
        flat, part = name.replace(".", "_"), self._main  # raw PEFT names say no part
        for prefix, meant in self._prefixes:
            if flat.startswith(prefix):
                flat, part = flat.removeprefix(prefix), meant
                break
        names = diffusers_names(flat, self._blocks) if part == "transformer" else (flat,)
        found = [self._lookup(part, one) for one in names]
        return tuple(one for one in found if one) if all(found) else ()

    def _lookup(self, part: str, flat: str) -> str | None:
        """Return the full name of the module of ``part`` whose name without dots is ``flat``."""
        for pattern, today in _OLDER:
            flat = pattern.sub(today, flat)
        if part == "unet":
            flat = self._from_original(flat)
        return self._full.get(_flat(part, flat))

    def _from_original(self, flat: str) -> str:
        """Return diffusers' name for Stability's name of a UNet's module; others as they are."""
        if flat in _OUTSIDE:
            return _OUTSIDE[flat]
        if self._config is None or not _BLOCK.match(flat):
            return flat
        try:
            # One name at a time: the converter takes input_blocks_1 for the head of ..._10.
            (mapped,) = _maybe_map_sgm_blocks_to_diffusers(
                {f"lora_unet_{flat}": None}, self._config
            )
        except (ValueError, LookupError):
            return flat
        for original, name in _INSIDE:
            mapped = mapped.replace(original, name)
        return str(mapped).removeprefix("lora_unet_")


def _is_sd3(transformer: nn.Module) -> bool:
    """Tell SD 3's transformer from Flux', which has single blocks, too."""
    return not hasattr(transformer, "single_transformer_blocks")


def _named(parts: Mapping[str, nn.Module]) -> Iterator[tuple[str, nn.Module]]:
    """Yield (part.name, module) for all modules that have a weight of their own."""
    for part, model in parts.items():
        for name, module in model.named_modules():
            if isinstance(getattr(module, "weight", None), nn.Parameter):
                yield f"{part}.{name}", module


def _flat(part: str, name: str) -> tuple[str, str]:
    """Return what all spellings of a name have in common."""
    return part, name.replace(".", "_").removeprefix("text_model_")


def _family(config: Any, *, two: bool) -> str:
    """Return the family of a base model by its shape: "sdxl", "sd2", or else "sd1"."""
    if two or getattr(config, "addition_embed_type", None) == "text_time":
        return "sdxl"
    return "sd2" if getattr(config, "cross_attention_dim", None) == 1024 else "sd1"
