"""Runs the real program in processes of its own: daemon, dashboard, and the demo's trainer."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from free_ports import free_port

from core.settings import Settings, load_settings
from core.store.database import Database, Row, rows
from core.store.opening import open_database
from daemon.commands import end_program
from daemon.demo.story import DATASET, MODEL, trainer_command

REPOSITORY = Path(__file__).resolve().parents[2]
SMALL_SUITE = """
name = "small"

[recipe]
sampler = "dpm++ 2m"
steps = 8
guidance = 4.0
width = 96
height = 96
grid = 24

[[prompt]]
name = "pink_on_green"
text = "pixel art punk, pink hair #ff69b4, green background #50be50, light skin, red lips, smile, crown"
tier = "quick"

[[prompt]]
name = "blue_on_red"
text = "pixel art punk, blue hair #3c64e6, red background #d7322d, medium skin, purple lips, neutral"
tier = "quick"

[[prompt]]
name = "brown_on_yellow"
text = "pixel art punk, brown hair #784828, yellow background #fadc46, dark skin, pink lips, smile"
tier = "medium"
"""


def train(folder: Path, *, epochs: int = 4) -> list[Path]:
    """Train the demo's LoRA for a few epochs and return its checkpoints in order."""
    command = trainer_command(folder, epochs=epochs, seed=1)
    subprocess.run([*command, "--batch-size", "8"], check=True, cwd=REPOSITORY, timeout=2400)
    numbered = sorted(folder.glob("punk-*.safetensors"))
    return [*numbered, folder / "punk.safetensors"]


def drop(source: Path, folder: Path) -> Path:
    """Put a copy of a checkpoint into a folder as trainers do: in place, under its final name."""
    return Path(shutil.copy(source, folder / source.name))


def some_images(folder: Path, count: int = 40) -> Path:
    """Copy the first of the demo's training images, with captions, into a new folder; return it.

    They teach a profile as all of them do, in a small part of the time.
    """
    folder.mkdir()
    for picture in sorted(DATASET.glob("*.png"))[:count]:
        for path in (picture, picture.with_suffix(".txt")):
            shutil.copy(path, folder / path.name)
    return folder


@dataclass(kw_only=True)
class Program:
    """One home with its processes; ``environment`` sets DATABASE_URL, stores and the like."""

    home: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        """The environment of every process of this home."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("EPOCHWATCH_")}
        clean.pop("DATABASE_URL", None)
        return {**clean, "EPOCHWATCH_HOME": str(self.home), **self.environment}

    def settings(self) -> Settings:
        """The settings its processes have."""
        url = self.environment.get("DATABASE_URL")
        store = self.environment.get("EPOCHWATCH_IMAGE_STORE")
        return load_settings(home=self.home, database_url=url, image_store=store)

    def run(self, *words: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "daemon.cli.main", *words],
            env=self.env, cwd=REPOSITORY, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip

    @contextlib.contextmanager
    def watching(
        self, folder: Path, suite: Path, *more: str, data: Path | None = DATASET
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Watch a folder as long as this is held."""
        words = ["watch", str(folder), "--base-model", str(MODEL), "--suite", str(suite), *more]
        if data is not None:
            words += ["--data", str(data)]
        log = self.home.parent / f"{self.home.name}-daemon.log"
        with log.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "daemon.cli.main", *words],
                env=self.env, cwd=REPOSITORY, stdout=out, stderr=out,
            )  # fmt: skip
        try:
            yield process
        finally:
            end_program(process, seconds=60)

    @contextlib.contextmanager
    def dashboard(self) -> Iterator[str]:
        """Serve the dashboard as long as this is held; yield its address."""
        port = free_port()
        process = subprocess.Popen(
            [sys.executable, "-m", "daemon.cli.main", "dashboard", "--no-clerk", "--port", str(port)],
            env=self.env, cwd=REPOSITORY, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        address = f"http://127.0.0.1:{port}"
        try:
            wait_for(lambda: answers(f"{address}/healthz"), what="the dashboard")
            yield address
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            end_program(process, seconds=60)

    @contextlib.contextmanager
    def database(self) -> Iterator[Database]:
        """Open its database."""
        with open_database(self.settings()) as database:
            yield database


def ask(database: Database, statement: str, **values: Any) -> list[Row]:
    """Return the rows of a named statement."""
    with database.transaction() as connection:
        return rows(connection, statement, **values)


def select(database: Database, sql: str) -> list[Row]:
    """Return the rows of any question a test has."""
    with database.transaction() as connection:
        return connection.execute(sql.encode()).fetchall()


def wait_for(
    happened: Callable[[], Any], *, what: str, seconds: float = 1200, rest: float = 0.2
) -> Any:
    """Return what ``happened`` returns once it is true; fail after ``seconds``.

    So many that only what never comes is not waited for: a test's own timeout may be earlier.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = happened()
        if found:
            return found
        time.sleep(rest)
    raise AssertionError(f"{what} did not come within {seconds:.0f} s")


def is_over(pid: int) -> bool:
    """Tell whether a process has ended; it may vanish while it is looked at."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def answers(address: str) -> bool:
    """Tell whether an address answers with 200."""
    try:
        with urllib.request.urlopen(address, timeout=10) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def judged_positions(database: Database) -> list[int]:
    """Return the positions that have a row in epoch_results."""
    found = select(database, "SELECT epoch_number FROM public.epoch_results ORDER BY 1")
    return [each["epoch_number"] for each in found]


def advised_on(database: Database, positions: Sequence[int]) -> Row | None:
    """Return the current advice once it rests on all these positions."""
    if judged_positions(database) != sorted(positions):
        return None
    found = select(
        database,
        "SELECT sentence, body FROM epochwatch.advice ORDER BY current_at DESC, id DESC LIMIT 1",
    )
    tested = (
        {point["position"] for point in found[0]["body"]["curve"] if not point["future"]}
        if found
        else set()
    )
    return found[0] if tested == set(positions) else None
