"""Write an image and its facts so that a reader sees both whole, or neither.

The JSON comes last: a PNG without it was cut off and is drawn again.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

_BLACK = 2  # levels of 255: nothing brighter is a black image


@dataclass(frozen=True, kw_only=True)
class Written:
    """A finished pair."""

    path: Path
    sha256: str


def to_levels(pixels: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.uint8]:
    """Return 8-bit levels of ``pixels`` (height, width, 3; 0 to 1), rounded as diffusers does."""
    return (pixels * 255).round().astype("uint8")


def why_refused(pixels: npt.NDArray[np.floating[Any]]) -> str | None:
    """Return why ``pixels`` (height, width, 3; 0 to 1) are no picture, or None when they are."""
    broken = int(np.count_nonzero(~np.isfinite(pixels)))
    if broken:
        return f"{broken} of {pixels.size} pixel values are not numbers"
    if float(pixels.max()) * 255 <= _BLACK:
        return "the image is black all over"
    return None


def write_result(
    out: Path,
    sample_id: str,
    pixels: npt.NDArray[np.floating[Any]],
    facts: dict[str, Any],
) -> Written:
    """Write ``pixels`` (height, width, 3; 0 to 1) as ``write_levels`` does."""
    return write_levels(out, sample_id, to_levels(pixels), facts)


def write_levels(
    out: Path, sample_id: str, pixels: npt.NDArray[np.uint8], facts: dict[str, Any]
) -> Written:
    """Write ``<sample_id>.png``, then ``<sample_id>.json`` holding ``facts`` and the PNG's hash.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    buffer = io.BytesIO()
    # Level 1: half the time of the default for a file a few percent larger.
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=1)
    data = buffer.getvalue()
    image = out / f"{sample_id}.png"
    sha256 = hashlib.sha256(data).hexdigest()
    _replace(image, data)
    height, width = pixels.shape[:2]
    body = {
        "sample_id": sample_id,
        "image": image.name,
        "image_sha256": sha256,
        "width": width,
        "height": height,
        **facts,
    }
    _replace(out / f"{sample_id}.json", json.dumps(body, sort_keys=True, indent=1).encode())
    _sync_folder(out)
    return Written(path=image, sha256=sha256)


def _replace(path: Path, data: bytes) -> None:
    """Put ``data`` under ``path`` in one step that survives a power cut."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    """Make the renames themselves durable where the system allows it."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
