"""The worker lets the next job's files be read while it draws, with a real database and a real child."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from house import House, open_house
from structlog.testing import capture_logs

from core.formats.base_model import base_sha256
from core.nouns import Prompt, Recipe, Stack
from core.store.database import row, run
from daemon.generator.client import DrawJob, Generator, LoraFile
from daemon.neighbors import Neighbors
from daemon.planner import expand_into
from daemon.sharing import Sharing
from daemon.worker import Worker
from whole_program import wait_for

pytest.importorskip("torch")
RECIPE = Recipe(sampler="ddim", steps=1, guidance="4.00", width=64, height=64, grid=None)


class Watched(Generator):
    """A real generator that writes down what it is told to read ahead, and how jobs stood then."""

    def __init__(self, house: House, **options: Any) -> None:
        """Begin with nothing told."""
        super().__init__(**options)
        self.house = house
        self.told: list[tuple[list[str], Path | None]] = []
        self.attempts: list[list[int]] = []
        self.used: list[int] = []
        self.doing: Callable[[], str] = str
        self.said: list[str] = []

    def prefetch(self, loras: Iterable[LoraFile], base: Path | None = None) -> None:
        """Pass it on."""
        files = list(loras)
        self.told.append(([one.path.stem for one in files], base))
        jobs = self.house.select("SELECT attempts FROM epochwatch.jobs ORDER BY id")
        self.attempts.append([job["attempts"] for job in jobs])
        super().prefetch(files, base)

    def draw(self, job: DrawJob, on_event: Any, **options: Any) -> None:
        """Draw, listening."""

        def hear(event: dict[str, Any]) -> None:
            if event["event"] == "loaded":
                self.used.append(event["read_ahead"])
            on_event(event)
            if event["event"] == "image":
                self.said.append(self.doing())

        super().draw(job, hear, **options)


@dataclass
class Desk:
    """A worker and its files."""

    house: House
    worker: Worker
    generator: Watched
    base: str
    files: dict[str, Path] = field(default_factory=dict)  # SHA-256 -> where it lies

    def ask(self, *loras: str) -> None:
        """Ask for an image with each of these LoRAs, in this order; "" is the base model alone."""
        for sha256 in loras:
            stack = Stack(base_sha256=self.base, loras=((sha256, "1.00"),) if sha256 else ())
            with self.house.database.transaction() as connection:
                run(
                    connection, "grids.ask", origin=f"test/{sha256}", run_id=None, by_whom="test",
                    purpose="baseline", position=None, body={}, priority=1, why="test",
                )  # fmt: skip
                grid = row(connection, "grids.unplanned")
                assert grid is not None
                prompts = (Prompt(name="p", text="a cat", seeds=(1,)),)
                expand_into(connection, grid, stack, prompts, RECIPE, profile=None)
                run(connection, "grids.planned", grid_id=grid["id"])


def _write_loras(pipeline: Any, folder: Path) -> dict[str, Path]:
    """Write three small LoRAs in kohya's layout; return them by their SHA-256."""
    import torch
    from safetensors.torch import save_file

    found = {}
    for seed in range(3):
        torch.manual_seed(seed)
        tensors: dict[str, torch.Tensor] = {}
        for name, module in pipeline.unet.named_modules():
            if name.endswith("attn1.to_q"):
                key = f"lora_unet_{name}".replace(".", "_")
                tensors[f"{key}.lora_down.weight"] = torch.randn(2, module.in_features)
                tensors[f"{key}.lora_up.weight"] = torch.randn(module.out_features, 2)
                tensors[f"{key}.alpha"] = torch.tensor(2.0)
        path = folder / f"lora-{seed}.safetensors"
        save_file(tensors, path)
        found[hashlib.sha256(path.read_bytes()).hexdigest()] = path
    return found


def _is_at_rest(generator: Generator) -> bool:
    """Tell whether every thread of the child sleeps: one with something to do is not asleep."""
    try:
        threads = Path(f"/proc/{generator.pid}/task").iterdir()
        told = [(each / "stat").read_text(encoding="utf-8") for each in threads]
    except OSError:  # a thread that ended meanwhile
        return False
    return all(each.rpartition(")")[2].split()[0] == "S" for each in told)


@pytest.fixture
def desk(migrated_dsn: str, tmp_path: Path) -> Iterator[Desk]:
    """A desk with a small base model and three LoRAs."""
    from tiny_models import tiny_pipeline

    pipeline, path = tiny_pipeline("sd1"), tmp_path / "tiny"
    pipeline.save_pretrained(path, safe_serialization=True)
    files, base = _write_loras(pipeline, tmp_path), base_sha256(path)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (
        open_house(migrated_dsn, tmp_path) as house,
        Watched(house, threads=1, environment=environment) as one,
    ):
        worker = Worker(
            database=house.database, outbox=house.outbox, generator=one, host="pod",
            bases={base: path}, find_weights=files.get, weights_at_hand=files.get, device="cpu",
            sharing=Sharing(
                neighbors=Neighbors(read=lambda: None, our_pid=lambda: one.pid), device="cpu"
            ),
        )  # fmt: skip
        one.doing = lambda: worker.doing
        yield Desk(house, worker, one, base, files)


def test_the_next_jobs_file_is_read_while_this_one_draws_and_no_job_is_claimed_early(
    desk: Desk,
) -> None:
    """In the order of the claims, from this machine alone, and used when the job comes."""
    first, second, elsewhere = desk.files
    desk.ask(first, second, "", elsewhere)
    desk.worker.weights_at_hand = {second: desk.files[second]}.get
    with capture_logs() as logged:
        for _ in range(4):
            assert desk.worker.work_once()
            wait_for(lambda: _is_at_rest(desk.generator), what="the end of the reading")
    told = desk.generator.told
    assert told[0] == (["lora-1"], None), "the next in the queue, of the base that is loaded"
    assert desk.generator.attempts[0] == [1, 0, 0, 0], "it was looked at, not taken"
    assert all(files in ([], ["lora-1"]) for files, _ in told), "nothing is fetched to be early"
    assert desk.generator.used == [0, 1, 1, 1]
    jobs = desk.house.select("SELECT finished_at, attempts FROM epochwatch.jobs")
    assert all(job["finished_at"] and job["attempts"] == 1 for job in jobs)
    begun = [(each["what"], each["images"]) for each in logged if each["event"] == "drawing"]
    assert begun == [("the baseline", 1)] * 4, "a person at the terminal sees each test begin"
    assert desk.generator.said == ["the baseline: 1 of 1 images"] * 4
