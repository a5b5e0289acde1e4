"""Pictures that tell nothing but their pixels: new bytes for each showing, equal sizes side by side.

A file's name, length, compression and metadata can tell which model drew a picture: a clean one
packs far better than a noisy one. Here each place of a serving is encoded anew with random bytes
of its own, and its packed pixels are lengthened by empty blocks until all places have one length.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from hashlib import sha256

import numpy as np
from PIL import Image

from core.metrics.cells import shrink_to_cells

_STEP = 32 * 1024  # packed lengths are whole multiples of this, so that one says little by itself
_SMALL_STEP = 2 * 1024
_NONCE = 64  # random bytes in each file, so that no two showings of a picture are the same
# Blocks of the deflate format (RFC 1951) that hold nothing, both beginning and ending on a byte: a
# stored one, and one of fixed codes before a stored one. Of fives and sixes any length from 20 up
# can be made.
_FIVE, _SIX = b"\x00\x00\x00\xff\xff", b"\x02\x00\x00\x00\xff\xff"
_LEAST_FILLING = 20


def blinded(images: Sequence[Image.Image], noise: Callable[[int], bytes]) -> tuple[bytes, ...]:
    """Return one PNG an image, all of one length and size in pixels, with no metadata.

    ``noise`` returns so many random bytes (``secrets.token_bytes``). Images that differ in size
    are brought to the size of the first by whole pixels, since sizes would tell them apart.
    """
    size = images[0].size
    same = [each.convert("RGB").resize(size, Image.Resampling.NEAREST) for each in images]
    return _files(same, _STEP, noise)


def blinded_small(
    images: Sequence[Image.Image], grid: int | None, noise: Callable[[int], bytes]
) -> tuple[bytes, ...]:
    """Return the small picture of each image as ``blinded`` does: one pixel a cell of its grid.

    Without a grid (not pixel art) it is 24 pixels wide, averaged.
    """
    return _files([_small(each, grid) for each in images], _SMALL_STEP, noise)


def spoiled(image: Image.Image, name: str) -> Image.Image:
    """Return a visibly worse copy: shuffled tiles and stray colors, the same for the same name."""
    rng = np.random.default_rng(list(sha256(name.encode()).digest()))
    pixels = np.array(image.convert("RGB"))
    height, width = pixels.shape[:2]
    tall, wide = max(1, height // 6), max(1, width // 6)
    corners = [
        (y, x) for y in range(0, height - tall + 1, tall) for x in range(0, width - wide + 1, wide)
    ]
    order = rng.permutation(len(corners))
    moved = pixels.copy()
    for (y, x), at in zip(corners, order, strict=True):
        if rng.random() < 0.7:
            v, u = corners[at]
            moved[y : y + tall, x : x + wide] = pixels[v : v + tall, u : u + wide]
    coarse = rng.random((24, 24)) < 0.2
    cells = Image.fromarray((coarse * 255).astype(np.uint8)).resize(
        (width, height), Image.Resampling.NEAREST
    )
    stray = np.asarray(cells) > 0
    moved[stray] = 255 - moved[stray]
    return Image.fromarray(moved)


def _small(image: Image.Image, grid: int | None) -> Image.Image:
    plain = image.convert("RGB")
    if grid is None or grid > plain.width:
        height = max(1, round(24 * plain.height / plain.width))
        return plain.resize((24, height), Image.Resampling.BOX)
    return Image.fromarray(shrink_to_cells(np.asarray(plain), grid))


def _files(
    images: Sequence[Image.Image], step: int, noise: Callable[[int], bytes]
) -> tuple[bytes, ...]:
    """Return one PNG an image; outside the packed pixels all but the random bytes are the same."""
    packed = [_packed(each) for each in images]
    longest = max(len(body) + len(end) for body, end in packed) + _LEAST_FILLING
    length = -(-longest // step) * step
    return tuple(
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", struct.pack(">IIBBBBB", *image.size, 8, 2, 0, 0, 0))
        # Ancillary, private, to be dropped when the picture is changed.
        + _chunk(b"noSe", noise(_NONCE))
        + _chunk(b"IDAT", body + _filling(length - len(body) - len(end)) + end)
        + _chunk(b"IEND", b"")
        for image, (body, end) in zip(images, packed, strict=True)
    )


def _packed(image: Image.Image) -> tuple[bytes, bytes]:
    """Return the packed pixels of an RGB image up to a byte's border, and what ends the stream."""
    pixels = np.asarray(image)
    above = np.concatenate([np.zeros_like(pixels[:1]), pixels[:-1]])
    rows = (pixels - above).reshape(len(pixels), -1)  # the filter "up", modulo 256
    lines = np.concatenate([np.full((len(rows), 1), 2, np.uint8), rows], axis=1)
    packer = zlib.compressobj(3)
    body = packer.compress(lines.tobytes()) + packer.flush(zlib.Z_SYNC_FLUSH)
    return body, packer.flush(zlib.Z_FINISH)


def _filling(length: int) -> bytes:
    sixes = length % 5
    return _SIX * sixes + _FIVE * ((length - 6 * sixes) // 5)


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
