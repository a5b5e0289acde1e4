"""Read how much memory the drawing's device has and how much is free: of a GPU, or of the machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_SECONDS = 5.0  # nvidia-smi answers in a tenth of that, or hangs with the driver
_MIB = 1024**2
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The memory of a device at one moment, in bytes."""

    total: int
    free: int
    name: str  # "NVIDIA L4", or "main memory"
    on_gpu: bool


def read_memory(device: str, environment: Mapping[str, str] = os.environ) -> Reading | None:
    """Return the memory of ``device`` ("auto", "cpu", "cuda", "cuda:1", "mps"), or None.

    "auto" is the GPU where there is one. None where neither nvidia-smi nor Linux can tell.
    """
    if device == "auto" or device.startswith("cuda"):
        found = read_gpu(device, environment)
        if found is not None or device != "auto":
            return found
    return None if device == "mps" else read_main_memory()


def read_gpu(device: str, environment: Mapping[str, str]) -> Reading | None:
    """Return what nvidia-smi says of the GPU that torch calls ``device``, or None."""
    which = gpu_of(device, environment)
    program = shutil.which("nvidia-smi", path=environment.get("PATH"))
    if program is None or which is None:
        return None
    query = "--query-gpu=memory.total,memory.free,name"
    command = [program, query, "--format=csv,noheader,nounits", f"--id={which}"]
    try:
        said = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, check=False, env=environment
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return parse_gpu(said.stdout) if said.returncode == 0 else None


def gpu_of(device: str, environment: Mapping[str, str]) -> str | None:
    """Return the number or UUID nvidia-smi knows a torch device by; None when it is hidden.

    CUDA_VISIBLE_DEVICES renumbers GPUs for torch and not for nvidia-smi.
    """
    number = int(device.partition(":")[2] or 0)
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return str(number)
    names = [name.strip() for name in visible.split(",") if name.strip() not in {"", "-1"}]
    return names[number] if number < len(names) else None


def parse_gpu(text: str) -> Reading | None:
    """Return the reading in a line such as "23034, 18211, NVIDIA L4", in MiB; None if it is none."""
    found = re.match(r"\s*(\d+)\s*,\s*(\d+)\s*,\s*(\S[^\n]*)", text)
    if found is None:  # "[N/A]" of a device that shares the machine's memory
        return None
    total, free = int(found[1]) * _MIB, int(found[2]) * _MIB
    return Reading(total=total, free=min(free, total), name=found[3].strip(), on_gpu=True)


def read_main_memory() -> Reading | None:
    """Return the memory of this machine, or of the container it is; None outside Linux."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    machine = parse_meminfo(text)
    container = read_container(_CGROUP)
    if machine is None or container is None or container.total >= machine.total:
        return machine
    free = min(machine.free, container.free)
    return Reading(total=container.total, free=free, name=container.name, on_gpu=False)


def parse_meminfo(text: str) -> Reading | None:
    """Return the reading in the text of /proc/meminfo (proc(5))."""
    found = dict(re.findall(r"^(MemTotal|MemAvailable):\s+(\d+) kB", text, re.MULTILINE))
    if len(found) != 2:
        return None
    total, free = (int(found[name]) * 1024 for name in ("MemTotal", "MemAvailable"))
    return Reading(total=total, free=min(free, total), name="main memory", on_gpu=False)


def read_container(folder: Path) -> Reading | None:
    """Return the limit and what is left of it of the control group at ``folder``; None without one.

    Pages of files can be dropped and count as free (Linux, admin-guide/cgroup-v2 and cgroup-v1).
    """
    for limit, used, stat in (
        ("memory.max", "memory.current", "memory.stat"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
    ):
        try:
            total = (folder / limit).read_text(encoding="ascii").strip()
            taken = int((folder / used).read_text(encoding="ascii"))
            details = (folder / stat).read_text(encoding="ascii")
        except (OSError, ValueError):
            continue
        if not total.isdigit():  # "max": no limit
            return None
        files = re.search(r"^(?:total_)?inactive_file (\d+)$", details, re.MULTILINE)
        held = max(0, taken - (int(files[1]) if files else 0))
        free = max(0, int(total) - held)
        return Reading(
            total=int(total), free=free, name="main memory of this container", on_gpu=False
        )
    return None
