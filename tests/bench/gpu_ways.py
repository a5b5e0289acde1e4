"""The same checkpoints and prompts drawn by the product and by diffusers' own ways, and swapped."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import diffusers
import numpy as np
import torch
from PIL import Image

from core.formats.base_model import base_sha256, file_sha256
from core.formats.sampler_names import find_sampler
from core.nouns import Recipe
from daemon.generator.job import DrawJob, DrawSample, LoraFile
from daemon.generator.lora_file import read_lora
from daemon.generator.merging import Merger
from daemon.generator.studio import Studio
from tests.bench.device_limit import wait_for

Pictures = dict[str, "np.ndarray[Any, np.dtype[np.uint8]]"]  # "<file>-<prompt>" -> image
Draw = Callable[[Path, Path], None]  # a LoRA, the folder for its PNGs
_PARTS = ("unet", "text_encoder", "text_encoder_2")


@dataclass(frozen=True, kw_only=True)
class Task:
    """The same work for everybody."""

    base: Path
    files: tuple[Path, ...]  # the first one warms up
    prompts: tuple[str, ...]
    recipe: Recipe
    device: torch.device
    dtype: torch.dtype
    out: Path
    batch: int | None = None  # images at once in the product; None: its own choice


@dataclass(frozen=True, kw_only=True)
class Timed:
    """What one way drew, and what it took."""

    seconds: tuple[float, ...]  # a checkpoint, from its closed file to its PNGs
    pictures: Pictures
    peak: int | None  # bytes of the GPU's memory; None where torch cannot tell


def timed(way: Callable[[Task], Draw], task: Task) -> Timed:
    """Draw all files; the model is loaded before, and the first file does not count."""
    _start_afresh(task.device)
    folder = task.out / way.__name__
    folder.mkdir(parents=True, exist_ok=True)
    draw = way(task)
    seconds = []
    for file in task.files:
        wait_for(task.device)
        started = time.perf_counter()
        draw(file, folder)
        wait_for(task.device)
        seconds.append(time.perf_counter() - started)
    peak = torch.cuda.max_memory_allocated(task.device) if task.device.type == "cuda" else None
    return Timed(seconds=tuple(seconds[1:]), pictures=read_pictures(folder), peak=peak)


def epochwatch(task: Task) -> Draw:
    """Draw as the product's process does: hash, read, merge, and all prompts in batches."""
    studio = Studio(lambda *_, **__: None, lambda: False)
    sha256 = base_sha256(task.base)

    def draw(file: Path, folder: Path) -> None:
        studio.draw(
            DrawJob(
                job=file.stem, base_path=task.base, base_sha256=sha256, recipe=task.recipe,
                loras=(LoraFile(path=file, sha256=file_sha256(file)),), out=folder,
                batch=task.batch, device=str(task.device), samples=tuple(
                    DrawSample(sample_id=f"{file.stem}-{at}", prompt=text, seed=at)
                    for at, text in enumerate(task.prompts)
                ),
            )
        )  # fmt: skip

    return draw


def hotswap(task: Task) -> Draw:
    """Swap adapters in a resident pipeline; prompts encoded once, one image a call."""
    pipeline = peer(task)
    encoded = [_encoded(pipeline, text, task.device) for text in task.prompts]
    swap = swapping(pipeline)

    def draw(file: Path, folder: Path) -> None:
        swap(file)
        for at, embeddings in enumerate(encoded):
            draw_one(pipeline, task, folder / f"{file.stem}-{at}.png", seed=at, **embeddings)

    return draw


def reload_each(task: Task) -> Draw:
    """Load and unload adapters in a resident pipeline; one image a call."""
    pipeline = peer(task)
    load = loading(pipeline)

    def draw(file: Path, folder: Path) -> None:
        load(file)
        for at, text in enumerate(task.prompts):
            draw_one(pipeline, task, folder / f"{file.stem}-{at}.png", seed=at, prompt=text)

    return draw


def fresh(task: Task, file: Path | None, count: int) -> Pictures:
    """Return ``count`` images of a pipeline that has seen no other LoRA; None: the bare base."""
    _start_afresh(task.device)
    folder = task.out / ("fresh" if file else "bare")
    folder.mkdir(parents=True, exist_ok=True)
    pipeline = peer(task)
    if file is not None:
        pipeline.load_lora_weights(str(file))
    stem = task.files[-1].stem
    for at, text in enumerate(task.prompts[:count]):
        draw_one(pipeline, task, folder / f"{stem}-{at}.png", seed=at, prompt=text)
    return read_pictures(folder)


def swap_seconds(task: Task, rounds: int, *, hotswaps: bool) -> dict[str, float]:
    """Return median seconds from a closed file to live weights, for each way, one after the other."""
    _start_afresh(task.device)
    pipeline = peer(task)
    parts = {name: part for name in _PARTS if (part := getattr(pipeline, name, None)) is not None}
    merger = Merger(parts)
    found = {
        "epochwatch": _median_swap(
            task, rounds, lambda file: merger.apply([(read_lora(file, file_sha256(file)), 1.0)])
        )
    }
    merger.restore()
    found["load and unload"] = _median_swap(task, rounds, loading(pipeline))
    pipeline.unload_lora_weights()
    if hotswaps:
        found["hotswap"] = _median_swap(task, rounds, swapping(pipeline))
    return found


def peer(task: Task) -> Any:
    """Return diffusers' own pipeline, resident on the device."""
    torch.backends.cudnn.deterministic = False  # the product's studio sets it; a peer need not pay
    pipeline = diffusers.DiffusionPipeline.from_pretrained(
        task.base, torch_dtype=task.dtype, local_files_only=True
    )
    pipeline.watermark = None
    sampler = find_sampler(task.recipe.sampler)
    scheduler = getattr(diffusers, sampler.scheduler)
    pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config, **sampler.options)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(task.device)


def loading(pipeline: Any) -> Callable[[Path], None]:
    """Return what unloads the last LoRA and loads another one."""

    def load(file: Path) -> None:
        pipeline.unload_lora_weights()
        pipeline.load_lora_weights(str(file))

    return load


def swapping(pipeline: Any) -> Callable[[Path], None]:
    """Return what puts a LoRA in the last one's place, which must have the same layers."""
    present = False

    def swap(file: Path) -> None:
        nonlocal present
        pipeline.load_lora_weights(str(file), adapter_name="swapped", hotswap=present)
        present = True

    return swap


def draw_one(pipeline: Any, task: Task, file: Path, *, seed: int, **prompt: Any) -> None:
    """Draw and save one image, at the compression the product has."""
    recipe = task.recipe
    image = pipeline(
        **prompt,
        width=recipe.width,
        height=recipe.height,
        num_inference_steps=recipe.steps,
        guidance_scale=float(recipe.guidance),
        generator=torch.Generator().manual_seed(seed),
    ).images[0]
    image.save(file, compress_level=1)


def read_pictures(folder: Path) -> Pictures:
    """Return all PNGs of ``folder`` by their names."""
    found = {}
    for path in sorted(folder.glob("*.png")):
        with Image.open(path) as picture:
            found[path.stem] = np.asarray(picture.convert("RGB"))
    return found


def _encoded(pipeline: Any, text: str, device: torch.device) -> dict[str, torch.Tensor]:
    """Return a prompt's embeddings under the names the pipeline takes them by."""
    names = ("prompt_embeds", "negative_prompt_embeds")
    pooled = ("pooled_prompt_embeds", "negative_pooled_prompt_embeds")
    given = pipeline.encode_prompt(
        text, device=device, num_images_per_prompt=1, do_classifier_free_guidance=True
    )
    return dict(zip(names + pooled, given, strict=False))


def _median_swap(task: Task, rounds: int, swap: Callable[[Path], Any]) -> float:
    seconds = []
    for number in range(rounds + 1):  # the first one warms up
        wait_for(task.device)
        started = time.perf_counter()
        swap(task.files[number % len(task.files)])
        wait_for(task.device)
        seconds.append(time.perf_counter() - started)
    return median(seconds[1:])


def _start_afresh(device: torch.device) -> None:
    """Give back what the last way held, and forget its peak."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
