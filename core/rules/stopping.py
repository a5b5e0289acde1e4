"""May the trainer be stopped now, by what right, and can it be taken back?

Knows neither processes nor files: a situation in, a ruling with its reason out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.rules.gates import GateState

Code = Literal[
    "advice",  # may be stopped: the advice stands and is trusted
    "budget",  # may be stopped: the budget is spent
    "not_advised",
    "ended",
    "stopped_before",
    "too_early",
    "one_test",
    "other_run",
    "old_news",
    "locked",
]
UNITS_TO_STOP = 2  # prompts in the latest test before one test alone may stop a trainer
UNLOCK = "Vote on comparisons of this run, or start again with --stop-unlocked."


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What a stop is judged by."""

    advised: bool  # the advice that stands says stop
    ended: bool  # nothing more is to come
    latest: int | None  # the latest tested position
    units_in_latest: int  # prompts and seeds scored there
    advised_before: bool  # the advice after the position before it said stop, too
    stopped_before: bool  # this run's trainer was told to stop once
    is_newest: bool  # no other run has saved on that machine since
    is_fresh: bool  # its last checkpoint was saved after the trainer to stop was named
    checked: bool  # the score was held against people's votes, and agrees
    unlocked: bool  # the user said that it may stop unchecked
    dry_run: bool = False
    first: int | None = None  # no stop before this position
    over_budget: bool = False  # the user asked for a stop there, and it is reached
    state_saved: bool | None = None  # a trainer's state lies beside its checkpoints; None: not seen
    unit: str = "epoch"


@dataclass(frozen=True, kw_only=True)
class GateStop:
    """A stop that a plan wrote down beforehand: this gate failed at one position, stop at another."""

    gate: str
    failed_at: int
    stop_at: int


def gate_stop(states: Sequence[GateState]) -> GateStop | None:
    """Return the first stop that the failed gates of a plan ask for; None where none does."""
    asked = [
        GateStop(gate=each.gate, failed_at=each.epoch, stop_at=each.stop_at)
        for each in states
        if each.state == "failed" and each.epoch is not None and each.stop_at is not None
    ]
    return min(asked, key=lambda each: each.stop_at, default=None)


@dataclass(frozen=True, kw_only=True)
class Ruling:
    """Whether the trainer may be stopped; ``reason`` is a sentence for a person either way."""

    allowed: bool
    code: Code
    reason: str
    dry_run: bool
    reversible: bool | None  # None: not known
    way_back: str  # a sentence on it


def may_stop(now: Situation) -> Ruling:
    """Rule on a stop; the first thing that forbids it is the reason.

    A spent budget needs no advice, no second test and no votes: it is no matter of the score. It
    still stops a run once only, and only the run that is being trained.
    """
    code, reason = _forbidden(now) or _granted(now)
    return Ruling(
        allowed=code in ("advice", "budget"),
        code=code,
        reason=reason,
        dry_run=now.dry_run,
        reversible=now.state_saved,
        way_back=way_back(state_saved=now.state_saved),
    )


def way_back(*, state_saved: bool | None) -> str:
    """Return whether a stop can be taken back, in a sentence."""
    if state_saved is None:
        return "Whether the trainer saved its state was not seen from here."
    if state_saved:
        return "The trainer's saved state lies beside the checkpoints, so training can be resumed."
    return (
        "The trainer saved no state, so training cannot be resumed exactly; the checkpoints stay "
        "(kohya saves it with --save_state)."
    )


def _forbidden(now: Situation) -> tuple[Code, str] | None:
    if now.stopped_before:
        return "stopped_before", "This run's trainer was told to stop before; it is done once only."
    if now.ended:
        return "ended", "Training has ended, so there is nothing to stop."
    if not now.is_newest:
        return (
            "other_run",
            (
                "Another run has saved a checkpoint on that machine since, so the trainer at work "
                "there may not be this run's."
            ),
        )
    if not now.is_fresh:
        return (
            "old_news",
            (
                "No checkpoint of this run was saved since you said which trainer to stop, so that "
                "trainer may be training something else. The next checkpoint settles it."
            ),
        )
    return None if now.over_budget else _doubtful(now)


def _doubtful(now: Situation) -> tuple[Code, str] | None:
    """Return what speaks against trusting the advice enough to act on it."""
    if not now.advised or now.latest is None:
        return "not_advised", "No stop is advised."
    if now.first is not None and now.latest < now.first:
        return (
            "too_early",
            f"A stop is advised, but you asked for none before {now.unit} {now.first}.",
        )
    if now.units_in_latest < UNITS_TO_STOP and not now.advised_before:
        return (
            "one_test",
            (
                f"A stop is advised, but {now.unit} {now.latest} was tested with a single image and "
                "the test before it did not say stop: one test alone stops no trainer."
            ),
        )
    if not (now.checked or now.unlocked):
        return (
            "locked",
            (
                "A stop is advised, but the score is not yet checked against your votes, so the "
                f"trainer goes on. {UNLOCK}"
            ),
        )
    return None


def _granted(now: Situation) -> tuple[Code, str]:
    if now.over_budget:
        return "budget", "The budget of this run is spent."
    if now.checked:
        return "advice", "A stop is advised, and the score agrees with your votes."
    return "advice", "A stop is advised, and you allowed it before the score was checked."
