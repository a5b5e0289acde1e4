"""`epochwatch suite`: check a file of test prompts, or derive one from captions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from core.nouns import Expectation, Suite

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
    from daemon.cli.output import print_json, print_table

    suite = read_suite(file, shared_settings().embeddings).suite
    found = _doubts(suite, data, checkpoint)
    if json_:
        checked = {} if found is None else {"doubts": found}
        print_json(suite_to_json(suite) | checked)
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
    for doubt in found or ():
        print(f"! {doubt}")
    if found == []:
        print("Nothing speaks against testing that training with this suite.")


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
    return ", ".join([*ground, *regions, *expect.accessories]) or "-"


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
