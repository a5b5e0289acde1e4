"""Pictures that tell nothing but their pixels: new bytes for each showing, equal sizes side by side.

A file's name, length, compression and metadata can tell which model drew a picture. Here each
place of a serving is encoded anew, with a random text of its own, and padded to one length.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Sequence
from hashlib import sha256

import numpy as np
from PIL import Image

from core.metrics.cells import shrink_to_cells

_STEP = 32 * 1024  # lengths are whole multiples of this, so that a length says little by itself
_SMALL_STEP = 4 * 1024
_HEADER = 8 + 25  # signature and IHDR: what a chunk of ours is put behind
_CHUNK = 12  # length, name and checksum of a chunk


def blinded(images: Sequence[Image.Image], noise: Callable[[int], bytes]) -> tuple[bytes, ...]:
    """Return one PNG an image, all of one length and size in pixels, with no metadata.

    ``noise`` returns so many random bytes (``secrets.token_bytes``). Images that differ in size
    are brought to the size of the first by whole pixels, since sizes would tell them apart.
    """
    size = images[0].size
    same = [each.convert("RGB").resize(size, Image.Resampling.NEAREST) for each in images]
    return _padded([_png(each) for each in same], _STEP, noise)


def blinded_small(
    images: Sequence[Image.Image], grid: int | None, noise: Callable[[int], bytes]
) -> tuple[bytes, ...]:
    """Return the small picture of each image as ``blinded`` does: one pixel a cell of its grid.

    Without a grid (not pixel art) it is 24 pixels wide, averaged.
    """
    return _padded([_png(_small(each, grid)) for each in images], _SMALL_STEP, noise)


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


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, format="PNG", compress_level=1)
    return out.getvalue()


def _padded(files: Sequence[bytes], step: int, noise: Callable[[int], bytes]) -> tuple[bytes, ...]:
    """Put a chunk of random bytes into each file, so that all have one length."""
    longest = max(len(each) for each in files) + 2 * _CHUNK + 64
    length = -(-longest // step) * step
    return tuple(_with_chunk(each, noise(length - len(each) - _CHUNK)) for each in files)


def _with_chunk(png: bytes, content: bytes) -> bytes:
    # "noSe": ancillary, private, to be dropped when the picture is changed.
    body = b"noSe" + content
    chunk = struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))
    return png[:_HEADER] + chunk + png[_HEADER:]
