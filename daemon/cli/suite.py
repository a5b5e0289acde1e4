"""`epochwatch suite`: check a file of test prompts, show a run's, or derive one from captions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from core.nouns import Expectation, Recipe, Suite
    from core.store.database import Connection, Row

app = typer.Typer(help="Suites of test prompts.", no_args_is_help=True)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A suite.")],
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    data: Annotated[
        Path | None, typer.Option(help="The training images with their captions, to check against.")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="A checkpoint, whose metadata is checked against.")
    ] = None,
) -> None:
    """Read a suite and show how it is understood; errors name their line.

    With --data or --checkpoint, say where the test differs from the training: prompts that leave
    out the trigger word, words that no caption has, another size or token length.
    """
    from core.formats.prompt_suite import read_suite, suite_to_json
    from core.settings import shared_settings
    from daemon.cli.output import print_json

    suite = read_suite(file, shared_settings().embeddings).suite
    found = _doubts(suite, data, checkpoint)
    if json_:
        checked = {} if found is None else {"doubts": found}
        print_json(suite_to_json(suite) | checked)
        return
    _print_prompts(suite)
    for doubt in found or ():
        print(f"! {doubt}")
    if found == []:
        print("Nothing speaks against testing that training with this suite.")


@app.command()
def show(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A run, or a stored suite by its name or the first 8 digits of its digest; "
            "else the only run in progress."
        ),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the suite a run is tested with, as it is stored. Prompts, seeds, what they promise."""
    from core.formats.prompt_suite import suite_from_json, suite_to_json
    from core.settings import load_settings
    from core.store.opening import open_database
    from daemon.cli.output import one_line, print_json

    with open_database(load_settings()) as database, database.transaction() as connection:
        found, about = _stored(connection, name)
    suite = suite_from_json(found["body"])
    run = about["run_name"] if about else None
    if json_:
        print_json({"run": run, "digest": found["digest"]} | suite_to_json(suite))
        return
    used = f", the suite of {run} at strength {about['strength']}" if about else ""
    print(one_line(ValueError(f"{suite.name} ({found['digest'][:8]}){used}")))
    print(one_line(ValueError(_recipe(suite.recipe))))
    _print_prompts(suite)


def _stored(connection: Connection, name: str | None) -> tuple[Row, Row | None]:
    """Return a stored suite with the run it was asked for by; None for one asked for by its name.

    Raises Fixable that says what there is.
    """
    from core.errors import Fixable
    from core.store.database import row, rows
    from daemon.cli.runs import run_called

    is_run = name is None or row(connection, "runs.by_name", run_name=name) is not None
    if is_run:
        run_id = run_called(connection, name, ": epochwatch suite show NAME")
        about = row(connection, "runs.get", run_id=run_id) or {}
        digest = about.get("suite")
        if digest is None:
            raise Fixable(
                f"{about['run_name']} has no test prompts yet: they are found when its first "
                "checkpoint comes in."
            )
        found = row(connection, "runs.suites", name=digest)
        assert found is not None  # a run's suite is never deleted
        return found, about
    found = row(connection, "runs.suites", name=name)
    if found is None:
        known = [
            *dict.fromkeys(each["run_name"] for each in rows(connection, "runs.all")),
            *dict.fromkeys(each["name"] for each in rows(connection, "runs.suites", name=None)),
        ]
        there = ", ".join(known[:20]) or "none yet: epochwatch watch PATH"
        raise Fixable(f"There is no run and no suite called {name!r}. Runs and suites: {there}.")
    return found, None


def _recipe(recipe: Recipe) -> str:
    """Return how the prompts are drawn, in one line."""
    art = f", pixel art of {recipe.grid} cells" if recipe.grid else ""
    without = f"; negative prompt: {recipe.negative}" if recipe.negative else ""
    return (
        f"{recipe.width} x {recipe.height} pixels{art}, {recipe.sampler}, {recipe.steps} steps, "
        f"guidance {recipe.guidance}{without}"
    )


def _print_prompts(suite: Suite) -> None:
    from daemon.cli.output import print_table

    shown = [
        {
            "name": each.name,
            "tier": each.tier,
            "seeds": ", ".join(map(str, each.seeds)),
            "promises": _promises(each.expect),
            "text": each.text,
        }
        for each in suite.prompts
    ]
    print_table(shown, ("name", "tier", "seeds", "promises", "text"))


def _doubts(suite: Suite, data: Path | None, checkpoint: Path | None) -> list[str] | None:
    """Return where the suite differs from a training; None when none was named."""
    from core.errors import Fixable
    from core.formats.caption_file import read_captions
    from core.formats.checkpoint_header import Header, read_header
    from core.rules.validity import Trial, doubts

    if data is None and checkpoint is None:
        return None
    captions = [image.caption for image in read_captions(data)] if data else []
    metadata: dict[str, str] = {}
    if checkpoint is not None:
        header = read_header(checkpoint)
        if not isinstance(header, Header):
            raise Fixable(f"{checkpoint} tells nothing of its training: {header.reason}")
        metadata = dict(header.metadata)
    trial = Trial(suite=suite, base_sha256=None, base_is_file=False)
    return list(doubts(metadata, trial, captions))


def _promises(expect: Expectation) -> str:
    """Return what a prompt promises, in words."""
    ground = [f"background {expect.background}"] if expect.background else []
    regions = [f"{name} {color}" for name, color in expect.regions]
    kinds = [each for each in (expect.expression, expect.subject) if each]
    return ", ".join([*ground, *regions, *expect.accessories, *kinds]) or "-"


@app.command()
def init(
    data: Annotated[Path, typer.Argument(help="The training images with their captions.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Where to write.")] = Path(
        "suite.toml"
    ),
    count: Annotated[int, typer.Option(min=1, max=200, help="How many prompts.")] = 12,
) -> None:
    """Derive test prompts from the training captions. Some seen, some recombined, some unseen."""
    from core.errors import Fixable
    from core.formats.caption_file import derive_suite, read_captions
    from core.formats.prompt_suite import write_suite_toml
    from core.nouns import Recipe

    if output.exists():
        raise Fixable(f"{output} exists already; name another file with -o.")
    captions = [image.caption for image in read_captions(data)]
    if not captions:
        raise Fixable(f"No captioned images in {data}: each needs a .txt file of the same name.")
    suite = derive_suite(captions, recipe=Recipe(), count=count)
    output.write_text(write_suite_toml(suite), encoding="utf-8")
    print(f"{len(suite.prompts)} prompts written to {output}")
