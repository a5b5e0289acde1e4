"""What modules of SD 3 and Flux are called: by their authors, as kohya and ComfyUI write them.

Their authors keep queries, keys and values in one layer and diffusers keeps them apart, so that one
name may mean several modules, whose rows stand below each other in that order. The pairs are those
of diffusers' own converters (scripts/convert_flux_to_diffusers.py, convert_sd3_to_diffusers.py).
"""

from __future__ import annotations

import re

_FLUX_DOUBLE = {
    "img_attn_qkv": ("attn_to_q", "attn_to_k", "attn_to_v"),
    "txt_attn_qkv": ("attn_add_q_proj", "attn_add_k_proj", "attn_add_v_proj"),
    "img_attn_proj": ("attn_to_out_0",),
    "txt_attn_proj": ("attn_to_add_out",),
    "img_mlp_0": ("ff_net_0_proj",),
    "img_mlp_2": ("ff_net_2",),
    "txt_mlp_0": ("ff_context_net_0_proj",),
    "txt_mlp_2": ("ff_context_net_2",),
    "img_mod_lin": ("norm1_linear",),
    "txt_mod_lin": ("norm1_context_linear",),
}
_FLUX_SINGLE = {
    "linear1": ("attn_to_q", "attn_to_k", "attn_to_v", "proj_mlp"),
    "linear2": ("proj_out",),
    "modulation_lin": ("norm_linear",),
}
_FLUX_OUTSIDE = {
    "img_in": "x_embedder",
    "txt_in": "context_embedder",
    "time_in_in_layer": "time_text_embed_timestep_embedder_linear_1",
    "time_in_out_layer": "time_text_embed_timestep_embedder_linear_2",
    "vector_in_in_layer": "time_text_embed_text_embedder_linear_1",
    "vector_in_out_layer": "time_text_embed_text_embedder_linear_2",
    "guidance_in_in_layer": "time_text_embed_guidance_embedder_linear_1",
    "guidance_in_out_layer": "time_text_embed_guidance_embedder_linear_2",
    "final_layer_linear": "proj_out",
}
_SD3_BLOCK = {
    "x_block_attn_qkv": ("attn_to_q", "attn_to_k", "attn_to_v"),
    "x_block_attn2_qkv": ("attn2_to_q", "attn2_to_k", "attn2_to_v"),
    "context_block_attn_qkv": ("attn_add_q_proj", "attn_add_k_proj", "attn_add_v_proj"),
    "x_block_attn_proj": ("attn_to_out_0",),
    "x_block_attn2_proj": ("attn2_to_out_0",),
    "context_block_attn_proj": ("attn_to_add_out",),
    "x_block_mlp_fc1": ("ff_net_0_proj",),
    "x_block_mlp_fc2": ("ff_net_2",),
    "context_block_mlp_fc1": ("ff_context_net_0_proj",),
    "context_block_mlp_fc2": ("ff_context_net_2",),
    "x_block_adaLN_modulation_1": ("norm1_linear",),
    "context_block_adaLN_modulation_1": ("norm1_context_linear",),
}
_BLOCKS = (  # how a block is numbered, what its modules are called, diffusers' list of such blocks
    (re.compile(r"double_blocks_(\d+)_(.+)"), _FLUX_DOUBLE, "transformer_blocks"),
    (re.compile(r"single_blocks_(\d+)_(.+)"), _FLUX_SINGLE, "single_transformer_blocks"),
    (re.compile(r"joint_blocks_(\d+)_(.+)"), _SD3_BLOCK, "transformer_blocks"),
)


def diffusers_names(flat: str, blocks: int) -> tuple[str, ...]:
    """Return diffusers' names, dots as underscores, of the module its author calls ``flat``.

    ``blocks`` is the number of double or joint blocks. Names that are diffusers' already come back
    as they are. Of the last context block in SD 3 the two halves of the modulation are swapped
    between the two, so that it has no name here.
    """
    for pattern, inside, outer in _BLOCKS:
        match = pattern.fullmatch(flat)
        if match is None:
            continue
        last = int(match[1]) == blocks - 1
        if last and match[2] == "context_block_adaLN_modulation_1":
            return ()
        return tuple(f"{outer}_{match[1]}_{name}" for name in inside.get(match[2], ()))
    return (_FLUX_OUTSIDE.get(flat, flat),)
