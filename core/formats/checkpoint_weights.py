"""The numbers behind a checkpoint's header: their checksum, did they arrive, what do they hold."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.formats.checkpoint_header import Header, Tensor, pread_exactly

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_CHUNK = 1 << 22  # bytes read at a time
_UP = (".lora_up.weight", ".lora_B.weight", ".lora_B.default.weight", ".lora.up.weight")


@dataclass(frozen=True, kw_only=True)
class WeightsCheck:
    """What a look at every number of a file shows."""

    not_finite: int  # how many numbers are NaN or infinite: the training diverged
    untrained: bool  # every up-weight is zero: the LoRA changes nothing


def body_sha256(fd: int, header: Header) -> str | None:
    """Return the SHA-256 of all bytes after the header, as kohya's ``sshs_model_hash`` has it.

    None if the file is shorter than its header says.
    """
    digest, position = hashlib.sha256(), header.header_bytes
    end = header.header_bytes + header.body_bytes
    while position < end:
        chunk = os.pread(fd, min(_CHUNK, end - position), position)
        if not chunk:
            return None
        digest.update(chunk)
        position += len(chunk)
    return digest.hexdigest()


def has_zero_tail(fd: int, header: Header) -> bool:
    """Return whether the last 64 bytes, or any tensor's last 64 bytes, are nothing but zeros.

    So looks a file whose space was reserved before its data arrived. Up-weights begin at zero and
    may stay there where nothing is learned, so only the very last tensor is looked at if it is one.
    """
    end = header.header_bytes + header.body_bytes
    return any(
        _is_zero(fd, max(begin, stop - 64), stop)
        for name, begin, stop in (
            (name, header.header_bytes + tensor.begin, header.header_bytes + tensor.end)
            for name, tensor in header.tensors.items()
        )
        if stop == end or not name.endswith((*_UP, ".alpha"))
    )


def _is_zero(fd: int, begin: int, end: int) -> bool:
    data = pread_exactly(fd, end - begin, begin)
    return data is not None and len(data) > 0 and not any(data)


def check_finite_and_nonzero(path: Path, header: Header) -> WeightsCheck:
    """Look at every number of a private copy: are they finite, and was anything learned?

    Raises OSError where ``path`` cannot be read.
    """
    not_finite, up_seen, up_zero = 0, False, True
    with path.open("rb", buffering=0) as file:
        for name, tensor in header.tensors.items():
            is_up = name.endswith(_UP)
            up_seen = up_seen or is_up
            for chunk in _chunks(file.fileno(), header, tensor):
                not_finite += _count_not_finite(chunk, tensor.dtype)
                if is_up and up_zero:
                    up_zero = not np.frombuffer(chunk, np.uint8).any()
    return WeightsCheck(not_finite=not_finite, untrained=up_seen and up_zero)


def _chunks(fd: int, header: Header, tensor: Tensor) -> Iterator[bytes]:
    """Yield the bytes of a tensor in pieces that hold whole numbers."""
    for at in range(tensor.begin, tensor.end, _CHUNK):
        piece = pread_exactly(fd, min(_CHUNK, tensor.end - at), header.header_bytes + at)
        if piece:
            yield piece


# The bits of the exponent: all of them set means NaN or infinite (IEEE 754; bfloat16 likewise).
_EXPONENTS: dict[str, tuple[type[np.unsignedinteger[Any]], int]] = {
    "F16": (np.uint16, 0x7C00),
    "BF16": (np.uint16, 0x7F80),
    "F32": (np.uint32, 0x7F800000),
    "F64": (np.uint64, 0x7FF0000000000000),
}


def _count_not_finite(chunk: bytes, dtype: str) -> int:
    if dtype not in _EXPONENTS:
        return 0  # whole numbers are always finite; 8-bit floats are not used to train LoRAs
    unsigned, mask = _EXPONENTS[dtype]
    numbers: NDArray[Any] = np.frombuffer(chunk, unsigned)
    exponent = unsigned(mask)
    return int(np.count_nonzero((numbers & exponent) == exponent))
