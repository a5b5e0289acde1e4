"""The parts of the score, and the one number that weights make of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.metrics import measure
from core.nouns import Expectation
from core.rules.composite import DEFAULT_WEIGHTS, composite_of, sub_scores, with_weights
from pictures import Bytes, Portrait, enlarged, rgb

PLAIN = Portrait(background="#3c64e6")


def _on_a_checker() -> Bytes:
    """Return a portrait before a checker of blue and white, as its prompt promised."""
    cells = PLAIN.cells()
    ground = (cells == rgb(PLAIN.background)).all(axis=-1)
    fields = np.indices(ground.shape).sum(axis=0) % 2 == 1
    cells[ground & fields] = rgb("#ffffff")
    return enlarged(cells, 96)


def test_a_promised_pattern_is_not_asked_to_be_solid() -> None:
    """A perfect checker has no such part, and no weight on it takes anything away."""
    expect = Expectation(background="#3c64e6 and white")
    found = measure(_on_a_checker(), expect=expect, grid=24)
    assert found.metrics["background_match"].value == 100
    solid = found.metrics["background_solid"].value
    assert solid is not None
    assert solid < 75
    assert "solid" not in sub_scores(found, expect)
    only = {"promises": 0.5, "solid": 0.5}
    assert composite_of(found, only, expect) == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("expect", "asked"),
    [
        (PLAIN.expect, True),
        (Expectation(), False),
        (Expectation(background="a sunset"), False),
        (replace(PLAIN.expect, subject="tile"), False),
    ],
)
def test_only_a_promised_plain_color_is_asked_to_be_solid(
    expect: Expectation, *, asked: bool
) -> None:
    """Not where nothing, nothing measurable, or no background at all can be promised."""
    found = measure(PLAIN.drawn(96), expect=expect, grid=24)
    assert ("solid" in sub_scores(found, expect)) == asked


def test_weights_change_the_one_number_and_nothing_else() -> None:
    """What is missing re-shares its weight; without weights there is no composite."""
    found = measure(PLAIN.drawn(96), expect=PLAIN.expect, grid=24)
    weighted = with_weights(found, DEFAULT_WEIGHTS, PLAIN.expect)
    assert weighted.composite == pytest.approx(10.0, abs=0.5)
    assert replace(weighted, composite=None) == found
    assert with_weights(weighted, None, PLAIN.expect) == found
    assert composite_of(found, {"no such part": 1.0}, PLAIN.expect) is None
