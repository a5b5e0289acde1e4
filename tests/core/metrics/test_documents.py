"""docs/metrics.md is made from the tables, so it cannot say something else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from core.metrics import ISSUES, METRICS, SCORES
from core.metrics.tables import ISSUE_VERSIONS, MetricSpec

PAGE = Path(__file__).resolve().parents[3] / "docs" / "metrics.md"
BETTER = {True: "higher is better", False: "lower is better", None: "describes"}


def metric_table() -> str:
    """Return the table of metrics as the page has it."""
    return _table("metric", METRICS)


def score_table() -> str:
    """Return the table of scores as the page has it."""
    return _table("score", SCORES)


def _table(of: str, specs: Mapping[str, MetricSpec]) -> str:
    head = f"| {of} | range | direction | version | what it says |\n|---|---|---|---|---|"
    lines = [
        f"| `{name}` | {spec.low:g} to {spec.high:g} | {BETTER[spec.higher_is_better]} "
        f"| {spec.version} | {spec.meaning} |"
        for name, spec in specs.items()
    ]
    return "\n".join([head, *lines])


def issue_table() -> str:
    """Return the table of issues as the page has it."""
    lines = [
        f"| `{name}` | {ISSUE_VERSIONS[name]} | {meaning} |" for name, meaning in ISSUES.items()
    ]
    return "\n".join(["| issue | version | what it says |\n|---|---|---|", *lines])


def test_the_page_holds_the_tables() -> None:
    """Whoever adds a metric puts its line on the page."""
    page = PAGE.read_text(encoding="utf-8")
    assert metric_table() in page
    assert score_table() in page
    assert issue_table() in page
