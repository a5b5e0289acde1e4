"""Blind pictures: the same pixels, and nothing else that tells."""

from __future__ import annotations

import io
import secrets
import zlib

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from core.charts.blinded import blinded, blinded_small, spoiled


def picture(seed: int, *, flat: bool = False) -> Image.Image:
    """Return 96 pixels a side, 24 cells; a flat one compresses far better."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, 255, (24, 24, 3), dtype=np.uint8)
    if flat:
        cells[:] = cells[0, 0]
    return Image.fromarray(cells).resize((96, 96), Image.Resampling.NEAREST)


def chunks(png: bytes) -> list[tuple[bytes, int]]:
    """Return the name and length of each of a file's chunks."""
    names, at = [], 8
    while at < len(png):
        names.append((png[at + 4 : at + 8], int.from_bytes(png[at : at + 4], "big")))
        at += 12 + int.from_bytes(png[at : at + 4], "big")
    return names


def test_both_sides_have_one_length_and_their_own_pixels() -> None:
    """A flat picture is not told from a noisy one by its size."""
    sides = [picture(1), picture(2, flat=True)]
    files = blinded(sides, secrets.token_bytes)
    assert len(files[0]) == len(files[1])
    for before, file in zip(sides, files, strict=True):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(file))), np.asarray(before))
    assert chunks(files[0]) == chunks(files[1])


@pytest.mark.parametrize("side", [96, 97, 98, 99, 100, 101])
def test_every_length_of_packed_pixels_can_be_filled_up(side: int) -> None:
    """Another program decodes the file, strictly, whatever had to be filled in."""
    before = picture(side).resize((side, 60))
    file = blinded([before, picture(1, flat=True)], secrets.token_bytes)[0]
    image = Image.open(io.BytesIO(file))
    image.verify()
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(file))), np.asarray(before))
    assert len(zlib.decompress(b"".join(_idat(file)))) == 60 * (3 * side + 1)


def _idat(png: bytes) -> list[bytes]:
    found, at = [], 8
    while at < len(png):
        length = int.from_bytes(png[at : at + 4], "big")
        if png[at + 4 : at + 8] == b"IDAT":
            found.append(png[at + 8 : at + 8 + length])
        at += 12 + length
    return found


def test_two_showings_of_one_picture_share_no_bytes_of_identity() -> None:
    """Neither hash nor padding comes twice."""
    first, second = blinded([picture(1)] * 2, secrets.token_bytes)
    assert first != second
    assert blinded([picture(1)], secrets.token_bytes)[0] != first


def test_what_a_file_says_of_its_origin_is_gone() -> None:
    """Text in the source does not travel."""
    info = PngInfo()
    info.add_text("parameters", "lora: epoch 7")
    out = io.BytesIO()
    picture(1).save(out, "PNG", pnginfo=info)
    file = blinded([Image.open(io.BytesIO(out.getvalue()))], secrets.token_bytes)[0]
    assert b"epoch 7" not in file
    assert b"tEXt" not in file


def test_a_picture_of_another_size_is_brought_to_the_first_ones() -> None:
    """Sizes on the page would tell."""
    large = picture(3).resize((192, 192))
    files = blinded([picture(1), large], secrets.token_bytes)
    assert Image.open(io.BytesIO(files[1])).size == (96, 96)


def test_the_small_picture_is_one_pixel_a_cell() -> None:
    """Without a grid it is 24 pixels wide."""
    small = blinded_small([picture(1), picture(2, flat=True)], 24, secrets.token_bytes)
    assert len(small[0]) == len(small[1])
    shrunk = np.asarray(Image.open(io.BytesIO(small[0])))
    assert np.array_equal(shrunk, np.asarray(picture(1))[2::4, 2::4])
    assert (
        Image.open(io.BytesIO(blinded_small([picture(1)], None, secrets.token_bytes)[0])).width
        == 24
    )


def test_a_spoiled_copy_is_worse_to_the_eye_and_the_same_each_time() -> None:
    """At least a third of the pixels differ much."""
    before = picture(4)
    after = spoiled(before, "serving")
    change = np.abs(np.asarray(after).astype(int) - np.asarray(before)).max(axis=2) > 32
    assert change.mean() > 1 / 3
    assert np.array_equal(np.asarray(after), np.asarray(spoiled(before, "serving")))
    assert not np.array_equal(np.asarray(after), np.asarray(spoiled(before, "other")))
