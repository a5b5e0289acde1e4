"""The command `scorers`: lets plugged-in models prove themselves, and show what they say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer


def scorers(
    images: Annotated[
        list[Path] | None, typer.Argument(help="Images to be scored, once it is proved.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="The training images with their captions.")
    ] = None,
    text: Annotated[str, typer.Option(help="What the images are compared with.")] = "",
    against: Annotated[
        Path | None, typer.Option(help="Folder of images of the base model, for likeness.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Let plugged-in scorers prove themselves on your captions. Nothing is downloaded."""
    from core.errors import Fixable
    from core.formats.caption_file import read_captions
    from core.settings import load_settings
    from daemon.cli.output import print_json
    from daemon.scorers.client import Scorer
    from daemon.scorers.detecting import detectors_of, things_in

    settings = load_settings(data=data)
    if not settings.scorers:
        raise Fixable(
            "No scorer is plugged in, which is how it is by default. Name a folder with a model in "
            'epochwatch.toml, for example:  [scorers]  clip = "/models/clip-vit-base-patch32"'
        )
    if settings.data is None:
        raise Fixable("A scorer is proved on your training images: name them with --data DIR.")
    training = read_captions(settings.data)
    base = [each.path for each in read_captions(against)] if against else []
    things = sorted(set().union(*(things_in(each.caption) for each in training)))
    found = []
    for name, folder in sorted(settings.scorers.items()):
        with Scorer(name=name, folder=folder) as scorer:
            trial = scorer.trial(training, images=images or (), text=text, base=base)
            seen = detectors_of(scorer, training, things)
        found.append(replace(trial, things=tuple(seen.items())))
    if as_json:
        print_json([each.as_json() for each in found])
        return
    for trial in found:
        said = trial.proof.said if trial.proof else "not proved"
        print(f"{trial.name} ({trial.what}): {f'off: {trial.why_off}' if trial.why_off else said}")
        for path, value in zip(images or (), trial.values or (), strict=False):
            print(f"  {value:7.3f}  {path}")
        for thing, each in trial.things:
            said = each.proof.said if each.proof else ""
            print(f"  {thing}: {f'not measurable: {each.why_not}' if each.why_not else said}")
