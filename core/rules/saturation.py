"""Does a metric still tell the epochs of a run apart? One that stands still tells nothing.

Measurements in, one sentence out, whatever the number of metrics.
"""

from __future__ import annotations

from statistics import fmean
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from core.nouns import Measurement

LATEST = 5  # tested positions that have to agree
_NAMED = 3
# What enters a score, and how far means may lie apart and still be one: about a point of 100.
_SCORED: Mapping[str, float] = MappingProxyType(
    {
        "background_match": 1.0,
        "background_solid": 1.0,
        "region": 1.0,
        "accessory": 1.0,
        "expression": 1.0,
        "purity": 1.0,
        "grid_alignment": 0.01,
        "cell_flatness": 0.01,
        "palette_size": 0.5,
        "orphan_cells": 0.002,
    }
)


def saturated(epochs: Mapping[int, Sequence[Measurement]], unit: str) -> str | None:
    """Return a sentence on the scored metrics that stood still at the last five tested positions.

    ``epochs`` are the measured images by position. A metric stands still when its means (those
    images that have it) differ by less than about a point of 100. None when all of them still
    move, or fewer than five positions are tested.
    """
    latest = sorted(epochs)[-LATEST:]
    if len(latest) < LATEST:
        return None
    means = [_means(epochs[position]) for position in latest]
    still = {
        name: values[-1]
        for name in means[-1]
        if all(name in each for each in means)
        and max(values := [each[name] for each in means]) - min(values) < _tolerance(name)
    }
    return _sentence(still, f"{unit}s {latest[0]}-{latest[-1]}", unit) if still else None


def _means(images: Sequence[Measurement]) -> dict[str, float]:
    """Return the mean of each scored metric over the images that have it."""
    values: dict[str, list[float]] = {}
    for image in images:
        for name, metric in image.metrics.items():
            if metric.value is not None and _tolerance(name) > 0:
                values.setdefault(name, []).append(metric.value)
    return {name: fmean(each) for name, each in values.items()}


def _tolerance(name: str) -> float:
    """Return how far means may lie apart; 0 for what enters no score."""
    return _SCORED.get(name, _SCORED.get(name.partition("_")[0], 0.0))


def _sentence(still: Mapping[str, float], where: str, unit: str) -> str:
    """Return what stands still, where, and what that means."""
    names = list(still)
    if len(names) == 1:
        return f"{names[0]} is {still[names[0]]:.3g} at {where}: it no longer tells {unit}s apart."
    shown = ", ".join(f"{name} ({still[name]:.3g})" for name in names[:_NAMED])
    rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{shown}{rest} stand still at {where}: they no longer tell {unit}s apart."
