"""A strict reading of a safetensors header, before any library sees the file.

The rules are those of the safetensors format (header length, contiguous offsets, shape times
type) and some of ours on top: no duplicate keys, no hostile tensor names, few enough tensors.
"""

from __future__ import annotations

import json
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

HEADER_CAP = 100_000_000  # bytes: the format's own limit
TENSOR_CAP = 20_000  # a LoRA has a few thousand; a header bomb has hundreds of thousands

# Bits of one element, by the names of safetensors 0.8.
DTYPE_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "I16": 16, "U16": 16, "I32": 32, "U32": 32, "I64": 64, "U64": 64,
    "F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64,
    "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip

RefusalKind = Literal["foreign", "pickle", "damaged", "too-large", "unknown-type", "not-a-lora"]


class Tensor(NamedTuple):
    """One entry of the header; offsets are bytes counted from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Header:
    """A header that was checked: the file has exactly the size it announces."""

    metadata: dict[str, str]
    tensors: dict[str, Tensor]
    header_bytes: int  # 8 bytes of length and the JSON text
    body_bytes: int


@dataclass(frozen=True)
class Incomplete:
    """The file is not (yet) whole: it may still be written or copied."""

    reason: str


@dataclass(frozen=True)
class Refused:
    """The file will not be tested as it is, however long one waits."""

    kind: RefusalKind
    reason: str


class _DuplicateError(ValueError):
    """A key stands twice in the header."""


def read_header(
    path_or_fd: Path | str | int, *, cap: int = HEADER_CAP
) -> Header | Incomplete | Refused:
    """Read and check the header of a safetensors file.

    An open file descriptor is read with ``pread`` and stays where it is. Headers above ``cap``
    bytes are refused without reading them. Raises OSError where the file cannot be read.
    """
    if isinstance(path_or_fd, int):
        return _read(path_or_fd, cap)
    fd = os.open(path_or_fd, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return _read(fd, cap)
    finally:
        os.close(fd)


def _read(fd: int, cap: int) -> Header | Incomplete | Refused:  # noqa: PLR0911 - a row of checks
    size = os.fstat(fd).st_size
    start = os.pread(fd, 512, 0)
    if foreign := _foreign(start):
        return foreign
    if size < 8 or len(start) < 8:
        return Incomplete(f"The file has {size} bytes so far, too few for a header.")
    length = int(struct.unpack("<Q", start[:8])[0])
    if length == 0:
        return Incomplete("The file begins with zeros: its space is reserved, the data is missing.")
    if length > cap:
        return Refused(
            "damaged",
            f"The file announces a header of {length:,} bytes; {cap:,} is the most that is read. "
            "It is no usable safetensors file and is not tested. Save or copy it again.",
        )
    if 8 + length > size:
        return Incomplete("The header itself is not complete yet.")
    text = pread_exactly(fd, length, 8)
    if text is None:
        return Incomplete("The file became shorter while its header was read.")
    return _parse(text, size)


def pread_exactly(fd: int, count: int, offset: int) -> bytes | None:
    """Return ``count`` bytes at ``offset``, or None if the file ends before."""
    parts = []
    while count:
        part = os.pread(fd, min(count, 1 << 24), offset)
        if not part:
            return None
        parts.append(part)
        count -= len(part)
        offset += len(part)
    return b"".join(parts)


def _foreign(start: bytes) -> Refused | None:
    """Name the usual strangers by their first bytes."""
    lowered = start.lstrip()[:64].lower()
    if start.startswith(b"version https://git-lfs"):
        what = "a git-LFS pointer, not the weights: run `git lfs pull` to fetch them"
    elif lowered.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        what = "a web page, most likely an error page saved by a download: download it again"
    elif start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        what = "a zip archive or a pickled torch file: save the checkpoint as safetensors"
    elif _is_pickle(start):
        what = "a pickle, which can run code when it is loaded: save the checkpoint as safetensors"
    else:
        return None
    kind: RefusalKind = "pickle" if "pickle" in what else "foreign"
    return Refused(kind, f"This is {what}. It was not opened further and is not tested.")


def _is_pickle(start: bytes) -> bool:
    """Tell a pickle (protocol 2 to 5) from a header length that begins with the same two bytes."""
    if len(start) < 9 or start[0] != 0x80 or start[1] not in range(2, 6):
        return False
    length = int(struct.unpack("<Q", start[:8])[0])
    return length > HEADER_CAP or start[8:9] not in {b"{", b"\0"}


def _parse(text: bytes, size: int) -> Header | Incomplete | Refused:  # noqa: PLR0911 - likewise
    if text.count(b'"data_offsets"') > TENSOR_CAP:
        return _damaged(f"it lists more than {TENSOR_CAP:,} tensors, which no LoRA has")
    if not text.startswith(b"{"):
        return _unreadable(text)
    try:
        body = json.loads(
            text.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant
        )
    except _DuplicateError as error:
        return _damaged(str(error))
    except (ValueError, RecursionError):
        return _unreadable(text)
    metadata = body.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        return _damaged("its metadata holds something other than text")
    try:
        tensors = {name: _tensor(name, entry) for name, entry in body.items()}
        end = _contiguous(tensors)
    except _UnknownTypeError as error:
        return Refused(
            "unknown-type",
            f"The file holds numbers of the type {error}, which this version does not know. "
            "It is not tested. Save it as fp16, bf16 or fp32, or update Epochwatch.",
        )
    except ValueError as error:
        return _damaged(str(error))
    return _sized(
        Header(metadata=metadata, tensors=tensors, header_bytes=8 + len(text), body_bytes=end), size
    )


def _sized(header: Header, size: int) -> Header | Incomplete:
    expected = header.header_bytes + header.body_bytes
    if size < expected:
        return Incomplete(f"The header announces {expected:,} bytes; the end is still missing.")
    if size > expected:
        return Incomplete(f"The header announces {expected:,} bytes; the file is longer than that.")
    return header


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    body = dict(pairs)
    if len(body) != len(pairs):
        raise _DuplicateError("a name stands twice in its header")
    return body


def _no_constant(name: str) -> None:
    msg = f"{name} is no JSON"
    raise ValueError(msg)


class _UnknownTypeError(Exception):
    """An element type that is not in DTYPE_BITS."""


def _tensor(name: str, entry: Any) -> Tensor:
    if "\0" in name or "../" in name or len(name) > 1000:
        msg = "a tensor has a name that no trainer writes"
        raise ValueError(msg)
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        msg = "an entry of its header is no tensor"
        raise ValueError(msg)
    shape, offsets, dtype = entry["shape"], entry["data_offsets"], entry["dtype"]
    if not _naturals(shape) or not _naturals(offsets) or len(offsets) != 2:
        msg = "a shape or an offset in its header is no whole number"
        raise ValueError(msg)
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        raise _UnknownTypeError(str(dtype)[:40])
    bits = DTYPE_BITS[dtype]
    for extent in shape:
        bits *= extent
        if bits.bit_length() > 64:
            msg = "a tensor is larger than any file"
            raise ValueError(msg)
    if bits % 8 or bits // 8 != offsets[1] - offsets[0]:
        msg = "a tensor's shape does not fit the bytes it is given"
        raise ValueError(msg)
    return Tensor(dtype, tuple(shape), offsets[0], offsets[1])


def _naturals(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= 32
        and all(type(item) is int and 0 <= item < 1 << 63 for item in value)
    )


def _contiguous(tensors: dict[str, Tensor]) -> int:
    """Return the size of the body; raise ValueError at the first hole or overlap."""
    position = 0
    for tensor in sorted(tensors.values(), key=lambda each: (each.begin, each.end)):
        if tensor.begin != position:
            word = "overlap" if tensor.begin < position else "leave a hole"
            msg = f"its tensors {word} at byte {min(tensor.begin, position):,}"
            raise ValueError(msg)
        position = tensor.end
    return position


def _damaged(what: str) -> Refused:
    return Refused(
        "damaged",
        f"The file is damaged: {what}. It is not tested, so this epoch is missing from the run. "
        "Save or copy it again.",
    )


def _unreadable(text: bytes) -> Incomplete:
    """Answer nonsense with patience: a copy that is under way looks like this."""
    if b"\0" in text:
        return Incomplete("Parts of the header are still zeros: the file is being copied.")
    return Incomplete("The header cannot be read: it is cut, mixed with older bytes, or no header.")
