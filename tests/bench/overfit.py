"""Does over-fitting raise its alarm? A LoRA of eight sprites beside one of all 203, watched alike.

make bench WHICH=overfit
make bench WHICH=overfit ARGS="--seeds 3 --keep FOLDER"     leaves images, and a sheet to look at

Both are trained by the demo's own trainer for as many steps at the same constant rate, on the
shipped model. The daemon then tests every epoch on the same prompts: six captions that both have
seen, six prompts that neither has, three seeds each.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from PIL import Image

from core.metrics.set_level import evenly
from core.nouns import Measurement
from core.rules.scoring import average_of
from core.settings import Settings, load_settings
from core.store import set_level
from core.store.database import Row, row, rows
from daemon.demo.story import DATASET, MODEL, SUITE
from daemon.service import Service, opened

FEW = 8  # sprites that are learned by heart, evenly over the training set
STEPS = 51  # an epoch, in both runs, give or take one
BATCH = 4
JUDGING = (11, 12)  # of the trainer; no rule was tuned on them
UNSEEN = 6  # of the demo's prompts: the last ones, whose colors never meet in training
SEEDS = (42, 43, 44)
RUNS = ("few", "all")
SHOWN = 3  # prompts of each kind on the sheet, with two seeds each


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What the daemon said of one run, epoch by epoch."""

    levels: tuple[set_level.SetLevelLine, ...]
    images: tuple[Row, ...]  # as the judge reads them
    reasons: tuple[str, ...]  # of its last advice
    flags: Mapping[int, bool | None]  # is_overtrained, as it is written for the owner


def main() -> None:
    """Train, watch and print what was said of each epoch as JSON and as a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=JUDGING, help="of the trainer")
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=RUNS)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--rate", type=float, default=2e-3, help="of the U-Net, constant")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep homes and sheets here")
    wanted = parser.parse_args()
    found = [_tell(run, seed, wanted) for seed in wanted.seeds for run in wanted.runs]
    print(json.dumps({"machine": _machine(), "runs": found}, indent=1))
    for each in found:
        print(_table(each), flush=True)


def _tell(run: str, seed: int, wanted: argparse.Namespace) -> dict[str, Any]:
    """Train one run, let the daemon test every epoch, and return what it said."""
    with tempfile.TemporaryDirectory(prefix="epochwatch-bench-") as scratch:
        place = (wanted.keep or Path(scratch)).absolute() / f"{run}-{seed}"
        place.mkdir(parents=True, exist_ok=True)
        Path(scratch).chmod(0o755)  # the embedded server runs as another user when we are root
        data = _training_images(place / "data", FEW if run == "few" else None)
        _write_suite(place / "prompts.toml")
        started = time.process_time() + sum(os.times()[2:4])
        _train(place, data, seed, wanted)
        watched = _watch(place, data, wanted)
        seconds = time.process_time() + sum(os.times()[2:4]) - started
        return {"run": run, "seed": seed, "cpu_s": round(seconds), **_facts(watched)}


def _training_images(folder: Path, count: int | None) -> Path:
    """Return a folder with so many of the demo's captioned sprites; all with None."""
    folder.mkdir(exist_ok=True)
    for image in _chosen(count):
        for file in (image, image.with_suffix(".txt")):
            shutil.copy(file, folder)
    return folder


def _chosen(count: int | None) -> tuple[Path, ...]:
    files = sorted(DATASET.glob("*.png"))
    return tuple(files) if count is None else evenly(files, count)


def _write_suite(file: Path) -> None:
    """Write captions of the few sprites and the demo's last prompts, under the demo's recipe."""
    recipe, *prompts = SUITE.read_text("utf-8").split("[[prompt]]")
    seeds = f"seeds = {list(SEEDS)}"
    unseen = [each.replace("seeds = [42]", seeds).split("# ")[0] for each in prompts[-UNSEEN - 1 :]]
    unseen = [each for each in unseen if "short_prompt" not in each]  # two captions begin like it
    seen = [
        f'\nname = "{image.stem}"\ntext = "{image.with_suffix(".txt").read_text("utf-8").strip()}"\n'
        f'tier = "quick"\n{seeds}\n\n'
        for image in _chosen(FEW)[:UNSEEN]
    ]
    told = [each.replace('tier = "medium"', 'tier = "quick"') for each in (*seen, *unseen)]
    file.write_text("[[prompt]]".join((recipe, *told)), "utf-8")


def _train(place: Path, data: Path, seed: int, wanted: argparse.Namespace) -> None:
    """Train as many steps an epoch on either folder, unless that was done and kept."""
    if len(list((place / "output").glob("*.safetensors"))) == wanted.epochs:
        return
    images = len(list(data.glob("*.png")))
    options = {
        "base": MODEL,
        "data": data,
        "out": place / "output",
        "name": "punk",
        "epochs": wanted.epochs,
        "seed": seed,
        "batch-size": BATCH,
        "repeats": max(1, round(STEPS * BATCH / images)),
        "unet-rate": wanted.rate,
        "text-encoder-rate": wanted.rate / 4,
        "schedule": "constant",
        "threads": wanted.threads,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "daemon.demo.lora_trainer", *words]
    subprocess.run(command, check=True, stdout=sys.stderr)


def _watch(place: Path, data: Path, wanted: argparse.Namespace) -> Watched:
    """Let the daemon take in every checkpoint, draw, measure and judge."""
    home = place / "home"
    settings = load_settings(
        home=home,
        base_model=str(MODEL),
        data=data,
        suite=place / "prompts.toml",
        threads=wanted.threads,
        image_store=str(home / "store"),
    ).model_copy(update={"database_url": None})
    with _watching(settings, place / "output", wanted.epochs) as service:
        watched = _read(service, place / "output")
        sheet = _sheet(service, watched.images, data)
        sheet.save(place / "sheet.png")
        return watched


@contextmanager
def _watching(settings: Settings, folder: Path, epochs: int) -> Iterator[Service]:
    """Yield a daemon that has judged every epoch, before it takes a second look at the best ones."""
    with opened(settings, [folder]) as service:
        at_work = threading.Thread(target=service.run, daemon=True)
        at_work.start()
        while len(_judged(service)) < epochs:
            time.sleep(0.5)
        yield service
        service.stopping.set()
        at_work.join()


def _judged(service: Service) -> list[Row]:
    with service.database.transaction() as connection:
        return connection.execute(
            "SELECT epoch_number AS epoch, is_overtrained FROM public.epoch_results"
        ).fetchall()


def _read(service: Service, folder: Path) -> Watched:
    with service.database.transaction() as connection:
        about = row(connection, "runs.by_folder", root=str(folder))
        assert about is not None, "the daemon has taken in what was trained"
        advice = rows(connection, "results.advice_history", run_id=about["id"])
        return Watched(
            levels=set_level.of_run(connection, about["id"]),
            images=tuple(rows(connection, "results.of_run", run_id=about["id"])),
            reasons=tuple(advice[-1]["body"]["reasons"]),
            flags={each["epoch"]: each["is_overtrained"] for each in _judged(service)},
        )


def _facts(watched: Watched) -> dict[str, Any]:
    epochs = [_epoch(line, watched) for line in watched.levels]
    alarms = [said for said in watched.reasons if "over-trained" in said or "collapse" in said]
    return {"alarms": alarms, "epochs": epochs}


def _epoch(line: set_level.SetLevelLine, watched: Watched) -> dict[str, Any]:
    scores: dict[bool, list[float]] = {True: [], False: []}
    for each in watched.images:
        if each["position"] == line.position and each["body"]:
            score = average_of(Measurement.from_json(each["body"]))
            if score is not None:
                scores[each["origin"] == "seen"].append(score)
    return {
        "epoch": line.position,
        "seen": round(fmean(scores[True]), 2),
        "held_out": round(fmean(scores[False]), 2),
        "over-trained": watched.flags.get(line.position),
        **{part: line.body.get(part) for part in ("diversity", "copies", "gap", "reasons", "said")},
    }


def _table(found: Mapping[str, Any]) -> str:
    """Return the run as a Markdown table."""
    head = (
        f"\n{found['run']}, seed {found['seed']}, {found['cpu_s']} CPU-seconds\n\n"
        "| epoch | copies | diversity | of the first | seen | held out | gap grew by | over-trained |"
        "\n|---|---|---|---|---|---|---|---|"
    )
    lines = [_line(each) for each in found["epochs"]]
    return "\n".join([head, *lines, "", *(f"- {said}" for said in found["alarms"] or ("none",))])


def _line(epoch: Mapping[str, Any]) -> str:
    diversity, copies, gap = (epoch[part] or {} for part in ("diversity", "copies", "gap"))
    cells = (
        epoch["epoch"],
        f"{copies['copies']} of {copies['images']}" if copies else "-",
        f"{diversity['value']:.2f}" if diversity else "-",
        _with_interval(diversity, "ratio", 100, ".0f", " %")
        + (", collapsed" if diversity.get("collapsed") else ""),
        epoch["seen"],
        epoch["held_out"],
        _with_interval(gap, "growth", 1, "+.1f", ""),
        {True: "yes", False: "no", None: "not known"}[epoch["over-trained"]],
    )
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _with_interval(found: Mapping[str, Any], name: str, times: float, form: str, unit: str) -> str:
    if found.get(name) is None:
        return "-"
    values = [found[each] for each in (name, "low", "high")]
    value, low, high = (format(times * each, form) for each in values)
    return f"{value}{unit} ({low} to {high})"


def _sheet(service: Service, images: Sequence[Row], data: Path) -> Image.Image:
    """Return training images on top, and below them, epoch by epoch, what their captions draw."""
    names = list(dict.fromkeys(each["prompt_name"] for each in images))
    seen = [name for name in names if (data / f"{name}.png").exists()][:SHOWN]
    chosen = [*seen, *[name for name in names if name not in seen][-SHOWN:]]
    columns = [(name, seed) for name in chosen for seed in SEEDS[:2]]
    epochs = sorted({each["position"] for each in images})
    sheet = Image.new("RGB", (100 * len(columns), 100 * (len(epochs) + 1)), "white")
    for at, (name, _) in enumerate(columns):
        if (data / f"{name}.png").exists():
            with Image.open(data / f"{name}.png") as original:
                sheet.paste(original.resize((96, 96), Image.Resampling.NEAREST), (100 * at, 0))
    for each in images:
        column = (each["prompt_name"], each["seed"])
        if column in columns and each["image_sha256"]:
            with Image.open(io.BytesIO(service.store.get("images", each["image_sha256"]))) as drawn:
                down = 100 * (1 + epochs.index(each["position"]))
                sheet.paste(drawn, (100 * columns.index(column), down))
    return sheet


def _machine() -> dict[str, Any]:
    return {"python": platform.python_version(), "machine": platform.machine(),
            "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}  # fmt: skip


if __name__ == "__main__":
    main()
