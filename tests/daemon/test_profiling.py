"""What a run is measured as follows its training images, and whoever says otherwise wins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from core.errors import Fixable
from core.formats.caption_file import CaptionedImage, read_captions
from core.formats.prompt_suite import read_suite
from core.settings import load_settings
from daemon.demo.story import DATASET
from daemon.profiling import Chosen, grid_of_images, profile_of


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> tuple[CaptionedImage, ...]:
    """Give 24 views of a photograph of a person, captioned as people do."""
    folder = tmp_path_factory.mktemp("photographs")
    whole = Image.fromarray(data.astronaut())
    for number in range(24):
        box = (4 * number, 2 * number, 400 + 4 * number, 400 + 2 * number)
        whole.resize((256, 256), box=box).save(folder / f"{number:02d}.jpg")
        (folder / f"{number:02d}.txt").write_text("photo of a sks woman, gray background")
    return read_captions(folder)


@pytest.fixture(scope="module")
def sprites() -> tuple[CaptionedImage, ...]:
    """Give some of the demo's training images."""
    return read_captions(DATASET)[:60]


def test_a_folder_of_photographs_is_no_pixel_art_whatever_the_grid_of_the_recipe(
    photographs: tuple[CaptionedImage, ...],
) -> None:
    """A suite that asks for 24 cells does not make a person's photographs pixel art."""
    found = profile_of(photographs, 24, grid_is_told=True)

    assert found.profile
    assert found.profile.kind == "character"
    assert found.profile.images == 24
    assert "a character or person" in found.sentences[0]
    assert "--profile" in found.sentences[0]
    assert grid_of_images(photographs) is None


def test_sprites_are_pixel_art_with_nothing_to_be_told_but_what_is_not_measurable(
    sprites: tuple[CaptionedImage, ...],
) -> None:
    """Sixty sprites are too few to learn to see a crown, and the reason is told."""
    found = profile_of(sprites, 24)

    assert found.profile
    assert found.profile.kind == "pixel_art"
    assert found.profile.off == ()
    assert grid_of_images(sprites) == 24
    for sentence in found.sentences:
        assert sentence.startswith("Not measurable: ")


@pytest.mark.parametrize(
    ("chosen", "kind"), [("style", "style"), ("votes", "votes"), ("character", "character")]
)
def test_what_is_chosen_wins(
    chosen: Chosen, kind: str, sprites: tuple[CaptionedImage, ...]
) -> None:
    """Also over pictures that plainly are something else."""
    found = profile_of(sprites, 24, chosen=chosen)

    assert found.profile
    assert found.profile.kind == kind
    assert found.sentences


def test_without_images_the_suite_tells_and_else_each_image_for_itself() -> None:
    """A grid that somebody wrote means pixel art; the default does not."""
    told, silent = profile_of((), 24, grid_is_told=True), profile_of((), 24)

    assert told.profile is None
    assert told.sentences == ()
    assert silent.profile
    assert silent.profile.kind == "unknown"
    assert "Give --data" in silent.sentences[0]
    assert profile_of((), None).profile is None


def test_large_pixel_art_gives_its_grid_to_a_derived_suite(tmp_path: Path) -> None:
    """Sprites that were enlarged for training are drawn on the grid they were made on."""
    for file in sorted(DATASET.glob("*.png"))[:6]:
        cells = np.asarray(Image.open(file).convert("RGB"))
        Image.fromarray(cells.repeat(16, axis=0).repeat(16, axis=1)).save(tmp_path / file.name)

    assert grid_of_images(read_captions(tmp_path)) == 24


def test_a_suite_names_its_profile_and_whether_it_has_told_a_grid(tmp_path: Path) -> None:
    """Checked when it is read, with the words that can be chosen."""
    text = 'profile = "{}"\n[recipe]\n{}\n[[prompt]]\nname = "a"\ntext = "a cup"\n'
    suite = tmp_path / "suite.toml"
    suite.write_text(text.format("style", "grid = 32"), encoding="utf-8")
    loaded = read_suite(suite)
    suite.write_text(text.format("auto", ""), encoding="utf-8")
    silent = read_suite(suite)
    suite.write_text(text.format("photo", ""), encoding="utf-8")

    assert (loaded.profile, loaded.grid_is_told) == ("style", True)
    assert (silent.profile, silent.grid_is_told) == ("auto", False)
    with pytest.raises(Fixable, match="pixel-art, character, style, votes"):
        read_suite(suite)


def test_the_setting_knows_the_same_words() -> None:
    """A typing mistake is told, and nothing is started."""
    assert load_settings(profile="votes").profile == "votes"
    with pytest.raises(Fixable, match="profile"):
        load_settings(profile="anime")
