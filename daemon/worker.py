"""Draws one job at a time: merge, draw what is missing, measure what is missing; nothing missing is done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from core.errors import Permanent, Retryable
from core.nouns import Recipe
from core.store.database import Database, Row, bump, row, rows, run
from daemon.generator.client import DrawJob, DrawSample, LoraFile, Refused
from daemon.generator.renderer import Renderer
from daemon.outbox import Outbox

log = structlog.get_logger()

_STARTS_BEFORE_PARKING = 3


@dataclass(kw_only=True)
class Worker:
    """The one worker of a GPU."""

    database: Database
    outbox: Outbox
    generator: Renderer
    host: str
    bases: Mapping[str, Path]  # SHA-256 of a base model or VAE -> where it lies on this host
    find_weights: Callable[[str], Path | None]  # LoRA SHA-256 -> a verified private copy
    image_timeout: float = 300.0
    batch: int | None = None
    device: str = "auto"
    stopping: threading.Event = field(default_factory=threading.Event)
    doing: str = ""

    def work_once(self) -> bool:
        """Bring home what waits, then do one job; return whether there was one."""
        self.bring_home()
        with self.database.transaction() as connection:
            job = row(connection, "grids.claim", host=self.host, bases=list(self.bases))
        if job is None:
            return False
        if job["attempts"] > _STARTS_BEFORE_PARKING:
            self._park(job, "It was started three times and never finished. See the daemon's log.")
            return True
        try:
            self._draw(job)
        except Retryable as trouble:
            self._later(job, str(trouble))
        except Permanent as trouble:
            self._park(job, str(trouble))
        finally:
            self.doing = ""
        return True

    def bring_home(self) -> None:
        """Send everything that waits in the outbox."""
        for manifest in self.outbox.waiting():
            self.outbox.bring_home(manifest)

    def _draw(self, job: Row) -> None:
        with self.database.transaction() as connection:
            samples = rows(connection, "grids.samples_of_job", job_id=job["id"])
            for sample in samples:
                if sample["image_sha256"] and not sample["has_measurement"]:
                    self.outbox.measure_again(connection, sample)
        undrawn = [sample for sample in samples if not sample["has_image"]]
        if undrawn:
            self.doing = f"drawing {len(undrawn)} images"
            self._generate(job, undrawn)
        self.bring_home()
        with self.database.transaction() as connection:
            if row(connection, "grids.finish", job_id=job["id"]) is None:
                raise Retryable("Some images of this test are still missing.")
            bump(connection)

    def _generate(self, job: Row, samples: list[Row]) -> None:
        """Draw; an image that came out black or broken is a defect of its sample, not of the job."""
        try:
            self.generator.draw(
                self._draw_job(job, samples),
                lambda event: self._on_event(job, event),
                image_timeout=self.image_timeout,
                should_stop=self.stopping.is_set,
            )
        except Refused as trouble:
            if trouble.kind != "not_finite":
                raise

    def _draw_job(self, job: Row, samples: list[Row]) -> DrawJob:
        recipe = Recipe(**samples[0]["recipe"])
        return DrawJob(
            job=str(job["id"]),
            base_path=self.bases[job["base_sha256"]],
            base_sha256=job["base_sha256"],
            loras=tuple(
                LoraFile(path=self._weights(sha256), sha256=sha256, strength=strength)
                for sha256, strength in samples[0]["stack"]["loras"]
            ),
            recipe=recipe,
            vae_path=self.bases.get(recipe.vae),
            samples=tuple(
                DrawSample(sample_id=each["sample_id"], prompt=each["prompt"], seed=each["seed"])
                for each in samples
            ),
            out=self.outbox.folder,
            batch=self.batch,
            device=self.device,
        )

    def _weights(self, sha256: str) -> Path:
        path = self.find_weights(sha256)
        if path is None:
            raise Permanent(
                "The checkpoint file is no longer on this machine and no copy of it was kept, "
                "so its test images cannot be drawn. Put the file back into the watched folder."
            )
        return path

    def _on_event(self, job: Row, event: dict[str, Any]) -> None:
        """Send each image home while the next is drawn; a database that is away never stops drawing."""
        if event.get("event") == "refused":
            self.outbox.put_defect(event["sample_id"], event["reason"])
        elif event.get("event") != "image":
            return
        try:
            self.bring_home()
            with self.database.transaction() as connection:
                run(connection, "grids.renew", job_id=job["id"], host=self.host)
        except Retryable as trouble:
            log.warning(
                "result waits on disk", reason=str(trouble), waiting=len(self.outbox.waiting())
            )

    def _later(self, job: Row, reason: str) -> None:
        stopped = self.stopping.is_set()
        seconds = 0 if stopped else min(600, 10 * 3 ** (job["attempts"] - 1))
        log.warning("job waits", job=job["id"], reason=reason, seconds=seconds)
        with self.database.transaction() as connection:
            run(
                connection,
                "grids.retry_later",
                job_id=job["id"],
                reason="" if stopped else reason,
                seconds=seconds,
                refund=1 if stopped else 0,
            )
            bump(connection)

    def _park(self, job: Row, reason: str) -> None:
        """Stop trying: the reason is shown, one alert is raised, and the queue goes on."""
        log.error("job parked", job=job["id"], reason=reason)
        with self.database.transaction() as connection:
            run(connection, "grids.park", job_id=job["id"], reason=reason)
            about = row(connection, "grids.run_of_job", job_id=job["id"])
            if about and about["run_id"] is not None:
                run(
                    connection,
                    "actions.decide",
                    key=f"alert/{about['run_id']}/parked/{job['id']}",
                    kind="alert",
                    run_id=about["run_id"],
                    payload={
                        "event": "failure",
                        "title": f"Epoch {about['position']} could not be tested"
                        if about["purpose"] == "epoch"
                        else "Test images could not be drawn",
                        "body": reason,
                    },
                    host=None,
                )
            bump(connection)
