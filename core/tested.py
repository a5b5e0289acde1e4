"""Which epochs of a run are tested, and what their images and people say of each together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from core.nouns import EpochScore, Measurement, Verdict
from core.rules.scoring import EpochSummary, summarize_epoch, verdict
from core.store.database import Connection, Row, rows


@dataclass(frozen=True, kw_only=True)
class TestedEpoch:
    """One position whose test is over: its images, what they say together, and people's word."""

    rows: tuple[Row, ...]
    measured: tuple[tuple[Row, Measurement], ...]
    summary: EpochSummary
    effective: EpochScore  # a person's score where there is one, else the machine's

    @property
    def verdict(self) -> Verdict | None:
        """The verdict of the effective score."""
        collapsed = "photorealistic" in self.summary.issues
        return verdict(self.effective.average, photorealistic_collapse=collapsed)


def tested_epochs(results: Sequence[Row], opinions: Sequence[Row]) -> dict[int, TestedEpoch]:
    """Group the images of a run by position; only positions whose test is over count."""
    by_position: dict[int, list[Row]] = defaultdict(list)
    for found in results:
        by_position[found["position"]].append(found)
    by_person: dict[int, list[Row]] = defaultdict(list)
    for opinion in opinions:
        by_person[opinion["position"]].append(opinion)
    return {
        position: tested
        for position, group in sorted(by_position.items())
        if all(found["over"] for found in group)
        and (tested := _tested(position, group, by_person[position])) is not None
    }


def _tested(position: int, group: list[Row], opinions: list[Row]) -> TestedEpoch | None:
    measured = tuple(
        (found, Measurement.from_json(found["body"])) for found in group if found["body"]
    )
    if not measured:
        return None
    summary = summarize_epoch(
        position,
        [measurement for _, measurement in measured],
        prompts=[found["prompt_name"] for found, _ in measured],
    )
    effective = summary.score
    if opinions:
        effective = EpochScore(
            position=position,
            visual=fmean(float(opinion["visual"]) for opinion in opinions),
            style=fmean(float(opinion["style"]) for opinion in opinions),
            prompt=fmean(float(opinion["prompt"]) for opinion in opinions),
            images=len(measured),
        )
    return TestedEpoch(rows=tuple(group), measured=measured, summary=summary, effective=effective)


def is_complete(connection: Connection, run_id: int, results: Sequence[Row]) -> bool:
    """Tell whether the trainer is done and everything it left is tested or parked."""
    checkpoints = rows(connection, "checkpoints.current", run_id=run_id)
    return any(found["is_final"] for found in checkpoints) and not untested(checkpoints, results)


def untested(checkpoints: Sequence[Row], results: Sequence[Row]) -> int:
    """Return how many of a run's current checkpoints are still to be tested; parked ones are not."""
    over = {found["position"] for found in results if found["over"]}
    return sum(
        found["position"] not in over and found["invalid_reason"] is None for found in checkpoints
    )


def has_ended(about: Row, *, complete: bool) -> bool:
    """Tell whether nothing more is to come: everything is tested, or somebody ended the run."""
    return complete or about["status"] in ("completed", "failed", "cancelled")
