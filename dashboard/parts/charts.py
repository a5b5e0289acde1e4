"""Puts the charts of a run on the page, in the colors of the browser's theme."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.charts.progress import Progress, Theme, best_chart, rate_chart, score_chart
from core.store.gallery import Advice, EpochResult, PersonScore
from dashboard.parts import standing

RATE_HEIGHT = 110  # pixels with axes and caption: on a page these are part of a chart's height


def theme() -> Theme:
    """Return the browser's theme; light when it has not said yet."""
    return "dark" if st.context.theme.type == "dark" else "light"


def progress_of(
    results: Sequence[EpochResult], people: Sequence[PersonScore], advice: Advice | None, unit: str
) -> Progress:
    """Return what the charts draw."""
    body = advice.body if advice else {}
    return Progress(
        averages={each.position: each.average for each in results if each.average is not None},
        curve=tuple(body.get("curve") or ()),
        people=tuple((each.position, each.average, each.judge) for each in people),
        p_best=standing.chances(body),
        pick=body.get("pick"),
        unit=unit,
        rates=tuple(body.get("rates") or ()),
        rates_from=body.get("rates_from") or "",
    )


def show(progress: Progress, *, key: str, height: int = 300) -> None:
    """Draw the scores, ``height`` pixels high, and below them each position's chance to be best."""
    colors = theme()
    scores = score_chart(progress, theme=colors, height=height)
    st.altair_chart(scores, theme=None, width="stretch", key=f"{key}-score")
    if progress.rates:
        rates = rate_chart(progress, theme=colors, height=RATE_HEIGHT)
        st.altair_chart(rates, theme=None, width="stretch", key=f"{key}-rate")
    if progress.p_best:
        st.altair_chart(
            best_chart(progress, theme=colors), theme=None, width="stretch", key=f"{key}-best"
        )
