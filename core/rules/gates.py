"""Which gates of a plan are passed, failed or still open, and which expectations held.

Plan and evidence in, states with a sentence each out. A gate is passed by the first epoch that
meets it and failed by the last that could have; what cannot be measured is neither.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from core.formats.run_plan import STEADY, Decision, Expected, Gate, RunPlan
from core.rules.convergence import flips, is_oscillating
from core.rules.gate_evidence import Evidence, Look, criterion_words, look_at
from core.rules.scoring import EPSILON

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.nouns import Tier

State = Literal["pending", "passed", "failed", "unmeasured"]
_LEAST_STEADY = 3  # epochs, fewer cannot go there and back
_NOTHING = "nothing measured yet"


@dataclass(frozen=True, kw_only=True)
class GateState:
    """Where a gate stands."""

    gate: str
    state: State  # "unmeasured": it is due and cannot be told
    sentence: str
    epoch: int | None  # that decided it
    must: bool
    stop_at: int | None  # where the plan stops training because it failed
    failing: bool  # it is open, and the latest epoch that could tell does not meet it
    so_far: str = ""  # how near an open one is: "epoch 3: 9 of 12 so far, 3 to go"

    def as_json(self) -> dict[str, Any]:
        """Return the form that is printed."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class ExpectationState:
    """In which epochs of its phase an expectation held."""

    text: str
    first: int
    last: int
    held: tuple[int, ...]
    missed: tuple[int, ...]
    unknown: tuple[int, ...]  # tested, but not to be told
    sentence: str
    said: str  # its last part: "held at 3, 4"
    measured: bool  # False: a person judges it

    @property
    def span(self) -> str:
        """Its phase: "3-4", or "4"."""
        return _span(self.first, self.last)

    def as_json(self) -> dict[str, Any]:
        """Return the form that is printed."""
        return asdict(self)


def judge_gates(plan: RunPlan, evidence: Evidence) -> tuple[GateState, ...]:
    """Return the state of each gate, in the plan's order; epochs may come in any order."""
    return tuple(
        _steady(gate, evidence) if gate.criterion.op == STEADY else _reached(gate, evidence)
        for gate in plan.gates
    )


def judge_expectations(plan: RunPlan, evidence: Evidence) -> tuple[ExpectationState, ...]:
    """Return in which tested epochs each expectation held."""
    return tuple(_expectation(expected, evidence) for expected in plan.expectations)


def deepest_tier(plan: RunPlan, epoch: int) -> Tier | None:
    """Return how deep the gates want an epoch tested: full where one is due, else no wish.

    It is what ``named`` of ``core.rules.planning.tier_for`` takes, and never lowers a depth.
    """
    return "full" if any(gate.by_epoch == epoch for gate in plan.gates) else None


def must_pending(states: Sequence[GateState]) -> str | None:
    """Return the first must-have gate that is still failing before it is due."""
    return next((each.gate for each in states if each.must and each.failing), None)


def hypothesis_sentence(plan: RunPlan, states: Sequence[GateState]) -> str:
    """Say how the hypothesis stands: it falls with the first must-have gate that fails."""
    stated = f" (stated with {100 * plan.confidence:.0f} %)" if plan.confidence is not None else ""
    needed = [each for each in states if each.must]
    failed = [each.gate for each in needed if each.state == "failed"]
    passed = sum(each.state == "passed" for each in needed)
    if failed:
        return f"The hypothesis{stated} does not hold: {', '.join(failed)} failed."
    if not needed:
        return f"The hypothesis{stated} has no must-have gate, so nothing here decides it."
    if passed == len(needed):
        return f"The hypothesis{stated} holds: all {passed} must-have gates are passed."
    return f"The hypothesis{stated} is open: {passed} of {len(needed)} must-have gates are passed."


def decisions_due(
    plan: RunPlan, states: Sequence[GateState], evidence: Evidence
) -> tuple[Decision, ...]:
    """Return the decision points whose epoch is reached, unless their gate came out otherwise."""
    outcome = {each.gate: each.state for each in states}
    saved = max((epoch.position for epoch in evidence.epochs), default=0)
    return tuple(
        each
        for each in plan.decisions
        if (evidence.ended or saved >= each.after_epoch)
        and (each.gate is None or outcome.get(each.gate) == each.outcome)
    )


def _reached(gate: Gate, evidence: Evidence) -> GateState:
    """Judge a gate that some epoch up to the last has to meet."""
    looks = _looks(gate, evidence)
    met = next((look for look in looks if look.holds), None)
    if met is not None:
        latest = [look for look in looks if look.holds is not None][-1]
        back = (
            "" if latest.holds else f" Epoch {latest.position} no longer meets it ({latest.shown})."
        )
        return _state(
            gate, "passed", f"passed at epoch {met.position} with {met.shown}.{back}", met
        )
    last = looks[-1] if looks and looks[-1].position == gate.by_epoch else None
    waiting = _waiting(gate, evidence, looks)
    if last is not None and last.holds is False and not waiting:
        return _state(gate, "failed", f"failed at epoch {last.position} with {last.shown}.", last)
    if waiting or not _is_due(gate, evidence):
        so_far = f"; epoch {looks[-1].position}: {looks[-1].shown}" if looks else ""
        known = [look.holds for look in looks if look.holds is not None]
        failing = bool(known) and not known[-1]
        said = f"open until epoch {gate.by_epoch}{so_far}."
        return _state(gate, "pending", said, failing=failing, so_far=_distance(gate, looks))
    if last is not None:
        return _state(
            gate, "unmeasured", f"cannot be measured at epoch {last.position}: {last.shown}."
        )
    before = f"; the last before it, {looks[-1].position}: {looks[-1].shown}" if looks else ""
    why = f"cannot be measured: epoch {gate.by_epoch} is not there{before}."
    return _state(gate, "unmeasured", why)


def _steady(gate: Gate, evidence: Evidence) -> GateState:
    """Judge a gate that no turn may break: it can fail at any epoch and is passed at the end."""
    looks = _looks(gate, evidence)
    told = [look for look in looks if look.holds is not None or look.value is not None]
    turned = next((told[: end + 1] for end in range(len(told)) if _turns(told[: end + 1])), None)
    if turned is not None:
        course = ", ".join(f"{look.position}: {_word(look)}" for look in turned)
        return _state(
            gate, "failed", f"failed at epoch {turned[-1].position} ({course}).", turned[-1]
        )
    if _waiting(gate, evidence, looks) or not _is_due(gate, evidence):
        so_far = f"; steady at {_list([look.position for look in told])}" if told else ""
        said = f"open until epoch {gate.by_epoch}{so_far}."
        return _state(gate, "pending", said, so_far=so_far.removeprefix("; ") or _NOTHING)
    if len(told) < _LEAST_STEADY:
        seen = "1 epoch is" if len(told) == 1 else f"{len(told) or 'no'} epochs are"
        why = f"{seen} measured, and a turn needs {_LEAST_STEADY}"
        if not told and looks:
            why = looks[-1].shown
        return _state(gate, "unmeasured", f"cannot be measured: {why}.")
    places = _list([look.position for look in told])
    return _state(gate, "passed", f"passed: steady at epochs {places}.", told[-1])


def _turns(looks: Sequence[Look]) -> bool:
    if all(look.holds is None for look in looks):
        return is_oscillating([look.value for look in looks if look.value is not None])
    return flips([look.holds for look in looks if look.holds is not None])


def _word(look: Look) -> str:
    return look.shown if look.holds is None else f"{'yes' if look.holds else 'no'}, {look.shown}"


def _looks(gate: Gate, evidence: Evidence) -> list[Look]:
    """Return what the epochs of a gate that have images or scores say, in order."""
    found = [
        look_at(gate.criterion, epoch)
        for epoch in evidence.epochs
        if gate.from_epoch <= epoch.position <= gate.by_epoch
        and (epoch.over or epoch.images or epoch.scores)
    ]
    return sorted(found, key=lambda look: look.position)


def _waiting(gate: Gate, evidence: Evidence, looks: Sequence[Look]) -> set[int]:
    """Return the saved epochs of a gate that may still come to another word."""
    settled = {look.position for look in looks if look.holds is not None}
    return {
        epoch.position
        for epoch in evidence.epochs
        if gate.from_epoch <= epoch.position <= gate.by_epoch
        and not epoch.over
        and epoch.position not in settled
    }


def _is_due(gate: Gate, evidence: Evidence) -> bool:
    saved = max((epoch.position for epoch in evidence.epochs), default=0)
    return evidence.ended or saved >= gate.by_epoch


def _state(
    gate: Gate,
    state: State,
    said: str,
    decided: Look | None = None,
    *,
    failing: bool = False,
    so_far: str = "",
) -> GateState:
    sentence = f"{gate.name} ({criterion_words(gate.criterion)}): {said}"
    if state == "failed":
        stop = gate.stop_at
        sentence += f" The plan says: stop at epoch {stop}." if stop else " The plan only warns."
    return GateState(
        gate=gate.name,
        state=state,
        sentence=sentence,
        epoch=decided.position if decided else None,
        must=gate.must,
        stop_at=gate.stop_at if state == "failed" else None,
        failing=failing,
        so_far=so_far,
    )


def _distance(gate: Gate, looks: Sequence[Look]) -> str:
    """Say how near the latest epoch that can tell comes to an open gate."""
    told = [look for look in looks if look.hits is not None or look.value is not None]
    if not told:
        return f"epoch {looks[-1].position}: {looks[-1].shown}" if looks else _NOTHING
    last, wanted = told[-1], gate.criterion.at_least
    if wanted is not None and last.hits is not None:
        to_go = max(0, wanted[0] - last.hits)
        return f"epoch {last.position}: {last.hits} of {wanted[0]} so far, {to_go} to go"
    assert last.value is not None
    assert gate.criterion.threshold is not None
    beyond = last.value - gate.criterion.threshold
    apart = f"{math.ceil(abs(beyond) * 100 - EPSILON) / 100:g}"
    rest = f"{apart} to go" if gate.criterion.op in (">=", ">") else f"{apart} too much"
    return f"epoch {last.position}: {last.shown} so far, {rest}"


def _expectation(expected: Expected, evidence: Evidence) -> ExpectationState:
    places: dict[bool | None, list[int]] = {True: [], False: [], None: []}
    for epoch in sorted(evidence.epochs, key=lambda one: one.position):
        if expected.first <= epoch.position <= expected.last and epoch.over:
            look = look_at(expected.criterion, epoch) if expected.criterion else None
            places[look.holds if look else None].append(epoch.position)
    said = _where_held(expected, places)
    return ExpectationState(
        text=expected.text,
        first=expected.first,
        last=expected.last,
        held=tuple(places[True]),
        missed=tuple(places[False]),
        unknown=tuple(places[None]),
        sentence=f"{_span(expected.first, expected.last)}: {expected.text} ({said})",
        said=said,
        measured=expected.criterion is not None,
    )


def _span(first: int, last: int) -> str:
    return f"{first}-{last}" if last > first else str(first)


def _where_held(expected: Expected, places: dict[bool | None, list[int]]) -> str:
    if not any(places.values()):
        return "not tested yet"
    if expected.criterion is None:
        return f"a person judges this at {_list(places[None])}"
    words = {True: "held at", False: "not at", None: "cannot be told at"}
    return ", ".join(f"{word} {_list(places[key])}" for key, word in words.items() if places[key])


def _list(places: Sequence[int]) -> str:
    return ", ".join(map(str, places))
