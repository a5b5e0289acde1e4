"""The worker beside a trainer, with a real database, a real child process and a real small model.

Memory truly runs out: the child is held to less than a large batch takes, and torch cannot allocate.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from house import House, open_house

from core.formats.base_model import base_sha256
from core.nouns import Prompt, Recipe, Stack
from core.rules.beside import Decision
from core.store.database import row, run
from daemon.generator.client import DrawJob, Event, Generator
from daemon.memory_readings import Reading
from daemon.neighbors import Neighbors
from daemon.planner import expand_into
from daemon.sharing import Sharing
from daemon.worker import Worker
from whole_program import is_over

pytest.importorskip("torch")
pytestmark = pytest.mark.timeout(900)  # each start of a child imports torch anew
MIB = 1 << 20
RECIPE = Recipe(sampler="ddim", steps=1, guidance="4.00", width=64, height=64, grid=None)
LARGER = replace(RECIPE, width=128, height=128)  # 4 at once take about 160 MiB


@dataclass(kw_only=True)
class Tight(Sharing):
    """Lets the child hold so little that memory runs out: its estimate is never that wrong."""

    tight: int | None = None
    seen: list[Decision] = field(default_factory=list)

    def begin(self, base: Path, base_sha256: str, recipe: Recipe, images: int) -> Decision:
        """Decide as always, and then hold the process to less."""
        found = super().begin(base, base_sha256, recipe, images)
        self.seen.append(found)
        return replace(found, limit=self.tight)


class Watched(Generator):
    """A real generator that writes down what it was asked for and what was said."""

    def __init__(self, **options: Any) -> None:
        """Begin with nothing asked."""
        super().__init__(**options)
        self.jobs: list[DrawJob] = []
        self.events: list[Event] = []
        self.data: dict[str, int] = {}  # event -> bytes of the child that its limit counts

    def draw(self, job: DrawJob, on_event: Any, **options: Any) -> None:
        """Draw, listening."""
        self.jobs.append(job)

        def hear(event: Event) -> None:
            self.events.append(event)
            if self.pid is not None:
                status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
                found = re.search(r"VmData:\s+(\d+) kB", status)
                if found:  # a process that is just ending has none
                    self.data[event["event"]] = int(found[1]) * 1024
            on_event(event)

        super().draw(job, hear, **options)


@dataclass
class Desk:
    """A worker with everything it needs, and jobs to give it."""

    house: House
    worker: Worker
    generator: Watched
    sharing: Tight
    reading: list[Reading | None]
    base: str

    def ask(self, images: int, *, first_seed: int, recipe: Recipe = RECIPE) -> int:
        """Ask for some images without a LoRA; return the job."""
        stack = Stack(base_sha256=self.base)
        prompts = (
            Prompt(name="p", text="a cat", seeds=tuple(range(first_seed, first_seed + images))),
        )
        with self.house.database.transaction() as connection:
            run(
                connection, "grids.ask", origin=f"test/{first_seed}", run_id=None,
                purpose="baseline", position=None, body={}, priority=1, why="test", by_whom="test",
            )  # fmt: skip
            grid = row(connection, "grids.unplanned")
            assert grid is not None
            expand_into(connection, grid, stack, prompts, recipe, profile=None)
            run(connection, "grids.planned", grid_id=grid["id"])
        return int(self.house.select("SELECT max(id) AS id FROM epochwatch.jobs")[0]["id"])

    def job(self, number: int) -> dict[str, Any]:
        """Return the row of a job."""
        return self.house.select(f"SELECT * FROM epochwatch.jobs WHERE id = {number}")[0]


@pytest.fixture
def desk(migrated_dsn: str, tmp_path: Path) -> Iterator[Desk]:
    """A desk with a small base model, on a machine that says nothing of its memory yet."""
    from tiny_models import tiny_pipeline

    path = tmp_path / "tiny"
    tiny_pipeline("sd1").save_pretrained(path, safe_serialization=True)
    base, reading = base_sha256(path), list[Reading | None]([None])
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (
        open_house(migrated_dsn, tmp_path) as house,
        Watched(threads=1, environment=environment) as one,
    ):
        neighbors = Neighbors(read=lambda: reading[-1], our_pid=lambda: one.pid)
        sharing = Tight(neighbors=neighbors, device="cpu", batch=8)
        worker = Worker(
            database=house.database,
            outbox=house.outbox,
            generator=one,
            host="pod",
            bases={base: path},
            find_weights=lambda _sha256: None,
            sharing=sharing,
            batch=8,
            device="cpu",
        )
        yield Desk(house, worker, one, sharing, reading, base)


def test_memory_that_runs_out_makes_batches_smaller_and_is_given_back_when_idle(
    desk: Desk,
) -> None:
    """Four at once fail for real; fewer are drawn, none of them twice, and no try is counted."""
    desk.sharing.batch, desk.worker.batch = 1, 1
    first = desk.ask(1, first_seed=1)
    assert desk.worker.work_once()
    assert desk.job(first)["finished_at"] is not None
    pid = desk.generator.pid
    assert pid is not None
    assert not desk.worker.work_once(), "nothing is left"
    assert desk.generator.pid == pid, "the next checkpoint may come soon"
    desk.sharing.mode = "wait"
    assert psutil.Process(pid).memory_info().rss > 300 * MIB
    assert not desk.worker.work_once()
    assert is_over(pid), "the memory is back with whoever needs it"

    desk.sharing.mode, desk.sharing.batch, desk.worker.batch = "auto", 4, 4
    desk.sharing.tight = desk.generator.data["loaded"] + 96 * MIB
    desk.generator.jobs.clear()
    desk.generator.events.clear()
    second = desk.ask(4, first_seed=100, recipe=LARGER)
    assert desk.worker.work_once()
    done = desk.job(second)
    assert done["finished_at"] is not None
    assert done["attempts"] == 1
    sizes = [job.most for job in desk.generator.jobs]
    assert sizes[0] == 4
    assert len(sizes) > 1
    assert sizes == sorted(sizes, key=lambda size: -(size or 0))
    drawn = [event["sample_id"] for event in desk.generator.events if event["event"] == "image"]
    assert len(drawn) == len(set(drawn)) == 4
    told = desk.house.select("SELECT DISTINCT provenance FROM epochwatch.images WHERE seconds > 0")
    assert {each["provenance"]["batch_shape"] for each in told} <= {1, *sizes}
    again = desk.sharing.begin(desk.worker.bases[desk.base], desk.base, LARGER, 4)
    assert again.rung.batch == sizes[-1], "the lesson stays"


def test_a_full_machine_makes_the_job_wait_with_a_reason_and_no_child(desk: Desk) -> None:
    """A trainer holds all but a little of the GPU: no process is started, and no try is counted."""
    full = Reading(total=24 << 30, free=1 << 30, name="Stand-in", on_gpu=True)
    desk.reading.append(full)
    number = desk.ask(1, first_seed=1)
    for _ in range(5):
        assert desk.worker.work_once()
        with desk.house.database.transaction() as connection:
            connection.execute(b"UPDATE epochwatch.jobs SET not_before = now()")
    job = desk.job(number)
    assert job["attempts"] == 0
    assert job["parked_reason"] is None
    assert job["waiting_reason"].startswith("Advice only after training: ")
    assert desk.generator.pid is None
    desk.reading.append(None)
    assert desk.worker.work_once()
    assert desk.job(number)["finished_at"] is not None


def test_a_drawing_that_is_in_the_way_ends_and_goes_on_later(desk: Desk) -> None:
    """Others take what was planned with: the child ends, what was drawn stays, the rest follows."""
    roomy = Reading(total=8 << 30, free=7 << 30, name="main memory", on_gpu=False)
    desk.reading.append(roomy)
    desk.sharing.batch, desk.worker.batch = 1, 1
    number = desk.ask(4, first_seed=1)
    pids: list[int | None] = []
    heard = desk.sharing.heard

    def crowd_in(event: Event) -> None:
        heard(event)
        if event["event"] == "image" and not pids:
            pids.append(desk.generator.pid)
            desk.reading.append(replace(roomy, free=0))
            desk.sharing.neighbors.look()

    desk.sharing.heard = crowd_in  # type: ignore[method-assign]
    assert desk.worker.work_once()
    waiting = desk.job(number)
    if waiting["finished_at"] is None:  # it may have been too quick to be stopped
        assert "Another program needed the memory" in waiting["waiting_reason"]
        assert waiting["attempts"] == 0
        assert desk.generator.pid is None
        desk.reading.append(None)
        with desk.house.database.transaction() as connection:
            connection.execute(b"UPDATE epochwatch.jobs SET not_before = now()")
        assert desk.worker.work_once()
    assert desk.job(number)["finished_at"] is not None
    drawn = [event["sample_id"] for event in desk.generator.events if event["event"] == "image"]
    assert len(set(drawn)) == 4
