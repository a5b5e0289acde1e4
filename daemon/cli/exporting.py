"""`epochwatch runs export`: what is remembered as tables for other programs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from core.store.database import Connection, Row

_LOG = ("version", "date", "dataset_size", "steps", "win_rate", "notes")
_TABLES = {
    "log": "exports.log",
    "runs": "exports.runs",
    "epochs": "exports.epochs",
    "prompts": "exports.prompts",
}


def export(
    table: Annotated[
        str, typer.Argument(help="log (a line a run), runs, epochs or prompts.")
    ] = "epochs",
    run: Annotated[str | None, typer.Option("--run", help="Only this run.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where to write; else it is printed.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="JSON instead of CSV.")] = False,
) -> None:
    """Export runs, epochs, test images or the training log as CSV or JSON."""
    from core.errors import Fixable
    from core.reports.table_files import csv_text, json_text
    from core.settings import load_settings
    from core.store.database import rows
    from core.store.opening import open_database
    from daemon.cli.runs import run_called

    if table not in _TABLES:
        raise Fixable(f"{table!r} is no table; write one of: {', '.join(_TABLES)}.")
    with open_database(load_settings()) as database, database.transaction() as connection:
        run_id = run_called(connection, run) if run is not None else None
        found = rows(connection, _TABLES[table], run_id=run_id)
        if table == "log":
            found = [{**each, "win_rate": _win_rate(connection, each)} for each in found]
    columns = _LOG if table == "log" else tuple(found[0]) if found else ()
    if not columns:
        raise Fixable("There is nothing to export yet: epochwatch watch PATH")
    text = (json_text if json_ else csv_text)(columns, found)
    if output is None:
        sys.stdout.write(text)
        return
    output.write_text(text, encoding="utf-8")
    print(f"{output}: {len(found)} rows")


def _win_rate(connection: Connection, found: Row) -> str | None:
    """Return how often people preferred the pick to the base model; None without votes."""
    from core.nouns import Stack
    from core.rules.ballots import as_votes
    from core.rules.votes import tally
    from core.store.voting import served_slots

    if found["base_sha256"] is None or found["pick"] is None:
        return None
    base = Stack(base_sha256=found["base_sha256"])
    pick = Stack(base_sha256=found["base_sha256"], loras=((found["pick"], found["strength"]),))
    votes = as_votes(served_slots(connection, [base.key, pick.key]))
    rate = tally(votes, base.key, pick.key).win_rate
    return None if rate is None else f"{rate:.0f}%"
