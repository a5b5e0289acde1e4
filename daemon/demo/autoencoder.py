"""Trains the demo's autoencoder: a 96x96 picture to 24x24x4 latents, one latent per sprite cell."""

from __future__ import annotations

import logging
import random

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from daemon.demo.portraits import library
from daemon.demo.sprites import draw, random_look, random_variation

log = logging.getLogger(__name__)

CELL = 4  # pixels per sprite cell and per latent
CROP = 48
BATCH = 16
POOL = 1500
PEAK_RATE = 4e-3
KL_WEIGHT = 1e-3


def as_signal(pictures: np.ndarray) -> Tensor:
    """Turn (n, h, w, 3) 0-255 pixels into (n, 3, h, w) in -1..1."""
    return torch.from_numpy(pictures.astype(np.float32) / 127.5 - 1).permute(0, 3, 1, 2)


def enlarge(cells: np.ndarray) -> np.ndarray:
    """Blow (..., 24, 24, 3) cells up to (..., 96, 96, 3) pixels without smoothing."""
    return cells.repeat(CELL, axis=-3).repeat(CELL, axis=-2)


def picture_pool(rng: random.Random) -> Tensor:
    """Gather crisp sprites and smooth portraits, (2 * POOL, 3, 96, 96) in -1..1."""
    sprites = [draw(random_look(rng), random_variation(rng)) for _ in range(POOL)]
    portraits, _ = library(POOL, rng)
    return as_signal(np.concatenate([enlarge(np.stack(sprites)), portraits]))


def crops(pool: Tensor, generator: torch.Generator) -> Tensor:
    """Cut a batch on the cell grid, and mix its channels so that no color is out of reach."""
    chosen = torch.randint(len(pool), (BATCH,), generator=generator)
    corners = torch.randint((96 - CROP) // CELL + 1, (BATCH, 2), generator=generator) * CELL
    batch = [
        pool[i, :, y : y + CROP, x : x + CROP]
        for i, (y, x) in zip(chosen.tolist(), corners.tolist(), strict=True)
    ]
    batch[: BATCH // 4] = [recolored(piece, generator) for piece in batch[: BATCH // 4]]
    return torch.stack(batch).contiguous(memory_format=torch.channels_last)


def recolored(piece: Tensor, generator: torch.Generator) -> Tensor:
    """Shuffle the channels and stretch each one's range at random; shape kept."""
    order = torch.randperm(3, generator=generator)
    gain = torch.rand(3, 1, 1, generator=generator) * 0.8 + 0.4
    shift = torch.rand(3, 1, 1, generator=generator) * 0.8 - 0.4
    return (piece[order] * gain + shift).clamp(-1, 1)


def new_autoencoder() -> AutoencoderKL:
    """Build the untrained autoencoder in Stable Diffusion's architecture."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 32),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=96,
        mid_block_add_attention=False,
    )


def train_autoencoder(*, steps: int, seed: int) -> AutoencoderKL:
    """Train from scratch; the returned model's scaling factor gives latents unit variance."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model, pool = new_autoencoder(), picture_pool(random.Random(seed))
    model.to(memory_format=torch.channels_last)  # a tenth faster on a processor
    optimizer = torch.optim.AdamW(model.parameters(), PEAK_RATE, weight_decay=0.0)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=steps)
    for step in range(steps):
        error = train_step(model, crops(pool, generator), optimizer)
        rates.step()
        if step % 50 == 0:
            log.info("autoencoder step %d: mean error %.4f", step, error)
    return with_unit_latents(model.eval(), pool)


def train_step(model: AutoencoderKL, batch: Tensor, optimizer: torch.optim.Optimizer) -> float:
    """Take one optimizer step; returns the mean absolute error in -1..1 units."""
    posterior = model.encode(batch).latent_dist
    difference = model.decode(posterior.sample()).sample - batch
    error = difference.abs().mean()
    kl = posterior.kl().mean() / posterior.mean[0].numel()
    optimizer.zero_grad()
    (error + difference.square().mean() + KL_WEIGHT * kl).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return float(error.detach())


@torch.no_grad()
def with_unit_latents(model: AutoencoderKL, pool: Tensor) -> AutoencoderKL:
    """Set the scaling factor from 200 sprites and 200 portraits."""
    sample = torch.cat([pool[:200], pool[-200:]])
    deviation = torch.cat([model.encode(part).latent_dist.sample() for part in sample.split(50)])
    model.register_to_config(scaling_factor=float(1 / deviation.std()))
    return model
