"""One number for an image: the plain mean of its three scores, or its parts by adopted weights.

Weights change this number only. What was measured, and the three scores, stay as they are.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from core.metrics.applicability import not_applicable
from core.metrics.color_words import resolve
from core.metrics.pixel_art import (
    DRAWN_BY_PEOPLE,
    alignment_points,
    flatness_points,
    orphan_points,
)
from core.rules.scoring import average_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from core.nouns import Expectation, Measurement

# What the parts weigh in the plain mean of visual quality, style match and prompt adherence.
DEFAULT_WEIGHTS: Mapping[str, float] = MappingProxyType(
    {
        "promises": 1 / 3,
        "alignment": 0.35 / 3,
        "flat_cells": (0.25 + 0.20) / 3,
        "palette": 0.25 / 3,
        "no_photo": 0.15 / 3,
        "few_strays": 0.35 / 3,
        "solid": 0.25 / 3,
        "purity": 0.20 / 3,
    }
)
_SPOILED = frozenset(("photorealistic", "blurry"))


def sub_scores(measurement: Measurement, expect: Expectation) -> dict[str, float]:
    """Return the parts of the score that were measured, each 0-10, the higher the better.

    ``expect`` is what the prompt promised: of a promised pattern nobody asks that it be solid.
    """
    style = _value(measurement, "style_quality")
    strays = _value(measurement, "orphan_cells") if measurement.visual_quality is not None else None
    flat = _value(measurement, "cell_flatness") if style is not None else None
    aligned = _value(measurement, "grid_alignment") if style is not None else None
    plain_ground = (
        _value(measurement, "background_match") is not None
        and expect.background is not None
        and not_applicable(expect, "background") is None
        and len(resolve(expect.background)) == 1
    )
    found = {
        "promises": _tenfold(measurement.prompt_adherence),
        "alignment": None if aligned is None else alignment_points(aligned),
        "flat_cells": None if flat is None else flatness_points(flat),
        "no_photo": None if style is None else 100.0 * (not _SPOILED & set(measurement.issues)),
        "few_strays": None if strays is None else orphan_points(strays, DRAWN_BY_PEOPLE),
        "solid": _value(measurement, "background_solid") if plain_ground else None,
        "purity": _value(measurement, "purity"),
    }
    parts = [found["alignment"], found["flat_cells"], found["no_photo"]]
    if style is not None and None not in parts:
        others = sum(w * (part or 0.0) for w, part in zip((0.35, 0.25, 0.15), parts, strict=True))
        found["palette"] = (style - others) / 0.25  # what is left of the style is the palette's
    return {
        name: min(10.0, max(0.0, value / 10)) for name, value in found.items() if value is not None
    }


def composite_of(
    measurement: Measurement, weights: Mapping[str, float], expect: Expectation
) -> float | None:
    """Return the weighted mean of the parts, 0-10; what is missing re-shares its weight."""
    parts = sub_scores(measurement, expect)
    total = sum(weights.get(name, 0.0) for name in parts)
    if total <= 0:
        return None
    return sum(weights.get(name, 0.0) * value for name, value in parts.items()) / total


def with_weights(
    measurement: Measurement, weights: Mapping[str, float] | None, expect: Expectation
) -> Measurement:
    """Return the measurement with its one number by these weights; None: the plain mean."""
    composite = composite_of(measurement, weights, expect) if weights else None
    return replace(measurement, composite=composite)


def plain_average(measurement: Measurement) -> float | None:
    """Return the plain mean of the three scores, whatever weights were adopted."""
    return average_of(replace(measurement, composite=None))


def _value(measurement: Measurement, name: str) -> float | None:
    metric = measurement.metrics.get(name)
    return None if metric is None else metric.value


def _tenfold(score: float | None) -> float | None:
    return None if score is None else 10 * score
