"""Draws how a run's score grew, where it may go, and which epoch is probably best.

Knows no page and no database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import altair as alt

Theme = Literal["light", "dark"]
SERIES = ("average of the images", "rolling mean of three", "estimate", "a person's score")
FONT = "system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif"
_AXIS_WIDTH = 46  # pixels kept for the labels of y, so that charts above each other line up


@dataclass(frozen=True, kw_only=True)
class Ink:
    """The colors of one theme."""

    text: str
    line: str
    strong: str
    accent: str
    person: str


INKS: dict[Theme, Ink] = {
    "light": Ink(
        text="#5c5c61", line="#dcdce0", strong="#2b2b2e", accent="#2566c8", person="#b25400"
    ),
    "dark": Ink(
        text="#a9a9b0", line="#37373c", strong="#e6e6ea", accent="#6ea8ff", person="#f0a04b"
    ),
}


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What is known of a run's scores. Positions are epochs or steps, scores 0-10, chances 0-1."""

    averages: Mapping[int, float]  # the effective average of each tested position
    curve: Sequence[Mapping[str, Any]] = ()  # position, mean, low, high, future
    people: Sequence[tuple[int, float, str]] = ()  # position, average, judge
    p_best: Mapping[int, float] | None = None
    pick: int | None = None
    unit: str = "epoch"
    rates: Sequence[Mapping[str, float]] = ()  # position, share: learning rate as share of its peak
    rates_from: str = ""  # where that is known from


def score_chart(progress: Progress, *, theme: Theme = "light", height: int = 300) -> alt.LayerChart:
    """Return the score by position: averages, rolling mean, estimate with band, people's scores."""
    ink = INKS[theme]
    layers = [*_estimate(progress, ink), *_averages(progress, ink), *_people(progress, ink)]
    if progress.pick is not None:
        layers.insert(0, _pick_rule(progress, ink))
        layers.append(_pick_word(progress, ink))
    return _dressed(alt.layer(*layers).properties(width="container", height=height), ink)


def best_chart(progress: Progress, *, theme: Theme = "light", height: int = 120) -> alt.LayerChart:
    """Return the chance that each tested position is the best one, as bars."""
    ink = INKS[theme]
    rows = [
        {"position": position, "chance": chance, "picked": position == progress.pick}
        for position, chance in sorted((progress.p_best or {}).items())
    ]
    # An estimate is never quite certain, however it is rounded.
    said = "datum.chance > 0.99 ? 'over 99%' : format(datum.chance, '.0%')"
    base = alt.Chart(alt.Data(values=rows)).transform_calculate(said=said).encode(x=_x(progress))
    bars = base.mark_bar(size=14, cornerRadiusTopLeft=2, cornerRadiusTopRight=2).encode(
        y=alt.Y(
            "chance:Q",
            title="P(best)",
            scale=alt.Scale(domain=[0, 1.15]),
            axis=alt.Axis(format="%", values=[0, 0.5, 1], minExtent=_AXIS_WIDTH),
        ),
        color=alt.condition("datum.picked", alt.value(ink.accent), alt.value(ink.text)),
        tooltip=[
            alt.Tooltip("position:Q", title=progress.unit),
            alt.Tooltip("said:N", title="chance"),
        ],
    )
    words = base.transform_filter("datum.chance >= 0.05").mark_text(
        dy=-7, color=ink.text, fontSize=11
    )
    labeled = words.encode(y=alt.Y("chance:Q"), text=alt.Text("said:N"))
    return _dressed(alt.layer(bars, labeled).properties(width="container", height=height), ink)


def rate_chart(progress: Progress, *, theme: Theme = "light", height: int = 56) -> alt.LayerChart:
    """Return the learning rate by position, as a thin panel under the scores."""
    ink = INKS[theme]
    base = alt.Chart(alt.Data(values=[dict(row) for row in progress.rates])).encode(x=_x(progress))
    scale = alt.Scale(domain=[0, 1.05])
    axis = alt.Axis(format="%", values=[0, 0.5, 1], minExtent=_AXIS_WIDTH)
    share = alt.Y("share:Q", title="learn rate", scale=scale, axis=axis)
    area = base.mark_area(opacity=0.12, color=ink.text, clip=True).encode(y=share)
    line = base.mark_line(strokeWidth=1.5, color=ink.text, clip=True).encode(y=share)
    panel = alt.layer(area, line).properties(width="container", height=height)
    if progress.rates_from:
        said = f"learning rate: {progress.rates_from}"
        panel = panel.properties(title=_caption(said, ink))
    return _dressed(panel, ink)


def _caption(text: str, ink: Ink) -> alt.TitleParams:
    return alt.TitleParams(
        text, anchor="start", color=ink.text, fontSize=11, fontWeight="normal", offset=2
    )


def progress_sheet(
    progress: Progress, *, theme: Theme = "light", width: int = 720
) -> alt.VConcatChart:
    """Return the charts above each other at a fixed width in pixels, to be saved as SVG or PNG."""
    parts = [_bare(score_chart(progress, theme=theme), width)]
    if progress.rates:
        parts.append(_bare(rate_chart(progress, theme=theme), width))
    if progress.p_best:
        parts.append(_bare(best_chart(progress, theme=theme), width))
    background = "#ffffff" if theme == "light" else "#141416"
    return _dressed(
        alt.vconcat(*parts, spacing=6).resolve_scale(x="shared"), INKS[theme], background
    )


def _bare(chart: alt.LayerChart, width: int) -> alt.LayerChart:
    free = chart.copy()
    free.config = alt.Undefined
    return free.properties(width=width)


def _last(progress: Progress) -> int:
    return max(
        [*progress.averages, *(row["position"] for row in progress.curve), progress.pick or 1, 1]
    )


def _first(progress: Progress) -> int:
    return min([*progress.averages, *(row["position"] for row in progress.curve), 1_000_000_000])


def _x(progress: Progress) -> alt.X:
    first, last = min(_first(progress), _last(progress)), _last(progress)
    margin = max(0.5, (last - first) * 0.04)
    seen = sorted({*progress.averages, *(int(row["position"]) for row in progress.curve)})
    ticks = seen if len(seen) <= 20 else seen[:: len(seen) // 12]
    return alt.X(
        "position:Q",
        title=progress.unit,
        scale=alt.Scale(domain=[first - margin, last + margin], nice=False, padding=0),
        axis=alt.Axis(values=ticks or [1], format="d", grid=False),
    )


def _y(field: str) -> alt.Y:
    axis = alt.Axis(values=[0, 2, 4, 6, 8, 10], minExtent=_AXIS_WIDTH)
    return alt.Y(field, title="score", scale=alt.Scale(domain=[0, 10]), axis=axis)


def _series(base: alt.Chart, name: str, progress: Progress, ink: Ink) -> alt.Chart:
    """Color a layer by the series it belongs to, so that one legend names those there are."""
    colors = dict(zip(SERIES, (ink.strong, ink.text, ink.accent, ink.person), strict=True))
    scored = bool(progress.averages)
    there = (scored, scored, bool(progress.curve), bool(progress.people))
    shown = [each for each, is_there in zip(SERIES, there, strict=True) if is_there]
    scale = alt.Scale(domain=shown, range=[colors[each] for each in shown])
    legend = alt.Legend(
        title=None,
        orient="top",
        symbolType="circle",
        symbolSize=60,
        labelLimit=200,
        columns=2,
        padding=0,
        offset=6,
    )
    colored = base.transform_calculate(series=f"{name!r}" if "'" not in name else f'"{name}"')
    return colored.encode(color=alt.Color("series:N", scale=scale, legend=legend))


def _estimate(progress: Progress, ink: Ink) -> list[alt.Chart]:
    if not progress.curve:
        return []
    rows = [dict(row) for row in progress.curve]
    joined = [row for row in rows if not row["future"]][-1:] + [
        row for row in rows if row["future"]
    ]
    tested, ahead = [row for row in rows if not row["future"]], joined if len(joined) > 1 else []
    layers = []
    for part, opacity, dash in ((tested, 0.20, [1, 0]), (ahead, 0.10, [4, 3])):
        if not part:
            continue
        base = alt.Chart(alt.Data(values=part)).encode(x=_x(progress))
        layers.append(
            base.mark_area(opacity=opacity, color=ink.accent, interpolate="monotone").encode(
                y=_y("low:Q"), y2="high:Q"
            )
        )
        line = base.mark_line(strokeDash=dash, strokeWidth=1.5, opacity=0.8, interpolate="monotone")
        layers.append(_series(line.encode(y=_y("mean:Q")), SERIES[2], progress, ink))
    return layers


def _averages(progress: Progress, ink: Ink) -> list[alt.Chart]:
    ordered = sorted(progress.averages.items())
    rows = [
        {"position": position, "score": score, "rolling": _trailing_mean(ordered, place)}
        for place, (position, score) in enumerate(ordered)
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(x=_x(progress))
    rolling = base.mark_line(strokeDash=[2, 3], strokeWidth=1.5).encode(y=_y("rolling:Q"))
    line = base.mark_line(strokeWidth=1, opacity=0.45).encode(y=_y("score:Q"))
    points = base.mark_point(filled=True, size=70, opacity=1).encode(
        y=_y("score:Q"),
        tooltip=[
            alt.Tooltip("position:Q", title=progress.unit),
            alt.Tooltip("score:Q", title="average", format=".1f"),
            alt.Tooltip("rolling:Q", title="rolling mean", format=".1f"),
        ],
    )
    named = ((rolling, SERIES[1]), (line, SERIES[0]), (points, SERIES[0]))
    return [_series(chart, name, progress, ink) for chart, name in named]


def _trailing_mean(ordered: Sequence[tuple[int, float]], place: int) -> float:
    window = [score for _, score in ordered[max(0, place - 2) : place + 1]]
    return sum(window) / len(window)


def _people(progress: Progress, ink: Ink) -> list[alt.Chart]:
    if not progress.people:
        return []
    rows = [
        {"position": at, "score": score, "judge": judge} for at, score, judge in progress.people
    ]
    chart = alt.Chart(alt.Data(values=rows)).mark_point(
        shape="diamond", size=90, strokeWidth=2, filled=False
    )
    tooltip = [alt.Tooltip("judge:N"), alt.Tooltip("score:Q", format=".1f")]
    placed = chart.encode(x=_x(progress), y=_y("score:Q"), tooltip=tooltip)
    return [_series(placed, SERIES[3], progress, ink)]


def _pick_rule(progress: Progress, ink: Ink) -> alt.Chart:
    rows = alt.Data(values=[{"position": progress.pick}])
    return (
        alt.Chart(rows)
        .mark_rule(color=ink.accent, strokeWidth=1.5, opacity=0.7)
        .encode(x=_x(progress))
    )


def _pick_word(progress: Progress, ink: Ink) -> alt.Chart:
    rows = alt.Data(values=[{"position": progress.pick, "word": f"pick: {progress.pick}"}])
    words = alt.Chart(rows).mark_text(
        align="left", dx=5, baseline="top", color=ink.accent, fontWeight="bold", fontSize=12
    )
    return words.encode(x=_x(progress), y=alt.value(2), text="word:N")


def _dressed(chart: Any, ink: Ink, background: str = "transparent") -> Any:
    return (
        chart.configure(
            font=FONT, background=background, padding={"left": 0, "right": 6, "top": 6, "bottom": 4}
        )
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=ink.text,
            titleColor=ink.text,
            gridColor=ink.line,
            domainColor=ink.line,
            tickColor=ink.line,
            labelFontSize=11,
            titleFontSize=11,
            titleFontWeight="normal",
        )
        .configure_legend(labelColor=ink.text, labelFontSize=11)
    )
