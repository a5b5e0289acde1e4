"""A plan as TOML again, for a person who changes it; comments of the file it came from are not kept."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from core.formats.run_plan import Change, Criterion, Decision, Expected, Gate, RunPlan

Plain = bool | float | str
STARTER = """\
hypothesis = "What is believed, and by when it shows."
confidence = 0.7
look_at = [1, 5, 10]

[changes]
learning_rate = { from = 1e-4, to = 5e-5, why = "What it is for." }

[[gate]]
name = "early background"
metric = "background_match"
threshold = 50
at_least = "12 of 15"
by_epoch = 4
on_fail = "stop at 5"
must = true

[[expect]]
epochs = "1-2"
text = "The style is there."
metric = "style"
threshold = 7

[[decision]]
after_epoch = 4
gate = "early background"
outcome = "failed"
do = ["Stop, and look for the cause."]
"""


def plan_to_toml(plan: RunPlan) -> str:
    """Return TOML that ``plan_of_text`` understands as this plan."""
    top = [("name", plan.name), ("hypothesis", plan.hypothesis)]
    lines = [f"{key} = {_value(value)}" for key, value in top]
    if plan.confidence is not None:
        lines.append(f"confidence = {_value(plan.confidence)}")
    if plan.parent_run is not None:
        lines.append(f"parent_run = {_value(plan.parent_run)}")
    if plan.look_at:
        lines.append(f"look_at = {list(plan.look_at)}")
    if plan.notes:
        inner = "\n".join(_value(line)[1:-1] for line in plan.notes.split("\n"))
        lines.append(f'notes = """\n{inner}\n"""')
    if plan.changes:
        lines += ["", "[changes]", *(_change(each) for each in plan.changes)]
    for gate in plan.gates:
        lines += ["", "[[gate]]", *_pairs(_gate(gate))]
    for expected in plan.expectations:
        lines += ["", "[[expect]]", *_pairs(_expected(expected))]
    for decision in plan.decisions:
        lines += ["", "[[decision]]", *_decision(decision)]
    return "\n".join(lines) + "\n"


def _value(value: Plain) -> str:
    """Return one value; JSON's escapes are TOML's, but for the sign DEL."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)


def _pairs(found: Iterable[tuple[str, Plain | None]]) -> list[str]:
    return [f"{key} = {_value(value)}" for key, value in found if value is not None]


def _change(change: Change) -> str:
    plain = re.fullmatch(r"[A-Za-z0-9_-]+", change.parameter)
    key = change.parameter if plain else _value(change.parameter)
    if change.before is None and not change.why:
        return f"{key} = {_value(change.after)}"
    told = _pairs((("from", change.before), ("to", change.after), ("why", change.why or None)))
    return f"{key} = {{ {', '.join(told)} }}"


def _criterion(criterion: Criterion) -> list[tuple[str, Plain | None]]:
    count = criterion.at_least
    return [
        ("metric", criterion.metric),
        ("op", criterion.op),
        ("threshold", criterion.threshold),
        ("at_least", f"{count[0]} of {count[1]}" if count else None),
    ]


def _gate(gate: Gate) -> list[tuple[str, Plain | None]]:
    return [
        ("name", gate.name),
        *_criterion(gate.criterion),
        ("from_epoch", gate.from_epoch if gate.from_epoch > 1 else None),
        ("by_epoch", gate.by_epoch),
        ("on_fail", f"stop at {gate.stop_at}" if gate.stop_at else "warn"),
        ("must", True if gate.must else None),
    ]


def _expected(expected: Expected) -> list[tuple[str, Plain | None]]:
    span = f"{expected.first}-{expected.last}"
    return [
        ("epochs", span if expected.last > expected.first else str(expected.first)),
        ("text", expected.text),
        *(_criterion(expected.criterion) if expected.criterion else ()),
    ]


def _decision(decision: Decision) -> list[str]:
    return [
        f"after_epoch = {decision.after_epoch}",
        *_pairs((("gate", decision.gate), ("outcome", decision.outcome))),
        *_pairs((("when", decision.when or None),)),
        "do = [",
        *(f"    {_value(step)}," for step in decision.do),
        "]",
    ]
