"""What a benchmark must reach: it ends with 1 and says what it missed."""

from __future__ import annotations

from collections.abc import Mapping


def hold(bars: Mapping[str, bool]) -> None:
    """End the benchmark with the bars that were not reached; return when all were."""
    missed = [name for name, reached in bars.items() if not reached]
    if missed:
        raise SystemExit("Not reached: " + "; ".join(missed))
