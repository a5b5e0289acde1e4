"""What the gates of a plan are judged by: each epoch's measurements, and what one criterion makes of them."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Any

from core.formats.run_plan import EPOCH_SCORES, STEADY, Criterion
from core.metrics.tables import METRICS
from core.rules.scoring import EPSILON, average_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from core.nouns import EpochScore, Measurement

_FAMILIES = ("region", "accessory")  # one metric for each region or thing: "region_hair"
_FIELDS = {"visual": "visual_quality", "style": "style_match", "prompt": "prompt_adherence"}
_WORDS = {">=": "at least", ">": "above", "<=": "at most", "<": "below"}


@dataclass(frozen=True, kw_only=True)
class PromptValues:
    """The measurements of one image; whatever could not be measured is None."""

    prompt: str  # images of one prompt (several seeds) are averaged
    values: Mapping[str, float | None]
    reasons: Mapping[str, str] = field(default_factory=dict)  # metric -> why it is None


@dataclass(frozen=True, kw_only=True)
class EpochEvidence:
    """One saved epoch: its images in the suite's order, and its scores as a whole."""

    position: int
    images: tuple[PromptValues, ...] = ()
    scores: Mapping[str, float | None] = field(default_factory=dict)  # EPOCH_SCORES, 0-10
    over: bool = True  # False while images may still come


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that is known of a run: its saved epochs in any order, and whether more can come."""

    epochs: tuple[EpochEvidence, ...] = ()
    ended: bool = False


@dataclass(frozen=True, kw_only=True)
class Look:
    """What one epoch says of a criterion."""

    position: int
    holds: bool | None  # None: it cannot be told, and ``shown`` says why
    shown: str
    value: float | None = None  # the mean that was compared
    hits: int | None = None  # prompts that meet it; None where none is counted or measured


def is_metric(name: str) -> bool:
    """Say whether images are measured under this name."""
    family, _, thing = name.partition("_")
    return (name in METRICS and name not in _FAMILIES) or (family in _FAMILIES and bool(thing))


def epoch_evidence(
    position: int, measured: Iterable[tuple[str, Measurement]], score: EpochScore | None
) -> EpochEvidence:
    """Return one epoch's evidence from (prompt name, measurement) pairs and its effective score."""
    names = EPOCH_SCORES if score is not None else ()
    return EpochEvidence(
        position=position,
        images=tuple(_values_of(prompt, one) for prompt, one in measured),
        scores={name: getattr(score, name) for name in names},
    )


def criterion_words(criterion: Criterion) -> str:
    """Return a criterion as a person reads it: "background match at least 50 on 12 of 15 prompts"."""
    name = criterion.metric.replace("_", " ")
    count = f" on {_of(*criterion.at_least)} prompts" if criterion.at_least else ""
    if criterion.op == STEADY:
        line = "" if criterion.threshold is None else f" around {criterion.threshold:g}{count}"
        return f"no oscillation of {name}{line}"
    return f"{name} {_WORDS[criterion.op]} {criterion.threshold:g}{count}"


def look_at(criterion: Criterion, epoch: EpochEvidence) -> Look:
    """Return what an epoch says of a criterion: a count of prompts, or its mean.

    A count is taken over the first n prompts that could be measured. It is settled before n are
    measured when k hold already, or when k are out of reach.
    """
    if criterion.at_least is not None:
        return _counted(criterion, *criterion.at_least, epoch)
    if not epoch.over:
        return _unknown(epoch, "its test is not over")
    value = _mean_of(criterion.metric, epoch)
    if value is None:
        return _unknown(epoch, _why_none(criterion.metric, epoch))
    holds = _meets(criterion, value)
    return Look(position=epoch.position, holds=holds, shown=_number(value), value=value)


def _counted(criterion: Criterion, wanted: int, among: int, epoch: EpochEvidence) -> Look:
    values = _by_prompt(criterion.metric, epoch)[:among]
    hits = sum(_meets(criterion, value) is True for value in values)
    holds: bool | None = None
    shown = f"{_of(hits, len(values))} prompts"
    if hits >= wanted:
        holds = True
    elif len(values) - hits > among - wanted:
        holds = False
    else:
        why = "" if values or not epoch.over else f": {_why_none(criterion.metric, epoch)}"
        seen = f"{_of(len(values), among)} prompts {'is' if len(values) == 1 else 'are'} measured"
        shown = f"{seen}, {hits} hold{'s' if hits == 1 else ''}{why}"
    return Look(position=epoch.position, holds=holds, shown=shown, hits=hits if values else None)


def _meets(criterion: Criterion, value: float) -> bool | None:
    """Compare; the last digits of a float decide nothing. None where there is no threshold."""
    if criterion.threshold is None:
        return None
    beyond = value - criterion.threshold
    return {
        ">=": beyond >= -EPSILON,
        STEADY: beyond >= -EPSILON,
        ">": beyond > EPSILON,
        "<=": beyond <= EPSILON,
        "<": beyond < -EPSILON,
    }[criterion.op]


def _mean_of(metric: str, epoch: EpochEvidence) -> float | None:
    if metric in EPOCH_SCORES:
        return _finite(epoch.scores.get(metric))
    values = _by_prompt(metric, epoch)
    return fmean(values) if values else None


def _by_prompt(metric: str, epoch: EpochEvidence) -> list[float]:
    """Return one value for each prompt that could be measured, in order."""
    found: dict[str, list[float]] = {}
    for image in epoch.images:
        if (value := _finite(image.values.get(metric))) is not None:
            found.setdefault(image.prompt, []).append(value)
    return [fmean(values) for values in found.values()]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _why_none(metric: str, epoch: EpochEvidence) -> str:
    reasons = Counter(image.reasons[metric] for image in epoch.images if metric in image.reasons)
    if reasons:
        return min(reasons, key=lambda reason: (-reasons[reason], reason))
    if not epoch.images and not epoch.scores:
        return "no image was measured"
    return "no prompt of the suite is measured for it"


def _unknown(epoch: EpochEvidence, why: str) -> Look:
    return Look(position=epoch.position, holds=None, shown=why)


def _of(count: int, whole: int) -> str:
    return f"{count} of {whole}"


def _number(value: float) -> str:
    """Return a value with two decimals at most, never rounded across a threshold of one decimal."""
    return f"{math.floor(value * 100 + EPSILON) / 100:g}"


def _values_of(prompt: str, measurement: Measurement) -> PromptValues:
    values: dict[str, Any] = {name: found.value for name, found in measurement.metrics.items()}
    reasons = {
        name: found.explanation
        for name, found in measurement.metrics.items()
        if found.value is None
    }
    values["average"] = average_of(measurement)
    for name, its_field in _FIELDS.items():
        values[name] = getattr(measurement, its_field)
        if its_field in measurement.reasons:
            reasons[name] = measurement.reasons[its_field]
    return PromptValues(prompt=prompt, values=values, reasons=reasons)
