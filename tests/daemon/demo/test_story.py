"""The demo tells its story in a few lines."""

from __future__ import annotations

import os
import subprocess
import sys

from daemon.demo.story import MODEL, QUIET

LOAD = """
import sys
import torch
from diffusers import StableDiffusionPipeline
StableDiffusionPipeline.from_pretrained(sys.argv[1], torch_dtype=torch.float32, local_files_only=True)
"""


def test_the_trainers_libraries_are_quiet_while_they_load() -> None:
    """Warnings about what is not installed look like a fault to somebody who sees it first."""
    said = subprocess.run(
        [sys.executable, "-c", LOAD, str(MODEL)],
        env={**os.environ, **QUIET},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout + said.stderr == ""
