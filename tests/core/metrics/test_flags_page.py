"""The precision and recall that docs/metrics.md publishes are not better than what is measured."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from scipy.stats import binom

from core.metrics import ISSUES
from tests.bench.flags import PHOTOS, Tally, cases, demo_profile, judge

PAGE = Path(__file__).resolve().parents[3] / "docs" / "metrics.md"
SURE = 0.98  # nothing is published as surer than this
SURPRISE = 0.01  # chance of a small run that speaks against the page


@pytest.fixture(scope="module")
def measured() -> dict[str, Tally]:
    """Give a small run of the benchmark that made the table."""
    few = cases(3, (96,), decoded=False, photos=PHOTOS[:2])
    return judge(few, demo_profile(80))


def published() -> dict[str, tuple[str, str]]:
    """Return precision and recall of every flag in the table for 96 pixels."""
    part = PAGE.read_text(encoding="utf-8").split("96 pixels, with a profile")[1]
    part = part.split("pixels, without training images")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \|", part, re.MULTILINE)
    return {name: (precision.strip(), recall.strip()) for name, precision, recall in rows}


def test_every_flag_has_published_figures() -> None:
    """A new flag is measured before it is shipped."""
    assert published().keys() == ISSUES.keys()


@pytest.mark.parametrize("flag", ISSUES)
def test_published_figures_are_not_better_than_measured_ones(
    flag: str, measured: dict[str, Tally]
) -> None:
    """A small run this bad would be less likely than 1 % if the page were right."""
    tally, (precision, recall) = measured[flag], published()[flag]
    runs = [(precision, tally.right, tally.raised), (recall, tally.found, tally.had)]

    for said, right, pictures in runs:
        if said != "-" and pictures:
            share = min(SURE, float(said.removesuffix(" %")) / 100)
            assert binom.cdf(right, pictures, share) > SURPRISE, (said, right, pictures)
