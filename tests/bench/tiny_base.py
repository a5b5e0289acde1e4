"""A Stable Diffusion of the right architecture and no size: overhead shows, arithmetic does not."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from peft import LoraConfig
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from daemon.demo.story import MODEL


def build_base(folder: Path, *, wider: int = 1) -> None:
    """Save the pipeline with random weights, four levels deep as SD 1.5, in diffusers' layout.

    The UNet's layers are ``wider`` times 16 to 32 channels; 20 times is SD 1.5's first level.
    """
    torch.manual_seed(7)
    tokenizer = CLIPTokenizer.from_pretrained(MODEL / "tokenizer")
    StableDiffusionPipeline(
        vae=AutoencoderKL(
            block_out_channels=(16, 16, 16, 16),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            norm_num_groups=8,
            latent_channels=4,
        ),
        text_encoder=CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=2,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        ),
        tokenizer=tokenizer,
        unet=UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(16 * wider, 16 * wider, 32 * wider, 32 * wider),
            layers_per_block=1,
            cross_attention_dim=32,
            attention_head_dim=8,
            norm_num_groups=8,
        ),
        scheduler=DDIMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)


def adapted(base: Path, seed: int, *, unet: str, text: str) -> StableDiffusionPipeline:
    """Load the pipeline with adapters of random weights on both models."""
    torch.manual_seed(seed)
    pipeline = StableDiffusionPipeline.from_pretrained(base, local_files_only=True)
    for model, layers in ((pipeline.unet, unet), (pipeline.text_encoder, text)):
        model.add_adapter(LoraConfig(r=8, lora_alpha=8, target_modules=layers))
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.05)
    return pipeline
