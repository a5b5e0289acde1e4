"""May the machine be left? Says what is missing until everything of a run is tested, judged and kept.

Pure: what was seen in, sentences out. What was not seen counts as missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SILENT = 20.0  # seconds without a word after which a machine's last word is no longer believed
TRAINER_SILENT = 120.0
_ENDED = ("completed", "failed", "cancelled")
_WATCHING = ("live", "polling")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A machine that the run's checkpoints came from."""

    name: str
    state: str
    silent_seconds: float
    outbox: int | None  # images it has not brought home; None: it did not say
    root: str | None  # state of the folder it watches for this run; None: it does not watch it


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A checkpoint that must outlive the machine."""

    name: str  # "epoch 7, the pick"
    stored: bool  # an address is recorded
    readable: bool | None = None  # the store has it; None: not looked at yet
    trouble: str | None = None  # what copying it said last


@dataclass(frozen=True, kw_only=True)
class Seen:
    """All that was seen of a run at one moment."""

    status: str
    blocked: str | None
    checkpoints: int
    has_final: bool  # the trainer's own last file is here
    untested: Sequence[str]  # "epoch 9"
    unsettled: Sequence[str]  # files that are still being written or looked at
    open_tests: int  # jobs and grids of the first tests that are not over
    open_retests: int  # and those of the second look
    open_others: int  # comparisons and trials somebody asked for
    is_judged: bool  # the advice that stands rests on the last test, and on the end of the run
    trainers: Sequence[tuple[str, float]]  # state and seconds without a word, the newest first
    machines: Sequence[Machine]
    pending: Sequence[str]  # what is decided and not done
    kept: Sequence[Kept]
    has_pick: bool
    unit: str = "epoch"


def missing(seen: Seen) -> tuple[str, ...]:
    """Return a sentence for each thing that is missing before the machine may be left; none if nothing is."""
    return (
        *_of_training(seen),
        *_of_tests(seen),
        *_of_machines(seen.machines),
        *_of_results(seen),
    )


def _of_training(seen: Seen) -> list[str]:
    if not seen.checkpoints:
        return ["No checkpoint of this run has come yet."]
    state, silent = seen.trainers[0] if seen.trainers else ("", 0.0)
    if state == "training" and silent <= TRAINER_SILENT:
        return ["The trainer is still running."]
    if seen.has_final or seen.status in _ENDED or state in ("ended", "failed", "stopped"):
        return []
    if state == "training":
        return [
            (
                f"The trainer was not heard of for {silent / 60:.0f} min. If it has ended, say so: "
                "epochwatch runs finish NAME."
            )
        ]
    return [
        (
            "Training has not ended: the trainer's last file is not here. If there will be none, say "
            "so: epochwatch runs finish NAME."
        )
    ]


def _of_tests(seen: Seen) -> list[str]:
    found = [f"{name} is still being written or looked at." for name in seen.unsettled]
    if seen.blocked is not None:
        return [*found, f"Nothing can be tested: {seen.blocked}"]
    if seen.untested:
        found.append(f"Not tested and not parked: {_few(seen.untested)}.")
    for number, what in (
        (seen.open_tests, "tests"),
        (seen.open_retests, "tests of the second look at the two best"),
        (seen.open_others, "comparisons somebody asked for"),
    ):
        if number:
            found.append(f"Still to be drawn or measured: {number} {what}.")
    return found


def _of_machines(machines: Sequence[Machine]) -> list[str]:
    found: list[str] = []
    for each in machines:
        if each.state == "stopped" or each.silent_seconds > SILENT:
            found.append(
                f"The daemon on {each.name} is not at work, so nobody knows whether a file came "
                "since. Start it again: epochwatch watch PATH."
            )
        elif each.root not in _WATCHING:
            found.append(f"The daemon on {each.name} does not see the run's folder.")
        if each.outbox is None:
            found.append(f"{each.name} did not say whether its outbox is empty.")
        elif each.outbox:
            found.append(f"{each.name} has {each.outbox} images that are not in the store yet.")
    if not machines:
        found.append("No machine has reported on this run.")
    return found


def _of_results(seen: Seen) -> list[str]:
    found: list[str] = []
    if not seen.is_judged:
        found.append("The last test is not judged yet.")
    elif not seen.has_pick:
        found.append(
            f"No {seen.unit} has a score, so none was chosen and kept: save the files yourself."
        )
    found += [f"Decided and not done yet: {each}." for each in seen.pending]
    for each in seen.kept:
        if not each.stored:
            why = f": {each.trouble}" if each.trouble else "."
            found.append(f"Not in the store yet: {each.name}{why}")
        elif each.readable is False:
            found.append(f"Recorded as stored, but not found in the store: {each.name}.")
    return found


def _few(names: Sequence[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"
