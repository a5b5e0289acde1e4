"""The command `measure` on every kind of file: numbers, or a reason, never a crash."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.formats.caption_file import read_captions
from core.formats.prompt_text import expectation_from_text
from core.metrics import measure
from daemon.profiling import profile_of
from pictures import Portrait, noisy, portraits

GREEN = ("--background", "#50be50", "--region", "hair=#ff69b4", "--grid", "24")
SCORES = ("visual_quality", "style_match", "prompt_adherence")


def _bomb(path: Path, side: int) -> None:
    """Write a small file that says it has ``side`` by ``side`` pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(64))), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*each) for each in chunks))


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _spoil(drawn: Image.Image, path: Path, *, cut: bool) -> None:
    """Write a file that ends in the middle, or one that still opens, with other pixels."""
    drawn.resize((512, 512), Image.Resampling.NEAREST).save(path)
    whole = bytearray(path.read_bytes())
    half = len(whole) // 2
    whole[half] ^= 0xFF
    path.write_bytes(whole[:half] if cut else whole)


def _save(here: Path, kind: str) -> str:
    """Write a file of a kind that has no number to give, and return its name."""
    drawn = Image.fromarray(Portrait().drawn(96))
    name = f"{kind.replace(' ', '-')}.png"
    if kind == "one pixel":
        Image.new("RGB", (1, 1)).save(here / name)
    elif kind == "all black":
        Image.new("RGB", (96, 96)).save(here / name)
    elif kind == "fully transparent":
        Image.new("RGBA", (96, 96), (255, 0, 0, 0)).save(here / name)
    elif kind == "sixteen bits":
        deep = np.asarray(drawn.convert("L")).astype(np.uint16) * 257
        Image.fromarray(deep).save(here / name)
    elif kind == "printer colors":
        name = "printer.jpg"
        drawn.convert("CMYK").save(here / name)
    elif kind == "animation":
        name = "moving.gif"
        drawn.save(here / name, save_all=True, append_images=[drawn.rotate(90)])
    elif kind in ("cut short", "one wrong byte"):
        _spoil(drawn, here / name, cut=kind == "cut short")
    elif kind == "a text":
        (here / name).write_text("no picture")
    elif kind == "empty":
        (here / name).write_bytes(b"")
    else:
        _bomb(here / name, int(kind.rsplit(maxsplit=1)[-1]))
    return name


@pytest.mark.parametrize("kind", ["one pixel", "all black", "fully transparent"])
def test_an_image_without_content_has_a_reason_for_every_score(
    epochwatch: Any, here: Path, kind: str
) -> None:
    """Valid files with nothing to measure: null, and why."""
    said = epochwatch("measure", _save(here, kind), *GREEN, "--json")
    [found] = json.loads(said.out)

    assert said.code == 0
    assert [found[name] for name in SCORES] == [None] * 3
    assert set(found["reasons"]) >= set(SCORES)
    assert all(metric["value"] is None for metric in found["metrics"].values())


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("sixteen bits", "16 bits"),
        ("printer colors", "CMYK"),
        ("animation", "2 frames"),
        ("cut short", "cannot be read"),
        ("one wrong byte", "cannot be read"),
        ("a text", "cannot be read"),
        ("empty", "cannot be read"),
        ("bomb 100000", "at most 8192 x 8192"),
        ("bomb 10000", "10000 x 10000 pixels"),
    ],
)
def test_a_file_that_is_no_still_8_bit_image_says_so(
    epochwatch: Any, here: Path, kind: str, told: str
) -> None:
    """One line that names the file and what to do, exit code 2, and no number."""
    name = _save(here, kind)
    said = epochwatch("measure", name, *GREEN, "--annotate", "out.png")

    assert (said.code, said.out) == (2, "")
    assert name in said.err
    assert told in said.err
    assert said.err.count("\n") == 1
    assert not (here / "out.png").exists()


@pytest.mark.parametrize("kind", ["palette", "opaque alpha"])
def test_a_palette_or_an_opaque_alpha_changes_no_number(
    epochwatch: Any, here: Path, kind: str
) -> None:
    """Pixel art is often saved with a palette: its colors are exact."""
    drawn = Image.fromarray(Portrait().drawn(96))
    drawn.save(here / "plain.png")
    other = drawn.quantize(64) if kind == "palette" else drawn.convert("RGBA")
    other.save(here / "other.png")
    plain, other = json.loads(epochwatch("measure", "plain.png", "other.png", *GREEN, "--json").out)

    assert {**plain, "image": ""} == {**other, "image": ""}
    assert plain["prompt_adherence"] == 10


def test_a_picture_is_measured_as_viewers_show_it(epochwatch: Any, here: Path) -> None:
    """What EXIF says of which side is up is followed, and nothing else of it counts."""
    drawn = Image.fromarray(Portrait().drawn(96))
    drawn.save(here / "plain.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by a quarter to the right
    drawn.transpose(Image.Transpose.ROTATE_90).save(here / "lying.png", exif=exif)
    plain, lying = json.loads(epochwatch("measure", "plain.png", "lying.png", *GREEN, "--json").out)

    assert {**plain, "image": ""} == {**lying, "image": ""}


def test_several_colors_may_be_given_by_hand(epochwatch: Any, here: Path) -> None:
    """As a prompt and a suite may name them."""
    Image.fromarray(Portrait().drawn(96)).save(here / "good.png")
    asked = ("--region", "hair=pink and blue", "--background", "green or white", "--json")
    [told] = json.loads(epochwatch("measure", "good.png", *asked).out)

    assert told["metrics"]["region_hair"]["value"] == 50
    assert told["metrics"]["background_match"]["value"] == 100


def test_one_bad_file_spoils_none_of_the_others(epochwatch: Any, here: Path) -> None:
    """The good ones are printed, the bad ones named, and the exit code says that something failed."""
    Image.fromarray(Portrait().drawn(96)).save(here / "good.png")
    bad = [_save(here, kind) for kind in ("a text", "sixteen bits")]
    said = epochwatch("measure", bad[0], "good.png", bad[1], *GREEN, "--json")

    assert said.code == 2
    assert [each["image"] for each in json.loads(said.out)] == ["good.png"]
    assert all(name in said.err for name in bad)


def test_the_grid_is_taken_as_given_or_found(epochwatch: Any, here: Path) -> None:
    """--grid verifies; without it the grid is searched for."""
    Image.fromarray(Portrait().drawn(96)).save(here / "good.png")
    asked = json.loads(epochwatch("measure", "good.png", "--grid", "32", "--json").out)[0]
    found = json.loads(epochwatch("measure", "good.png", "--json").out)[0]

    assert "wrong_grid" in asked["issues"]
    assert found["metrics"]["grid_found"]["value"] == 24


def test_a_small_picture_is_pixel_art_at_one_pixel_a_cell(epochwatch: Any, here: Path) -> None:
    """The finished sprite is no less pixel art than its enlargement; what it cannot show says why."""
    Image.fromarray(Portrait().cells()).save(here / "small.png")
    noise = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    Image.fromarray(noise).save(here / "noise.png")
    small, other = json.loads(epochwatch("measure", "small.png", "noise.png", "--json").out)

    assert small["visual_quality"] == 10
    assert "under 3 pixels" in small["reasons"]["style_match"]
    assert other["visual_quality"] is None


@pytest.mark.parametrize("grid", ["0", "-3", "5000"])
def test_a_grid_that_cannot_be_is_refused(epochwatch: Any, here: Path, grid: str) -> None:
    """The range is told."""
    Image.fromarray(Portrait().drawn(96)).save(here / "good.png")
    said = epochwatch("measure", "good.png", "--grid", grid)

    assert said.code == 2
    assert "1 to 1024" in said.err


def test_scores_are_cut_and_never_rounded_up(epochwatch: Any, here: Path) -> None:
    """What people read is at most what was measured."""
    Image.fromarray(noisy(Portrait().drawn(512), 30)).save(here / "noisy.png")
    exact = json.loads(epochwatch("measure", "noisy.png", *GREEN, "--json").out)[0]
    lines = epochwatch("measure", "noisy.png", *GREEN).out.splitlines()
    [style] = [float(line.split()[-1]) for line in lines if "style match" in line]

    assert exact["style_match"] - 0.1 < style <= exact["style_match"]


def test_with_the_training_images_the_numbers_are_those_of_a_run(
    epochwatch: Any, here: Path
) -> None:
    """Where hair is was learned from them, so that half of it in another color is no full marks."""
    (here / "data").mkdir()
    for number, each in enumerate(portraits()[:24]):
        drawn = Image.fromarray(each.cells())
        drawn.save(here / "data" / f"{number}.png")
        caption = f"pixel art, {each.hair} hair, {each.background} background"
        (here / "data" / f"{number}.txt").write_text(caption)
    half = Portrait(second_hair="#28a0a0")
    Image.fromarray(half.drawn(96)).save(here / "half.png")
    words = ("measure", "half.png", "--prompt", "#ff69b4 hair, #50be50 background", "--json")
    alone = json.loads(epochwatch(*words).out)[0]
    learned = json.loads(epochwatch(*words, "--data", "data").out)[0]
    training = read_captions(here / "data")
    in_a_run = measure(
        half.drawn(96),
        expect=expectation_from_text(words[3]),
        grid=24,
        profile=profile_of(training, 24).profile,
    )
    assert {name: learned[name] for name in SCORES} == {
        name: in_a_run.as_json()[name] for name in SCORES
    }
    hair = [told["metrics"]["region_hair"]["value"] for told in (alone, learned)]
    assert hair[1] < 80 < hair[0]


def test_few_training_images_teach_nothing_and_it_is_said(epochwatch: Any, here: Path) -> None:
    """A person would take the number for the one of a run."""
    (here / "data").mkdir()
    Image.fromarray(Portrait().cells()).save(here / "data" / "1.png")
    Image.fromarray(Portrait().drawn(96)).save(here / "good.png")
    said = epochwatch("measure", "good.png", "--data", "data")
    assert said.code == 0
    assert said.err == "Nothing is learned from fewer than 20 training images, and data has 1.\n"


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_what_was_measured_is_drawn_beside_the_numbers(
    epochwatch: Any, here: Path, words: tuple[str, ...]
) -> None:
    """One image into a file that is named, with and without JSON."""
    Image.fromarray(Portrait().drawn(96)).save(here / "good.png")
    said = epochwatch("measure", "good.png", *GREEN, "--annotate", "seen/out.png", *words)

    assert said.code == 0
    assert "out.png" in said.out
    with Image.open(here / "seen" / "out.png") as picture:
        assert picture.width > 768


def test_several_images_are_drawn_into_a_folder(epochwatch: Any, here: Path) -> None:
    """Images of the same name do not overwrite each other."""
    for folder in ("a", "b"):
        (here / folder).mkdir()
        Image.fromarray(Portrait().drawn(96)).save(here / folder / "x.png")
    epochwatch("measure", "a/x.png", "b/x.png", "--annotate", "seen")

    assert {path.name for path in (here / "seen").iterdir()} == {
        "x.annotated.png",
        "x-2.annotated.png",
    }


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("a.png", "b.png", "--annotate", "out.png"), "one file for 2 images"),
        (("a.png", "--annotate", "out.tiff"), ".png, or a folder"),
        (("a.png", "--annotate", "a.png"), "would overwrite"),
    ],
)
def test_a_place_that_cannot_take_the_drawing_is_told(
    epochwatch: Any, here: Path, words: tuple[str, ...], told: str
) -> None:
    """Before anything is measured, and no image is overwritten."""
    for name in ("a.png", "b.png"):
        Image.fromarray(Portrait().drawn(96)).save(here / name)
    before = (here / "a.png").read_bytes()
    said = epochwatch("measure", *words)

    assert (said.code, said.out) == (2, "")
    assert told in said.err
    assert (here / "a.png").read_bytes() == before
