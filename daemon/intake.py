"""Brings what the watcher admitted into the database: checkpoints, sightings, the trainer's own samples."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from PIL import Image

from core.formats.checkpoint_file import (
    COMPANION,
    Header,
    Incomplete,
    needs_companion,
    read_header,
    storable,
    with_companion,
)
from core.formats.checkpoint_name import shown, telling_name
from core.formats.trainer_samples import TrainerSample
from core.nouns import digest
from core.rules.alerting import notice
from core.store.database import Connection, Database, bump, row, rows, run
from core.store.files import ImageStore
from core.store.registration import Arrival, register
from daemon.examiner import SightingState
from daemon.spool import Admitted, Blocked, Outcome, Spool
from daemon.telling import tell
from daemon.watcher import ScanResult, Sighting

log = structlog.get_logger()

_TROUBLE = ("refused", "quarantined", "blocked")
_LARGEST_SAMPLE = 40_000_000  # bytes


@dataclass(kw_only=True)
class Intake:
    """The only way from a watched folder into the database."""

    database: Database
    spool: Spool
    store: ImageStore
    host: str
    run_name: str | None = None

    def __post_init__(self) -> None:
        """Start with nothing left over."""
        self._unsaved: dict[str, Sighting] = {}
        self._warned: set[tuple[str, str]] = set()  # path and state
        self._samples: list[TrainerSample] = []

    def known_sightings(self) -> list[Sighting]:
        """Return what this host saw before: the cache of hashes after a restart."""
        with self.database.transaction() as connection:
            found = rows(connection, "checkpoints.sightings", host=self.host)
        return [
            Sighting(
                root=seen["root"],
                path=seen["path"],
                size=seen["size_bytes"],
                mtime_ns=seen["mtime_ns"],
                inode=seen["inode"],
                state=seen["state"],
                reason=seen["reason"],
                sha256=seen["sha256"],
            )
            for seen in found
        ]

    def take(self, result: ScanResult) -> None:
        """Store what a scan found, and what could not be stored before.

        Raises Retryable when the database or the store is away: nothing is lost.
        """
        self._unsaved |= {seen.path: seen for seen in result.sightings}
        self._samples += result.trainer_samples
        for entry in self.spool.pending():
            self.register(entry)
        self._save_sightings()
        self._take_samples()

    def take_files(self, files: Sequence[Path]) -> None:
        """Take in files at hand: those that cannot be tested become sightings with the reason."""
        for path in files:
            outcome = self.spool.admit(path, root=path.parent)
            if isinstance(outcome, Admitted):
                self.register(outcome)
            seen = _sighting_of(path, outcome)
            self._unsaved[seen.path] = seen
            self._warned.add((seen.path, seen.state))  # whoever named the file is told at the end
        self._save_sightings()

    def remember(self) -> None:
        """Register what the journal holds and this database has never heard of: it is a new one."""
        known = {seen.sha256 for seen in self.known_sightings()}
        for entry in self.spool.entries():
            if entry.sha256 not in known and entry.spool_path.exists():
                self.register(entry)

    def register(self, entry: Admitted) -> None:
        """Add one checkpoint to its run, and note it in the journal."""
        header = _header(entry.spool_path)
        arrival = Arrival(
            sha256=entry.sha256,
            body_sha256=_tensors_sha256(entry.body_sha256, header),
            size_bytes=entry.size,
            facts=entry.facts,
            facts_json=storable(header.metadata) if header else {},
            host=self.host,
            root=entry.root,
            source_path=entry.source_path,
            file_name=telling_name(entry.source_path),
            closed_at=entry.closed_at,
            admitted_at=entry.admitted_at,
            run_name=self.run_name,
        )
        with self.database.transaction() as connection:
            run_id = register(connection, arrival)
            about = row(connection, "runs.get", run_id=run_id) or {}
            if entry.weights.not_finite:
                self._refuse(connection, run_id, entry)
        self.spool.mark_registered(entry.sha256)
        log.info("checkpoint registered", run=about["run_name"], file=arrival.file_name)

    def _refuse(self, connection: Connection, run_id: int, entry: Admitted) -> None:
        """Keep weights that hold NaN or infinity from being drawn, and tell it once."""
        reason = (
            f"{entry.weights.not_finite} of its numbers are NaN or infinite: the training has "
            "diverged. Stop it, lower the learning rate, and go back to an earlier epoch."
        )
        run(connection, "checkpoints.refuse", sha256=entry.sha256, reason=reason)
        run(
            connection,
            "actions.decide",
            key=f"alert/{run_id}/diverged/{entry.sha256}",
            kind="alert",
            run_id=run_id,
            payload={
                "event": "failure",
                "title": f"{telling_name(entry.source_path)}: the training has diverged",
                "body": reason,
            },
            host=None,
        )

    def _save_sightings(self) -> None:
        if not self._unsaved:
            return
        with self.database.transaction() as connection:
            for seen in self._unsaved.values():
                run(
                    connection,
                    "checkpoints.save_sighting",
                    host=self.host,
                    path=seen.path,
                    root=seen.root,
                    size_bytes=seen.size,
                    mtime_ns=seen.mtime_ns,
                    inode=seen.inode,
                    state=seen.state,
                    reason=seen.reason,
                    sha256=seen.sha256,
                )
                if seen.state in _TROUBLE:
                    self._warn(connection, seen)
            bump(connection)
        self._unsaved.clear()

    def _warn(self, connection: Connection, seen: Sighting) -> None:
        """Say once in the log that a file is not used; have people told where a run suffers by it."""
        if (seen.path, seen.state) in self._warned:
            return
        self._warned.add((seen.path, seen.state))
        name = telling_name(seen.path)
        log.warning("file is not used", file=name, state=seen.state, reason=seen.reason)
        if seen.state == "refused":
            return  # somebody else's file, most often: no checkpoint of the run is missing
        title = "waits for space" if seen.state == "blocked" else "is damaged"
        about = digest([seen.path, seen.mtime_ns])[:12]
        news = notice(
            "failure",
            f"{seen.state}/{about}",
            title=title,
            body=seen.reason,
            run_name=name,
            run_id=self.host,
        )
        tell(connection, None, news)

    def _take_samples(self) -> None:
        """Keep the trainer's own pictures; one whose run is not known yet waits for it."""
        self._samples = [sample for sample in self._samples if not self._take_sample(sample)]

    def _take_sample(self, sample: TrainerSample) -> bool:
        """Return whether there is nothing more to do about this picture."""
        with self.database.transaction() as connection:
            owner = row(
                connection, "runs.by_output_name", output_name=sample.output_name, host=self.host
            )
            if owner is None:
                return False
            png = _as_png(Path(sample.path))
            if png is None:
                return True
            run(
                connection,
                "checkpoints.add_trainer_sample",
                run_id=owner["id"],
                file_name=Path(sample.path).name,
                epoch=sample.epoch,
                step=sample.step,
                ordinal=sample.index,
                seed=sample.seed,
                image_sha256=self.store.put_image(png).sha256,
            )
            bump(connection)
        return True


def _header(copy: Path) -> Header | None:
    """Return what the header says, and with it what PEFT writes beside the weights."""
    header = read_header(copy)
    if not isinstance(header, Header):
        return None
    beside = copy.with_name(COMPANION)
    if needs_companion(header) and beside.exists():
        header = with_companion(header, beside.read_text(encoding="utf-8"))
    return header


def _tensors_sha256(body_sha256: str, header: Header | None) -> str:
    """Return the SHA-256 by which the same tensors are drawn once: of their numbers and their names.

    A tool that renames tensors wrongly leaves the numbers as they were, and its file is another.
    """
    if header is None:
        return body_sha256
    named = sorted((name, one.dtype, one.shape) for name, one in header.tensors.items())
    return digest([body_sha256, named])


def _sighting_of(path: Path, outcome: Outcome) -> Sighting:
    """Return what is shown of a file that was given by hand."""
    status = path.stat()
    state: SightingState
    sha256: str | None
    if isinstance(outcome, Admitted):
        state, reason, sha256 = (
            "admitted",
            "Copied and verified; it will be tested.",
            outcome.sha256,
        )
    else:
        waits = isinstance(outcome, Incomplete | Blocked)
        state, reason, sha256 = "incomplete" if waits else "refused", outcome.reason, None
    return Sighting(
        root=shown(path.parent),
        path=shown(path),
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        inode=status.st_ino,
        state=state,
        reason=reason,
        sha256=sha256,
    )


def _as_png(path: Path) -> bytes | None:
    """Return a still picture as clean PNG bytes; None when it is gone or no picture."""
    try:
        if path.stat().st_size > _LARGEST_SAMPLE:
            return None
        with Image.open(path, formats=["PNG", "JPEG", "WEBP"]) as picture:
            clean = io.BytesIO()
            picture.convert("RGB").save(clean, "PNG")
            return clean.getvalue()
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
