"""B4: from a closed checkpoint to admitted, first image and verdict; and reading ahead in a row of them.

make bench WHICH=intake
make bench WHICH=intake ARGS="--rounds 2 --no-chain"

The chain is the real daemon on the demo's model with an embedded Postgres, one file at a time.
The row is drawn by the code of the drawing process, with and without reading ahead, taking turns:
from this disk, and from one as slow as a network volume. There is no such disk here: each read
sleeps as long as 38 MB (SD 1.5, rank 32) take at 100 MB/s, which needs no CPU, as a network does.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import diffusers
import torch

from core.formats.base_model import base_sha256
from core.nouns import Recipe
from core.settings import load_settings
from daemon.demo.story import MODEL
from daemon.generator.job import DrawJob, DrawSample, LoraFile
from daemon.generator.lora_file import LoraWeights, read_lora
from daemon.generator.reading_ahead import Shelf
from daemon.generator.studio import Studio
from daemon.service import Service, opened
from tests.bench.grid import write_random_lora
from tests.bench.story import PER_EPOCH
from tests.bench.tiny_base import build_base
from tests.helpers.whole_program import SMALL_SUITE

RECIPE = Recipe(sampler="dpm++ 2m", steps=12, guidance="4.00", width=64, height=64, grid=None)
FILES, PROMPTS = 6, 4
SLOW_SECONDS = 38 / 100  # a file of 38 MB at 100 MB/s
Read = Callable[[Path, str], LoraWeights]


@dataclass(kw_only=True)
class Row:
    """What drawing one row of checkpoints took, in seconds."""

    wall: float = 0.0
    cpu: float = 0.0
    between: list[float] = field(default_factory=list)  # from a job's start to its first step
    drawing: list[float] = field(default_factory=list)  # from there to its end
    pixels: str = ""  # digest over all PNG files


def main() -> None:
    """Time the chain and the rows, and print them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-chain", action="store_true")
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    diffusers.utils.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory(prefix="epochwatch-bench-") as scratch:
        folder = Path(scratch)
        folder.chmod(0o755)  # the embedded server runs as another user when we are root
        found: dict[str, Any] = {"load": round(os.getloadavg()[0], 1), "cores": os.cpu_count()}
        build_base(folder / "base")
        files = [
            write_random_lora(folder / "base", folder / f"row-{at}.safetensors", at, text=True)
            for at in range(FILES)
        ]
        for name, read in (("this disk", read_lora), ("as slow as a network volume", _slow)):
            found[name] = _compare(folder, files, read, wanted.rounds)
        if not wanted.no_chain:
            found["chain"] = _chain(folder, wanted.rounds)
    print(json.dumps(found, indent=2))


def _slow(path: Path, sha256: str) -> LoraWeights:
    """Read as from a network volume: the process waits, and needs no CPU for it."""
    time.sleep(SLOW_SECONDS)
    return read_lora(path, sha256)


def _compare(folder: Path, files: list[Path], read: Read, rounds: int) -> dict[str, Any]:
    """Draw the row in both ways, taking turns; raises SystemExit where one bit differs."""
    done: dict[bool, list[Row]] = {False: [], True: []}
    for number in range(rounds):
        for ahead in (False, True) if number % 2 else (True, False):
            done[ahead].append(_draw_row(folder, files, read, ahead=ahead))
    if len({row.pixels for rows in done.values() for row in rows}) != 1:
        raise SystemExit("Reading ahead draws other pixels.")
    without, with_it = done[False], done[True]
    return {
        "without": _figures(without),
        "reading ahead": _figures(with_it),
        "ratio wall": _ratio(without, with_it, lambda row: row.wall),
        "ratio CPU": _ratio(without, with_it, lambda row: row.cpu),
        "ratio between jobs": _ratio(without, with_it, lambda row: median(row.between)),
        "ratio wall of the job in hand": _ratio(without, with_it, lambda row: median(row.drawing)),
    }


def _draw_row(folder: Path, files: list[Path], read: Read, *, ahead: bool) -> Row:
    """Draw all ``files``, each told of the next one as soon as it is loaded where ``ahead``."""
    shelf, row, marks = Shelf(read), Row(), [0.0]
    following: list[tuple[Path, str]] = []

    def say(event: str, **facts: Any) -> None:
        if event == "loaded":
            row.between.append(facts["seconds"])
            marks[0] = time.monotonic()
            shelf.expect(following)
        elif event == "done":
            row.drawing.append(time.monotonic() - marks[0])

    studio, out = Studio(say, lambda: False, shelf), folder / "out"
    loras = [(file, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files]
    studio.draw(_job(folder, None, out))  # the base is resident before the clock starts
    row.between.clear()
    row.drawing.clear()
    wall, cpu = time.monotonic(), time.process_time()
    for at, lora in enumerate(loras):
        following = loras[at + 1 : at + 2] if ahead else []
        studio.draw(_job(folder, lora, out))
    row.wall, row.cpu = time.monotonic() - wall, time.process_time() - cpu
    row.between = row.between[1:]  # the first has nobody who could read ahead for it
    row.pixels = _digest(out)
    shutil.rmtree(out)
    return row


def _job(folder: Path, lora: tuple[Path, str] | None, out: Path) -> DrawJob:
    name = lora[0].stem if lora else "base"
    return DrawJob(
        job=name, base_path=folder / "base", base_sha256=base_sha256(folder / "base"),
        loras=(LoraFile(path=lora[0], sha256=lora[1]),) if lora else (), recipe=RECIPE,
        samples=tuple(
            DrawSample(sample_id=f"{name}-{at}", prompt=f"punk number {at}", seed=42)
            for at in range(PROMPTS)
        ),
        out=out, device="cpu",
    )  # fmt: skip


def _digest(out: Path) -> str:
    hasher = hashlib.sha256()
    for path in sorted(out.glob("*.png")):
        hasher.update(path.read_bytes())
    return hasher.hexdigest()


def _figures(rows: list[Row]) -> dict[str, float]:
    """Return the medians over the rounds."""
    return {
        "wall_s": round(median(row.wall for row in rows), 2),
        "cpu_s": round(median(row.cpu for row in rows), 2),
        "between_jobs_ms": round(1000 * median(median(row.between) for row in rows), 1),
    }


def _ratio(without: list[Row], with_it: list[Row], of: Callable[[Row], float]) -> float:
    """Return how many times as much it is without, as the median over the rounds."""
    return round(
        median(of(one) / of(other) for one, other in zip(without, with_it, strict=True)), 2
    )


def _chain(folder: Path, rounds: int) -> dict[str, Any]:
    """Hand the daemon one checkpoint after the other; return medians of seconds since the close."""
    suite, output = folder / "suite.toml", folder / "output"
    suite.write_text(SMALL_SUITE, encoding="utf-8")
    output.mkdir()
    files = [
        write_random_lora(MODEL, folder / f"punk-{at:06d}.safetensors", at, text=True)
        for at in range(1, rounds + 2)
    ]
    settings = load_settings(
        home=folder / "home", base_model=str(MODEL), suite=suite, threads=1,
        image_store=str(folder / "store"),
    ).model_copy(update={"database_url": None})  # fmt: skip
    # The daemon logs to standard output, where only the figures belong.
    with redirect_stdout(sys.stderr), opened(settings, [output]) as service, _running(service):
        for number, file in enumerate(files, start=1):
            shutil.copy(file, output / file.name)
            epochs = _judged(service, number)
    epochs = epochs[1:]  # the first waits for the base model and its baseline
    steps = {"admitted": "admitted_at", "first image": "first_image", "verdict": "verdict"}
    return {"checkpoints": len(epochs)} | {
        f"closed to {name}, s": round(
            median((each[column] - each["closed_at"]).total_seconds() for each in epochs), 2
        )
        for name, column in steps.items()
    }


@contextmanager
def _running(service: Service) -> Iterator[None]:
    thread = threading.Thread(target=service.run)
    thread.start()
    try:
        yield
    finally:
        service.stopping.set()
        thread.join()


def _judged(service: Service, number: int) -> list[dict[str, Any]]:
    """Wait until ``number`` checkpoints have a verdict; return their rows."""
    late = time.monotonic() + 300
    while time.monotonic() < late:
        with service.database.transaction() as connection:
            epochs = connection.execute(PER_EPOCH.encode()).fetchall()
        if sum(each["verdict"] is not None for each in epochs) >= number:
            return epochs
        time.sleep(0.1)
    raise SystemExit(f"Checkpoint {number} had no verdict after five minutes.")


if __name__ == "__main__":
    main()
