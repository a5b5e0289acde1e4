"""`epochwatch runs export`: what is remembered as tables for other programs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

_LOG = ("version", "date", "dataset_size", "steps", "win_rate", "notes")
_TABLES = {
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
    """Export runs, epochs, test images or the training log. As CSV or JSON."""
    from core.errors import Fixable
    from core.reports.table_files import csv_text, json_text
    from core.settings import load_settings
    from core.store.database import rows
    from core.store.opening import open_database
    from core.versions import versions
    from daemon.cli.runs import run_called

    if table != "log" and table not in _TABLES:
        raise Fixable(f"{table!r} is no table; write one of: log, {', '.join(_TABLES)}.")
    with open_database(load_settings()) as database, database.transaction() as connection:
        run_id = run_called(connection, run) if run is not None else None
        found = (
            [each.as_row() for each in versions(connection, run_id)]
            if table == "log"
            else rows(connection, _TABLES[table], run_id=run_id)
        )
    columns = _LOG if table == "log" else tuple(found[0]) if found else ()
    if not columns and not json_:  # a table without columns is no CSV
        raise Fixable("There is nothing to export yet: epochwatch watch PATH")
    text = (json_text if json_ else csv_text)(columns, found)
    if output is None:
        sys.stdout.write(text)
        return
    output.write_text(text, encoding="utf-8")
    print(f"{output}: {len(found)} rows")
