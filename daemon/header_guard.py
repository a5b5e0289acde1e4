"""Reads a checkpoint's header; an unusually large one is tried out in a child process first.

A few megabytes of hostile JSON can take gigabytes of memory to parse. The child has a limit on
memory and time, so that only it dies of them, and neither the daemon nor the trainer beside it.
"""

from __future__ import annotations

import os
import resource
import struct
import subprocess
import sys

from core.formats.checkpoint_header import HEADER_CAP, Header, Incomplete, Refused, read_header

_LARGE = 8_000_000  # bytes of header; a LoRA with all its tags has well below one million
_MEMORY = 1 << 30  # bytes of address space of the child
_SECONDS = 20


def read_header_guarded(fd: int) -> Header | Incomplete | Refused:
    """Read the header of an open file as ``read_header`` does, safely whatever its size."""
    start = os.pread(fd, 8, 0)
    length = int(struct.unpack("<Q", start)[0]) if len(start) == 8 else 0
    if _LARGE < length <= HEADER_CAP and not _survives(fd):
        return Refused(
            "damaged",
            f"Its header of {length / 1e6:,.0f} MB takes more memory or time to read than a "
            "checkpoint may. It is not tested. Save it with less metadata.",
        )
    return read_header(fd)


def _survives(fd: int) -> bool:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "daemon.header_guard", str(fd), str(_MEMORY)],
            pass_fds=(fd,),
            timeout=_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _main() -> None:
    memory = int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    read_header(int(sys.argv[1]))


if __name__ == "__main__":
    _main()
