"""How finishing and palettes are written in a suite, and what is said of mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import Fixable
from core.formats.finishing import Finishing, read_finishing
from core.formats.prompt_suite import read_suite, write_suite_toml


def suite(folder: Path, recipe: str, palettes: str = "") -> Path:
    """Write a suite of one prompt."""
    path = folder / "suite.toml"
    path.write_text(f'[recipe]\n{recipe}\n{palettes}\n[[prompt]]\ntext = "a cat"\n')
    return path


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("cells", Finishing()),
        ("nearest", Finishing(reading="nearest")),
        ("palette:16", Finishing(colors=16)),
        ("nearest,palette: #ABC #50be50 , upscale:8",
         Finishing(reading="nearest", palette=("#aabbcc", "#50be50"), upscale=8)),
    ],
)  # fmt: skip
def test_steps_are_read_and_have_one_text(text: str, steps: Finishing) -> None:
    """However it is spelled, a recipe stores it the same way, which reads back."""
    assert read_finishing(text) == steps
    assert read_finishing(steps.text) == steps


def test_a_named_palette_is_stored_with_its_colors(tmp_path: Path) -> None:
    """So that a sample's key changes when the palette does; and the suite reads back."""
    path = suite(tmp_path, 'finishing = "palette:dusk"', '[palettes]\ndusk = ["#140C1C", "#fff"]')
    loaded = read_suite(path)
    assert loaded.suite.recipe.finishing == "cells, palette:#140c1c #ffffff"
    again = tmp_path / "again.toml"
    again.write_text(write_suite_toml(loaded.suite))
    assert read_suite(again).suite.recipe == loaded.suite.recipe


@pytest.mark.parametrize(
    ("recipe", "palettes", "words"),
    [
        ('finishing = "lanczos"', "", "line 2: finishing has 'lanczos'"),
        ('finishing = "palette:1"', "", "line 2: .*2 to 256"),
        ('finishing = "palette:dawn"', '[palettes]\ndusk = ["#000", "#fff"]', "'dawn'.*dusk"),
        ('finishing = "upscale:2, cells"', "", "line 2: .*out of order"),
        ('finishing = "palette:#000 #12345g"', "", "'#12345g'"),
        ('finishing = "nearest"\ngrid = 0', "", "line 2: finishing needs a grid"),
        ("finishing = 3", "", "line 2: finishing must be text"),
        ("steps = 4", '[palettes]\ndusk = ["#000", "red"]', "line 3: 'red' in dusk"),
        ("steps = 4", "palettes = 3", "palettes"),
        ('renderer = "comfy"', "", "line 2: renderer 'comfy' is none of"),
    ],
)
def test_mistakes_are_told_with_their_line(
    recipe: str, palettes: str, words: str, tmp_path: Path
) -> None:
    """All of them before anything is drawn."""
    with pytest.raises(Fixable, match=words):
        read_suite(suite(tmp_path, recipe, palettes))
