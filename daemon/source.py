"""Reads at its source all that decides whether a checkpoint is copied; writes nothing.

That is its header, and the adapter_config.json of PEFT without which its weights mean nothing.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.formats.checkpoint_file import (
    COMPANION,
    Header,
    Incomplete,
    Refused,
    facts,
    needs_companion,
    why_not_tested,
    with_companion,
)
from daemon.header_guard import read_header_guarded
from daemon.spool_files import open_source

if TYPE_CHECKING:
    from pathlib import Path

    from core.nouns import CheckpointFacts

_LARGEST = 1_000_000  # bytes; one for thousands of modules has some ten thousand


@dataclass(frozen=True, kw_only=True)
class Source:
    """A trainer's file whose header, and companion if it needs one, are whole."""

    path: Path
    root: Path
    status: os.stat_result
    header: Header
    facts: CheckpointFacts
    companion: bytes | None  # PEFT's configuration, where the weights need it

    def has_same_companion(self) -> bool:
        """Return whether what lies beside the weights is what was read, or gone with its folder."""
        now = _read_companion(self.path, self.header) if self.companion is not None else None
        return not isinstance(now, bytes) or now == self.companion


def read_source(
    fd: int, path: Path, root: Path, *, full_models: bool = False
) -> Source | Incomplete | Refused:
    """Read everything that decides whether these weights are copied."""
    status = os.fstat(fd)
    header = read_header_guarded(fd)
    if not isinstance(header, Header):
        return header
    companion = _read_companion(path, header)
    if isinstance(companion, Incomplete | Refused):
        return companion
    told = facts(with_companion(header, companion.decode()) if companion else header, path)
    if why := why_not_tested(told, full_models=full_models):
        return Refused("not-a-lora", why)
    return Source(
        path=path, root=root, status=status, header=header, facts=told, companion=companion
    )


def _read_companion(path: Path, header: Header) -> bytes | Incomplete | Refused | None:
    """Return the configuration beside the weights ``path``, or None where they need none.

    PEFT writes it last, so that weights without it are not finished. Raises OSError where it is
    there and cannot be read.
    """
    if not needs_companion(header):
        return None
    try:
        with open_source(path.with_name(COMPANION)) as fd:
            data = os.pread(fd, _LARGEST + 1, 0)
    except FileNotFoundError:
        return Incomplete(
            f"The {COMPANION} that belongs beside these weights is not there: it holds their "
            "scale, and PEFT writes it last."
        )
    if len(data) > _LARGEST:
        return Refused(
            "damaged",
            f"The {COMPANION} beside these weights has more than {_LARGEST / 1e6:.0f} MB, which "
            "no configuration of an adapter has. The checkpoint is not tested. Save it again.",
        )
    if not _is_object(data):
        return Incomplete(
            f"The {COMPANION} beside these weights is not whole: it is no JSON object."
        )
    return data


def is_companion_newer(path: Path, header: Header, mtime_ns: int) -> bool:
    """Return whether these weights, last changed at ``mtime_ns``, were completed by PEFT's last file."""
    try:
        return needs_companion(header) and (
            path.with_name(COMPANION).lstat().st_mtime_ns >= mtime_ns
        )
    except OSError:
        return False


def _is_object(data: bytes) -> bool:
    try:
        return isinstance(json.loads(data.decode()), dict)
    except (ValueError, RecursionError):
        return False
