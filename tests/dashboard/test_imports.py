"""The dashboard runs where there is no GPU stack."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_dashboard_loads_neither_torch_nor_the_daemon() -> None:
    """Its own process imports what a page imports and looks at what came along."""
    code = (
        "import sys, dashboard.reads, dashboard.images, dashboard.pulse, dashboard.writes,"
        " dashboard.parts.tables, dashboard.parts.charts, dashboard.parts.wall;"
        "print([m for m in ('torch', 'diffusers', 'transformers', 'watchdog', 'daemon')"
        " if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
