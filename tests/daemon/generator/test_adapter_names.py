"""Names: each trainer's spelling finds the module that diffusers' own converters find."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint
from torch import nn

from daemon.generator.adapter_names import ModuleNames

if TYPE_CHECKING:
    from collections.abc import Callable


def modules_of(part: nn.Module) -> list[str]:
    """Return the names of all modules with a weight."""
    return [name for name, one in part.named_modules() if hasattr(one, "weight") and name]


def test_stabilitys_names_are_those_of_diffusers_converter(
    fresh_sdxl: Callable[[], Any], stability_name: Callable[[str], str]
) -> None:
    """Every module of an SDXL UNet, as kohya, OneTrainer and ComfyUI spell it."""
    pipeline = fresh_sdxl()
    names = ModuleNames({"unet": pipeline.unet, "text_encoder_2": pipeline.text_encoder_2})
    originals = [stability_name(name) for name in modules_of(pipeline.unet)]
    full = {
        f"model.diffusion_model.{name}.{kind}": f"{name}.{kind}"
        for name in originals
        for kind in ("weight", "bias")
    }
    converted = convert_ldm_unet_checkpoint(full, dict(pipeline.unet.config))
    meant = {
        original.removesuffix(".weight"): name.removesuffix(".weight")
        for name, original in converted.items()
        if original and name.endswith(".weight")
    }
    assert set(meant) == set(originals)
    for original, name in meant.items():
        flat = original.replace(".", "_")
        for spelling in (f"lora_unet_{flat}", f"diffusion_model.{original}", f"unet.{original}"):
            assert names.find(spelling) == f"unet.{name}", spelling


def test_all_other_spellings_of_an_sdxl_base_are_known(fresh_sdxl: Callable[[], Any]) -> None:
    """Diffusers' names with dots and without, and both text encoders."""
    pipeline = fresh_sdxl()
    names = ModuleNames(
        {part: getattr(pipeline, part) for part in ("unet", "text_encoder", "text_encoder_2")}
    )
    for name in modules_of(pipeline.unet):
        flat = name.replace(".", "_")
        for spelling in (name, f"unet.{name}", f"lora_unet_{flat}", f"lycoris_{flat}"):
            assert names.find(spelling) == f"unet.{name}"
    for part, kohya, clip in (
        ("text_encoder", "lora_te1", "clip_l"),
        ("text_encoder_2", "lora_te2", "clip_g"),
    ):
        for name in modules_of(getattr(pipeline, part)):
            full = (
                name if "projection" in name else f"text_model.{name.removeprefix('text_model.')}"
            )
            flat = full.replace(".", "_")
            comfy = f"text_encoders.{clip}.transformer.{full}"
            for spelling in (f"{part}.{full}", f"{kohya}_{flat}", f"{clip}.{full}", comfy):
                assert names.find(spelling) == f"{part}.{name}"
    assert names.find("lora_te_text_model_encoder_layers_0_mlp_fc1") is None
    assert names.family == "sdxl"


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("lora_te_text_model_encoder_layers_0_mlp_fc1", "text_encoder.encoder.layers.0.mlp.fc1"),
        ("text_encoder.text_model.encoder.layers.0.self_attn.to_q", "…q_proj"),
        ("text_encoder.text_model.encoder.layers.0.self_attn.to_out", "…out_proj"),
        ("unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_q", "…to_q"),
        ("down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_out", "…to_out.0"),
        ("lora_te1_text_model_encoder_layers_0_mlp_fc1", None),
        ("lora_te2_text_model_encoder_layers_0_mlp_fc1", None),
        ("text_encoder_2.text_model.encoder.layers.0.mlp.fc1", None),
        ("lora_unet_input_blocks_x_1_proj_in", None),
        ("lora_unet_middle_block_7_proj_in", None),
        ("lora_unet_input_blocks_99_1_proj_in", None),
        ("", None),
    ],
)
def test_older_and_foreign_spellings_of_an_sd1_base(
    spelling: str, name: str | None, fresh: Callable[[], Any]
) -> None:
    """Older names of diffusers are found; those of an SDXL base, and nonsense, are not."""
    pipeline = fresh()
    names = ModuleNames({"unet": pipeline.unet, "text_encoder": pipeline.text_encoder})
    found = names.find(spelling)
    assert names.family == "sd1"
    if name is None:
        assert found is None
    else:
        assert found is not None
        assert re.fullmatch(name.replace(".", r"\.").replace("…", ".*"), found)


def test_an_sd2_base_is_known_by_its_width(fresh: Callable[[], Any]) -> None:
    """Its text states are 1024 wide."""
    unet = fresh().unet
    unet.register_to_config(cross_attention_dim=1024)
    assert ModuleNames({"unet": unet}).family == "sd2"
    assert ModuleNames({"unet": nn.ModuleDict({"x": nn.Linear(1, 1)})}).find("x") == "unet.x"
