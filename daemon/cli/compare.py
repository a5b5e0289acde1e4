"""`epochwatch compare`: put slots side by side, drawing only what is missing; list what there is."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from core.store.comparisons import Comparison
    from core.store.database import Database
    from core.store.files import ImageStore

_LOOK_SECONDS = 1.0


def compare(
    slots: Annotated[
        list[str] | None,
        typer.Argument(
            help="base, 7, pick, production, 7@0.8, OTHER_RUN:12, or sums such as 7+palette:4@0.5, "
            "on another base model as in '7 on NAME'. "
            "A run's name with + @ or : in it stands in quotes, and those in the shell's: "
            "'\"v2+a\":12'. Without any, list the comparisons."
        ),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option("--run", help="The run they belong to; else the only one in progress."),
    ] = None,
    strengths: Annotated[
        str | None,
        typer.Option(help="Each slot at each of these strengths, such as 0.6,0.8,1.0."),
    ] = None,
    suite: Annotated[
        Path | None,
        typer.Option(help="Prompts of this file instead of the run's, drawn as the run's own are."),
    ] = None,
    prompt: Annotated[
        list[str] | None, typer.Option(help="Only this prompt of the suite (repeatable).")
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds instead of the suite's: 1,2,3.")] = None,
    tier: Annotated[str, typer.Option(help="quick, medium or full.")] = "full",
    title: Annotated[str, typer.Option(help="What to call it.")] = "",
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until every image is drawn, with a progress bar.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Write them side by side as one PNG (waits)."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare epochs, strengths, stacks, base model and production. All on the same prompts and seeds."""
    from core.formats.prompt_suite import read_suite
    from core.formats.seed_text import read_seeds
    from core.settings import load_settings
    from core.store.comparisons import comparison
    from core.store.opening import open_database, open_image_store
    from core.wishes import ask_comparison
    from daemon.cli.runs import judge_name, run_called

    settings = load_settings()
    with open_database(settings) as database:
        if not slots:
            _list(database, as_json=json_)
            return
        other = read_suite(suite, settings.embeddings).suite if suite is not None else None
        with database.transaction() as connection:
            grid_id = ask_comparison(
                connection,
                run_id=run_called(connection, run),
                slots=slots,
                by_whom=judge_name(),
                strengths=_numbers(strengths),
                prompts=prompt or [],
                seeds=read_seeds(seeds or ""),
                tier=tier,
                title=title,
                suite=other,
            )
        if wait or output is not None:
            _wait(database, grid_id, quiet=json_)
        with database.transaction() as connection:
            made = comparison(connection, grid_id)
        assert made is not None  # it was asked for above
        if output is not None:
            output.write_bytes(_sheet(open_image_store(settings), made))
    _tell(made, output, as_json=json_)


def _numbers(text: str | None) -> list[float]:
    from core.errors import Fixable

    try:
        return [float(piece) for piece in text.split(",")] if text else []
    except ValueError:
        raise Fixable(f"{text!r} are no strengths; write 0.6,0.8,1.0.") from None


def _list(database: Database, *, as_json: bool) -> None:
    from dataclasses import asdict

    from core.store.comparisons import comparisons
    from daemon.cli.output import print_json, print_table

    with database.transaction() as connection:
        found = [asdict(line) for line in comparisons(connection)]
    if as_json:
        print_json(found)
    elif not found:
        print("No comparisons yet. Make one: epochwatch compare base pick --run NAME")
    else:
        print_table(found, ("id", "title", "run_name", "slots", "drawn", "wanted", "votes"))


def _wait(database: Database, grid_id: int, *, quiet: bool) -> None:
    """Show how many images are drawn until all are, or none can be.

    Raises Fixable when nothing that draws is alive, or the rest cannot be drawn.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from core.errors import Fixable
    from core.store.comparisons import comparison
    from core.store.gallery import hosts

    columns = (
        TextColumn("drawing"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(
        *columns,
        console=Console(stderr=True),
        transient=True,
        disable=quiet or not sys.stderr.isatty(),
    ) as bar:
        task = bar.add_task("drawing", total=None)
        while True:
            with database.transaction() as connection:
                found = comparison(connection, grid_id)
                is_drawing = any(host.can_draw for host in hosts(connection))
            if found is None:
                raise Fixable(f"Comparison {grid_id} was deleted meanwhile, and its run with it.")
            pictures = [each for unit in found.units for each in unit.pictures.values()]
            done = [each for each in pictures if each.image_sha256 or each.defect]
            bar.update(task, total=found.wanted or None, completed=len(done))
            stuck = None if pictures else found.trouble  # its base model is not there, or misfits
            if found.planned and len(done) == len(pictures) and not stuck:
                return
            stuck = stuck or next(
                (each.parked_reason for each in pictures if each.parked_reason), None
            )
            if stuck:
                raise Fixable(f"Some images cannot be drawn: {stuck}")
            if not is_drawing:
                raise Fixable(
                    f"Comparison {grid_id} is asked for, but nothing that draws is running: start "
                    "`epochwatch watch PATH` where the checkpoints are; it will draw the rest."
                )
            time.sleep(_LOOK_SECONDS)


def _sheet(store: ImageStore, made: Comparison) -> bytes:
    """Return the comparison as one PNG: a row for each unit, a column for each slot."""
    from core.errors import Fixable
    from core.reports.contact_sheet import Tile, contact_sheet

    keys = [slot.key for slot in made.slots]
    tiles = [
        Tile(
            png=store.get("images", unit.pictures[slot.key].image_sha256 or ""),
            label=f"{slot.label}: {unit.prompt_name}",
        )
        for unit in made.units
        if unit.is_drawn(keys)
        for slot in made.slots
    ]
    if not tiles:
        raise Fixable("No prompt of this comparison could be drawn by every slot.")
    return contact_sheet(tiles, columns=len(made.slots))


def _tell(made: Comparison, output: Path | None, *, as_json: bool) -> None:
    from daemon.cli.output import print_json

    if as_json:
        print_json(_as_json(made))
        return
    state = f"{made.drawn} of {made.wanted} images are drawn" if made.planned else "to be planned"
    state = made.trouble if made.trouble and not made.units else state
    print(f"Comparison {made.id}: {made.title} ({state}).")
    if output is not None:
        print(output)
    print("Look and vote in the dashboard, pages Compare and Vote.")


def _as_json(made: Comparison) -> dict[str, Any]:
    return {
        "id": made.id,
        "title": made.title,
        "run": made.run_name,
        "slots": [{"key": slot.key, **slot.as_json()} for slot in made.slots],
        "wanted": made.wanted,
        "drawn": made.drawn,
        "units": [
            {
                "prompt": unit.prompt_name,
                "seed": unit.seed,
                "images": {key: each.image_sha256 for key, each in unit.pictures.items()},
            }
            for unit in made.units
        ],
    }
