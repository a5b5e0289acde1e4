"""The demo's figures: from clone to first verdict, from a closed file to admitted, image and verdict.

make bench WHICH=story                          on this checkout, as it is installed
make bench WHICH=story ARGS=--clone             in a fresh clone, installation included
make bench WHICH=story ARGS="--seeds 1 2 3"     once for each seed of the trainer: was the advice right?
make bench WHICH=story ARGS="--keep FOLDER"     leaves each home and its images there
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from core.settings import load_settings
from core.store.database import Database, Row
from core.store.opening import open_database

REPOSITORY = Path(__file__).resolve().parents[2]

PER_EPOCH = """
    SELECT c.position, c.closed_at, c.admitted_at, c.registered_at,
           (SELECT min(i.created_at) FROM epochwatch.grids g
            JOIN epochwatch.grid_samples gs ON gs.grid_id = g.id
            JOIN epochwatch.images i USING (sample_id)
            WHERE g.body ->> 'sha256' = c.sha256) AS first_image,
           (SELECT max(m.created_at) FROM epochwatch.grids g
            JOIN epochwatch.grid_samples gs ON gs.grid_id = g.id
            JOIN epochwatch.measurements m USING (sample_id)
            WHERE g.body ->> 'sha256' = c.sha256) AS last_measured,
           (SELECT min(a.created_at) FROM epochwatch.advice a
            WHERE a.run_id = c.run_id AND (a.body ->> 'latest')::int >= c.position) AS verdict
    FROM epochwatch.checkpoints c ORDER BY c.position
"""
DRAWING = "SELECT count(*) AS images, sum(seconds) AS seconds FROM epochwatch.images"


AVERAGES = """
    SELECT epoch_number AS epoch, average_score::float AS average FROM public.epoch_results
    WHERE average_score IS NOT NULL ORDER BY epoch_number
"""
ADVICE = "SELECT body FROM epochwatch.advice ORDER BY id"


def main() -> None:
    """Run the demo in a home of its own for each seed and print its figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clone", action="store_true", help="measure from a fresh clone")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of the trainer")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep each home in here")
    wanted = parser.parse_args()
    stories = [_story(seed, wanted) for seed in wanted.seeds]
    print(json.dumps({**_machine(), "clone": wanted.clone, "stories": stories}, indent=2))


def _story(seed: int, wanted: argparse.Namespace) -> dict[str, Any]:
    """Run the demo once and return its figures and what became of its advice."""
    with tempfile.TemporaryDirectory(prefix="epochwatch-bench-") as scratch:
        Path(scratch).chmod(0o755)  # the embedded server runs as another user when we are root
        home = (wanted.keep or Path(scratch)).absolute() / f"seed-{seed}"
        started = datetime.now(UTC)
        clock = time.monotonic()
        _run_demo(Path(scratch), home, wanted, seed)
        total = time.monotonic() - clock
        figures = _figures(home / "demo", started)
    return {"seed": seed, "total_s": round(total, 1), **figures}


def _run_demo(scratch: Path, home: Path, wanted: argparse.Namespace, seed: int) -> None:
    words = f"--exit --epochs {wanted.epochs} --seed {seed}"
    folder = REPOSITORY
    if wanted.clone:
        folder = scratch / "clone"
        subprocess.run(["git", "clone", "-q", str(REPOSITORY), str(folder)], check=True)
    env = {**os.environ, "EPOCHWATCH_HOME": str(home)}
    env.pop("DATABASE_URL", None)
    command = ["make", "demo", f"ARGS={words}"]
    if not wanted.clone:
        command = [sys.executable, "-m", "daemon.cli.main", "demo", *words.split()]
    subprocess.run(command, cwd=folder, env=env, check=True, stdout=sys.stderr)


def _figures(home: Path, started: datetime) -> dict[str, Any]:
    os.environ.pop("DATABASE_URL", None)
    with open_database(load_settings(home=home)) as database:
        epochs = _rows(database, PER_EPOCH)
        drawing = _rows(database, DRAWING)[0]
        averages = {each["epoch"]: each["average"] for each in _rows(database, AVERAGES)}
        stops = [each["body"] for each in _rows(database, ADVICE) if each["body"]["stop"]]
    first = min(epoch["verdict"] for epoch in epochs if epoch["verdict"])
    return {
        **_outcome(averages, stops),
        "start_to_first_verdict_s": round((first - started).total_seconds(), 1),
        "epochs": len(epochs),
        "images": drawing["images"],
        "images_per_second_drawing": round(drawing["images"] / drawing["seconds"], 2),
        "closed_to_admitted_s": _median(epochs, "closed_at", "admitted_at"),
        "closed_to_registered_s": _median(epochs, "closed_at", "registered_at"),
        "closed_to_first_image_s": _median(epochs, "closed_at", "first_image"),
        "last_measured_to_verdict_s": _median(epochs, "last_measured", "verdict"),
        "closed_to_verdict_s": _median(epochs, "closed_at", "verdict"),
    }


def _outcome(averages: dict[int, float], stops: list[dict[str, Any]]) -> dict[str, Any]:
    """Return when a stop was first advised, the epoch it named, and how far that is from the best."""
    best = max(averages, key=averages.__getitem__)
    if not stops:
        return {"stop_after": None, "best": best, "averages": averages}
    named = stops[0]["pick"]
    return {
        "stop_after": stops[0]["latest"],
        "named": named,
        "best": best,
        "named_below_best": round(averages[best] - averages[named], 2),
        "averages": averages,
    }


def _rows(database: Database, sql: str) -> list[Row]:
    with database.transaction() as connection:
        return connection.execute(sql.encode()).fetchall()


def _median(epochs: list[Row], start: str, end: str) -> float:
    return round(median((epoch[end] - epoch[start]).total_seconds() for epoch in epochs), 2)


def _machine() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
    }


if __name__ == "__main__":
    main()
