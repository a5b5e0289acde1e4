"""`epochwatch plan`: check a plan, register it for a run before the results, see where it stands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.formats.run_plan import Decision, RunPlan
    from core.plans import Registration, Standing

app = typer.Typer(help="Plans of runs, with gates set beforehand.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(help="A plan (TOML).")]
RunName = Annotated[str, typer.Argument(help="The run's name.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def check(file: File, json_: AsJson = False) -> None:
    """Read a plan and show how it is understood; errors name their line."""
    from core.formats.run_plan import plan_to_json, read_plan
    from core.rules.gate_evidence import is_metric
    from daemon.cli.output import print_json

    plan = read_plan(file, is_metric=is_metric)
    if json_:
        print_json(plan_to_json(plan))
        return
    _print_aims(plan)
    _print_gates(plan)
    for each in plan.expectations:
        kind = "measured" if each.criterion else "for a person to judge"
        print(f"Expected {_span(each.first, each.last)}: {each.text} ({kind})")
    _print_decisions(plan.decisions)


@app.command("set")
def set_(run: RunName, file: File) -> None:
    """Register a plan for a run. That it is changed after results exist is recorded."""
    from core import plans
    from core.formats.run_plan import read_plan
    from core.rules.gate_evidence import is_metric
    from core.settings import load_settings
    from core.store.opening import open_database
    from daemon.cli.runs import judge_name, run_called

    plan = read_plan(file, is_metric=is_metric)
    with open_database(load_settings()) as database, database.transaction() as connection:
        run_id = run_called(connection, run)
        late = plans.register(connection, run_id, plan, by_whom=judge_name())
    if late is None:
        print(f"This plan stands for {run} already: nothing was changed.")
        return
    print(f"{plan.name} is the plan of {run} now: {len(plan.gates)} gates.")
    if late:
        print("The run has results already: it is recorded that the plan was set after them.")


@app.command()
def show(run: RunName, json_: AsJson = False) -> None:
    """Show a run's plan with the state of each gate. Also whether it was changed after results."""
    from dataclasses import asdict

    from core import plans
    from core.errors import Fixable
    from core.formats.run_plan import plan_to_json
    from core.settings import load_settings
    from core.store.opening import open_database
    from daemon.cli.output import print_json
    from daemon.cli.runs import run_called

    with open_database(load_settings()) as database, database.transaction() as connection:
        run_id = run_called(connection, run)
        standing = plans.look(connection, run_id)
        if standing is None:
            raise Fixable(f"{run} has no plan. Set one: epochwatch plan set {run} FILE")
        history = plans.history(connection, run_id)
    if json_:
        print_json(
            {
                "run": run,
                "plan": plan_to_json(standing.plan),
                "history": [asdict(each) for each in history],
                "gates": [each.as_json() for each in standing.gates],
                "expectations": [each.as_json() for each in standing.expectations],
            }
        )
        return
    print("\n".join(_history_lines(history)))
    _print_standing(standing)


def _print_standing(standing: Standing) -> None:
    """Print the plan as the evidence has it."""
    from core.rules.gates import hypothesis_sentence

    _print_aims(standing.plan)
    _say(hypothesis_sentence(standing.plan, standing.gates))
    for state in standing.gates:
        _say(f"- {'must: ' if state.must else ''}{state.sentence}")
    for phase in standing.expectations:
        _say(f"Expected {phase.sentence}")
    _print_decisions(standing.decisions)


def _print_aims(plan: RunPlan) -> None:
    """Print what is believed and what is changed for it."""
    stated = f" ({100 * plan.confidence:.0f} % sure)" if plan.confidence is not None else ""
    _say(f"{plan.name}{f', after {plan.parent_run}' if plan.parent_run else ''}")
    _say(f"Hypothesis{stated}: {plan.hypothesis}")
    for change in plan.changes:
        before = "" if change.before is None else f"{change.before} -> "
        kept = change.before == change.after
        _say(
            f"  {change.parameter}: {f'{change.after} kept' if kept else f'{before}{change.after}'}"
        )
    if plan.look_at:
        _say(f"A person looks at epochs {', '.join(map(str, plan.look_at))}.")


def _print_gates(plan: RunPlan) -> None:
    """Print the gates as a table."""
    from core.rules.gate_evidence import criterion_words
    from daemon.cli.output import print_table

    shown = [
        {
            "gate": gate.name,
            "must": "must" if gate.must else "wish",
            "epochs": _span(gate.from_epoch, gate.by_epoch),
            "if it fails": f"stop at {gate.stop_at}" if gate.stop_at else "warn",
            "criterion": criterion_words(gate.criterion),
        }
        for gate in plan.gates
    ]
    print_table(shown, ("gate", "must", "epochs", "if it fails", "criterion"))


def _print_decisions(decisions: Sequence[Decision]) -> None:
    """Print decision points with what is to be done."""
    from core.rules.plan_news import decision_case

    for each in decisions:
        _say(f"After epoch {each.after_epoch}, {decision_case(each)}:")
        for step in each.do:
            _say(f"  - {step}")


def _history_lines(history: Sequence[Registration]) -> list[str]:
    """Return who registered what when, and whether that was before the results."""
    lines = []
    for number, each in enumerate(history):
        what = "Changed" if number else "Registered"
        when = each.registered_at.strftime("%Y-%m-%d %H:%M UTC")
        late = "AFTER results existed" if each.after_results else "before any result"
        lines.append(f"{what} {when} by {each.by_whom}, {late} ({each.digest[:12]}).")
    return lines


def _say(text: str) -> None:
    """Print a line; what a plan holds can do nothing to the terminal."""
    print("".join(letter if letter.isprintable() else "\ufffd" for letter in text))


def _span(first: int, last: int) -> str:
    return f"{first}-{last}" if last > first else str(first)
