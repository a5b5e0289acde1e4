"""B1: CPU-seconds to draw checkpoints x prompts, against the ways it is done elsewhere, in one run.

make bench WHICH=grid
make bench WHICH=grid ARGS="--checkpoints 2 --prompts 4"

Peers, on the same files, prompts, seeds and recipe, all with diffusers' own pipeline:
  hotswap    resident pipeline, adapter swapped in place, prompts encoded once, one image a call
             (files without text encoder: hot-swapping cannot change it)
  reload     resident pipeline, adapter loaded and unloaded for each checkpoint, one image a call
  process    one process an image; a few are timed and the rest is extrapolated
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from safetensors.torch import load_file

from core.formats.base_model import base_sha256
from core.formats.sampler_names import find_sampler
from core.nouns import Recipe
from daemon.demo.lora_file import kohya_tensors, write_checkpoint
from daemon.demo.lora_trainer import TEXT_LAYERS, UNET_LAYERS
from daemon.generator.job import DrawJob, DrawSample, LoraFile
from daemon.generator.studio import Studio
from tests.bench.bars import hold
from tests.bench.tiny_base import adapted, build_base

RECIPE = Recipe(sampler="dpm++ 2m", steps=12, guidance="4.00", width=64, height=64, grid=None)
PROCESSES = 3  # timed; the rest is extrapolated
Drawn = dict[str, "np.ndarray[Any, np.dtype[np.uint8]]"]


@dataclass(frozen=True, kw_only=True)
class Task:
    """The same work for everybody."""

    base: Path
    files: tuple[Path, ...]
    prompts: tuple[str, ...]
    out: Path

    @property
    def images(self) -> int:
        """How many images there are to draw."""
        return len(self.files) * len(self.prompts)


def main() -> None:
    """Draw the grid in every way and print seconds, ratios and the equality as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoints", type=int, default=8)
    parser.add_argument("--prompts", type=int, default=15)
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    diffusers.utils.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory(prefix="epochwatch-bench-") as scratch:
        folder = Path(scratch)
        build_base(folder / "base")
        found = {
            "files without text encoder": _compare(
                folder / "plain", folder / "base", wanted, text=False
            ),
            "files with text encoder": _compare(
                folder / "text", folder / "base", wanted, text=True
            ),
        }
    print(json.dumps({**_machine(), "recipe": RECIPE.as_json(), **found}, indent=2))
    hold(
        {
            f"{least}x {peer} ({kind}: {ratio}x)": ratio >= least
            for kind, each in found.items()
            for peer, ratio in each["ratio"].items()
            for least in [100 if peer.startswith("process") else 4]
        }
    )


def _compare(out: Path, base: Path, wanted: argparse.Namespace, *, text: bool) -> dict[str, Any]:
    """Time each way once on the whole grid, ours first and last so that a drift shows."""
    out.mkdir()
    files = tuple(
        write_random_lora(base, out / f"punk-{number:06d}.safetensors", number, text=text)
        for number in range(1, wanted.checkpoints + 1)
    )
    prompts = tuple(f"punk number {number}, green background" for number in range(wanted.prompts))
    task = Task(base=base, files=files, prompts=prompts, out=out)
    peers: dict[str, Callable[[Task], Drawn]] = {"reload": reload_each}
    if not text:
        peers = {"hotswap": hotswap, **peers}
    mine, first = _timed(epochwatch, task)
    _check_that_loras_act(mine, task)
    seconds = {}
    for name, draw in peers.items():
        theirs, seconds[name] = _timed(draw, task)
        differing = _share_beyond_one_level(mine, theirs)
        if differing > 0.0005:
            raise SystemExit(f"{name} draws other images: {differing:.3%} of the pixels")
    _, last = _timed(epochwatch, task)
    ours = (first + last) / 2
    per_process = _one_process_an_image(task) / PROCESSES
    return {
        "images": task.images,
        "cpu_seconds": {"epochwatch": [round(first, 2), round(last, 2)], **_rounded(seconds)},
        "cpu_seconds_per_process": round(per_process, 2),
        "ratio": _rounded({name: each / ours for name, each in seconds.items()})
        | {"process (extrapolated)": round(per_process * task.images / ours, 1)},
    }


def _check_that_loras_act(drawn: Drawn, task: Task) -> None:
    """End where two checkpoints draw nearly the same: then their LoRAs were not used."""
    one, two = (drawn[f"{file.stem}-0"].astype(int) for file in task.files[:2])
    acting = float((np.abs(one - two).max(axis=-1) > 8).mean())
    if acting < 0.2:
        raise SystemExit(
            f"The LoRAs hardly act: two checkpoints differ in {acting:.1%} of the pixels"
        )


def _timed(draw: Callable[[Task], Drawn], task: Task) -> tuple[Drawn, float]:
    """Return the images and the CPU-seconds, from files on disk to PNG files on disk."""
    started = time.process_time()
    drawn = draw(task)
    return drawn, time.process_time() - started


def epochwatch(task: Task) -> Drawn:
    """Draw as the product's child process does, loading of the base included."""
    studio = Studio(lambda *_, **__: None, lambda: False)
    sha256 = base_sha256(task.base)
    drawn: Drawn = {}
    for file in task.files:
        lora = LoraFile(path=file, sha256=hashlib.sha256(file.read_bytes()).hexdigest())
        names = {f"{file.stem}-{at}": text for at, text in enumerate(task.prompts)}
        samples = tuple(
            DrawSample(sample_id=name, prompt=text, seed=42) for name, text in names.items()
        )
        studio.draw(
            DrawJob(
                job=file.stem, base_path=task.base, base_sha256=sha256, loras=(lora,),
                recipe=RECIPE, samples=samples, out=task.out / "ours", device="cpu",
            )
        )  # fmt: skip
        for name in names:
            drawn[name] = np.asarray(Image.open(task.out / "ours" / f"{name}.png").convert("RGB"))
    return drawn


def hotswap(task: Task) -> Drawn:
    """Swap adapters in a resident pipeline; one image a call, embeddings from memory."""
    pipeline = _pipeline(task.base)
    encoded = {
        text: pipeline.encode_prompt(
            text, "cpu", 1, do_classifier_free_guidance=True, negative_prompt=""
        )
        for text in task.prompts
    }
    drawn: Drawn = {}
    for number, file in enumerate(task.files):
        pipeline.load_lora_weights(str(file), adapter_name="swapped", hotswap=number > 0)
        for at, text in enumerate(task.prompts):
            positive, negative = encoded[text]
            drawn[f"{file.stem}-{at}"] = _one(
                pipeline, prompt_embeds=positive, negative_prompt_embeds=negative
            )
            _save(task.out / "hotswap", f"{file.stem}-{at}", drawn[f"{file.stem}-{at}"])
    return drawn


def reload_each(task: Task) -> Drawn:
    """Load and unload each adapter in a resident pipeline; one image a call."""
    pipeline = _pipeline(task.base)
    drawn: Drawn = {}
    for file in task.files:
        pipeline.load_lora_weights(str(file))
        for at, text in enumerate(task.prompts):
            drawn[f"{file.stem}-{at}"] = _one(pipeline, prompt=text)
            _save(task.out / "reload", f"{file.stem}-{at}", drawn[f"{file.stem}-{at}"])
        pipeline.unload_lora_weights()
    return drawn


def _one_process_an_image(task: Task) -> float:
    """Return the CPU-seconds of a few processes that load everything and draw one image."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for at in range(PROCESSES):
        words = [str(task.base), str(task.files[0]), task.prompts[at % len(task.prompts)]]
        subprocess.run([sys.executable, "-m", "tests.bench.grid_process", *words], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _pipeline(base: Path) -> StableDiffusionPipeline:
    pipeline = StableDiffusionPipeline.from_pretrained(base, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    sampler = find_sampler(RECIPE.sampler)
    scheduler = getattr(diffusers, sampler.scheduler)
    pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config, **sampler.options)
    return pipeline


def _one(pipeline: StableDiffusionPipeline, **prompt: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    image = pipeline(
        **prompt,
        width=RECIPE.width,
        height=RECIPE.height,
        num_inference_steps=RECIPE.steps,
        guidance_scale=float(RECIPE.guidance),
        generator=torch.Generator().manual_seed(42),
    ).images[0]
    return np.asarray(image)


def _save(folder: Path, name: str, pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    folder.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(folder / f"{name}.png")


def write_random_lora(base: Path, file: Path, seed: int, *, text: bool) -> Path:
    """Write a kohya LoRA with random weights that visibly acts."""
    pipeline = adapted(base, seed, unet=UNET_LAYERS, text=TEXT_LAYERS)
    tensors = kohya_tensors(pipeline.unet, pipeline.text_encoder)
    kept = {key: one for key, one in tensors.items() if text or key.startswith("lora_unet_")}
    write_checkpoint(file, kept, {"ss_epoch": str(seed)})
    assert load_file(file).keys() == kept.keys()
    return file


def _share_beyond_one_level(mine: Drawn, theirs: Drawn) -> float:
    """Return the share of pixels that differ by more than one grey level in any channel."""
    gaps = [np.abs(mine[name].astype(int) - theirs[name]).max(axis=-1) for name in theirs]
    return float(np.mean(np.stack(gaps) > 1))


def _rounded(numbers: dict[str, float]) -> dict[str, float]:
    return {name: round(each, 2) for name, each in numbers.items()}


def _machine() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "diffusers": str(diffusers.__version__),
        "machine": platform.machine(),
    }


if __name__ == "__main__":
    main()
