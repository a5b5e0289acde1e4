"""Plans of training runs: what is believed, what is changed, and the gates set beforehand.

Read from TOML with every problem told by its line; the stored form is JSON.
"""

import math
import re
import tomllib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from core.errors import Fixable
from core.formats.prompt_lines import Problems
from core.formats.run_plan_tables import PlanLines, Table

Op = Literal[">=", ">", "<=", "<", "no oscillation"]
Outcome = Literal["passed", "failed"]
STEADY: Op = "no oscillation"
EPOCH_SCORES = ("average", "visual", "style", "prompt")  # 0-10, of the epoch as a whole

_PLAN_KEYS = {
    "name", "hypothesis", "confidence", "parent_run", "look_at", "notes",
    "changes", "gate", "expect", "decision",
}  # fmt: skip
_CRITERION_KEYS = {"metric", "op", "threshold", "at_least"}
_GATE_KEYS = _CRITERION_KEYS | {"name", "from_epoch", "by_epoch", "on_fail", "must"}
_EXPECT_KEYS = _CRITERION_KEYS | {"epochs", "text"}
_DECISION_KEYS = {"after_epoch", "gate", "outcome", "when", "do"}
_CHANGE_KEYS = {"from", "to", "why"}
_LEAST_STEADY = 3  # epochs, fewer cannot go there and back


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """What is measured of an epoch, and what it must come to."""

    metric: str  # one of EPOCH_SCORES, else a metric of an image such as "background_match"
    op: Op
    threshold: float | None  # in the metric's own unit; None only for a steady epoch score
    at_least: tuple[int, int] | None = None  # k of n prompts; None compares the epoch's mean


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A criterion that some epoch from ``from_epoch`` to ``by_epoch`` must meet."""

    name: str
    criterion: Criterion
    by_epoch: int
    from_epoch: int = 1
    stop_at: int | None = None  # epoch to stop at when it fails; None only warns
    must: bool = False


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a phase should look like; without a criterion a person judges it."""

    first: int  # epochs, both included
    last: int
    text: str
    criterion: Criterion | None = None


@dataclass(frozen=True, kw_only=True)
class Change:
    """One parameter against the parent run; before and after are equal for what is kept."""

    parameter: str
    after: bool | float | str
    before: bool | float | str | None = None  # None: not told
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What to do after an epoch: when a gate came out so, or in a case told in words."""

    after_epoch: int
    do: tuple[str, ...]
    gate: str | None = None
    outcome: Outcome | None = None
    when: str = ""


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """A plan as it is registered, before the first result."""

    name: str
    hypothesis: str
    confidence: float | None  # 0-1, as stated
    parent_run: str | None
    changes: tuple[Change, ...]
    gates: tuple[Gate, ...]
    expectations: tuple[Expected, ...]
    look_at: tuple[int, ...]  # epochs at which a person is asked to look
    decisions: tuple[Decision, ...]
    notes: str = ""


def read_plan(path: Path, *, is_metric: Callable[[str], bool] | None = None) -> RunPlan:
    """Read a plan; ``is_metric`` knows the metrics of images, without it any name is taken.

    Raises Fixable that names every problem with its line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as trouble:
        raise Fixable(
            f"The plan {path} cannot be read ({trouble}), so no gate is set by it; "
            "check the path, and save the file as UTF-8 text."
        ) from trouble
    return plan_of_text(text, source=path.name, name=path.stem, is_metric=is_metric)


def plan_of_text(
    text: str, *, source: str, name: str, is_metric: Callable[[str], bool] | None = None
) -> RunPlan:
    """Understand a plan's text; ``source`` is what problems call it, ``name`` its name by default.

    Raises Fixable that names every problem with its line.
    """
    problems = Problems(source=source, kind="plan", consequence="no gate is set by it")
    try:
        body = tomllib.loads(text)
    except tomllib.TOMLDecodeError as trouble:
        problems.add(None, f"not valid TOML: {trouble}")
    except (ValueError, RecursionError) as trouble:  # thousands of digits or of brackets
        problems.add(None, f"not a plan that a person would write: {trouble}")
    problems.raise_if_any()
    if _has_nul(body):
        problems.add(None, "it holds a NUL character, which the database cannot keep")
    plan = _plan_of(body, name, PlanLines(text), problems, is_metric or bool)
    problems.raise_if_any()
    return plan


def _has_nul(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_nul(each) for pair in value.items() for each in pair)
    if isinstance(value, list):
        return any(_has_nul(each) for each in value)
    return isinstance(value, str) and "\x00" in value


def plan_to_json(plan: RunPlan) -> dict[str, Any]:
    """Return the form that is stored and digested; ``plan_from_json`` reads it back."""
    return asdict(plan)


def plan_from_json(body: dict[str, Any]) -> RunPlan:
    """Build a plan back. Raises Fixable when the body is not one."""
    try:
        return RunPlan(
            **body
            | {
                "changes": tuple(Change(**each) for each in body["changes"]),
                "gates": tuple(
                    Gate(**each | {"criterion": _criterion_from(each["criterion"])})
                    for each in body["gates"]
                ),
                "expectations": tuple(
                    Expected(**each | {"criterion": _criterion_from(each["criterion"])})
                    for each in body["expectations"]
                ),
                "look_at": tuple(body["look_at"]),
                "decisions": tuple(
                    Decision(**each | {"do": tuple(each["do"])}) for each in body["decisions"]
                ),
            }
        )
    except (KeyError, TypeError, AttributeError) as trouble:
        raise Fixable(
            f"The stored plan cannot be read ({trouble!r}), so its gates cannot be judged; "
            "set the plan's file again."
        ) from trouble


def _criterion_from(body: dict[str, Any] | None) -> Any:
    if body is None:
        return None
    count = body["at_least"]
    return Criterion(**body | {"at_least": tuple(count) if count else None})


def _plan_of(
    body: dict[str, Any],
    stem: str,
    lines: PlanLines,
    problems: Problems,
    is_metric: Callable[[str], bool],
) -> RunPlan:
    """Return the plan of a TOML body, noting problems."""
    top = Table(body=body, lines=lines, problems=problems)
    top.refuse_unknown(_PLAN_KEYS)
    confidence = top.number("confidence", 0, 1, "a share from 0 to 1, such as 0.85 for 85 %")
    gates = [_gate(table, is_metric) for table in top.tables("gate")]
    plan = RunPlan(
        name=top.text("name", stem),
        hypothesis=top.text("hypothesis", needed=True),
        confidence=confidence,
        parent_run=top.text("parent_run") or None,
        changes=_changes(top),
        gates=tuple(gates),
        expectations=tuple(_expected(table, is_metric) for table in top.tables("expect")),
        look_at=tuple(sorted(set(top.epochs("look_at")))),
        decisions=tuple(_decision(table, gates) for table in top.tables("decision")),
        notes=top.text("notes").strip(),
    )
    names = [gate.name for gate in gates]
    for index, name in enumerate(names):
        if name and name in names[:index]:
            problems.add(lines.of("name", "gate", index), f"a gate '{name}' stands above already")
    if not gates and not problems.count:
        problems.add(None, "it sets no [[gate]], so nothing could be passed or failed")
    return plan


def _changes(top: Table) -> tuple[Change, ...]:
    """Return what [changes] says: `key = value`, or `key = { from = 1, to = 3, why = "..." }`."""
    body = top.body.get("changes", {})
    if not isinstance(body, dict):
        top.wrong("changes", "changes are written as a [changes] table")
        return ()
    table = Table(body=body, lines=top.lines, problems=top.problems, name="changes")
    found = []
    for key, value in body.items():
        told = value if isinstance(value, dict) else {"to": value}
        plain = all(_is_plain(each) for each in told.values())
        if "to" not in told or told.keys() - _CHANGE_KEYS or not plain:
            table.wrong(key, f'{key} must be a value, or {{ from = 1, to = 3, why = "..." }}')
            continue
        found.append(
            Change(
                parameter=key,
                after=told["to"],
                before=told.get("from"),
                why=str(told.get("why", "")),
            )
        )
    return tuple(found)


def _is_plain(value: Any) -> bool:
    return isinstance(value, bool | int | str) or (
        isinstance(value, float) and math.isfinite(value)
    )


def _gate(table: Table, is_metric: Callable[[str], bool]) -> Gate:
    table.refuse_unknown(_GATE_KEYS)
    criterion = _criterion(table, is_metric)
    by_epoch = table.whole("by_epoch", needed=True) or 1
    from_epoch = table.whole("from_epoch") or 1
    if from_epoch > by_epoch:
        table.wrong("from_epoch", f"from_epoch {from_epoch} is after by_epoch {by_epoch}")
    elif criterion.op == STEADY and by_epoch - from_epoch + 1 < _LEAST_STEADY:
        table.wrong("by_epoch", "no oscillation needs three epochs or more to look at")
    return Gate(
        name=table.text("name", needed=True),
        criterion=criterion,
        by_epoch=by_epoch,
        from_epoch=from_epoch,
        stop_at=_stop_at(table, by_epoch),
        must=table.flag("must"),
    )


def _stop_at(table: Table, by_epoch: int) -> int | None:
    """Return the epoch of "stop at N"; None for "warn"."""
    told = table.text("on_fail", "warn")
    if told == "warn":
        return None
    found = re.fullmatch(r"stop at (\d{1,6})", told)
    if found is None:
        table.wrong("on_fail", f'on_fail \'{told}\' is neither "warn" nor "stop at 5"')
        return None
    if int(found[1]) < by_epoch:
        table.wrong("on_fail", f"stops at {found[1]}, before the gate is due at {by_epoch}")
    return int(found[1])


def _criterion(table: Table, is_metric: Callable[[str], bool]) -> Criterion:
    """Return metric, op, threshold and count; the metric "no oscillation" is the average's."""
    metric = table.text("metric", needed=True)
    op = table.text("op", STEADY if metric == STEADY else ">=")
    metric = EPOCH_SCORES[0] if metric == STEADY else metric
    scored = metric in EPOCH_SCORES
    if metric and not scored and not is_metric(metric):
        known = ", ".join(EPOCH_SCORES)
        table.wrong(
            "metric", f"nothing measures '{metric}'; known are {known}, and docs/metrics.md"
        )
    if op not in get_args(Op):
        table.wrong("op", f"op '{op}' is none of {', '.join(get_args(Op))}")
    high = 10.0 if scored else 1e6
    threshold = table.number("threshold", 0, high, f"a number, 0 to {high:g}")
    count = _count(table)
    if (
        threshold is None
        and "threshold" not in table.body
        and (op != STEADY or not scored or count is not None)
    ):
        table.wrong("threshold", "threshold is missing")
    return Criterion(metric=metric, op=op, threshold=threshold, at_least=count)  # type: ignore[arg-type]


def _count(table: Table) -> tuple[int, int] | None:
    """Return (k, n) of "k of n"."""
    if "at_least" not in table.body:
        return None
    told = table.text("at_least")
    found = re.fullmatch(r"(\d{1,6}) of (\d{1,6})", told)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        table.wrong("at_least", f"at_least '{told}' is not a count such as \"12 of 15\"")
        return None
    return int(found[1]), int(found[2])


def _expected(table: Table, is_metric: Callable[[str], bool]) -> Expected:
    table.refuse_unknown(_EXPECT_KEYS)
    criterion = _criterion(table, is_metric) if table.body.keys() & _CRITERION_KEYS else None
    if criterion is not None and criterion.op == STEADY:
        table.wrong("op", "no oscillation is a matter of several epochs: write it as a gate")
    told = str(table.body.get("epochs", ""))
    found = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", told)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= first <= last:
        table.wrong("epochs", f"epochs '{told}' is neither an epoch nor a range such as \"3-4\"")
    text = table.text("text", needed=True)
    return Expected(first=first, last=last, text=text, criterion=criterion)


def _decision(table: Table, gates: list[Gate]) -> Decision:
    table.refuse_unknown(_DECISION_KEYS)
    gate, outcome, when = table.text("gate"), table.text("outcome"), table.text("when")
    if gate and gate not in [each.name for each in gates]:
        table.wrong("gate", f"there is no gate '{gate}'")
    if bool(gate) != bool(outcome) or outcome not in ("", *get_args(Outcome)):
        table.wrong("outcome", 'a decision on a gate has an outcome, "passed" or "failed"')
    if not gate and not when:
        table.wrong("when", "say when: a gate with its outcome, or words")
    return Decision(
        after_epoch=table.whole("after_epoch", needed=True) or 1,
        do=table.texts("do"),
        gate=gate or None,
        outcome=outcome or None,  # type: ignore[arg-type]
        when=when,
    )
