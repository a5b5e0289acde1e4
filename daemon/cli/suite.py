"""`epochwatch suite`: check a file of test prompts, or derive one from captions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from core.nouns import Expectation

app = typer.Typer(help="Suites of test prompts.", no_args_is_help=True)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A suite.")],
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Read a suite and show how it is understood; errors name their line."""
    from core.formats.prompt_suite import read_suite, suite_to_json
    from daemon.cli.output import print_json, print_table

    suite = read_suite(file).suite
    if json_:
        print_json(suite_to_json(suite))
        return
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


def _promises(expect: Expectation) -> str:
    """Return what a prompt promises, in words."""
    ground = [f"background {expect.background}"] if expect.background else []
    regions = [f"{name} {color}" for name, color in expect.regions]
    return ", ".join([*ground, *regions, *expect.accessories]) or "-"


@app.command()
def init(
    data: Annotated[Path, typer.Argument(help="The training images with their captions.")],
    output: Annotated[Path, typer.Option("-o", "--output")] = Path("suite.toml"),
    count: Annotated[int, typer.Option(min=1, max=200)] = 12,
) -> None:
    """Derive test prompts from the training captions: seen, recombined and unseen."""
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
