"""Large headers are tried out in a child before they are read."""

from __future__ import annotations

import json
import os
import resource
from typing import TYPE_CHECKING

import checkpoints_made as made
from core.formats.checkpoint_file import Header, Refused
from daemon.header_guard import read_header_guarded

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def read(path: Path) -> object:
    """Open and read as the watcher does."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return read_header_guarded(fd)
    finally:
        os.close(fd)


def test_many_captions_are_no_crime(tmp_path: Path) -> None:
    """A header that is large because of its tags is read."""
    path = tmp_path / "x.safetensors"
    path.write_bytes(made.kohya_bytes(1, ss_tag_frequency=json.dumps({"a": "b" * 9_000_000})))
    assert isinstance(read(path), Header)


def test_json_that_eats_memory_kills_only_the_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nine megabytes of empty lists take many times as much; they are refused in words."""
    monkeypatch.setattr("daemon.header_guard._MEMORY", 100 << 20)
    path = tmp_path / "x.safetensors"
    path.write_bytes(made.with_header(b'{"a":[' + b"[]," * 3_000_000 + b"[]]}"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcome = read(path)
    assert isinstance(outcome, Refused), outcome
    assert "memory" in outcome.reason
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000
