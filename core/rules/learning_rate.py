"""The learning rate over a run, as its trainer's scheduler sets it, and what it means for advice.

Pure: settings in, shares of the peak out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, assert_never

from core.formats.checkpoint_metadata import Values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Kind = Literal[
    "constant", "constant_with_warmup", "linear", "cosine", "cosine_with_restarts", "polynomial"
]
KINDS: tuple[Kind, ...] = (
    "constant",
    "constant_with_warmup",
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
)
HIGH = 0.2  # of the peak: above it, training still moves the weights a lot
_LARGEST_POWER = 20


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A scheduler with its settings. Steps are optimizer steps."""

    kind: Kind
    peak: float | None  # the rate itself; None when only its course is known
    total: int  # steps of the whole run, at least 1
    epochs: int | None = None  # of the whole run; None when positions are steps
    warmup: int = 0  # steps
    cycles: int = 1
    power: float = 1.0

    def share_at(self, step: float) -> float:
        """Return the share of the peak (0-1) at a step.

        The formulas are those of ``diffusers.optimization``, which kohya's trainer uses.
        """
        if self.kind != "constant" and step < self.warmup:
            return max(0.0, step / self.warmup)
        done = min(1.0, max(0.0, (step - self.warmup) / max(1, self.total - self.warmup)))
        match self.kind:
            case "constant" | "constant_with_warmup":
                share = 1.0
            case "linear":
                share = 1.0 - done
            case "cosine":
                share = 0.5 * (1 + math.cos(math.pi * done))
            case "polynomial":
                share = (1.0 - done) ** self.power
            case "cosine_with_restarts":
                part = self.cycles * done % 1 if done < 1 else 1.0
                share = 0.5 * (1 + math.cos(math.pi * part))
            case _:
                assert_never(self.kind)
        return float(share)

    @property
    def restarts(self) -> tuple[float, ...]:
        """The steps at which the rate jumps back to its peak."""
        if self.kind != "cosine_with_restarts":
            return ()
        length = (self.total - self.warmup) / self.cycles
        return tuple(self.warmup + length * number for number in range(1, self.cycles))

    def step_of(self, position: float) -> float:
        """Return the step at the end of an epoch, or the step itself."""
        return position if self.epochs is None else self.total * position / self.epochs

    def share_for(self, position: float) -> float:
        """Return the share of the peak in the last step before a position was saved."""
        return self.share_at(max(0.0, self.step_of(position) - 1))

    def restarted_between(self, before: float, after: float) -> bool:
        """Say whether the rate was restarted between the saves of two positions."""
        low, high = self.step_of(before), self.step_of(after)
        return any(low <= step + 1e-9 and step + 1e-9 < high for step in self.restarts)


def schedule_from(metadata: Mapping[str, str], *, in_epochs: bool = True) -> Schedule | None:
    """Read the schedule from a checkpoint's metadata (kohya's ``ss_`` keys).

    None where the scheduler is missing or not one of KINDS, where the number of steps is not told,
    or where a rate adapts itself (Adafactor, Prodigy and D-Adaptation follow no course known
    beforehand). Cycles and power that are not told are one, the trainer's default.
    """
    values = Values(metadata)
    kind = (values.text("ss_lr_scheduler") or "").lower()
    total = values.whole("ss_max_train_steps", 1)
    epochs = values.whole("ss_num_epochs", 1) if in_epochs else None
    optimizer = (values.text("ss_optimizer") or "").lower()
    adapts = any(name in optimizer for name in ("adafactor", "prodigy", "dadapt"))
    if kind not in KINDS or total is None or adapts or (in_epochs and epochs is None):
        return None
    rates = (values.real("ss_unet_lr", 0, 1000), values.real("ss_learning_rate", 0, 1000))
    return Schedule(
        kind=kind,
        peak=next((rate for rate in rates if rate), None),
        total=total,
        epochs=epochs,
        warmup=min(total, values.whole("ss_lr_warmup_steps") or 0),
        cycles=values.whole("ss_lr_scheduler_num_cycles", 1, total) or 1,
        power=values.real("ss_lr_scheduler_power", 0, _LARGEST_POWER) or 1.0,
    )


def schedule_of_run(
    run: Mapping[str, Any], facts: Mapping[str, str] | None = None
) -> Schedule | None:
    """Return the schedule of a run: by its newest checkpoint's metadata, else by its own columns.

    ``run`` holds the columns of ``training_runs``; its number of cycles, which trainers do not
    write into their files, counts where the metadata has none.
    """
    columns = {
        "ss_lr_scheduler": "lr_scheduler",
        "ss_lr_scheduler_num_cycles": "lr_scheduler_cycles",
        "ss_max_train_steps": "total_steps",
        "ss_num_epochs": "max_train_epochs",
        "ss_unet_lr": "unet_lr",
        "ss_learning_rate": "learning_rate",
        "ss_optimizer": "optimizer_type",
    }
    known = {key: str(run[name]) for key, name in columns.items() if run.get(name) is not None}
    told = {key: str(value) for key, value in (facts or {}).items() if key.startswith("ss_")}
    return schedule_from({**known, **told}, in_epochs=run.get("position_unit") != "step")


def course(
    schedule: Schedule, positions: Sequence[int], *, points: int = 200
) -> list[dict[str, float]]:
    """Return the rate over the positions, as rows ``position`` and ``share`` for a chart.

    Each restart has two points, so that it is drawn upright.
    """
    last = max(positions, default=1)
    scale = 1.0 if schedule.epochs is None else schedule.epochs / schedule.total
    places = [last * number / points for number in range(points + 1)]
    for step in (restart * scale for restart in schedule.restarts):
        if step < last:
            places += [step - 1e-6 * last, step + 1e-6 * last]
    return [
        {"position": place, "share": schedule.share_at(schedule.step_of(place))}
        for place in sorted(places)
    ]
