"""Measures the stored images of a run again under the rubric of today; draws nothing.

Old measurements stay under their old rubric, people's scores are not touched.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import structlog

from core.errors import Fixable
from core.metrics import metric_versions
from core.nouns import Expectation, Measurement
from core.rules.planning import references, rubric_digest
from core.rules.scoring import summarize_epoch
from core.store import set_level, weightings
from core.store.database import Connection, Database, Row, bump, row, rows, run
from core.store.files import ImageStore, NotStored
from daemon.judge import Judge
from daemon.outbox import Outbox, keep_cells, pixels_of
from daemon.scorers.detecting import Detecting

log = structlog.get_logger()

Progress = Callable[[int, int], None]  # images done, of how many


@dataclass(frozen=True, kw_only=True)
class EpochChange:
    """The automatic average of one position before and after, 0-10; None: it had none."""

    position: int
    before: float | None
    after: float | None
    images: int


@dataclass(frozen=True, kw_only=True)
class Rescored:
    """What measuring again came to."""

    images: int  # of the run, drawn
    measured: int  # now
    current: int  # that had been measured under the rubric of today before
    lost: int  # that the image store does not have any more; they keep their old numbers
    changes: tuple[EpochChange, ...]
    kept: bool  # False for a trial

    def as_json(self) -> dict[str, Any]:
        """Return the form that is printed."""
        return asdict(self)


@dataclass(kw_only=True)
class Rescoring:
    """One run being measured again; ``keep`` False tries it and stores nothing."""

    database: Database
    store: ImageStore
    run_id: int
    host: str
    keep: bool = True
    detecting: Detecting = field(default_factory=Detecting)
    _fresh: dict[tuple[str, str], Measurement] = field(default_factory=dict)
    _lost: set[str] = field(default_factory=set)

    def rescore(self, progress: Progress) -> Rescored:
        """Measure what was not measured under the rubric of today, then judge the run again.

        Stopped half-way nothing changes, and what was measured need not be measured again.
        Raises Fixable when nothing of the run is planned yet, or its things are seen by a model
        that this machine does not have.
        """
        with self.database.transaction() as connection:
            found = self._wanted(connection)
            have = {
                (each["sample_id"], each["rubric"])
                for each in found
                if self._known(connection, each) is not None
            }
        if not found:
            raise Fixable("Nothing of this run is tested yet, so there is nothing to score anew.")
        drawn = {
            (each["sample_id"], each["rubric"]): each for each in found if each["image_sha256"]
        }
        todo = [each for key, each in drawn.items() if key not in have]
        if todo:
            self._refuse_without_models(todo[0]["profile"])
        for number, each in enumerate(todo, start=1):
            self._measure(each)
            progress(number, len(todo))
        with self.database.transaction() as connection:
            changes = self._changes(connection)
            if self.keep:
                self._switch(connection)
        if self.keep:
            Judge(database=self.database, host=self.host).judge_run(self.run_id)
        return Rescored(
            images=len({sample for sample, _ in drawn}),
            measured=len(todo) - len(self._lost),
            current=len(drawn) - len(todo),
            lost=len(self._lost),
            changes=changes,
            kept=self.keep,
        )

    def _wanted(self, connection: Connection) -> list[Row]:
        """Return every picture ever asked of the run, under the rubric of today."""
        about = row(connection, "runs.get", run_id=self.run_id)
        profile = about["profile"] if about else None
        weighting, versions = weightings.in_force(connection), metric_versions()
        against = references(profile, weighting)
        return [
            {
                **each,
                "profile": profile,
                "weighting": weighting,
                "before": each["rubric"],
                "rubric": rubric_digest(versions, Expectation.from_json(each["expect"]), against),
            }
            for each in rows(connection, "calibration.grids_of_run", run_id=self.run_id)
        ]

    def _known(self, connection: Connection, each: Row) -> Measurement | None:
        """Return a picture's measurement under the rubric of today, if it has one."""
        key = (each["sample_id"], each["rubric"])
        if key in self._fresh:
            return self._fresh[key]
        if each["rubric"] == each["before"]:
            return Measurement.from_json(each["body"]) if each["body"] else None
        found = row(
            connection, "calibration.measured_under", sample_id=key[0], rubric=each["rubric"]
        )
        return Measurement.from_json(found["body"]) if found else None

    def _measure(self, each: Row) -> None:
        try:
            pixels = pixels_of(self.store.get("images", each["image_sha256"]))
        except NotStored as trouble:
            log.warning("image lost", sample=each["sample_id"], reason=str(trouble))
            self._lost.add(each["sample_id"])
            return
        outbox = self._outbox()
        with self.database.transaction() as connection:
            measured = outbox.measure_under(
                connection, each["sample_id"], each, pixels, keep=self.keep
            )
            if self.keep and not set_level.with_cells(connection, [each["sample_id"]]):
                keep_cells(connection, each["sample_id"], pixels, each["recipe"].get("grid"))
        self._fresh[each["sample_id"], each["rubric"]] = measured

    def _outbox(self) -> Outbox:
        return Outbox(
            folder=Path(),
            database=self.database,
            store=self.store,
            host=self.host,
            detecting=self.detecting,
        )

    def _refuse_without_models(self, key: str | None) -> None:
        """Raise where things of the profile would have no number here, and had one where it was made."""
        with self.database.transaction() as connection:
            profile = self._outbox().profile(connection, key)
        if missing := self.detecting.missing(profile):
            raise Fixable(
                f"What the prompts promise is seen by {' and '.join(missing)}, which is not plugged in "
                "on this machine, so scores would change for want of it. Name its folder under "
                "[scorers] in epochwatch.toml, or rescore where the run was tested."
            )

    def _changes(self, connection: Connection) -> tuple[EpochChange, ...]:
        before: dict[int, dict[str, Measurement]] = defaultdict(dict)
        after: dict[int, dict[str, Measurement]] = defaultdict(dict)
        for each in self._wanted(connection):
            if each["position"] is None:
                continue
            if each["body"]:
                before[each["position"]][each["sample_id"]] = Measurement.from_json(each["body"])
            known = self._known(connection, each)
            if known is not None:
                after[each["position"]][each["sample_id"]] = known
        return tuple(
            EpochChange(
                position=position,
                before=_average(position, before[position]),
                after=_average(position, after[position]),
                images=len(after[position]),
            )
            for position in sorted({*before, *after})
        )

    def _switch(self, connection: Connection) -> None:
        """Read every picture under the rubric of today from now on, all at once."""
        weighting = None
        for each in self._wanted(connection):
            weighting = each["weighting"]
            if each["sample_id"] in self._lost or each["rubric"] == each["before"]:
                continue
            run(
                connection,
                "calibration.put_under",
                grid_id=each["grid_id"],
                sample_id=each["sample_id"],
                rubric=each["rubric"],
                profile=each["profile"],
                weighting=weighting,
            )
        run(connection, "calibration.rescored", run_id=self.run_id, weighting=weighting)
        bump(connection)


def _average(position: int, measured: Mapping[str, Measurement]) -> float | None:
    return summarize_epoch(position, list(measured.values())).average if measured else None
