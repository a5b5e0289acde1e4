"""TensorBoard logs by a real writer, whole, torn, damaged and hostile."""

from __future__ import annotations

import io
import math
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboardX import SummaryWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.proto.tensor_pb2 import TensorProto

from core.formats.tensorboard_log import RateLog, _masked_crc, read_on
from logged_rates import write_log


def read(data: bytes) -> RateLog:
    """Read a log from its beginning."""
    log = RateLog()
    read_on(io.BytesIO(data), log)
    return log


def framed(message: bytes) -> bytes:
    """Return a message as a record of a log."""
    length = struct.pack("<Q", len(message))
    return b"".join(
        (
            length,
            struct.pack("<I", _masked_crc(length)),
            message,
            struct.pack("<I", _masked_crc(message)),
        )
    )


def event(value: Summary.Value, *, step: int = 3) -> bytes:
    """Return the record of one value."""
    return framed(
        Event(wall_time=10.0, step=step, summary=Summary(value=[value])).SerializeToString()
    )


def whole(tmp_path: Path, steps: int = 6) -> bytes:
    """Return a log as kohya writes one."""
    lines = {
        tag: [(step, 100.0 + step, 1e-4 / (step + 1)) for step in range(steps)]
        for tag in ("loss/current", "lr/unet")
    }
    return write_log(tmp_path, lines).read_bytes()


def test_the_rates_of_a_real_writer_are_read_and_nothing_else(tmp_path: Path) -> None:
    """Pictures, texts and losses are passed over; every trainer's name of a rate is taken."""
    wanted = ["lr", "learning_rate", "lr/unet", "lr/d*lr/unet", "train/learning_rate", "lr-AdamW"]
    with SummaryWriter(str(tmp_path)) as writer:
        for step in (1, 2):
            for tag in (*wanted, "loss/average", "learning_rates", "max_norm/lr", "clr"):
                writer.add_scalar(tag, step / 1000, step, walltime=50.0 + step)
        noise = np.random.default_rng(1).integers(0, 255, (3, 200, 200), np.uint8)
        writer.add_image("lr/sample", noise, 2)
        writer.add_text("lr", "a text")
        writer.add_scalar("lr", 0.003, 3, walltime=53.0)
    (path,) = tmp_path.iterdir()
    log = read(path.read_bytes())
    assert log.trouble is None
    assert log.read_to == path.stat().st_size
    assert set(log.rates) == {tag.replace("*", "_") for tag in wanted}  # by this writer itself
    assert [(rate.step, rate.time) for rate in log.rates["lr"]] == [(1, 51.0), (2, 52.0), (3, 53.0)]
    assert [rate.value for rate in log.rates["lr"]] == pytest.approx([0.001, 0.002, 0.003])


@pytest.mark.parametrize(
    "tensor",
    [
        TensorProto(dtype=1, float_val=[0.5]),
        TensorProto(dtype=2, double_val=[0.5]),
        TensorProto(dtype=1, tensor_content=struct.pack("<f", 0.5)),
        TensorProto(dtype=2, tensor_content=struct.pack("<d", 0.5)),
    ],
)
def test_a_scalar_may_be_written_as_a_tensor(tensor: TensorProto) -> None:
    """TensorFlow 2 and PyTorch's new style do."""
    log = read(event(Summary.Value(tag="lr", tensor=tensor)))
    assert [tuple(rate) for rate in log.rates["lr"]] == [(3, 10.0, 0.5)]


@pytest.mark.parametrize(
    "value",
    [
        Summary.Value(tag="lr", simple_value=math.nan),
        Summary.Value(tag="lr", simple_value=math.inf),
        Summary.Value(tag="lr", simple_value=-1e-4),
        Summary.Value(tag="lr/\x07", simple_value=1e-4),
        Summary.Value(tag="lr/" + "x" * 500, simple_value=1e-4),
        Summary.Value(tag="lr", tensor=TensorProto(dtype=1, float_val=[0.5, 0.5])),
        Summary.Value(tag="lr", tensor=TensorProto(dtype=7, string_val=[b"0.5"])),
        Summary.Value(tag="lr"),
    ],
)
def test_what_is_no_rate_is_dropped(value: Summary.Value) -> None:
    """NaN, infinity, lists, texts and names that nobody could read; what follows is read."""
    log = read(event(value) + event(Summary.Value(tag="lr/unet", simple_value=0.25)))
    assert set(log.rates) == {"lr/unet"}
    assert log.trouble is None


def test_steps_that_cannot_be_are_dropped() -> None:
    """Negative ones, and those nobody trains."""
    one = Summary.Value(tag="lr", simple_value=0.5)
    assert read(event(one, step=-1) + event(one, step=10**12)).rates == {}


def test_a_log_is_read_on_wherever_it_was_torn(tmp_path: Path) -> None:
    """The trainer writes now: the reading ends before what is not whole, and goes on from there."""
    data = whole(tmp_path)
    full = read(data)
    assert len(full.rates["lr/unet"]) == 6
    for cut in range(len(data)):
        log = read(data[:cut])
        assert log.trouble is None
        kept = log.rates.get("lr/unet", [])
        assert kept == full.rates["lr/unet"][: len(kept)]
        read_on(io.BytesIO(data), log)
        assert log == full


def test_a_log_may_be_read_in_pieces(tmp_path: Path) -> None:
    """No reading takes more than it was allowed, and the pieces make the whole."""
    data, log = whole(tmp_path), RateLog()
    for _ in range(50):
        read_on(io.BytesIO(data), log, at_most=1)
    assert log == read(data)


def test_any_flipped_byte_ends_the_reading_with_a_reason(tmp_path: Path) -> None:
    """Nothing behind it is believed, and everything before it is."""
    data = whole(tmp_path)
    full = read(data).rates["lr/unet"]
    for place in range(len(data)):
        broken = bytearray(data)
        broken[place] ^= 0x40
        log = read(bytes(broken))
        kept = log.rates.get("lr/unet", [])
        assert log.trouble
        assert log.read_to <= place
        assert kept == full[: len(kept)]


def test_a_reading_is_tried_again_where_it_failed(tmp_path: Path) -> None:
    """A network volume may show zeros for a moment: the next reading finds the rest."""
    data = whole(tmp_path)
    log = read(data[:-30] + bytes(30))
    assert log.trouble
    read_on(io.BytesIO(data), log)
    assert log == read(data)


def test_a_giant_length_allocates_nothing() -> None:
    """A record of 2**63 bytes is one that is not whole yet."""
    length = struct.pack("<Q", 2**63)
    log = read(length + struct.pack("<I", _masked_crc(length)) + bytes(1000))
    assert (log.rates, log.read_to, log.trouble) == ({}, 0, None)


@pytest.mark.parametrize("data", [b"", b"short", b"loss, lr\n0.1, 1e-4\n" * 9, bytes(4000)])
def test_what_is_no_log_is_said_to_be_none(data: bytes) -> None:
    """An empty one is one that was just begun."""
    log = read(data)
    assert log.rates == {}
    assert bool(log.trouble) == (len(data) >= 12)


@given(st.binary(max_size=300))
def test_no_message_is_an_error(data: bytes) -> None:
    """Whatever stands in a record with a right checksum, it is a rate, nothing, or a trouble."""
    for rate in (each for rates in read(framed(b"lr" + data)).rates.values() for each in rates):
        assert math.isfinite(rate.value)
    nested = b"\x2a" + bytes([min(127, len(data) + 6)]) + b"\x0a\x20\x0a\x02lr" + data
    read(framed(b"\x09" + struct.pack("<d", 1.0) + nested))


def test_a_hundred_thousand_lines_are_kept_within_bounds(tmp_path: Path) -> None:
    """What a long run logs is thinned; looking back at each line would take hours."""
    lines = {"lr/unet": [(step, float(step), 1e-4) for step in range(1000)]}
    data = write_log(tmp_path, lines).read_bytes() * 100
    log = read(data)
    assert 25_000 <= len(log.rates["lr/unet"]) <= 50_000
