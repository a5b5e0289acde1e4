"""Draws versions over time: how often people prefer each to the base model, with the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from core.charts.progress import INKS, Theme
from core.charts.votes import dressed

TARGET = 80.0  # percent of comparisons won: the owner's target for a model that ships


@dataclass(frozen=True, kw_only=True)
class VersionRate:
    """One version; percent of comparisons won against the base, with its interval."""

    version: str
    rate: float
    low: float
    high: float
    votes: int


def versions_chart(lines: Sequence[VersionRate], *, theme: Theme = "light") -> Any:
    """Return the versions in the order given, each with its interval, and the target as a line."""
    ink = INKS[theme]
    values = [
        {"version": v.version, "rate": v.rate, "low": v.low, "high": v.high, "votes": v.votes}
        for v in lines
    ]
    x = alt.X("version:N", sort=None, title=None, axis=alt.Axis(labelAngle=0, labelLimit=140))
    y = alt.Y("low:Q", title="wins against the base, %", scale=alt.Scale(domain=[0, 100]))
    tooltip = [
        alt.Tooltip("version:N"),
        alt.Tooltip("rate:Q", format=".1f", title="wins, %"),
        alt.Tooltip("low:Q", format=".1f", title="from"),
        alt.Tooltip("high:Q", format=".1f", title="to"),
        alt.Tooltip("votes:Q", title="votes"),
    ]
    base = alt.Chart(alt.Data(values=values))
    target = alt.Chart(alt.Data(values=[{"y": TARGET, "words": f"target {TARGET:.0f} %"}]))
    rule = target.mark_rule(color=ink.text, strokeDash=[4, 3]).encode(y="y:Q")
    words = target.mark_text(
        align="left", baseline="bottom", dx=4, dy=-2, color=ink.text, fontSize=11
    ).encode(y="y:Q", x=alt.value(0), text="words:N")
    span = base.mark_rule(color=ink.accent, strokeWidth=3).encode(
        x=x, y=y, y2="high:Q", tooltip=tooltip
    )
    line = base.mark_line(color=ink.text, strokeWidth=1).encode(x=x, y="rate:Q")
    point = base.mark_circle(color=ink.strong, size=90, opacity=1).encode(
        x=x, y="rate:Q", tooltip=tooltip
    )
    return dressed(alt.layer(rule, words, line, span, point), ink, 220)
