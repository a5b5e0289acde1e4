"""Reads the learning rates in TensorBoard's event logs while a trainer still writes them.

A log is a row of TFRecords, each an ``Event`` message (event.proto, summary.proto and tensor.proto
of tensorflow/core). Only step, time and the single numbers under a learning rate's tag are taken.
"""

from __future__ import annotations

import math
import os
import re
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "events.out.tfevents."  # how every writer begins the name of a log

# lr/unet, lr/group0 and lr/d*lr/unet (kohya), lr/transformer (OneTrainer), lr (diffusers,
# ai-toolkit), learning_rate (SimpleTuner), train/learning_rate (transformers), lr-AdamW (Lightning)
_RATE_TAG = re.compile(r"(?:train/)?(?:lr|learning_rate)(?:[/-].{1,80})?", re.IGNORECASE)
_MENTIONS_RATE = re.compile(rb"lr|learning_rate", re.IGNORECASE)
_MOST_BYTES = 64 * 2**20  # read at one go: what is left waits for the next time
_LARGEST_RECORD = 64 * 2**10  # bytes: larger ones are pictures and graphs, and passed over
_MOST_TAGS = 24
_MOST_RATES = 50_000  # of one tag; beyond, every other one is dropped
_LARGEST_STEP = 10**9
_SIZES = {1: 8, 5: 4}  # bytes of the wire types of fixed length
_FLOAT, _DOUBLE = 1, 2  # DataType of tensorflow/core/framework/types.proto


class Rate(NamedTuple):
    """A learning rate as it was logged."""

    step: int
    time: float  # Unix seconds
    value: float  # finite and not negative


@dataclass(kw_only=True)
class RateLog:
    """What was read of one log so far; ``read_on`` goes on where it ended."""

    rates: dict[str, list[Rate]] = field(default_factory=dict)  # by tag, in the order written
    read_to: int = 0  # bytes
    trouble: str | None = None  # a sentence, where what follows cannot be trusted


def read_on(stream: BinaryIO, log: RateLog, *, at_most: int = _MOST_BYTES) -> None:
    """Take in the whole records that were written since, ``at_most`` bytes of them.

    A record that is not whole yet ends the reading, and so does a wrong checksum or a message
    that is none: ``log.trouble`` says so. The next time begins at that place, since a network
    volume may have shown half of it. Raises OSError.
    """
    log.trouble = None
    for record in _records(stream, log, at_most):
        if not _MENTIONS_RATE.search(record):
            continue
        try:
            for tag, rate in _rates_of(record):
                _keep(log, tag, rate)
        except (ValueError, struct.error):
            log.trouble = _damaged(log.read_to)
            return


def _keep(log: RateLog, tag: str, rate: Rate) -> None:
    if tag not in log.rates and len(log.rates) >= _MOST_TAGS:
        return
    kept = log.rates.setdefault(tag, [])
    kept.append(rate)
    if len(kept) > _MOST_RATES:
        del kept[1::2]


def _records(stream: BinaryIO, log: RateLog, at_most: int) -> Iterator[bytes]:
    """Yield the records that may hold a number, checked, and move ``log.read_to`` past each.

    The framing is that of tensorflow/core/lib/io/record_writer.h: length (8 bytes), its checksum
    (4), the message, its checksum (4), all little-endian.
    """
    end = stream.seek(0, os.SEEK_END)
    stream.seek(log.read_to)
    while at_most > 0 and len(head := stream.read(12)) == 12:
        length, check = struct.unpack("<QI", head)
        if _masked_crc(head[:8]) != check:
            log.trouble = _damaged(log.read_to)
            return
        after = log.read_to + 16 + length
        if after > end:
            return
        if length > _LARGEST_RECORD:
            stream.seek(after)
            at_most -= len(head)
        else:
            rest = stream.read(length + 4)
            if len(rest) < length + 4:
                return
            if _masked_crc(rest[:-4]) != struct.unpack("<I", rest[-4:])[0]:
                log.trouble = _damaged(log.read_to)
                return
            at_most -= 16 + length
            yield rest[:-4]
        log.read_to = after


def _damaged(place: int) -> str:
    if not place:
        return "It is no TensorBoard log, or damaged from its first byte on; it is not read."
    return f"It is damaged at byte {place}: the learning rate is known up to there only."


def _rates_of(event: bytes) -> Iterator[tuple[str, Rate]]:
    """Yield the learning rates of one Event with their tags; raises ValueError for nonsense."""
    step, time, values = 0, math.nan, []
    for number, value in _fields(event):
        if number == 1 and isinstance(value, bytes):
            (time,) = struct.unpack("<d", value)
        elif number == 2 and isinstance(value, int):
            step = value
        elif number == 5 and isinstance(value, bytes):
            values += [each for inner, each in _fields(value) if inner == 1]
    if not math.isfinite(time) or step > _LARGEST_STEP:  # a negative step reads as a huge one
        return
    for each in values:
        if isinstance(each, bytes) and (found := _scalar(each)):
            tag, rate = found
            if math.isfinite(rate) and rate >= 0:
                yield tag, Rate(step, time, rate)


def _scalar(value: bytes) -> tuple[str, float] | None:
    """Return tag and number of a Summary.Value; None unless it is a learning rate."""
    tag, number = "", None
    for key, content in _fields(value):
        if not isinstance(content, bytes):
            continue
        if key == 1:
            tag = content.decode("utf-8")
        elif key == 2:
            (number,) = struct.unpack("<f", content)
        elif key == 8:
            number = _single(content)
    is_rate = tag.isprintable() and _RATE_TAG.fullmatch(tag)
    return (tag, number) if is_rate and number is not None else None


def _single(tensor: bytes) -> float | None:
    """Return the number of a TensorProto of floats that has just one."""
    kind, content = 0, b""
    for key, value in _fields(tensor):
        if key == 1 and isinstance(value, int):
            kind = value
        elif key in {4, 5, 6} and isinstance(value, bytes):  # bytes, or a list of one
            content = value
    form = {(_FLOAT, 4): "<f", (_DOUBLE, 8): "<d"}.get((kind, len(content)))
    return float(struct.unpack(form, content)[0]) if form else None


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of each field of a protobuf message: a whole number, or bytes.

    Raises ValueError where the bytes are no message.
    """
    place, end = 0, len(message)
    while place < end:
        key, place = _varint(message, place)
        kind = key & 7
        if kind == 0:
            value, place = _varint(message, place)
            yield key >> 3, value
            continue
        if kind == 2:
            size, place = _varint(message, place)
        elif kind in _SIZES:
            size = _SIZES[kind]
        else:
            raise ValueError("no such wire type")
        if place + size > end:
            raise ValueError("a field ends after its message")
        yield key >> 3, message[place : place + size]
        place += size


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """Return a whole number of at most ten bytes, and the place after it."""
    number = shift = 0
    for byte in message[place : place + 10]:
        place += 1
        if byte < 0x80:
            return number | byte << shift, place
        number |= (byte & 0x7F) << shift
        shift += 7
    raise ValueError("a number without an end")


def _table() -> tuple[int, ...]:
    """Return the table of CRC-32C (Castagnoli), the reflected polynomial 0x82F63B78."""
    rows = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
        rows.append(crc)
    return tuple(rows)


_TABLE = _table()


def _masked_crc(data: bytes) -> int:
    """Return the checksum of TFRecords: CRC-32C, rotated and shifted by a constant."""
    crc, table = 0xFFFFFFFF, _TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
