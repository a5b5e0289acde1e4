"""Write a pipeline as the one file it would have been published as: CompVis' and Stability's names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch

Tensors = dict[str, torch.Tensor]

_RESNET = (
    ("norm1", "in_layers.0"), ("conv1", "in_layers.2"), ("time_emb_proj", "emb_layers.1"),
    ("norm2", "out_layers.0"), ("conv2", "out_layers.3"), ("conv_shortcut", "skip_connection"),
)  # fmt: skip
_UNET = (
    ("conv_in.", "input_blocks.0.0."), ("time_embedding.linear_1.", "time_embed.0."),
    ("time_embedding.linear_2.", "time_embed.2."), ("add_embedding.linear_1.", "label_emb.0.0."),
    ("add_embedding.linear_2.", "label_emb.0.2."), ("conv_norm_out.", "out.0."),
    ("conv_out.", "out.2."), ("mid_block.resnets.0.", "middle_block.0."),
    ("mid_block.attentions.0.", "middle_block.1."), ("mid_block.resnets.1.", "middle_block.2."),
)  # fmt: skip
_VAE = (
    ("mid_block.resnets.0.", "mid.block_1."), ("mid_block.resnets.1.", "mid.block_2."),
    ("mid_block.attentions.0.", "mid.attn_1."), ("group_norm.", "norm."), ("to_q.", "q."),
    ("to_k.", "k."), ("to_v.", "v."), ("to_out.0.", "proj_out."), ("conv_norm_out.", "norm_out."),
    ("conv_shortcut", "nin_shortcut"),
)  # fmt: skip
_OPEN_CLIP = (
    ("encoder.layers.", "transformer.resblocks."), ("layer_norm1", "ln_1"), ("layer_norm2", "ln_2"),
    ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj"), ("self_attn.out_proj", "attn.out_proj"),
    ("embeddings.token_embedding.weight", "token_embedding.weight"),
    ("embeddings.position_embedding.weight", "positional_embedding"),
    ("final_layer_norm", "ln_final"),
)  # fmt: skip


def original_tensors(pipeline: Any, family: str) -> Tensors:
    """Return the tensors of ``pipeline`` under the names of an original "sd1", "sd2" or "sdxl"."""
    unet = pipeline.unet
    layers, levels = unet.config.layers_per_block, len(unet.config.block_out_channels)
    found = {
        f"model.diffusion_model.{_unet_name(name, layers)}": one
        for name, one in unet.state_dict().items()
    }
    found |= {f"first_stage_model.{name}": one for name, one in vae_tensors(pipeline.vae).items()}
    assert levels == len(unet.up_blocks)
    text = pipeline.text_encoder.state_dict()
    if family == "sd1":
        found |= _clip("cond_stage_model.transformer.", text)
    elif family == "sd2":
        found |= _open_clip("cond_stage_model.model.", text)
    else:
        found |= _clip("conditioner.embedders.0.transformer.", text)
        found |= _open_clip("conditioner.embedders.1.model.", pipeline.text_encoder_2.state_dict())
    return {name: one.contiguous().clone() for name, one in found.items()}


def vae_tensors(vae: Any) -> Tensors:
    """Return the tensors of ``vae`` under the names of an original VAE file."""
    found = {}
    levels = len(vae.config.block_out_channels)
    for name, one in vae.state_dict().items():
        plain = _replaced(name, _VAE)
        plain = re.sub(r"down_blocks\.(\d+)\.resnets\.", r"down.\1.block.", plain)
        plain = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0\.", r"down.\1.downsample.", plain)
        plain = re.sub(
            r"up_blocks\.(\d+)\.resnets\.",
            lambda found: f"up.{levels - 1 - int(found[1])}.block.",
            plain,
        )
        plain = re.sub(
            r"up_blocks\.(\d+)\.upsamplers\.0\.",
            lambda found: f"up.{levels - 1 - int(found[1])}.upsample.",
            plain,
        )
        square = ".attn_1." in plain and one.ndim == 2
        found[plain] = one[:, :, None, None] if square else one
    return {name: one.contiguous().clone() for name, one in found.items()}


def _unet_name(name: str, layers: int) -> str:
    """Return the original name of a UNet's tensor."""
    block = re.match(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.*)", name)
    if block is None:
        name = _replaced(name, _UNET)
        return name if "middle_block.1." in name else _replaced(name, _RESNET)
    way, level, kind, number = block[1], int(block[2]), block[3], int(block[4])
    rest = _replaced(block[5], _RESNET) if kind == "resnets" else block[5]
    if way == "down":
        first = 1 + level * (layers + 1)
        if kind == "downsamplers":
            return f"input_blocks.{first + layers}.0.op.{rest.removeprefix('conv.')}"
        return f"input_blocks.{first + number}.{int(kind == 'attentions')}.{rest}"
    first = level * (layers + 1)
    if kind == "upsamplers":
        return f"output_blocks.{first + layers}.2.{rest}"
    return f"output_blocks.{first + number}.{int(kind == 'attentions')}.{rest}"


def _clip(prefix: str, text: Mapping[str, torch.Tensor]) -> Tensors:
    """Return a CLIP of transformers as it stands in the file."""
    return {f"{prefix}text_model.{name.removeprefix('text_model.')}": text[name] for name in text}


def _open_clip(prefix: str, text: Mapping[str, torch.Tensor]) -> Tensors:
    """Return a CLIP as OpenCLIP names it: query, key and value in one, and the projection turned."""
    found: Tensors = {}
    for name, one in text.items():
        plain = name.removeprefix("text_model.")
        if plain == "text_projection.weight":
            found[f"{prefix}text_projection"] = one.T
        elif ".self_attn.q_proj." in plain:
            three = [text[name.replace("q_proj", part)] for part in ("q_proj", "k_proj", "v_proj")]
            joined = plain.replace("self_attn.q_proj.", "attn.in_proj_")
            found[prefix + _replaced(joined, _OPEN_CLIP)] = torch.cat(three)
        elif not re.search(r"\.self_attn\.[kv]_proj\.", plain):
            found[prefix + _replaced(plain, _OPEN_CLIP)] = one
    return found


def _replaced(name: str, pairs: Iterable[tuple[str, str]]) -> str:
    """Return ``name`` with each first of ``pairs`` replaced by its second."""
    for old, new in pairs:
        name = name.replace(old, new)
    return name
