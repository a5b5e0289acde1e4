"""What is measured, what is scored, and what can be wrong with an image: this package's frozen tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from core.nouns import Measurement, MetricValue


@dataclass(frozen=True, kw_only=True)
class MetricSpec:
    """One number: its range, its direction, and its version (raised when its numbers change)."""

    meaning: str
    low: float = 0.0
    high: float = 100.0
    higher_is_better: bool | None = True
    version: int = 1


METRICS: Mapping[str, MetricSpec] = MappingProxyType(
    {
        "background_match": MetricSpec(
            meaning="% of border cells in the promised color", version=3
        ),
        "background_closeness": MetricSpec(
            meaning="closeness of border cells to the promise", version=3
        ),
        "background_hue": MetricSpec(
            meaning="% of border cells in the promised hue class", version=2
        ),
        "background_solid": MetricSpec(
            meaning="% of border cells of one color", higher_is_better=None
        ),
        "region": MetricSpec(
            meaning="graded agreement of a region with its promised color", version=3
        ),
        "accessory": MetricSpec(meaning="whether a promised thing is to be seen", version=2),
        "expression": MetricSpec(meaning="whether a face has the promised expression"),
        "unasked": MetricSpec(
            meaning="whether a thing is to be seen that nobody asked for", higher_is_better=False
        ),
        "purity": MetricSpec(
            meaning="% of a promised region in one hue, shades allowed", version=2
        ),
        "two_toned": MetricSpec(
            meaning="% of the hair in a second hue, shades not counted",
            higher_is_better=False, version=2,
        ),
        "color_accuracy": MetricSpec(meaning="agreement with all promised colors", version=3),
        "unique_colors": MetricSpec(
            meaning="palette entries after merging shades too alike to tell",
            high=16384.0, low=1.0, higher_is_better=None,
        ),
        "palette_size": MetricSpec(
            meaning="palette entries counted against what drawn pixel art has",
            high=16384.0, low=1.0, higher_is_better=False,
        ),
        "grid_alignment": MetricSpec(
            meaning="how much of all edges lies on the lines of the grid, beyond chance",
            high=1.0, version=2,
        ),
        "grid_found": MetricSpec(
            meaning="cells along the width of the grid that fits best",
            low=8.0, high=128.0, higher_is_better=None, version=2,
        ),
        "cell_flatness": MetricSpec(meaning="share of cells without a ramp inside", high=1.0),
        "orphan_cells": MetricSpec(
            meaning="share of cells unlike all their neighbors", high=1.0, higher_is_better=False
        ),
        "edge_sharpness": MetricSpec(
            meaning="how sharply one cell becomes the next: 0 is a ramp over a whole cell", high=1.0
        ),
        "banding": MetricSpec(
            meaning="share of neighboring cells with a step too small to be drawn, part of a ramp",
            high=1.0, higher_is_better=False,
        ),
        "tones": MetricSpec(
            meaning="effective number of tones; photographs have many",
            low=1.0, high=32768.0, higher_is_better=False,
        ),
        "style_quality": MetricSpec(meaning="pixel-art style against art drawn by people"),
        "style_against_training": MetricSpec(meaning="pixel-art style against the training images"),
        "all_promises": MetricSpec(
            meaning="geometric mean of what was promised: all at once", version=3
        ),
        "finishing_shift": MetricSpec(
            meaning="how far finishing moves the colors of the cells", higher_is_better=None
        ),
        "unfinished_colors": MetricSpec(
            meaning="palette entries before finishing",
            high=16384.0, low=1.0, higher_is_better=None,
        ),
        "unfinished_accuracy": MetricSpec(
            meaning="agreement with all promised colors before finishing", version=3
        ),
    }
)  # fmt: skip

SCORES: Mapping[str, MetricSpec] = MappingProxyType(
    {
        "visual_quality": MetricSpec(
            meaning="few stray cells .35, solid background .25, purity .20, flat cells .20",
            high=10.0, version=2,
        ),
        "style_match": MetricSpec(
            meaning="edges on the grid .35, flat cells .25, palette .25, no photograph .15", high=10.0
        ),
        "prompt_adherence": MetricSpec(
            meaning="mean of what the prompt promises", high=10.0, version=3
        ),
    }
)  # fmt: skip

ISSUES: Mapping[str, str] = MappingProxyType(
    {
        "blank_image": "the image is one single color",
        "too_small": "the image is too small to be measured",
        "wrong_background": "the background has another color than promised",
        "noisy_background": "the background is not one solid color",
        "wrong_colors": "a region such as the hair has another color than promised",
        "misplaced_color": "a promised color is there, but in another place than promised",
        "two_toned_hair": "the hair has two hues where one was promised",
        "random_pixels": "stray single cells unlike their neighbors",
        "too_many_colors": "many more colors than drawn pixel art has",
        "photorealistic": "looks like a photograph, not like pixel art",
        "blurry": "smooth where pixel art has sharp cells",
        "wrong_grid": "pixel art on another grid than asked for",
        "uneven_grid": "the edges of the cells do not sit on an even grid",
    }
)


# Raised when a threshold or a condition changes, so that the same image would get another flag.
_NEWER = {"wrong_background": 3, "wrong_colors": 3, "misplaced_color": 3, "two_toned_hair": 2}
ISSUE_VERSIONS: Mapping[str, int] = MappingProxyType({**dict.fromkeys(ISSUES, 1), **_NEWER})


def metric_versions() -> dict[str, int]:
    """Return the version of every metric, score and issue: part of a measurement's rubric.

    Whoever changes what an image gets raises one, and ``epochwatch rescore`` measures anew.
    """
    numbers = {name: spec.version for name, spec in {**METRICS, **SCORES}.items()}
    return {**numbers, **ISSUE_VERSIONS}


def explained(measured: Measurement) -> dict[str, dict[str, Any]]:
    """Return the three scores as metrics are stored, and each issue with its version, as JSON.

    A score that is None carries its reason as the explanation.
    """
    scores = {}
    for name, spec in SCORES.items():
        value = getattr(measured, name)
        why = spec.meaning if value is not None else measured.reasons.get(name, "not measured")
        scores[name] = _value(spec, value, why).as_json()
    flags = {
        name: {
            "raised": name in measured.issues,
            "explanation": meaning,
            "version": ISSUE_VERSIONS[name],
        }
        for name, meaning in ISSUES.items()
    }
    return {"scores": scores, "flags": flags}


def metric_value(spec_name: str, value: float | None, explanation: str) -> MetricValue:
    """Return ``value`` with the range and direction of a metric; None carries its reason."""
    return (
        _without(spec_name, explanation)
        if value is None
        else _value(METRICS[spec_name], value, explanation)
    )


@lru_cache(maxsize=1024)  # the same few reasons, picture after picture
def _without(spec_name: str, reason: str) -> MetricValue:
    return _value(METRICS[spec_name], None, reason)


def _value(spec: MetricSpec, value: float | None, explanation: str) -> MetricValue:
    kept = None if value is None else min(max(float(value), spec.low), spec.high)
    return MetricValue(kept, spec.low, spec.high, spec.higher_is_better, explanation, spec.version)
