"""B2: from a closed file to live weights, against diffusers' ways; then a thousand swaps.

make bench WHICH=swap
make bench WHICH=swap ARGS="--swaps 100"

Peers: load_lora_weights with unload_lora_weights, and hot-swapping (files without text encoder).
The soak swaps between files and checks that the base's weights come back bit by bit and that
memory does not grow.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import diffusers
import psutil
import torch
from diffusers import StableDiffusionPipeline

from daemon.generator.lora_file import read_lora
from daemon.generator.merging import Merger
from tests.bench.grid import write_random_lora
from tests.bench.tiny_base import build_base

FILES = 4
ROUNDS = 5
WARM = 100  # swaps before memory is compared
GROWTH = 1024  # bytes a swap that are allowed


def main() -> None:
    """Time swaps in every way, soak ours, and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--swaps", type=int, default=1000)
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    diffusers.utils.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory(prefix="epochwatch-bench-") as scratch:
        folder = Path(scratch)
        build_base(folder / "base")
        found = {
            name: _compare(folder / "base", folder, text=text)
            for name, text in (("without text encoder", False), ("with text encoder", True))
        }
        found["soak"] = _soak(
            folder / "base", _files(folder / "base", folder, text=True), wanted.swaps
        )
    print(json.dumps(found, indent=2))


def _files(base: Path, folder: Path, *, text: bool) -> list[Path]:
    names = [
        folder / f"{'text' if text else 'plain'}-{number}.safetensors" for number in range(FILES)
    ]
    return [write_random_lora(base, name, at, text=text) for at, name in enumerate(names)]


def _compare(base: Path, folder: Path, *, text: bool) -> dict[str, Any]:
    """Return median CPU-milliseconds a swap and the ratios of the peers to ours."""
    files = _files(base, folder, text=text)
    merger = _merger(base)
    ways: dict[str, Callable[[Path], None]] = {
        "epochwatch": lambda file: _swap(merger, file),
        "load and unload": _loader(base),
    }
    if not text:
        ways["hotswap"] = _hotswapper(base, files[0])
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for file in files:
            for name, way in ways.items():
                started = time.process_time()
                way(file)
                times[name].append(time.process_time() - started)
    middle = {name: median(each) for name, each in times.items()}
    return {
        "cpu_ms": {name: round(1000 * each, 1) for name, each in middle.items()},
        "ratio": {
            name: round(each / middle["epochwatch"], 1)
            for name, each in middle.items()
            if name != "epochwatch"
        },
    }


def _pipeline(base: Path) -> StableDiffusionPipeline:
    return StableDiffusionPipeline.from_pretrained(base, local_files_only=True)


def _merger(base: Path) -> Merger:
    pipeline = _pipeline(base)
    return Merger({"unet": pipeline.unet, "text_encoder": pipeline.text_encoder})


def _swap(merger: Merger, file: Path) -> None:
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    merger.apply([(read_lora(file, sha256), 1.0)])


def _loader(base: Path) -> Callable[[Path], None]:
    pipeline = _pipeline(base)

    def load(file: Path) -> None:
        pipeline.unload_lora_weights()
        pipeline.load_lora_weights(str(file))

    return load


def _hotswapper(base: Path, first: Path) -> Callable[[Path], None]:
    pipeline = _pipeline(base)
    pipeline.load_lora_weights(str(first), adapter_name="swapped")
    return lambda file: pipeline.load_lora_weights(str(file), adapter_name="swapped", hotswap=True)


def _soak(base: Path, files: Sequence[Path], swaps: int) -> dict[str, Any]:
    """Swap many times; raises SystemExit when a bit is lost or memory grows."""
    pipeline = _pipeline(base)
    merger = Merger({"unet": pipeline.unet, "text_encoder": pipeline.text_encoder})
    before = _fingerprint(pipeline)
    process = psutil.Process()
    warm = 0
    for number in range(1, swaps + 1):
        _swap(merger, files[number % len(files)])
        if number == min(WARM, swaps // 2):
            gc.collect()
            warm = process.memory_info().rss
    gc.collect()
    growth = (process.memory_info().rss - warm) / max(1, swaps - min(WARM, swaps // 2))
    merger.restore()
    if _fingerprint(pipeline) != before:
        raise SystemExit("The base model's weights did not come back bit by bit.")
    if growth > GROWTH:
        raise SystemExit(f"Memory grows by {growth:.0f} bytes a swap; {GROWTH} are allowed.")
    return {"swaps": swaps, "bytes_a_swap": round(growth), "weights": "bit-equal"}


def _fingerprint(pipeline: StableDiffusionPipeline) -> str:
    hasher = hashlib.sha256()
    for model in (pipeline.unet, pipeline.text_encoder):
        for name, weight in sorted(model.state_dict().items()):
            hasher.update(name.encode())
            hasher.update(weight.contiguous().numpy().tobytes())
    return hasher.hexdigest()


if __name__ == "__main__":
    main()
