"""Charts of votes are valid and carry what they are given."""

from __future__ import annotations

import json

import pytest

from core.charts.progress import Theme
from core.charts.votes import Strength, strength_chart, time_chart

RANKED = [
    Strength(slot="epoch 7", value=1.0, low=0.2, high=1.8, p_best=0.9),
    Strength(slot="base", value=-1.0, low=-1.8, high=-0.2, p_best=0.1),
]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_strengths_are_chances_against_an_average_slot(theme: Theme) -> None:
    """Log odds 0 is half."""
    spec = strength_chart(RANKED, theme=theme).to_dict()
    lines = next(iter(spec["layer"]))["data"]["values"]
    assert lines == [{"x": 50}]
    text = json.dumps(spec)
    assert '"slot": "epoch 7"' in text
    assert "73.1" in text


def test_times_are_one_box_a_slot() -> None:
    """Each image is one value."""
    spec = time_chart({"base": [2.0, 2.5], "epoch 7": [3.0]}).to_dict()
    assert json.dumps(spec).count('"seconds": ') == 3


def test_no_slot_is_the_best_for_certain() -> None:
    """A chance is an estimate, however it is rounded."""
    sure = Strength(slot="epoch 9", value=3.0, low=2.0, high=4.0, p_best=0.999)
    text = json.dumps(strength_chart([sure]).to_dict())
    assert '"best": "over 99"' in text
    assert '"best": "90"' in json.dumps(strength_chart(RANKED).to_dict())
