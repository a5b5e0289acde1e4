"""What the charts of a page show at the height that they get there."""

from __future__ import annotations

import re
from dataclasses import replace

import vl_convert

from core.charts.progress import Progress, rate_chart
from dashboard.parts.charts import RATE_HEIGHT


def test_the_learning_rate_has_room_between_its_axes() -> None:
    """A page's chart is as high as it is told with axes and caption, so that little can be left."""
    rates = tuple({"position": at, "share": 1 - at / 10} for at in range(1, 6))
    shown = Progress(averages={1: 5.0, 5: 6.0}, unit="epoch")
    chart = rate_chart(
        replace(shown, rates=rates, rates_from="by its settings"), height=RATE_HEIGHT
    )
    fitted = chart.to_dict() | {"autosize": {"type": "fit", "contains": "padding"}, "width": 600}
    drawn = vl_convert.vegalite_to_svg(fitted)
    labels = {
        text: float(y)
        for y, text in re.findall(r"translate\([-\d.]+,([-\d.]+)\)[^>]*>([\d]+%)<", drawn)
    }
    assert labels["0%"] - labels["100%"] > 40
