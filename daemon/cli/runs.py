"""`epochwatch runs`, `log` and `report`: what is remembered of runs, and a person's word."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from core.nouns import EpochScore
    from core.store.database import Connection, Row

app = typer.Typer(help="What is remembered of runs.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_(json_: AsJson = False) -> None:
    """List all runs, newest first."""
    from core.settings import load_settings
    from core.store.database import rows
    from core.store.opening import open_database
    from daemon.cli.output import print_json, print_table

    with open_database(load_settings()) as database, database.transaction() as connection:
        found = rows(connection, "runs.all")
    if json_:
        print_json(found)
    elif not found:
        print("No runs yet. Watch a folder: epochwatch watch PATH")
    else:
        shown = [
            {
                "run": each["run_name"],
                "status": each["status"],
                "tested": each["epochs_tested"],
                "best": each["best_epoch"],
                "score": each["quality_score"],
                "convergence": each["convergence_status"],
            }
            for each in found
        ]
        print_table(shown, tuple(shown[0]))


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="The run's name.")], json_: AsJson = False
) -> None:
    """Show a run: its advice and its epochs."""
    from core.settings import load_settings
    from core.store.database import row, rows
    from core.store.opening import open_database
    from daemon.cli.output import EPOCH_COLUMNS, print_json, print_table

    with open_database(load_settings()) as database, database.transaction() as connection:
        run_id = run_called(connection, name)
        blocked = (row(connection, "runs.get", run_id=run_id) or {})["blocked_reason"]
        advice = row(connection, "results.current_advice", run_id=run_id)
        epochs = rows(connection, "runs.epochs", run_id=run_id)
    if json_:
        said = {"advice": advice["body"] if advice else None, "blocked": blocked}
        print_json({"run": name, **said, "epochs": epochs})
        return
    print(blocked or (advice["sentence"] if advice else "Nothing is tested yet."))
    if epochs:
        print_table(epochs, EPOCH_COLUMNS)


@app.command()
def scores(name: Annotated[str, typer.Argument(help="The run's name.")]) -> None:
    """Print the scores the advice rests on, as CSV. `epochwatch converge` reads it."""
    import csv
    import sys

    from core.settings import load_settings
    from core.store.database import rows
    from core.store.opening import open_database
    from core.tested import tested_epochs
    from daemon.advising import score_rows

    with open_database(load_settings()) as database, database.transaction() as connection:
        run_id = run_called(connection, name)
        epochs = tested_epochs(rows(connection, "results.of_run", run_id=run_id), [])
    out = csv.writer(sys.stdout)
    out.writerow(("epoch", "prompt", "score"))
    out.writerows((each.position, each.unit, repr(each.score)) for each in score_rows(epochs))


@app.command()
def finish(name: Annotated[str, typer.Argument(help="The run's name.")]) -> None:
    """Say that a run is over. A checkpoint that comes later opens it again."""
    from core.settings import load_settings
    from core.store import owners_tables
    from core.store.database import bump
    from core.store.opening import open_database

    with open_database(load_settings()) as database, database.transaction() as connection:
        owners_tables.finish_run(connection, run_called(connection, name))
        bump(connection)
    print(f"{name} is marked completed.")


def log(
    epoch: Annotated[int, typer.Argument(min=1, help="The epoch, or the step.")],
    visual: Annotated[float, typer.Argument(help="0-10")],
    style: Annotated[float, typer.Argument(help="0-10")],
    prompt: Annotated[float, typer.Argument(help="0-10")],
    notes: Annotated[str, typer.Argument(help="What you saw.")] = "",
    run: Annotated[
        str | None, typer.Option("--run", help="The run's name; else the only one in progress.")
    ] = None,
) -> None:
    """Log your own scores of an epoch. They stand beside the machine's and come first."""
    from core.settings import load_settings
    from core.store import scores
    from core.store.opening import open_database

    with open_database(load_settings()) as database, database.transaction() as connection:
        run_id = run_called(connection, run)
        unit = _checked_unit(connection, run_id, epoch)
        scores.add(connection, run_id, epoch, judge_name(), visual, style, prompt, notes)
        machine = _machine_score(connection, run_id, epoch)
    average = (visual + style + prompt) / 3
    print(f"{unit.capitalize()} {epoch}: {average:.1f} logged.")
    print(_beside(machine, visual, style, prompt))


def _checked_unit(connection: Connection, run_id: int, position: int) -> str:
    """Return what a run's position is: an "epoch" or a "step".

    One that the run does not have is refused; a run without any checkpoint is logged by hand.

    Raises Fixable that names the epochs there are.
    """
    from core.errors import Fixable
    from core.nouns import unit_of
    from core.store.database import row, rows

    about = row(connection, "runs.get", run_id=run_id) or {}
    unit = unit_of(about["position_unit"])
    known = {each["position"] for each in rows(connection, "checkpoints.current", run_id=run_id)}
    if not known:
        return unit
    known |= {each["epoch"] for each in rows(connection, "runs.epochs", run_id=run_id)}
    if position not in known:
        there = ", ".join(map(str, sorted(known)))
        raise Fixable(f"{about['run_name']} has no {unit} {position}; it has: {there}.")
    return unit


def _machine_score(connection: Connection, run_id: int, position: int) -> EpochScore | None:
    """Return what the machine makes of a position; None before its test is over."""
    from core.store.database import rows
    from core.tested import tested_epochs

    tested = tested_epochs(rows(connection, "results.of_run", run_id=run_id), [])
    return tested[position].summary.score if position in tested else None


def _beside(machine: EpochScore | None, visual: float, style: float, prompt: float) -> str:
    """Return the machine's score beside a person's, told only now so that it sways nobody."""
    from core.rules.scoring import floor_for_display

    if machine is None or machine.average is None:
        return "The machine has no score of it yet."
    pairs = (("visual", machine.visual, visual), ("style", machine.style, style),
             ("prompt", machine.prompt, prompt))  # fmt: skip
    told = [
        f"{name} -"
        if own is None
        else f"{name} {floor_for_display(own):.1f} (you {theirs - own:+.1f})"
        for name, own, theirs in pairs
    ]
    return f"The machine gave it {floor_for_display(machine.average):.1f}: {', '.join(told)}."


def judge_name() -> str:
    """Return who is at the keyboard: containers run users that have no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody"


def run_called(connection: Connection, name: str | None, how: str = " with --run NAME") -> int:
    """Return the id of the run, or of the only run in progress when no name is given.

    ``how`` ends the sentence that asks for a name. Raises Fixable that lists the runs to choose from.
    """
    from core.errors import Fixable
    from core.store.database import row, rows

    if name is not None:
        found = row(connection, "runs.by_name", run_name=name)
        if found is None:
            raise Fixable(
                f"There is no run called {name!r}. {_named(rows(connection, 'runs.all'))}"
            )
        return int(found["id"])
    known = rows(connection, "runs.all")
    open_runs = [each for each in known if each["status"] == "in_progress"]
    if len(open_runs) != 1:
        raise Fixable(f"Say which run{how}. {_named(open_runs or known)}")
    return int(open_runs[0]["id"])


def _named(known: list[Row]) -> str:
    """Return a sentence that lists runs to choose from."""
    names = ", ".join(each["run_name"] for each in known[:10])
    more = f" and {len(known) - 10} more" if len(known) > 10 else ""
    return f"Runs: {names}{more}." if names else "There are none yet: epochwatch watch PATH"


def report(
    name: Annotated[str, typer.Argument(help="The run's name.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Where to write.")] = None,
) -> None:
    """Write a run's report: one self-contained HTML page."""
    from core.settings import load_settings
    from core.store.opening import open_database, open_image_store
    from daemon.actions.report import write_report

    settings = load_settings()
    with open_database(settings) as database, database.transaction() as connection:
        run_id = run_called(connection, name)
        path = write_report(
            connection, open_image_store(settings), run_id, output or settings.home / "reports"
        )
    print(path)
