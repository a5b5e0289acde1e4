"""Draws what votes say: the slots by strength, and how long each takes to draw an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp
from typing import Any

import altair as alt

from core.charts.progress import FONT, INKS, Ink, Theme

_ROW = 34  # pixels a slot


@dataclass(frozen=True, kw_only=True)
class Strength:
    """One slot of a ranking: log odds against the mean of the slots, with a 95 % interval."""

    slot: str
    value: float
    low: float
    high: float
    p_best: float  # 0-1


def strength_chart(ranked: Sequence[Strength], *, theme: Theme = "light") -> Any:
    """Return slots in the order given, the strongest first, each with its 95 % interval.

    Strengths are shown as the chance to win against an average slot of the comparison, 0-100 %.
    """
    ink = INKS[theme]
    lines = [
        {
            "slot": each.slot,
            "wins": _chance(each.value),
            "low": _chance(each.low),
            "high": _chance(each.high),
            "best": "over 99" if each.p_best > 0.99 else f"{100 * each.p_best:.0f}",
        }
        for each in ranked
    ]
    y = alt.Y("slot:N", sort=None, title=None, axis=alt.Axis(labelLimit=220))
    x = alt.X(
        "low:Q",
        title="wins against an average slot, %",
        scale=alt.Scale(domain=[0, 100]),
        axis=alt.Axis(tickCount=5),
    )
    tooltip = [
        alt.Tooltip("slot:N"),
        alt.Tooltip("wins:Q", format=".1f", title="wins, %"),
        alt.Tooltip("low:Q", format=".1f", title="from"),
        alt.Tooltip("high:Q", format=".1f", title="to"),
        alt.Tooltip("best:N", title="chance to be best, %"),
    ]
    base = alt.Chart(alt.Data(values=lines))
    half = (
        alt.Chart(alt.Data(values=[{"x": 50}]))
        .mark_rule(color=ink.line, strokeDash=[4, 3])
        .encode(x="x:Q")
    )
    rule = base.mark_rule(color=ink.accent, strokeWidth=3).encode(
        x=x, x2="high:Q", y=y, tooltip=tooltip
    )
    point = base.mark_circle(color=ink.strong, size=90, opacity=1).encode(
        x="wins:Q", y=y, tooltip=tooltip
    )
    return dressed(alt.layer(half, rule, point), ink, _ROW * len(lines) + 40)


def time_chart(seconds: Mapping[str, Sequence[float]], *, theme: Theme = "light") -> Any:
    """Return a box plot of the seconds each slot took for an image; whiskers reach the extremes."""
    ink = INKS[theme]
    lines = [{"slot": slot, "seconds": each} for slot, some in seconds.items() for each in some]
    box = (
        alt.Chart(alt.Data(values=lines))
        .mark_boxplot(
            extent="min-max",
            size=16,
            box={"color": ink.accent, "opacity": 0.55},
            median={"color": ink.strong},
            rule={"color": ink.text},
            ticks={"color": ink.text},
        )
        .encode(
            x=alt.X(
                "seconds:Q",
                title="seconds an image",
                scale=alt.Scale(zero=True),
                axis=alt.Axis(tickCount=6),
            ),
            y=alt.Y("slot:N", sort=None, title=None, axis=alt.Axis(labelLimit=220)),
        )
    )
    return dressed(alt.layer(box), ink, _ROW * len(seconds) + 40)


def _chance(log_odds: float) -> float:
    return 100 / (1 + exp(-log_odds))


def dressed(chart: Any, ink: Ink, height: int) -> Any:
    """Return the chart in the house's inks, as wide as its place."""
    return (
        chart.properties(width="container", height=height)
        .configure(background="transparent", font=FONT)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=ink.text,
            titleColor=ink.text,
            titleFontWeight="normal",
            gridColor=ink.line,
            domainColor=ink.line,
            tickColor=ink.line,
            labelFontSize=12,
            titleFontSize=12,
        )
    )
