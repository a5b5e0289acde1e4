"""docs/metrics.md is made from the tables, so it cannot say something else."""

from __future__ import annotations

from pathlib import Path

from core.metrics import ISSUES, METRICS

PAGE = Path(__file__).resolve().parents[3] / "docs" / "metrics.md"
BETTER = {True: "higher is better", False: "lower is better", None: "describes"}


def metric_table() -> str:
    """Return the table of metrics as the page has it."""
    head = "| metric | range | direction | what it says |\n|---|---|---|---|"
    lines = [
        f"| `{name}` | {spec.low:g} to {spec.high:g} | {BETTER[spec.higher_is_better]} | {spec.meaning} |"
        for name, spec in METRICS.items()
    ]
    return "\n".join([head, *lines])


def issue_table() -> str:
    """Return the table of issues as the page has it."""
    lines = [f"| `{name}` | {meaning} |" for name, meaning in ISSUES.items()]
    return "\n".join(["| issue | what it says |\n|---|---|", *lines])


def test_the_page_holds_both_tables() -> None:
    """Whoever adds a metric puts its line on the page."""
    page = PAGE.read_text(encoding="utf-8")
    assert metric_table() in page
    assert issue_table() in page
