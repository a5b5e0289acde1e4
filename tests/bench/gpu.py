"""B1 and B2 on a GPU: images a second, share of the device's limit, swaps, memory; prints Markdown.

make bench WHICH=gpu
make bench WHICH=gpu ARGS="--model sdxl --steps 30"
make bench WHICH=gpu ARGS="--device cpu --model tiny"      no GPU: proves the code, measures nothing

Random weights of the real sizes cost what trained ones cost. The peer for files without text
encoder keeps a pipeline, swaps the adapter in place, has its prompts encoded before, and draws one
image a call; hot-swapping cannot change a text encoder, so for the other files it loads and
unloads. The figures count only when the images are those of a fresh pipeline and the LoRA acts.
"""

from __future__ import annotations

import argparse
import platform
import shlex
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import diffusers
import numpy as np
import torch
import transformers

from core.nouns import Recipe
from daemon.generator.base_loading import choose_precision, device_name
from daemon.generator.job import largest_batch
from tests.bench.device_limit import (
    Rates,
    Work,
    image_work,
    measure_rates,
    seconds_at_the_limit,
    unet_work,
    vae_work,
)
from tests.bench.gpu_ways import (
    Pictures,
    Task,
    Timed,
    epochwatch,
    fresh,
    hotswap,
    reload_each,
    swap_seconds,
    timed,
)
from tests.bench.random_base import MODELS, RANK, build, random_parts, write_lora

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16}
_KINDS = {"unet": "UNet alone", "text": "UNet and text encoders"}
_COMPARED = 2  # images drawn by a fresh pipeline, and by the bare base
_PSNR = 35.0  # decibels at least in half precision, where a batch rounds differently
_BEYOND = 0.0005  # of the pixels may differ by more than one level in full precision
_ACTING = 0.05  # of the pixels at least differ from the base's by more than eight levels


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """How the product's images compare with those of a fresh pipeline and of the bare base."""

    psnr: float  # decibels; infinite when all is equal
    beyond: float  # share of pixels more than one level away from the fresh pipeline's
    acting: float  # share of pixels more than eight levels away from the bare base's

    def holds(self, precision: str) -> bool:
        """Say whether the figures count."""
        alike = self.beyond <= _BEYOND if precision == "fp32" else self.psnr >= _PSNR
        return alike and self.acting >= _ACTING


@dataclass(frozen=True, kw_only=True)
class Found:
    """Everything measured with one kind of files."""

    layers: int
    ours: tuple[Timed, Timed]  # before and after the peer, so that a drift shows
    peer: str
    theirs: Timed
    swaps: dict[str, float]
    likeness: Likeness


def main() -> int:
    """Measure and print; return 1 when the images are not the same."""
    wanted = _wanted()
    if wanted.device.startswith("cuda") and not torch.cuda.is_available():
        print(
            f"not run: no GPU here (torch {torch.__version__} sees no CUDA device; to prove the"
            ' code without one: ARGS="--device cpu --model tiny").'
        )
        return 0
    if wanted.device == "cpu":
        torch.set_num_threads(1)
    diffusers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory(prefix="epochwatch-bench-") as scratch:
        text, alike = _measured(wanted, Path(scratch))
    print(text)
    return 0 if alike else 1


def _wanted() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.bench.gpu")
    parser.add_argument("--model", choices=MODELS, default="sd15")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, mps; cpu for tiny models")
    parser.add_argument("--size", type=int, help="pixels a side; 512 for sd15, 1024 for sdxl")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--images", type=int, default=15, help="prompts for each checkpoint")
    parser.add_argument("--checkpoints", type=int, default=3, help="timed, after one to warm up")
    parser.add_argument("--batch", type=int, help="images at once; the product's choice without")
    parser.add_argument(
        "--files", choices=("both", *_KINDS), default="both", help="what is trained"
    )
    parser.add_argument("--swaps", type=int, default=20)
    wanted = parser.parse_args()
    if wanted.device == "cpu" and not wanted.model.startswith("tiny"):
        parser.error("on a CPU only tiny and tiny-xl end within the day")
    wanted.size = wanted.size or MODELS[wanted.model]
    return wanted


def _measured(wanted: argparse.Namespace, folder: Path) -> tuple[str, bool]:
    """Return the page, and whether its figures count."""
    device = torch.device(wanted.device)
    precision = choose_precision("auto", device)
    base = folder / "base"
    build(wanted.model, base, device, _DTYPES[precision])
    parts = random_parts(base, torch.device("meta"))
    recipe = Recipe(
        sampler="dpm++ 2m", steps=wanted.steps, guidance="7.50", width=wanted.size,
        height=wanted.size, grid=None, precision=precision,
    )  # fmt: skip
    rates = measure_rates(device, _DTYPES[precision])
    found = {}
    for kind in _KINDS if wanted.files == "both" else (wanted.files,):
        name, text = _KINDS[kind], kind == "text"
        files = tuple(
            folder / f"{len(found)}-{at}.safetensors" for at in range(wanted.checkpoints + 1)
        )
        layers = [write_lora(file, parts, at, text=text) for at, file in enumerate(files)]
        task = Task(
            base=base, files=files, recipe=recipe, device=device, dtype=_DTYPES[precision],
            prompts=tuple(f"punk number {at}, green background" for at in range(wanted.images)),
            out=folder / f"out-{len(found)}", batch=wanted.batch,
        )  # fmt: skip
        found[name] = _compare(task, layers[0], wanted.swaps, text=text)
    side = wanted.size // 2 ** (len(parts["vae"].config.block_out_channels) - 1)
    unet, vae = unet_work(parts["unet"], side), vae_work(parts["vae"], side)
    page = [*_setting(wanted, recipe, device), *_work(unet, vae, recipe, rates)]
    page += _table(found, image_work(unet, vae, recipe.steps), rates, wanted.images)
    alike = all(one.likeness.holds(precision) for one in found.values())
    page += ["", _verdict(precision, alike=alike)]
    return "\n".join(page), alike


def _compare(task: Task, layers: int, swaps: int, *, text: bool) -> Found:
    first = timed(epochwatch, task)
    theirs = timed(reload_each if text else hotswap, task)
    last = timed(epochwatch, task)
    count = min(_COMPARED, len(task.prompts))
    return Found(
        layers=layers,
        ours=(first, last),
        peer="load and unload" if text else "hotswap",
        theirs=theirs,
        swaps=swap_seconds(task, swaps, hotswaps=not text),
        likeness=likeness(
            last.pictures, fresh(task, task.files[-1], count), fresh(task, None, count)
        ),
    )


def likeness(ours: Pictures, reference: Pictures, bare: Pictures) -> Likeness:
    """Compare the images that ``reference``, a fresh pipeline, and ``bare``, the base, have drawn."""
    gaps = _gaps(ours, reference)
    squares = float(np.mean(gaps.astype(float) ** 2))
    return Likeness(
        psnr=float("inf") if squares == 0 else float(10 * np.log10(255**2 / squares)),
        beyond=float(np.mean(gaps.max(axis=-1) > 1)),
        acting=float(np.mean(_gaps(ours, bare).max(axis=-1) > 8)),
    )


def _gaps(ours: Pictures, others: Pictures) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return (images, height, width, 3) levels between two ways."""
    return np.stack([np.abs(ours[name].astype(int) - others[name]) for name in sorted(others)])


def _setting(wanted: argparse.Namespace, recipe: Recipe, device: torch.device) -> Iterator[str]:
    batch = wanted.batch or largest_batch(recipe, device.type)
    yield f"Command: `make bench WHICH=gpu ARGS={shlex.quote(shlex.join(sys.argv[1:]))}`."
    yield (
        f"Device: {device_name(device)}; Python {platform.python_version()}, "
        f"torch {torch.__version__}, CUDA {torch.version.cuda or 'none'}, "
        f"diffusers {diffusers.__version__}."
    )
    yield (
        f"Model: {wanted.model}, random weights, {recipe.precision}; {wanted.size} x {wanted.size} "
        f"pixels, {recipe.steps} steps of {recipe.sampler}, guidance {recipe.guidance}; "
        f"{wanted.images} images for each of {wanted.checkpoints} checkpoints of rank {RANK}; at "
        f"most {batch} images at once."
    )


def _work(unet: Work, vae: Work, recipe: Recipe, rates: Rates) -> Iterator[str]:
    each = image_work(unet, vae, recipe.steps)
    seconds, mixed = seconds_at_the_limit(each, rates)
    yield (
        f"Work: {unet.total / 1e12:.4g} TFLOP a pass of the UNet, {vae.total / 1e12:.4g} to decode, "
        f"{each.total / 1e12:.4g} an image ({each.convolutions / each.total:.0%} of it "
        f"convolutions). Measured here: {rates.products / 1e12:.3g} TFLOP/s in products of matrices, "
        f"{rates.convolutions / 1e12:.3g} in 3 x 3 convolutions. The limit: "
        f"{1 / seconds:.3g} images a second at the rate of products, {1 / mixed:.3g} with the "
        "convolutions at their own."
    )


def _table(found: dict[str, Found], work: Work, rates: Rates, images: int) -> Iterator[str]:
    """Yield the figures, a column for each kind of files."""
    plain, mixed = seconds_at_the_limit(work, rates)
    names = [f"{name} ({one.layers} layers)" for name, one in found.items()]
    yield ""
    yield f"| figure | {' | '.join(names)} |"
    yield "|---" * (len(found) + 1) + "|"
    columns = [_column(one, plain, mixed, images) for one in found.values()]
    for row in columns[0]:
        yield f"| {row} | {' | '.join(column[row] for column in columns)} |"


def _column(one: Found, plain: float, mixed: float, images: int) -> dict[str, str]:
    ours = mean([*one.ours[0].seconds, *one.ours[1].seconds]) / images
    theirs = mean(one.theirs.seconds) / images
    drift = [images / mean(each.seconds) for each in one.ours]
    ready = median([*one.ours[0].seconds, *one.ours[1].seconds])
    milliseconds = {name: f"{1000 * each:.1f} ms" for name, each in one.swaps.items()}
    return {
        "images a second": f"{1 / ours:.3g} (first {drift[0]:.3g}, last {drift[1]:.3g})",
        "peer": f"{one.peer}, one image a call",
        "images a second, peer": f"{1 / theirs:.3g}",
        "ratio": f"{theirs / ours:.2f}x",
        "share of the limit": f"{plain / ours:.0%} (convolutions at their rate: {mixed / ours:.0%})",
        "share of the limit, peer": f"{plain / theirs:.0%}",
        f"LoRA file closed to {images} images": f"{ready:.2f} s",
        "swap, closed file to live weights": milliseconds["epochwatch"],
        "swap, load and unload": milliseconds["load and unload"],
        "swap, hotswap": milliseconds.get("hotswap", "cannot do it"),
        "GPU memory held by torch, peak": _gigabytes(max((each.peak or 0) for each in one.ours)),
        "GPU memory held by torch, peak, peer": _gigabytes(one.theirs.peak or 0),
        "against a fresh pipeline": f"{one.likeness.psnr:.0f} dB, {one.likeness.beyond:.3%} of the "
        "pixels beyond one level",
        "the LoRA acts": f"{one.likeness.acting:.0%} of the pixels beyond eight levels",
    }


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count else "not measured: no CUDA"


def _verdict(precision: str, *, alike: bool) -> str:
    rule = f"{_BEYOND:.2%} beyond one level" if precision == "fp32" else f"{_PSNR:.0f} dB"
    if alike:
        return f"The images are a fresh pipeline's (allowed: {rule}), and the LoRAs act."
    return (
        f"THESE FIGURES DO NOT COUNT: the images are not a fresh pipeline's (allowed: {rule}), or a "
        f"LoRA acts on less than {_ACTING:.0%} of the pixels."
    )


if __name__ == "__main__":
    sys.exit(main())
