"""The progress chart draws what is known, in both themes, and nothing that is not."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import vl_convert

from core.charts.progress import INKS, Progress, best_chart, progress_sheet, score_chart
from core.rules.learning_rate import Schedule, course
from seeded_history import AVERAGES, advice_body

BODY = advice_body(8, 7)
FULL = Progress(
    averages={at: score for at, score in AVERAGES.items() if at <= 8},
    curve=BODY["curve"],
    people=((7, 8.7, '<img src=x onerror="x">'),),
    p_best={int(at): chance for at, chance in BODY["p_best"].items()},
    pick=7,
)


def _values(chart: Any, field: str) -> list[Any]:
    return [row[field] for rows in _tables(chart.to_dict()) for row in rows if field in row]


def _tables(node: Any) -> list[Any]:
    if isinstance(node, list):
        return [table for each in node for table in _tables(each)]
    if not isinstance(node, dict):
        return []
    own = [node["data"]["values"]] if "values" in (node.get("data") or {}) else []
    return own + [table for name, each in node.items() if name != "data" for table in _tables(each)]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_sheet_becomes_a_picture_without_a_browser(theme: Any) -> None:
    """Reports need PNG and SVG, with nothing fetched."""
    spec = progress_sheet(FULL, theme=theme).to_json()
    assert vl_convert.vegalite_to_png(spec).startswith(b"\x89PNG")
    svg = vl_convert.vegalite_to_svg(spec)
    assert "pick: 7" in svg
    assert "<img" not in svg


def test_the_forecast_starts_where_the_tested_curve_ends() -> None:
    """There is no gap between what was seen and what is expected."""
    lines = [
        [row["position"] for row in layer["data"]["values"]]
        for layer in score_chart(FULL).to_dict()["layer"]
        if layer["mark"]["type"] == "area"
    ]
    assert lines == [[1, 2, 3, 4, 5, 6, 7, 8], [8, 9, 10]]


def test_the_rolling_mean_is_of_the_last_three() -> None:
    """It trails, and begins with what there is."""
    chart = score_chart(Progress(averages={1: 6.0, 2: 7.0, 3: 8.0, 4: 9.0}))
    assert _values(chart, "rolling")[:4] == [6.0, 6.5, 7.0, 8.0]


def test_the_pick_alone_wears_the_accent() -> None:
    """One bar stands out."""
    assert [row for row in _values(best_chart(FULL), "picked") if row] == [True]
    assert json.dumps(best_chart(FULL).to_dict()).count(INKS["light"].accent) == 1


def test_a_run_with_one_epoch_and_no_advice_has_a_chart() -> None:
    """The first score is shown at once."""
    spec = progress_sheet(Progress(averages={1: 5.0})).to_json()
    assert vl_convert.vegalite_to_svg(spec).startswith("<svg")


def test_steps_are_positions_like_epochs() -> None:
    """A long run shows at most a dozen or so labels."""
    averages = dict.fromkeys(range(500, 25_001, 500), 5.0)
    spec = score_chart(Progress(averages=averages, unit="step")).to_dict()
    axis = spec["layer"][0]["encoding"]["x"]["axis"]
    assert len(axis["values"]) <= 15
    assert spec["layer"][0]["encoding"]["x"]["title"] == "step"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_learning_rate_is_a_panel_of_its_own_where_it_is_known(theme: Any) -> None:
    """Its positions are those of the scores above it, and it says how the rate is known."""
    schedule = Schedule(
        kind="cosine_with_restarts", peak=1e-4, total=1000, epochs=10, warmup=50, cycles=2
    )
    known = replace(FULL, rates=course(schedule, range(1, 11)), rates_from="by its settings")
    svg = vl_convert.vegalite_to_svg(progress_sheet(known, theme=theme).to_json())
    assert "learn rate" in svg
    assert "learning rate: by its settings" in svg
    assert "learn rate" not in vl_convert.vegalite_to_svg(
        progress_sheet(FULL, theme=theme).to_json()
    )
    assert max(_values(progress_sheet(known, theme=theme), "share")) == 1.0


def test_no_epoch_is_the_best_for_certain() -> None:
    """Rounded to whole percents, 99.7 % would be all."""
    sure = Progress(averages={1: 5.0, 2: 8.0}, p_best={1: 0.003, 2: 0.997}, pick=2)
    svg = vl_convert.vegalite_to_svg(best_chart(sure).to_dict())
    assert ">over 99%<" in svg
    assert svg.count(">100%<") == 1  # the end of the axis
