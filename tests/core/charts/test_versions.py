"""The chart of versions: what was voted, with its doubt and the target."""

from __future__ import annotations

from core.charts.versions import TARGET, VersionRate, versions_chart


def test_each_version_stands_with_its_interval_in_the_order_given() -> None:
    """A later version that wins less is not sorted away."""
    lines = [
        VersionRate(version="v1", rate=55.0, low=40.0, high=70.0, votes=40),
        VersionRate(version="v3", rate=73.0, low=60.0, high=84.0, votes=80),
        VersionRate(version="v2", rate=68.0, low=52.0, high=80.0, votes=50),
    ]
    for theme in ("light", "dark"):
        spec = versions_chart(lines, theme=theme).to_dict()  # type: ignore[arg-type]
        values = [layer["data"]["values"] for layer in spec["layer"]]
        assert [{"y": TARGET, "words": "target 80 %"}] in values
        shown = next(some for some in values if len(some) == 3)
        assert [each["version"] for each in shown] == ["v1", "v3", "v2"]
        assert all(each["low"] < each["rate"] < each["high"] for each in shown)
