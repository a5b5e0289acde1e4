"""Small pipelines with random weights and CLIP's real tokenizer, of the shape of each family."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from daemon.generator.clip_tokenizer import clip_tokenizer


def tiny_pipeline(family: str, **scheduler: Any) -> Any:
    """Return a pipeline of "sd1", "sd2" or "sdxl"; ``scheduler`` changes its noise."""
    torch.manual_seed(11)
    parts = {"vae": tiny_vae(), "scheduler": _scheduler(**scheduler)}
    if family == "sdxl":
        pipeline = StableDiffusionXLPipeline(
            **parts,
            unet=_unet(
                cross_attention_dim=48,
                transformer_layers_per_block=(1, 2),
                use_linear_projection=True,
                addition_embed_type="text_time",
                addition_time_embed_dim=8,
                projection_class_embeddings_input_dim=24 + 6 * 8,
            ),
            text_encoder=CLIPTextModel(_text(16)),
            text_encoder_2=CLIPTextModelWithProjection(_text(32, act="gelu", projection_dim=24)),
            tokenizer=clip_tokenizer(),
            tokenizer_2=clip_tokenizer("!"),
        )
    else:
        two = family == "sd2"
        pipeline = StableDiffusionPipeline(
            **parts,
            unet=_unet(cross_attention_dim=32, use_linear_projection=two),
            text_encoder=CLIPTextModel(_text(32, act="gelu" if two else "quick_gelu")),
            tokenizer=clip_tokenizer("!") if two else clip_tokenizer(),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def tiny_vae(scale: float = 1.0) -> AutoencoderKL:
    """Return a small VAE; its decoder's last layer is ``scale`` times as strong."""
    vae = AutoencoderKL(
        block_out_channels=(16, 32),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        norm_num_groups=8,
        latent_channels=4,
        sample_size=32,
    )
    with torch.no_grad():
        vae.decoder.conv_out.weight.mul_(scale)
    return vae


def _scheduler(**changes: Any) -> DDIMScheduler:
    """Return the noise of Stable Diffusion with ``changes``."""
    facts = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    return DDIMScheduler(**facts, steps_offset=1, clip_sample=False, **changes)


def _unet(**changes: Any) -> UNet2DConditionModel:
    """Return a UNet of two levels."""
    return UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(32, 64),
        layers_per_block=2,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=8,
        norm_num_groups=8,
        **changes,
    )


def _text(width: int, *, act: str = "quick_gelu", projection_dim: int = 32) -> CLIPTextConfig:
    """Return a CLIP of three layers with the real vocabulary."""
    return CLIPTextConfig(
        vocab_size=49408,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=3,
        num_attention_heads=2,
        hidden_act=act,
        projection_dim=projection_dim,
        bos_token_id=49406,
        eos_token_id=49407,
        pad_token_id=49407,
    )
