"""What the dashboard and the reports look at: read-only questions, rows in, frozen data out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from core.nouns import BLEEDING, Unit, unit_of
from core.store.database import Connection, Row, row, rows

SILENT_SECONDS = 30.0  # without a word, after which a machine is not at work


@dataclass(frozen=True, kw_only=True)
class RunLine:
    """A run in one line."""

    id: int
    run_name: str
    status: str  # in_progress, completed, failed, cancelled
    run_date: datetime  # UTC without a zone, as the owner's table has it
    position_unit: str | None  # "epoch" or "step"
    max_train_epochs: int | None
    checkpoints: int
    scored: int
    model_type: str | None = None
    network_dim: int | None = None
    network_alpha: int | None = None
    caption_version: str | None = None
    best_epoch: int | None = None
    quality_score: int | None = None  # 0-10
    convergence_status: str | None = None

    @property
    def unit(self) -> Unit:
        """What its positions are counted in."""
        return unit_of(self.position_unit)


@dataclass(frozen=True, kw_only=True)
class Advice:
    """The advice that stands for a run."""

    sentence: str
    body: Mapping[str, Any]
    created_at: datetime
    first_stop: Mapping[str, Any] | None = None  # the body of the first advice that said stop


@dataclass(frozen=True, kw_only=True)
class EpochResult:
    """The effective result of one tested position; scores are 0-10, None when not known."""

    position: int
    visual: float | None
    style: float | None
    prompt: float | None
    average: float | None
    verdict: str | None
    picked: bool | None
    issues_detail: list[str] | None
    strengths_detail: list[str] | None
    observations: str | None
    color_accuracy_score: float | None  # 0-100
    style_quality_score: float | None  # 0-100
    background_color: str | None
    unique_colors: int | None
    num_test_images: int | None


@dataclass(frozen=True, kw_only=True)
class PersonScore:
    """A judge's last word on a position, 0-10."""

    position: int
    judge: str
    visual: float
    style: float
    prompt: float
    note: str
    created_at: datetime

    @property
    def average(self) -> float:
        """Plain mean of the three."""
        return (self.visual + self.style + self.prompt) / 3


@dataclass(frozen=True, kw_only=True)
class CheckpointLine:
    """A checkpoint and how far its test has come."""

    sha256: str
    position: int | None
    epoch: int | None
    step: int | None
    is_final: bool
    superseded: bool
    file_name: str
    host: str
    notes: list[str]
    registered_at: datetime
    size_bytes: int
    invalid_reason: str | None
    asked: int  # images its test asks for
    drawn: int
    measured: int
    defects: int  # images that could not be drawn
    parked_reason: str | None
    waiting_reason: str | None
    drawing: bool
    attempts: int


@dataclass(frozen=True, kw_only=True)
class RefusedFile:
    """A file the watcher will not use."""

    host: str
    path: str
    size_bytes: int
    state: str
    reason: str
    seen_at: datetime


@dataclass(frozen=True, kw_only=True)
class Alert:
    """A message the machine had for a person."""

    key: str
    run_id: int | None
    run_name: str | None
    payload: Mapping[str, Any]
    state: str
    error: str | None
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One slot of a run's test: a picture, a defect, or nothing yet."""

    position: int | None  # None: the baseline, drawn without the LoRA
    ordinal: int
    prompt_name: str
    category: str
    origin: str | None  # seen, recombined, unseen
    prompt_text: str
    seed: int
    sample_id: str
    image_sha256: str | None
    defect: str | None
    visual: float | None  # 0-10
    style: float | None
    prompt: float | None
    composite: float | None  # by adopted weights; None: the plain mean stands
    parked: bool

    @property
    def average(self) -> float | None:
        """The composite, else the plain mean of the scores that exist; None when none does.

        What shows bleeding has none: it is looked at beside the base model's picture.
        """
        if self.category == BLEEDING:
            return None
        if self.composite is not None:
            return self.composite
        present = [score for score in (self.visual, self.style, self.prompt) if score is not None]
        return sum(present) / len(present) if present else None


@dataclass(frozen=True, kw_only=True)
class PictureDetail(Picture):
    """A picture with everything that was measured on it."""

    body: Mapping[str, Any] | None  # a measurement as it is stored
    recipe: Mapping[str, Any]
    stack: Mapping[str, Any]
    expect: Mapping[str, Any]
    seconds: float | None
    host: str | None
    width: int | None
    height: int | None
    created_at: datetime | None
    doubts: Sequence[str]  # what may make the run's test mislead


@dataclass(frozen=True, kw_only=True)
class Work:
    """The drawing jobs of a run, counted."""

    open: int
    drawing: int
    parked: int
    finished: int
    waiting_reason: str | None
    parked_reason: str | None


@dataclass(frozen=True, kw_only=True)
class TrainerSample:
    """An image the trainer itself left."""

    file_name: str
    epoch: int | None
    step: int | None
    ordinal: int | None
    image_sha256: str


@dataclass(frozen=True, kw_only=True)
class Host:
    """A machine that reported."""

    name: str
    state: str
    doing: str
    detail: Mapping[str, Any]
    last_seen: datetime
    silent_seconds: float

    @property
    def is_at_work(self) -> bool:
        """Tell whether it was heard of lately, and did not say good-bye."""
        return self.state != "stopped" and self.silent_seconds <= SILENT_SECONDS

    @property
    def can_draw(self) -> bool:
        """Tell whether it is at work and draws: a clerk plans and judges only."""
        return self.is_at_work and self.state != "deciding"


_Data = TypeVar("_Data")


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value


def _made(kind: type[_Data], found: Row) -> _Data:
    names = {each.name for each in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: _plain(value) for name, value in found.items() if name in names})


def _all(kind: type[_Data], connection: Connection, name: str, **values: Any) -> tuple[_Data, ...]:
    return tuple(_made(kind, found) for found in rows(connection, f"gallery.{name}", **values))


def revision(connection: Connection) -> int:
    """Return a number that grows whenever something people look at has changed."""
    topics = {found["topic"]: found["n"] for found in rows(connection, "rev.all")}
    return int(topics.get("results", 0))


def runs(connection: Connection) -> tuple[RunLine, ...]:
    """Return every run, those in progress first, then the newest (at most 500)."""
    return _all(RunLine, connection, "runs")


def run(connection: Connection, run_id: int) -> Mapping[str, Any] | None:
    """Return all columns of a run with its set-up; None when there is no such run."""
    found = row(connection, "gallery.run", run_id=run_id)
    return {name: _plain(value) for name, value in found.items()} if found else None


def advice(connection: Connection, run_id: int) -> Advice | None:
    """Return the advice that stands; None before the first."""
    found = row(connection, "gallery.advice", run_id=run_id)
    return _made(Advice, found) if found else None


def epochs(connection: Connection, run_id: int) -> tuple[EpochResult, ...]:
    """Return the effective result of each tested position, in order."""
    return _all(EpochResult, connection, "epochs", run_id=run_id)


def person_scores(connection: Connection, run_id: int) -> tuple[PersonScore, ...]:
    """Return each judge's last word on each position."""
    return _all(PersonScore, connection, "person_scores", run_id=run_id)


def checkpoints(connection: Connection, run_id: int) -> tuple[CheckpointLine, ...]:
    """Return the checkpoints of a run, the newest position first, superseded ones included."""
    return _all(CheckpointLine, connection, "checkpoints", run_id=run_id)


def refused(connection: Connection, limit: int = 20) -> tuple[RefusedFile, ...]:
    """Return files the watcher will not use, newest first."""
    return _all(RefusedFile, connection, "refused", limit=limit)


def alerts(connection: Connection, limit: int = 20) -> tuple[Alert, ...]:
    """Return the newest messages for a person."""
    return _all(Alert, connection, "alerts", limit=limit)


def pictures(connection: Connection, run_id: int) -> tuple[Picture, ...]:
    """Return every slot of a run's epoch tests and baseline, by suite order, then position."""
    found = _all(Picture, connection, "pictures", run_id=run_id)
    return tuple(sorted(found, key=lambda each: (each.ordinal, each.seed, each.position or -1)))


def newest(connection: Connection, run_id: int, limit: int = 24) -> tuple[Picture, ...]:
    """Return the pictures drawn last, newest first."""
    return _all(Picture, connection, "newest", run_id=run_id, limit=limit)


def picture(connection: Connection, run_id: int, sample_id: str) -> PictureDetail | None:
    """Return one picture of a run with all its numbers; None when the run has no such sample."""
    found = row(connection, "gallery.picture", run_id=run_id, sample_id=sample_id)
    return _made(PictureDetail, found) if found else None


def work(connection: Connection, run_id: int) -> Work:
    """Return how a run's drawing jobs stand."""
    return _all(Work, connection, "work", run_id=run_id)[0]


def trainer_samples(
    connection: Connection, run_id: int, limit: int = 12
) -> tuple[TrainerSample, ...]:
    """Return images the trainer itself left, the latest first."""
    return _all(TrainerSample, connection, "trainer_samples", run_id=run_id, limit=limit)


def hosts(connection: Connection) -> tuple[Host, ...]:
    """Return every machine that reported, the one heard last first."""
    return _all(Host, connection, "hosts")
