"""Each line of the Procfile starts a command that there is, as a Procfile runner starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LINES = dict(
    line.split(": ", 1) for line in (ROOT / "Procfile").read_text(encoding="utf-8").splitlines()
)


def _started(name: str, more: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("EPOCHWATCH_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["/bin/sh", "-c", f"{LINES[name]}{more}"],
        env={**clean, "PATH": path, **env},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", ["web", "daemon"])
def test_every_line_is_a_command_that_takes_its_options(name: str) -> None:
    """Runners are asked to start both; each is one process of its own."""
    said = _started(name, " --help", EPOCHWATCH_WATCH="/workspace/output", PORT="5000")
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("Usage: ")
    assert LINES[name].startswith("exec ")


def test_a_daemon_without_a_folder_says_what_to_set() -> None:
    """It would otherwise watch nothing, or everything."""
    said = _started("daemon", "")
    assert said.returncode != 0
    assert "set EPOCHWATCH_WATCH to the folder the trainer saves into" in said.stderr
