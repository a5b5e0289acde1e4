"""The least time an image can take on a device: its operations by the rate the device was seen at."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

_SIDE = {"cuda": 8192, "mps": 4096, "cpu": 1024}  # of the square matrices
_IMAGES = {"cuda": 32, "mps": 8, "cpu": 1}  # in the convolution's batch, 320 x 64 x 64
_ROUNDS = 5
_TOKENS = 77


@dataclass(frozen=True, kw_only=True)
class Work:
    """Floating-point operations, a multiplication and an addition being two."""

    total: int
    convolutions: int  # of them


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Operations a second, as they were measured here."""

    products: float  # of square matrices
    convolutions: float  # 3 x 3, 320 channels, 64 x 64, as in SD 1.5's first blocks


def unet_work(unet: Any, side: int) -> Work:
    """Count one forward pass of one latent of ``side`` x ``side``; ``unet`` is on the meta device."""
    width = unet.config.cross_attention_dim
    given: dict[str, Any] = {}
    if unet.config.addition_embed_type == "text_time":
        times = 6 * unet.config.addition_time_embed_dim
        pooled = unet.config.projection_class_embeddings_input_dim - times
        given["added_cond_kwargs"] = {"text_embeds": _meta(1, pooled), "time_ids": _meta(1, 6)}
    latents = _meta(1, unet.config.in_channels, side, side)
    return _count(lambda: unet(latents, _meta(1), _meta(1, _TOKENS, width), **given))


def vae_work(vae: Any, side: int) -> Work:
    """Count the decoding of one latent of ``side`` x ``side``; ``vae`` is on the meta device."""
    return _count(lambda: vae.decode(_meta(1, vae.config.latent_channels, side, side)))


def image_work(unet: Work, vae: Work, steps: int) -> Work:
    """Return the work of an image: two passes a step, with and without the prompt, and the VAE."""
    return Work(
        total=2 * steps * unet.total + vae.total,
        convolutions=2 * steps * unet.convolutions + vae.convolutions,
    )


def seconds_at_the_limit(work: Work, rates: Rates) -> tuple[float, float]:
    """Return seconds an image: all at the rate of products, and convolutions at their own."""
    others = (work.total - work.convolutions) / rates.products
    return work.total / rates.products, others + work.convolutions / rates.convolutions


@torch.no_grad()
def measure_rates(device: torch.device, dtype: torch.dtype) -> Rates:
    """Measure the device now, in the numbers that are drawn with."""
    side, images = _SIDE[device.type], _IMAGES[device.type]
    left = torch.randn(side, side, device=device, dtype=dtype)
    right = torch.randn(side, side, device=device, dtype=dtype)
    conv = torch.nn.Conv2d(320, 320, 3, padding=1, device=device, dtype=dtype)
    planes = torch.randn(images, 320, 64, 64, device=device, dtype=dtype)
    return Rates(
        products=2 * side**3 / _fastest(lambda: left @ right, device),
        convolutions=2 * images * 64**2 * 320**2 * 9 / _fastest(lambda: conv(planes), device),
    )


def wait_for(device: torch.device) -> None:
    """Return when all that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _fastest(work: Callable[[], Any], device: torch.device) -> float:
    """Return the median seconds of the rounds, each a few runs without waiting between them."""
    runs = 1 if device.type == "cpu" else 20
    seconds = []
    for _ in range(_ROUNDS + 1):  # the first one warms up
        wait_for(device)
        started = time.perf_counter()
        for _ in range(runs):
            work()
        wait_for(device)
        seconds.append((time.perf_counter() - started) / runs)
    return median(seconds[1:])


def _count(forward: Callable[[], Any]) -> Work:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        forward()
    by_operation = counter.get_flop_counts()["Global"]
    convolutions = sum(n for name, n in by_operation.items() if "convolution" in str(name))
    return Work(total=counter.get_total_flops(), convolutions=convolutions)


def _meta(*shape: int) -> torch.Tensor:
    return torch.empty(shape, device="meta")
