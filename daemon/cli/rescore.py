"""`epochwatch rescore`: the images of a run under the metrics and weights of today."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from daemon.rescoring import Progress, Rescored


def rescore(
    name: Annotated[str, typer.Argument(help="The run's name.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Measure and show what would change; store nothing.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure a run's images again by today's metrics. Nothing is drawn, history stays."""
    from core.settings import load_settings
    from core.store.opening import open_database, open_image_store
    from daemon.cli.logs import start_logs
    from daemon.cli.output import print_json
    from daemon.cli.runs import run_called
    from daemon.rescoring import Rescoring
    from daemon.scorers.detecting import Detecting

    settings = load_settings()
    start_logs(settings, quiet=True)
    with open_database(settings) as database, Detecting(scorers=settings.scorers) as detecting:
        with database.transaction() as connection:
            run_id = run_called(connection, name)
        work = Rescoring(
            database=database,
            store=open_image_store(settings),
            run_id=run_id,
            host=settings.host_name,
            keep=not dry_run,
            detecting=detecting,
        )
        found = _with_bar(work.rescore)
    if json_:
        print_json({"run": name, **found.as_json()})
    else:
        _tell(name, found)


def _with_bar(work: Callable[[Progress], Rescored]) -> Rescored:
    """Run the work with a progress bar on a terminal, without one elsewhere."""
    from rich import progress
    from rich.console import Console

    with progress.Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("measuring", total=None)
        return work(lambda done, total: bar.update(task, completed=done, total=total))


def _tell(name: str, found: Rescored) -> None:
    from daemon.cli.output import print_table

    said = f"{name}: {found.measured} of {found.images} images measured again"
    if found.current:
        said += f", {found.current} measurements were current"
    if found.lost:
        said += f"; {found.lost} images are no longer in the store and keep their numbers"
    print(f"{said}." + ("" if found.kept else " Nothing was stored."))
    print_table(
        [
            {
                "epoch": each.position,
                "before": each.before,
                "after": each.after,
                "change": None
                if each.before is None or each.after is None
                else f"{each.after - each.before:+.2f}",
                "images": each.images,
            }
            for each in found.changes
        ],
        ("epoch", "before", "after", "change", "images"),
    )
