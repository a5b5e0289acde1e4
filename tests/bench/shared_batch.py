"""One prompt on many checkpoints: merge them one after the other, or let all share one batch?

make bench WHICH=shared_batch

Merged is the product's own code. Shared keeps the LoRAs apart: each sample of one large batch goes
through its own checkpoint's low-rank layers, as a grouped matrix product. Both read the same files
and write the same images; the run stops when more than 0.05 % of the pixels differ by more than
one level.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import diffusers
import numpy as np
import torch
from PIL import Image
from torch import nn

from core.formats.base_model import base_sha256
from core.formats.sampler_names import find_sampler
from core.nouns import Recipe
from daemon.generator.adapter_names import ModuleNames
from daemon.generator.job import DrawJob, DrawSample, LoraFile
from daemon.generator.lora_file import read_lora
from daemon.generator.result_files import write_result
from daemon.generator.studio import Studio
from tests.bench.grid import RECIPE, write_random_lora
from tests.bench.tiny_base import build_base

CHECKPOINTS = 8
Draw = Callable[[Path, int], None]  # folder, prompts


def main() -> None:
    """Time both ways for each number of prompts, taking turns, and print the ratios as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pixels", type=int, default=64, help="more make arithmetic weigh more")
    parser.add_argument("--wider", type=int, default=1, help="times as many channels, likewise")
    parser.add_argument("--prompts", type=int, nargs="+", default=[1, 4], help="of each checkpoint")
    wanted = parser.parse_args()
    recipe = replace(RECIPE, width=wanted.pixels, height=wanted.pixels)
    torch.set_num_threads(1)
    diffusers.utils.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory(prefix="epochwatch-bench-") as scratch:
        folder = Path(scratch)
        build_base(folder / "base", wider=wanted.wider)
        files = [
            write_random_lora(folder / "base", folder / f"c{at}.safetensors", at, text=False)
            for at in range(CHECKPOINTS)
        ]
        loras = [(file, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files]
        ways = {"merged": merged(folder, loras, recipe), "shared": shared(folder, loras, recipe)}
        found = {
            f"{CHECKPOINTS} checkpoints x {prompts} prompts": _compare(
                folder, ways, prompts, wanted.rounds
            )
            for prompts in wanted.prompts
        }
    about = {"load": round(os.getloadavg()[0], 1), "pixels": wanted.pixels, "wider": wanted.wider}
    print(json.dumps({**about, **found}, indent=2))


def _compare(folder: Path, ways: dict[str, Draw], prompts: int, rounds: int) -> dict[str, float]:
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):  # the first one warms up
        for name, draw in ways.items():
            started = time.process_time()
            draw(folder / name, prompts)
            if number:
                seconds[name].append(time.process_time() - started)
    differing = _differing(folder / "merged", folder / "shared")
    if differing > 0.0005:
        raise SystemExit(f"A shared batch draws other images: {differing:.3%} of the pixels")
    ratios = [one / two for one, two in zip(seconds["merged"], seconds["shared"], strict=True)]
    return {
        **{f"{name}, CPU-s": round(median(each), 2) for name, each in seconds.items()},
        "shared is faster by": round(median(ratios), 2),
        "pixels beyond one level, %": round(100 * differing, 4),
    }


def merged(folder: Path, loras: list[tuple[Path, str]], recipe: Recipe) -> Draw:
    """Return the product's way: one job a checkpoint, all its prompts in one batch."""
    studio = Studio(lambda *_, **__: None, lambda: False)
    sha256 = base_sha256(folder / "base")

    def draw(out: Path, prompts: int) -> None:
        for path, content in loras:
            studio.draw(
                DrawJob(
                    job=path.stem, base_path=folder / "base", base_sha256=sha256, recipe=recipe,
                    loras=(LoraFile(path=path, sha256=content),), out=out, device="cpu",
                    batch=prompts, samples=tuple(
                        DrawSample(sample_id=f"{path.stem}-{at}", prompt=text, seed=42)
                        for at, text in enumerate(_texts(prompts))
                    ),
                )
            )  # fmt: skip

    return draw


def shared(folder: Path, loras: list[tuple[Path, str]], recipe: Recipe) -> Draw:
    """Return the other way: one batch of all checkpoints and prompts, the LoRAs not merged."""
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(
        folder / "base", local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    sampler = find_sampler(recipe.sampler)
    config = pipeline.scheduler.config
    encoded: dict[str, Any] = {}

    def draw(out: Path, prompts: int) -> None:
        for text in _texts(prompts):
            if text not in encoded:
                encoded[text] = pipeline.encode_prompt(
                    text, "cpu", 1, do_classifier_free_guidance=True, negative_prompt=""
                )
        hooks = _low_rank(pipeline.unet, loras, prompts)
        names = [f"{path.stem}-{at}" for path, _ in loras for at in range(prompts)]
        both = [encoded[text] for _ in loras for text in _texts(prompts)]
        scheduler = getattr(diffusers, sampler.scheduler)
        pipeline.scheduler = scheduler.from_config(config, **sampler.options)
        pixels = pipeline(
            prompt_embeds=torch.cat([one for one, _ in both]),
            negative_prompt_embeds=torch.cat([one for _, one in both]),
            width=recipe.width,
            height=recipe.height,
            num_inference_steps=recipe.steps,
            guidance_scale=float(recipe.guidance),
            generator=[torch.Generator().manual_seed(42) for _ in names],
            output_type="np",
        ).images
        for hook in hooks:
            hook.remove()
        out.mkdir(exist_ok=True)
        for name, picture in zip(names, pixels, strict=True):
            write_result(out, name, picture, {})

    return draw


def _low_rank(unet: nn.Module, loras: list[tuple[Path, str]], prompts: int) -> list[Any]:
    """Add each sample's own low-rank part to the layers of ``unet``; return the hooks."""
    names = ModuleNames({"unet": unet})
    by_layer: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}
    for path, content in loras:
        for change in read_lora(path, content).changes:
            (layer,) = names.find_all(change.module)
            up = change.tensors["up"].float() * change.scale
            by_layer.setdefault(layer, []).append((change.tensors["down"].float(), up))
    hooks = []
    for layer, pairs in by_layer.items():
        # Guidance doubles the batch: all samples without the prompt, then all with it.
        downs = torch.stack([down for down, _ in pairs]).repeat_interleave(prompts, 0)
        ups = torch.stack([up for _, up in pairs]).repeat_interleave(prompts, 0)
        module = names.modules[layer]
        add = _adding_to_conv if isinstance(module, nn.Conv2d) else _adding
        hook = add(torch.cat([downs, downs]), torch.cat([ups, ups]))
        hooks.append(module.register_forward_hook(hook))
    return hooks


def _adding(downs: torch.Tensor, ups: torch.Tensor) -> Callable[..., torch.Tensor]:
    """Return a hook of a linear layer; ``downs`` is (batch, rank, in), ``ups`` (batch, out, rank)."""
    down, up = downs.transpose(1, 2).contiguous(), ups.transpose(1, 2).contiguous()

    def add(_layer: nn.Module, args: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor:
        given = args[0] if args[0].dim() == 3 else args[0].unsqueeze(1)
        return output + torch.bmm(torch.bmm(given, down), up).reshape(output.shape)

    return add


def _adding_to_conv(downs: torch.Tensor, ups: torch.Tensor) -> Callable[..., torch.Tensor]:
    """Return a hook of a convolution; ``downs`` is (batch, rank, in, k, k)."""
    batch, rank = downs.shape[:2]
    down, up = downs.flatten(0, 1), ups.flatten(2)

    def add(layer: nn.Conv2d, args: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor:
        given = args[0].reshape(1, -1, *args[0].shape[2:])
        inner = torch.nn.functional.conv2d(
            given, down, stride=layer.stride, padding=layer.padding, groups=batch
        )
        return output + torch.bmm(up, inner.reshape(batch, rank, -1)).reshape(output.shape)

    return add


def _texts(prompts: int) -> list[str]:
    return [f"punk number {number}, green background" for number in range(prompts)]


def _differing(mine: Path, theirs: Path) -> float:
    """Return the share of pixels that differ by more than one level in any channel."""
    gaps = [
        np.abs(_levels(path) - _levels(theirs / path.name)).max(axis=-1)
        for path in sorted(mine.glob("*.png"))
    ]
    return float(np.mean(np.stack(gaps) > 1))


def _levels(path: Path) -> np.ndarray[Any, np.dtype[np.int64]]:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


if __name__ == "__main__":
    main()
