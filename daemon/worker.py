"""Draws one job at a time: merge, draw what is missing, measure what is missing; nothing missing is done."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from core.errors import Permanent, Retryable
from core.nouns import Recipe
from core.rules.beside import Decision
from core.store.database import Connection, Database, Row, bump, row, rows, run
from daemon.generator.client import DrawJob, DrawSample, Interrupted, LoraFile, Refused
from daemon.generator.renderer import Resident
from daemon.outbox import Outbox
from daemon.sharing import NoRoom, Sharing

log = structlog.get_logger()

_STARTS_BEFORE_PARKING = 3
_OWN = "diffusers"  # the renderer that draws in our own process
_COPY = re.compile(r"\b([0-9a-f]{64})\.safetensors")  # what private copies are called
_CPU_PATIENCE = 10  # times as long as on the device that was meant
_DRAWN = {
    "epoch": "{unit} {position}",
    "retest": "a second look at {unit} {position}",
    "baseline": "the baseline",
    "compare": "a comparison",
    "try": "a trial",
}


@dataclass(kw_only=True)
class Worker:
    """The one worker of a GPU."""

    database: Database
    outbox: Outbox
    generator: Resident
    host: str
    bases: Mapping[str, Path]  # SHA-256 of a base model or VAE -> where it lies on this host
    find_weights: Callable[[str], Path | None]  # LoRA SHA-256 -> a verified private copy
    sharing: Sharing
    full_models: Callable[[], Collection[str]] = tuple  # SHA-256 of checkpoints that are bases
    weights_at_hand: Callable[[str], Path | None] = lambda _sha256: None  # the same, never fetched
    image_timeout: float = 300.0
    batch: int | None = None
    device: str = "auto"
    embeddings: Path | None = None  # folder of the textual inversions that prompts may call
    stopping: threading.Event = field(default_factory=threading.Event)
    doing: str = ""
    _drew: float | None = None  # when the drawing process was last at work; None: it was let go
    _what: str = ""  # what is drawn, in words, and how many images of it
    _wanted: int = 0

    def work_once(self) -> bool:
        """Bring home what waits, then do one job; return whether there was one."""
        self.bring_home()
        with self.database.transaction() as connection:
            job = row(connection, "grids.claim", host=self.host, bases=self._drawable())
        if job is None:
            self._rest()
            return False
        if job["attempts"] > _STARTS_BEFORE_PARKING:
            self._park(job, "It was started three times and never finished. See the daemon's log.")
            return True
        try:
            self._draw(job)
        except NoRoom as trouble:
            self._let_go()
            self._later(job, str(trouble), seconds=trouble.seconds)
        except Retryable as trouble:
            self._later(job, str(trouble))
        except Permanent as trouble:
            self._park(job, str(trouble))
        finally:
            self.doing = ""
        return True

    def _rest(self) -> None:
        """Give the memory back when there has been nothing to draw for a while."""
        if self._drew is not None and time.monotonic() - self._drew >= self.sharing.idle_seconds:
            self._let_go()

    def _let_go(self) -> None:
        """End the drawing process, and with it all the memory it holds."""
        self.generator.close()
        self._drew = None

    def bring_home(self) -> None:
        """Send everything that waits in the outbox."""
        for manifest in self.outbox.waiting():
            self.outbox.bring_home(manifest)

    def _draw(self, job: Row) -> None:
        with self.database.transaction() as connection:
            samples = rows(connection, "grids.samples_of_job", job_id=job["id"])
            about = row(connection, "grids.run_of_job", job_id=job["id"])
            for sample in samples:
                if sample["image_sha256"] and not sample["has_measurement"]:
                    self.outbox.measure_again(connection, sample)
        undrawn = [sample for sample in samples if not sample["has_image"]]
        if undrawn:
            self._what, self._wanted = _what(about), len(undrawn)
            log.info("drawing", what=self._what, images=self._wanted)
            self._generate(job, undrawn)
        self.bring_home()
        with self.database.transaction() as connection:
            if row(connection, "grids.finish", job_id=job["id"]) is None:
                raise Retryable("Some images of this test are still missing.")
            bump(connection)

    def _generate(self, job: Row, samples: list[Row]) -> None:
        """Draw; where memory runs out, go on with what is left in a more sparing way.

        An image that came out black or broken is a defect of its sample, not of the job.
        """
        finished: set[str] = set()
        while left := [each for each in samples if each["sample_id"] not in finished]:
            self._count(finished)
            decision = self._ask_for_room(job, left)
            try:
                self._draw_left(job, left, decision, finished)
            except Refused as trouble:
                if trouble.kind != "not_finite":
                    raise
                return
            except Interrupted as trouble:
                self._interrupted(trouble)
            else:
                return
            finally:
                self._drew = time.monotonic()

    def _count(self, finished: Collection[str]) -> None:
        """Say how far the test is, for whoever looks at this host."""
        self.doing = f"{self._what}: {len(finished)} of {self._wanted} images"

    def _ask_for_room(self, job: Row, samples: list[Row]) -> Decision:
        """Return how to draw, or raise NoRoom; another program's memory is not ours to plan."""
        recipe = Recipe(**samples[0]["recipe"])
        if recipe.renderer != _OWN:
            return Decision(action="draw")
        base = job["base_sha256"]
        return self.sharing.begin(self._base(base), base, recipe, len(samples))

    def _draw_left(
        self, job: Row, samples: list[Row], decision: Decision, finished: set[str]
    ) -> None:
        def hear(event: dict[str, Any]) -> None:
            if event["event"] in {"image", "refused"}:
                finished.add(event["sample_id"])
                self._count(finished)
            self.sharing.heard(event)
            self._on_event(job, event)
            if event["event"] in {"loaded", "image"} and decision.rung.squeeze == "none":
                self._look_ahead(job)

        self.generator.draw(
            self._draw_job(job, samples, decision),
            hear,
            image_timeout=self.image_timeout * (_CPU_PATIENCE if decision.action == "cpu" else 1),
            should_stop=lambda: self.stopping.is_set() or self.sharing.must_give_way(decision),
        )

    def _look_ahead(self, job: Row) -> None:
        """Let the files of the job after this one be read meanwhile; it is looked at, not claimed."""
        with contextlib.suppress(Retryable), self.database.transaction() as connection:
            following = row(connection, "grids.upcoming", bases=self._drawable())
            if following is None or following["renderer"] != _OWN:
                return
            loras = [
                LoraFile(path=path, sha256=sha256)
                for sha256, _ in following["stack"]["loras"]
                if (path := self.weights_at_hand(sha256)) is not None
            ]
            base = following["base_sha256"]
            other = None if base == job["base_sha256"] else base
            self.generator.prefetch(
                loras, other and (self.bases.get(other) or self.weights_at_hand(other))
            )

    def _interrupted(self, trouble: Interrupted) -> None:
        """Return where another try with less memory makes sense; else raise what it was."""
        if trouble.kind == "stopped" and not self.stopping.is_set():
            raise self.sharing.gave_way() from trouble
        if trouble.kind != "oom":
            raise trouble
        log.warning("memory ran out", reason=str(trouble))
        self.sharing.ran_out(str(trouble))

    def _draw_job(self, job: Row, samples: list[Row], decision: Decision) -> DrawJob:
        recipe = Recipe(**samples[0]["recipe"])
        return DrawJob(
            job=str(job["id"]),
            base_path=self._base(job["base_sha256"]),
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
            most=decision.rung.batch,
            squeeze=decision.rung.squeeze,
            limit=decision.limit,
            device="cpu" if decision.action == "cpu" else self.device,
            embeddings=self.embeddings,
        )

    def _drawable(self) -> list[str]:
        """Return the SHA-256 of every base that is this host's to draw with, full models included."""
        return [*self.bases, *(each for each in self.full_models() if each not in self.bases)]

    def _base(self, sha256: str) -> Path:
        """Return where a base lies: a base model of this host, or a checkpoint that is a full model."""
        return self.bases.get(sha256) or self._weights(sha256)

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

    def _later(self, job: Row, reason: str, *, seconds: float | None = None) -> None:
        """Give the job back; with ``seconds`` it waits for others, which counts as no try."""
        stopped = self.stopping.is_set()
        refund = 1 if stopped or seconds is not None else 0
        if seconds is None:
            seconds = 0 if stopped else min(600, 10 * 3 ** (job["attempts"] - 1))
        log.warning("job waits", job=job["id"], reason=reason, seconds=seconds)
        with self.database.transaction() as connection:
            run(
                connection,
                "grids.retry_later",
                job_id=job["id"],
                reason="" if stopped else reason,
                seconds=seconds,
                refund=refund,
            )
            bump(connection)

    def _park(self, job: Row, reason: str) -> None:
        """Stop trying: the reason is shown, one alert is raised, and the queue goes on."""
        with self.database.transaction() as connection:
            reason = _in_own_names(connection, reason)
            log.error("job parked", job=job["id"], reason=reason)
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


def _what(about: Row | None) -> str:
    """Return in words what a job draws, such as "epoch 3 of punk"."""
    if about is None:
        return "images"
    what = _DRAWN[about["purpose"]].format(**about)
    return f"{what} of {about['run_name']}" if about["run_name"] else what


def _in_own_names(connection: Connection, reason: str) -> str:
    """Return a reason with files called as the trainer saved them, not as our copies of them are."""
    copies = list(set(_COPY.findall(reason)))
    for known in rows(connection, "checkpoints.drawn_as", loras=copies) if copies else ():
        reason = reason.replace(f"{known['drawn_as']}.safetensors", known["file_name"])
    return reason
