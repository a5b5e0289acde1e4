"""More damage never measures better: each metric follows its own kind of damage, step by step."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from core.metrics import measure
from core.nouns import Measurement
from pictures import Bytes, Portrait, blurred, enlarged, jpeg, noisy, with_random_cells

ONE = Portrait()
CLEAN = ONE.drawn(192)  # cells of eight pixels: quick, and large enough for ramps


def _wrong_background(share: float) -> Bytes:
    """Return the portrait with a share of its background, from the left on, in another color."""
    cells = ONE.cells()
    ground = np.argwhere((cells == cells[0, 0]).all(axis=-1))
    ground = ground[np.argsort(ground[:, 1], kind="stable")][: round(share * len(ground))]
    cells[ground[:, 0], ground[:, 1]] = (140, 70, 180)
    return enlarged(cells, 192)


def _stray(share: float) -> Bytes:
    return enlarged(with_random_cells(ONE.cells(), share), 192)


def _ramp(share: float) -> Bytes:
    """Return the portrait with a share of its background, from the left on, as a slow gradient."""
    cells = ONE.cells()
    ground = (cells == cells[0, 0]).all(axis=-1)
    lighter = np.maximum(round(share * 24) - np.arange(24), 0) * 3
    cells[ground] += np.broadcast_to(lighter[:, None], cells.shape)[ground].astype(np.uint8)
    return enlarged(cells, 192)


Ladder = tuple[Callable[[float], Bytes], tuple[float, ...]]
NOISE: Ladder = (lambda sigma: noisy(CLEAN, sigma), (0, 8, 16, 32, 64))
# up to half a cell: beyond, the drawing is gone and what is left grows flat again
BLUR: Ladder = (lambda radius: blurred(CLEAN, radius), (0, 0.5, 1, 2, 3, 4))
JPEG: Ladder = (lambda quality: jpeg(CLEAN, int(quality)), (95, 80, 60, 40, 20, 8))
STRAY: Ladder = (_stray, (0, 0.02, 0.05, 0.1, 0.2, 0.4))
GROUND: Ladder = (_wrong_background, (0, 0.1, 0.25, 0.5, 0.75, 1))
RAMP: Ladder = (_ramp, (0, 0.25, 0.5, 0.75, 1))

FALLING = [
    (NOISE, "cell_flatness", 0.0),
    (NOISE, "style_quality", 0.5),
    (BLUR, "grid_alignment", 0.01),
    (BLUR, "cell_flatness", 0.01),
    (BLUR, "edge_sharpness", 0.0),
    (BLUR, "style_quality", 0.5),
    (JPEG, "grid_alignment", 0.02),
    (JPEG, "style_quality", 0.5),
    (STRAY, "style_quality", 0.0),
    (GROUND, "background_match", 0.0),
    (GROUND, "background_closeness", 0.0),
    (GROUND, "background_hue", 0.0),
    (GROUND, "color_accuracy", 0.0),
]
RISING = [
    (NOISE, "palette_size", 0.0),
    (STRAY, "orphan_cells", 0.0),
    (STRAY, "palette_size", 0.0),
    (RAMP, "banding", 0.0),
    (BLUR, "tones", 0.5),
    (NOISE, "tones", 0.0),
]


def _values(ladder: Ladder, metric: str) -> list[float]:
    """Return a metric over growing damage; it must be measured on every step."""
    values = [found.metrics[metric].value for found in _measured(ladder)]
    told = [value for value in values if value is not None]
    assert len(told) == len(values)
    return told


@cache
def _measured(ladder: Ladder) -> list[Measurement]:
    spoil, steps = ladder
    return [measure(spoil(step), expect=ONE.expect, grid=24) for step in steps]


def _name(parameter: object) -> str:
    names = {id(NOISE): "noise", id(BLUR): "blur", id(JPEG): "jpeg"}
    names |= {id(STRAY): "stray cells", id(GROUND): "wrong background", id(RAMP): "ramp"}
    return names.get(id(parameter), str(parameter))


@pytest.mark.parametrize(("ladder", "metric", "slack"), FALLING, ids=_name)
def test_a_good_quality_falls_with_damage(ladder: Ladder, metric: str, slack: float) -> None:
    """No step up beyond the slack, and clearly lower at the end than at the start."""
    values = _values(ladder, metric)

    assert all(later <= earlier + slack for earlier, later in pairwise(values)), values
    assert values[-1] < 0.95 * values[0], values


@pytest.mark.parametrize(("ladder", "metric", "slack"), RISING, ids=_name)
def test_a_fault_grows_with_damage(ladder: Ladder, metric: str, slack: float) -> None:
    """No step down beyond the slack, and clearly higher at the end than at the start."""
    values = _values(ladder, metric)

    assert all(later >= earlier - slack for earlier, later in pairwise(values)), values
    assert values[-1] > values[0] + slack, values
