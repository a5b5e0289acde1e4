"""One sheet of tiles: sizes that divide nothing, labels of any script, transparency."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from core.reports.contact_sheet import Tile, contact_sheet, crisp

SIDE = 192


def _png(width: int, height: int, color: object = "#50be50", mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    Image.new(mode, (width, height), color).save(out, "PNG")  # type: ignore[arg-type]
    return out.getvalue()


def _sheet(*tiles: Tile, columns: int = 4) -> Image.Image:
    return Image.open(io.BytesIO(contact_sheet(tiles, columns=columns)))


@pytest.mark.parametrize(("count", "size"), [(1, (216, 234)), (3, (624, 234)), (5, (828, 456))])
def test_a_sheet_is_as_large_as_its_tiles(count: int, size: tuple[int, int]) -> None:
    """One tile makes a small picture, five make two rows."""
    assert _sheet(*[Tile(png=_png(24, 24), label="x")] * count).size == size


def test_no_tile_is_no_sheet() -> None:
    """The caller sends its words alone."""
    with pytest.raises(ValueError, match="at least one tile"):
        contact_sheet([])


@pytest.mark.parametrize(
    ("width", "height"),
    [(1, 1), (24, 24), (191, 7), (193, 192), (2000, 1), (1, 2000), (512, 768), (1000, 999)],
)
def test_any_size_is_fitted_whole(width: int, height: int) -> None:
    """The picture keeps its shape, lies in the middle and fills what it can."""
    pixels = np.asarray(crisp(_png(width, height), SIDE))
    assert pixels.shape == (SIDE, SIDE, 3)
    rows, columns = np.nonzero((pixels == (0x50, 0xBE, 0x50)).all(axis=2))
    assert max(np.ptp(rows), np.ptp(columns)) + 1 > SIDE / 2
    assert abs((rows.min() + rows.max() + 1) / 2 - SIDE / 2) <= 1
    assert abs((columns.min() + columns.max() + 1) / 2 - SIDE / 2) <= 1


def test_pixel_art_stays_crisp() -> None:
    """Each cell of 24 becomes a square of 8 pixels of one color."""
    art = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(art).save(out, "PNG")
    assert (np.asarray(crisp(out.getvalue(), SIDE))[::8, ::8] == art).all()
    assert (np.asarray(crisp(out.getvalue(), SIDE))[7::8, 7::8] == art).all()


def test_transparency_shows_the_paper() -> None:
    """Not black, and not the color that hides under it."""
    pixels = np.asarray(crisp(_png(24, 24, (255, 0, 0, 0), "RGBA"), SIDE))
    assert (pixels == (24, 24, 27)).all()


@pytest.mark.parametrize(
    ("mode", "color"), [("L", 128), ("P", 3), ("1", 1), ("I;16", 40000), ("LA", (9, 9))]
)
def test_other_kinds_of_png_are_shown(mode: str, color: object) -> None:
    """Gray, palette and 16 bits come from other tools."""
    assert crisp(_png(24, 24, color, mode), SIDE).mode == "RGB"


@pytest.mark.parametrize(
    "label",
    [
        "",
        "x" * 10_000,
        "\u7c89\u8272\u7684\u5934\u53d1",
        "\u0634\u0639\u0631 \u0648\u0631\u062f\u064a \u202e",
        "\U0001f468\u200d\U0001f3a8 e\u0301\u0301\u0301",
        "two\nlines\x00\x1b[31m",
        "\ud800",
    ],
)
def test_any_label_is_drawn_inside_its_tile(label: str) -> None:
    """Names of prompts are foreign text."""
    pixels = np.asarray(_sheet(Tile(png=_png(24, 24), label=label), columns=1))
    margin = np.concatenate([pixels[204:, :12], pixels[204:, 204:]], axis=1)
    assert (margin == (24, 24, 27)).all()
    assert (pixels[230:] == (24, 24, 27)).all()


def test_a_file_that_is_no_png_is_refused() -> None:
    """A GIF or a broken file never reaches a decoder that was not meant."""
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "GIF")
    for content in (out.getvalue(), b"", _png(24, 24)[:40]):
        with pytest.raises(OSError):  # noqa: PT011 - Pillow's words differ by version
            crisp(content, SIDE)
