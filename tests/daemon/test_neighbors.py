"""What others hold of a device: read from real texts, remembered as a peak, forgotten when they are gone."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from core.rules.beside import GIB
from daemon.memory_readings import (
    Reading,
    gpu_of,
    parse_gpu,
    parse_meminfo,
    read_container,
    read_memory,
)
from daemon.neighbors import Neighbors

MIB = 1 << 20


class Device:
    """A GPU of 24 GiB, a clock and a drawing process, all moved by hand."""

    def __init__(self) -> None:
        """Begin empty."""
        self.now, self.taken, self.pid = 0.0, 0, None
        self.neighbors = Neighbors(
            read=lambda: Reading(
                total=24 * GIB, free=24 * GIB - self.taken, name="NVIDIA L4", on_gpu=True
            ),
            our_pid=lambda: self.pid,
            clock=lambda: self.now,
        )

    def look(self, taken: int, *, after: float = 3.0) -> tuple[int, int]:
        """Return what others hold now, and at most."""
        self.now, self.taken = self.now + after, taken
        self.neighbors.look()
        room = self.neighbors.room()
        assert room is not None
        return room.others, room.others_at_most


def test_the_trainers_peak_is_remembered_and_forgotten_when_it_has_gone() -> None:
    """Between two epochs it holds less, and still needs its peak again; a minute of nothing ends it."""
    device = Device()
    assert device.look(10 * GIB) == (10 * GIB, 10 * GIB)
    assert device.look(18 * GIB) == (18 * GIB, 18 * GIB)
    assert device.look(9 * GIB) == (9 * GIB, 18 * GIB)
    assert device.look(0) == (0, 18 * GIB)
    assert device.look(0, after=30) == (0, 18 * GIB)
    assert device.look(0, after=31) == (0, 0)


def test_a_peak_of_half_an_hour_ago_is_out_of_date() -> None:
    """A trainer that was started anew with less is believed after a while."""
    device = Device()
    device.look(18 * GIB)
    device.look(12 * GIB, after=900)
    assert device.look(11 * GIB, after=901) == (11 * GIB, 12 * GIB)


def test_what_our_own_process_takes_is_not_the_trainers() -> None:
    """While it loads nobody knows whose memory grows; once it says what it holds, all else is theirs."""
    device = Device()
    device.look(10 * GIB)
    device.pid = 7  # type: ignore[assignment]
    device.neighbors.starts()
    assert device.look(14 * GIB) == (10 * GIB, 10 * GIB)
    device.neighbors.heard({"event": "memory", "on": "cuda", "held": 4 * GIB})
    assert device.look(14 * GIB) == (10 * GIB, 10 * GIB)
    assert device.look(15 * GIB) == (11 * GIB, 11 * GIB)
    device.pid = None
    assert device.look(11 * GIB) == (11 * GIB, 11 * GIB)


def test_what_we_take_of_the_ram_is_not_taken_from_the_gpu() -> None:
    """Drawing on the CPU beside a trainer leaves all of the GPU's memory to the trainer's account."""
    device = Device()
    device.pid = 7  # type: ignore[assignment]
    device.neighbors.heard({"event": "memory", "on": "cpu", "held": 6 * GIB})
    assert device.look(22 * GIB) == (22 * GIB, 22 * GIB)


def test_where_nothing_outside_can_tell_our_process_does() -> None:
    """A GPU without nvidia-smi is known from what torch says in the drawing process."""
    blind = Neighbors(read=lambda: None, our_pid=lambda: 7)
    blind.look()
    assert blind.room() is None
    blind.heard({"event": "memory", "on": "cuda", "held": GIB, "total": 16 * GIB, "free": 5 * GIB})
    room = blind.room()
    assert room is not None
    assert (room.others, room.ours, room.on_gpu) == (10 * GIB, GIB, True)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("23034, 18211, NVIDIA L4\n", (23034 * MIB, 18211 * MIB, "NVIDIA L4")),
        (
            "81559, 81000, NVIDIA H100 80GB HBM3",
            (81559 * MIB, 81000 * MIB, "NVIDIA H100 80GB HBM3"),
        ),
        ("[N/A], [N/A], NVIDIA GB10", None),
        ("NVIDIA-SMI has failed because it couldn't communicate with the driver.", None),
        ("", None),
    ],
)
def test_nvidia_smi_is_read_strictly(text: str, found: tuple[int, int, str] | None) -> None:
    """What is no pair of numbers is not known, and never 0."""
    reading = parse_gpu(text)
    assert (reading and (reading.total, reading.free, reading.name)) == found


@pytest.mark.parametrize(
    ("device", "visible", "found"),
    [
        ("auto", None, "0"),
        ("cuda:1", None, "1"),
        ("cuda:1", "2,3", "3"),
        ("cuda", "GPU-8932f937", "GPU-8932f937"),
        ("cuda:1", "0", None),
        ("auto", "", None),
    ],
)
def test_a_gpu_has_another_number_for_nvidia_smi(
    device: str, visible: str | None, found: str | None
) -> None:
    """CUDA_VISIBLE_DEVICES renumbers for torch only."""
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert gpu_of(device, environment) == found


def _program(folder: Path, body: str) -> dict[str, str]:
    """Put an nvidia-smi that runs ``body`` on a path of its own."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{body}\n", encoding="ascii")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


def test_a_program_that_fails_is_no_reading(tmp_path: Path) -> None:
    """A stand-in for nvidia-smi that answers, and one that fails: then main memory is read."""
    environment = _program(tmp_path, 'echo "24576, 1024, Stand-in"')
    reading = read_memory("cuda", environment)
    assert reading is not None
    assert (reading.free, reading.name, reading.on_gpu) == (GIB, "Stand-in", True)
    environment = _program(tmp_path, "exit 9")
    assert read_memory("cuda", environment) is None
    found = read_memory("auto", environment)
    assert found is None or not found.on_gpu


def test_main_memory_is_what_the_kernel_calls_available() -> None:
    """Cached files can be dropped, so they are free."""
    text = "MemTotal:       16000000 kB\nMemFree:   100 kB\nMemAvailable:   12000000 kB\n"
    reading = parse_meminfo(text)
    assert reading is not None
    assert (reading.total, reading.free) == (16_000_000 * 1024, 12_000_000 * 1024)
    assert parse_meminfo("MemTotal: 5 kB\n") is None


def test_a_containers_limit_counts(tmp_path: Path) -> None:
    """On a rented machine the container's limit ends programs long before the machine is full."""
    assert read_container(tmp_path) is None
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text(f"{6 * GIB}\n")
    (tmp_path / "memory.stat").write_text(f"anon 1\ninactive_file {2 * GIB}\n")
    assert read_container(tmp_path) is None
    (tmp_path / "memory.max").write_text(f"{8 * GIB}\n")
    reading = read_container(tmp_path)
    assert reading is not None
    assert (reading.total, reading.free) == (8 * GIB, 4 * GIB)
