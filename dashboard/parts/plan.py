"""A run's plan as it stands: gates, expectations, decisions, and when a person looks; pure markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from core.formats.run_plan import Change, Decision, Gate
from core.plans import Registration, Standing
from core.rules.gate_evidence import criterion_words
from core.rules.gates import ExpectationState, GateState, hypothesis_sentence
from core.rules.plan_news import decision_case
from core.store.gallery import Picture
from dashboard.parts import badge, links, sheet
from dashboard.parts.safe import Html, fill, join
from dashboard.parts.words import Said

_GATES: Final = {
    "passed": ("disc", "passed"),
    "failed": ("cross", "failed"),
    "pending": ("ring", "pending"),
    "unmeasured": ("bar", "not measurable"),
}
_TABLE: Final = "ew-check ew-plan"
_THUMBS = 6  # pictures of an epoch that a person is asked to look at


def section(
    standing: Standing,
    history: Sequence[Registration],
    pictures: Sequence[Picture],
    scored_by: Mapping[int, Sequence[str]],
) -> Html:
    """Return everything of a plan; ``scored_by`` names who scored which epoch."""
    plan = standing.plan
    return join(
        (
            _aims(standing),
            _late(history),
            sheet.heading("Gates", "set beforehand; the first epoch that meets one passes it"),
            _gates(plan.gates, standing.gates),
            _looks(plan.look_at, standing, pictures, scored_by),
            _decisions(standing),
            _expectations(standing),
            _changes(plan.changes),
            fill('<p class="ew-notes">{notes}</p>', notes=plan.notes) if plan.notes else Html(),
            _history(history),
        )
    )


def empty(run_name: str) -> Html:
    """Return what stands where no plan is set."""
    return sheet.empty(
        "This run has no plan. A plan says beforehand what is believed and what must be seen by "
        "when; write it below, or set a file:",
        ((f"epochwatch plan set {run_name} plan.toml", "best before the first test"),),
    )


def understood(gates: Sequence[Gate]) -> Html:
    """Return gates as they were understood, before anything is registered."""
    return sheet.table(("gate", "due"), [(_name(each), _due(each)) for each in gates])


def problems(sentence: str, found: Sequence[str]) -> Html:
    """Return what is wrong with a plan, one line of it each."""
    lines = join(fill("<li>{line}</li>", line=line) for line in found)
    return fill(
        '<div class="ew-notice ew-bad" role="alert"><b>{sentence}</b><ul>{lines}</ul></div>',
        sentence=sentence,
        lines=lines,
    )


def _aims(standing: Standing) -> Html:
    plan = standing.plan
    sure = "" if plan.confidence is None else f", stated with {100 * plan.confidence:.0f} %"
    return fill(
        '<p class="ew-run" data-part="plan"><b>{name}</b> {parent}</p>'
        '<p class="ew-hypothesis"><span class="ew-quiet">Hypothesis{sure}</span><br>{words}</p>'
        '<p class="ew-run">{sentence}</p>',
        name=plan.name,
        parent=f"after {plan.parent_run}" if plan.parent_run else "",
        sure=sure,
        words=plan.hypothesis,
        sentence=hypothesis_sentence(replace(plan, confidence=None), standing.gates),
    )


def _late(history: Sequence[Registration]) -> Html:
    """Say so where the plan that stands was set or changed when results existed."""
    if not history or not history[-1].after_results:
        return Html()
    changed = len(history) > 1
    return sheet.notice(
        Said(
            tone="warn",
            words=f"This plan was {'changed' if changed else 'set'} after results existed.",
            detail="A gate that was set knowing the results proves nothing.",
        )
    )


def _gates(gates: Sequence[Gate], states: Sequence[GateState]) -> Html:
    lines: list[tuple[object, ...]] = [
        (badge.mark(*_GATES[state.state]), _name(gate), _standing(gate, state), _due(gate))
        for gate, state in zip(gates, states, strict=True)
    ]
    return sheet.table(("", "gate", "so far", "due"), lines, kind=_TABLE)


def _name(gate: Gate) -> Html:
    return fill(
        "<b>{name}</b>{must}<br><small>{criterion}</small>",
        name=gate.name,
        must=Html(' <span class="ew-must">must</span>') if gate.must else "",
        criterion=criterion_words(gate.criterion),
    )


def _standing(gate: Gate, state: GateState) -> str:
    if state.state == "pending":
        return state.so_far
    said = state.sentence.removeprefix(f"{gate.name} ({criterion_words(gate.criterion)}): ")
    return said.partition(" The plan ")[0]


def _due(gate: Gate) -> str:
    span = f"epochs {gate.from_epoch}-{gate.by_epoch}" if gate.from_epoch > 1 else ""
    if gate.from_epoch == gate.by_epoch:
        span = f"at epoch {gate.by_epoch}"
    fails = f"stop at epoch {gate.stop_at}" if gate.stop_at else "only warns"
    return f"{span or f'by epoch {gate.by_epoch}'}; if it fails: {fails}"


def _looks(
    look_at: Sequence[int],
    standing: Standing,
    pictures: Sequence[Picture],
    scored_by: Mapping[int, Sequence[str]],
) -> Html:
    if not look_at:
        return Html()
    tested = {epoch.position for epoch in standing.evidence.epochs if epoch.over}
    lines: list[tuple[object, ...]] = [
        (
            _look_badge(
                scored_by.get(place, ()),
                is_tested=place in tested,
                is_over=standing.evidence.ended,
            ),
            fill(
                "<b>epoch {place}</b> {thumbs}",
                place=place,
                thumbs=_thumbs([each for each in pictures if each.position == place]),
            ),
        )
        for place in look_at
    ]
    return join(
        (
            sheet.heading("For a person to look at", "a picture opens as it was drawn"),
            sheet.table(("", "pictures"), lines, kind=_TABLE),
        )
    )


def _look_badge(judges: Sequence[str], *, is_tested: bool, is_over: bool) -> Html:
    if judges:
        return badge.mark("disc", f"scored by {', '.join(judges)}")
    if is_tested:
        return badge.mark("diamond", "look now")
    return badge.mark("bar", "not there") if is_over else badge.mark("ring", "to come")


def _thumbs(pictures: Sequence[Picture]) -> Html:
    drawn = [each for each in pictures if each.image_sha256 is not None][:_THUMBS]
    return join(
        fill(
            '<a href="{large}" target="_blank" rel="noopener"><img class="ew-tiny" src="{thumb}"'
            ' loading="lazy" width="48" height="48" alt="{name}"></a> ',
            large=links.original(each.image_sha256 or ""),
            thumb=links.thumb(each.image_sha256 or ""),
            name=f"{each.prompt_name}, epoch {each.position}",
        )
        for each in drawn
    )


def _decisions(standing: Standing) -> Html:
    if not standing.plan.decisions:
        return Html()
    outcome = {each.gate: each.state for each in standing.gates}
    lines: list[tuple[object, ...]] = [
        (
            _decision_badge(each, outcome, is_due=each in standing.decisions),
            fill(
                "<b>After epoch {place}</b>: {case}<ul>{steps}</ul>",
                place=each.after_epoch,
                case=decision_case(each),
                steps=join(fill("<li>{step}</li>", step=step) for step in each.do),
            ),
        )
        for each in standing.plan.decisions
    ]
    table = sheet.table(("", "what to do then"), lines, kind=_TABLE)
    return join((sheet.heading("Decision points"), table))


def _decision_badge(decision: Decision, outcome: Mapping[str, str], *, is_due: bool) -> Html:
    if is_due:
        return badge.mark("diamond", "decide now")
    came_out = outcome.get(decision.gate or "", "pending")
    if came_out == "unmeasured":
        return badge.mark("bar", "cannot be told")
    if came_out not in ("pending", decision.outcome):
        return badge.mark("bar", "does not apply")
    return badge.mark("ring", "to come")


def _expectations(standing: Standing) -> Html:
    if not standing.expectations:
        return Html()
    lines: list[tuple[object, ...]] = [
        (
            badge.mark(*_held(each, is_over=standing.evidence.ended)),
            fill("<b>epochs {span}</b>: {text}", span=each.span, text=each.text),
            each.said,
        )
        for each in standing.expectations
    ]
    table = sheet.table(("", "expected", "where it held"), lines, kind=_TABLE)
    return join((sheet.heading("Expectations", "by phase"), table))


def _held(state: ExpectationState, *, is_over: bool) -> tuple[str, str]:
    """Return shape and word of how an expectation came out."""
    if state.held and state.missed:
        return "diamond", "in part"
    if state.held:
        return "disc", "held"
    if state.missed:
        return "cross", "not held"
    if not state.unknown:
        return ("bar", "not reached") if is_over else ("ring", "to come")
    return ("bar", "not measurable") if state.measured else ("ring", "yours to judge")


def _changes(changes: Sequence[Change]) -> Html:
    if not changes:
        return Html()
    lines: list[tuple[object, ...]] = [
        (each.parameter, _change(each), each.why) for each in changes
    ]
    table = sheet.table(("parameter", "value", "why"), lines)
    return join((sheet.heading("What is changed"), table))


def _change(change: Change) -> str:
    if change.before == change.after:
        return f"{change.after}, kept"
    return f"{change.after}" if change.before is None else f"{change.before} \u2192 {change.after}"


def _history(history: Sequence[Registration]) -> Html:
    lines = join(
        fill(
            "<li>{what} {when} by {whom}, <b>{late}</b>: {name}</li>",
            what="Changed" if number else "Registered",
            when=each.registered_at.strftime("%Y-%m-%d %H:%M UTC"),
            whom=each.by_whom,
            late="after results existed" if each.after_results else "before any result",
            name=each.name,
        )
        for number, each in enumerate(history)
    )
    return join((sheet.heading("History"), fill('<ul class="ew-list">{lines}</ul>', lines=lines)))
