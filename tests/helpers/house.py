"""A prepared run on a real database, with everything but the drawing: sprites are handed in instead."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.formats.prompt_suite import suite_to_json
from core.metrics import measure
from core.nouns import CheckpointFacts, Expectation, Measurement, Prompt, Recipe, Suite
from core.store import migrate
from core.store.database import Database, Row, row, run
from core.store.documents import save_document
from core.store.files import LocalStore
from core.store.registration import Arrival, register
from daemon.judge import Judge
from daemon.outbox import Outbox
from daemon.planner import plan
from pictures import enlarged, portraits, with_random_cells

_MEASURED: dict[object, Measurement] = {}
NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
BASE = "b" * 64
PICTURES = portraits()[:4]
SUITE = Suite(
    name="four",
    recipe=Recipe(width=96, height=96, grid=24),
    prompts=tuple(
        Prompt(
            name=f"portrait_{number}",
            text=f"portrait number {number}",
            expect=Expectation(background=each.background, regions=(("hair", each.hair),)),
        )
        for number, each in enumerate(PICTURES)
    ),
)


@dataclass
class House:
    """A database with one prepared run, and the parts under test."""

    database: Database
    outbox: Outbox
    judge: Judge

    def arrive(
        self, epoch: int, *, planned: int = 6, tests: str = "full", name: str = "punk"
    ) -> int:
        """Register an epoch of the run, or of another run that is called ``name``."""
        told = CheckpointFacts(
            family="sd1", kind="lora", layout="kohya", output_name=name, session_id="1", epoch=epoch,
            step=epoch * 50, planned_epochs=planned, planned_steps=planned * 50,
            is_final=epoch == planned, base_model_name="demo", base_model_sha256=None, rank=8,
            alpha=8.0, saved_at=NOW + timedelta(minutes=11 * epoch), body_sha256_claimed=None,
            module_count=4, training={"network_dim": 8},
        )  # fmt: skip
        with self.database.transaction() as connection:
            run_id = register(
                connection,
                Arrival(
                    sha256=f"{epoch:064x}", body_sha256=f"{epoch + 99:064x}", size_bytes=1_000_000,
                    facts=told, facts_json={}, host="pod", root="/out",
                    source_path=f"/out/punk-{epoch:06d}.safetensors",
                    file_name=f"punk-{epoch:06d}.safetensors", closed_at=NOW, admitted_at=NOW,
                ),
            )  # fmt: skip
            if row(connection, "runs.get", run_id=run_id)["suite"] is None:  # type: ignore[index]
                key = save_document(connection, "suite", "four", suite_to_json(SUITE))
                run(
                    connection, "runs.save_setup", run_id=run_id, suite=key, profile=None,
                    base_sha256=BASE, strength="1.00", tests=tests, stop="normal",
                    price_per_hour=0.44, blocked_reason=None, doubts=[],
                )  # fmt: skip
        return run_id

    def draw(self, quality: dict[int | None, float], *, only: int | None = None) -> None:
        """Hand in a sprite for everything that is missing: the better the epoch, the fewer stray cells.

        Without a LoRA it has the quality of None; a weaker LoRA has less than its epoch's. ``only``
        leaves all but one epoch for later.
        """
        plan(self.database)
        with self.database.transaction() as connection:
            wanted = connection.execute(
                b"SELECT m.*, s.prompt, s.stack FROM epochwatch.missing m"
                b" JOIN epochwatch.samples s USING (sample_id) ORDER BY m.job_id, m.ordinal"
            ).fetchall()
        if only is not None:
            wanted = [each for each in wanted if _epoch(each) == only]
        for each in wanted:
            number = int(each["prompt"].rpartition(" ")[2])
            spoiled = with_random_cells(
                PICTURES[number].cells(), 1 - _quality(each["stack"]["loras"], quality)
            )
            self.hand_in(each["sample_id"], enlarged(spoiled, 96))
        with self.database.transaction() as connection:
            for job in {each["job_id"] for each in wanted}:
                assert row(connection, "grids.finish", job_id=job)
            if only is not None:
                return
            # Jobs whose images another grid had drawn are done in no time.
            for job in connection.execute(
                b"SELECT id FROM epochwatch.jobs WHERE finished_at IS NULL"
            ).fetchall():
                row(connection, "grids.finish", job_id=job["id"])

    def hand_in(self, sample_id: str, pixels: np.ndarray) -> None:
        """Put PNG and JSON into the outbox as the generator does, and bring them home."""
        png = io.BytesIO()
        Image.fromarray(pixels).save(png, "PNG")
        (self.outbox.folder / f"{sample_id}.png").write_bytes(png.getvalue())
        manifest = self.outbox.folder / f"{sample_id}.json"
        manifest.write_text(json.dumps({"sample_id": sample_id, "seconds": 0.5}), encoding="utf-8")
        self.outbox.bring_home(manifest)

    def select(self, sql: str) -> list[Row]:
        """Return the rows of any question."""
        with self.database.transaction() as connection:
            return connection.execute(sql.encode()).fetchall()


def _epoch(wanted: Row) -> int | None:
    """Return the epoch that a missing image is of, known by the number its hash is made of."""
    loras = wanted["stack"]["loras"]
    return int(loras[0][0], 16) if loras else None


def _quality(loras: list[list[str]], quality: dict[int | None, float]) -> float:
    """Return the quality of a stack, 0-1: epochs are known by the number their hash is made of."""
    if not loras:
        return quality[None]
    weights, strength = loras[0]
    return quality[int(weights, 16)] * (1 - 0.5 * abs(1 - float(strength)))


def _measure_once(pixels: np.ndarray, **how: Any) -> Measurement:
    """Measure a picture, or remember what the same one had in an earlier test of this process."""
    if how["profile"] is not None or how["detected"]:
        return measure(pixels, **how)
    key = (pixels.tobytes(), pixels.shape, how["expect"], how["grid"], how["finishing"])
    if key not in _MEASURED:
        _MEASURED[key] = measure(pixels, **how)
    return _MEASURED[key]


@contextmanager
def open_house(dsn: str, folder: Path) -> Iterator[House]:
    """Yield the parts on a migrated database; ``folder`` holds outbox and store.

    Nothing in it need survive a power cut, so that the disk is not waited for.
    """
    migrate.migrate(dsn)
    out = folder / "out"
    out.mkdir()
    with pytest.MonkeyPatch.context() as patch, Database(dsn, wait_seconds=60) as database:
        patch.setattr(os, "fsync", lambda _: None)
        patch.setattr("daemon.outbox.measure", _measure_once)
        outbox = Outbox(
            folder=out, database=database, store=LocalStore(folder / "store"), host="pod"
        )
        yield House(database, outbox, Judge(database=database, host="pod"))
