"""How many parameters a base model has, from the headers of its files alone."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator
from pathlib import Path

_HEADER_LIMIT = 100_000_000  # bytes: safetensors' own limit
_PARTS = {  # folders of diffusers -> what they count as
    "unet": "unet",
    "transformer": "unet",
    "text_encoder": "text",
    "text_encoder_2": "text",
    "text_encoder_3": "text",
    "vae": "vae",
}
_STARTS = (("model.diffusion_model.", "unet"), ("first_stage_model.", "vae"))


def parameter_counts(path: Path) -> dict[str, int]:
    """Return the parameters of "unet" (or transformer), "text" (all encoders) and "vae".

    A part that is not there, or cannot be read, is 0.
    """
    found = dict.fromkeys(("unet", "text", "vae"), 0)
    if path.is_dir():
        for folder, part in _PARTS.items():
            found[part] += _folder_count(path / folder)
        return found
    for name, count in _tensors(path):
        part = next((part for start, part in _STARTS if name.startswith(start)), "text")
        found[part] += count
    return found


def _folder_count(folder: Path) -> int:
    """Return the parameters of one part; a half-precision twin of its file does not count again."""
    files = sorted(folder.glob("*.safetensors"))
    plain = [file for file in files if ".fp16" not in file.suffixes]
    return sum(count for file in plain or files for _, count in _tensors(file))


def _tensors(path: Path) -> Iterator[tuple[str, int]]:
    """Yield name and number of values of each tensor in a safetensors header."""
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if not 2 <= length <= min(_HEADER_LIMIT, path.stat().st_size - 8):
                return
            header = json.loads(stream.read(length))
        sizes = [
            (name, math.prod(entry["shape"]))
            for name, entry in header.items()
            if name != "__metadata__"
        ]
    except (OSError, ValueError, struct.error, AttributeError, KeyError, TypeError):
        return
    yield from sizes
