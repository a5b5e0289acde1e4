"""From measurements to the numbers a person reads: bands, verdicts and the summary of an epoch."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING

from core.nouns import EpochScore, Measurement, Verdict
from core.rules.telling import told

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

EPSILON = 1e-9  # 0.7 * 100 / 10 must stay a 7
BEST, GOOD, ACCEPTABLE = 9, 7, 5  # the owner's thresholds
FLAG_SHARE = 0.25  # an issue of this share of the measured images is an issue of the epoch
COLLAPSE = "photorealistic"  # the issue that makes an epoch a failure
# The owner's yes-or-no columns of an epoch, and the issue that each stands for.
FLAGS = {
    "has_wrong_backgrounds": "wrong_background",
    "has_random_pixels": "random_pixels",
    "has_wrong_colors": "wrong_colors",
    "is_photorealistic": COLLAPSE,
}
WEAK_GAP = 1.0  # a category this far below the epoch's average is a weak spot
_SCORES = ("visual_quality", "style_match", "prompt_adherence")


@dataclass(frozen=True, kw_only=True)
class WeakSpot:
    """A prompt or category that does worse than the rest of its epoch."""

    name: str
    average: float  # 0-10
    images: int

    @property
    def text(self) -> str:
        """The sentence a person reads, such as "fails on blue hair (3.2)"."""
        word = "fails" if self.average < ACCEPTABLE else "is weaker"
        return f"{word} on {self.name.replace('_', ' ')} ({floor_for_display(self.average):.1f})"


@dataclass(frozen=True, kw_only=True)
class EpochSummary:
    """What all images of one position say together. Whatever no image could tell is None."""

    position: int
    visual: float | None  # 0-10
    style: float | None
    prompt: float | None
    images: int  # measured images
    reasons: dict[str, str]  # score name -> why it is None
    verdict: Verdict | None
    action: str | None  # what the owner's guide says to do at this average
    issues: tuple[str, ...]  # on at least a quarter of the images, the most frequent first
    issue_counts: dict[str, int]
    strengths: tuple[str, ...]  # on at least half of the images, the most frequent first
    weak_spots: tuple[WeakSpot, ...]  # the worst first
    background_hex: str | None  # the most frequent one
    unique_colors: float | None  # the median
    color_accuracy_score: float | None  # 0-100
    style_quality_score: float | None  # 0-100
    told: dict[str, bool]  # issue behind an owner's column -> whether any image can show it
    composite: float | None = None  # mean over images by adopted weights, 0-10

    @property
    def score(self) -> EpochScore:
        """The three means as the score of the position."""
        return EpochScore(
            position=self.position,
            visual=self.visual,
            style=self.style,
            prompt=self.prompt,
            images=self.images,
            composite=self.composite,
        )

    @property
    def flags(self) -> dict[str, bool | None]:
        """The owner's columns of this epoch; None where none of its images can tell.

        So a background is never "not wrong" because no prompt promised one, and outside pixel art
        nothing is photorealistic and no pixel is stray.
        """
        return {
            column: issue in self.issues if self.told[issue] else None
            for column, issue in FLAGS.items()
        }

    @property
    def average(self) -> float | None:
        """The composite where weights were adopted, else the plain mean of what exists, 0-10."""
        return self.score.average


def floor_for_display(score: float) -> float:
    """Return a 0-10 score with one decimal, never rounded up: 8.999 is shown as 8.9."""
    return math.floor(_held(score) * 10 + EPSILON) / 10


def band(score: float) -> int:
    """Return the whole number below a 0-10 score: 89.99 % is 8, 90 % is 9."""
    return math.floor(_held(score) + EPSILON)


def verdict(average: float | None, *, photorealistic_collapse: bool = False) -> Verdict | None:
    """Return the owner's verdict on an epoch; None while nothing is measured.

    Only a collapse into photographs makes a failure; a low score alone is a skip.
    """
    if photorealistic_collapse:
        return "failure"
    if average is None or math.isnan(average):
        return None
    whole = band(average)
    if whole >= BEST:
        return "best"
    if whole >= GOOD:
        return "good"
    return "acceptable" if whole >= ACCEPTABLE else "skip"


def action(score: float) -> str:
    """Return what the owner's guide says to do with an epoch of this 0-10 score."""
    whole = band(score)
    if whole >= BEST:
        return "Deploy to production."
    if whole >= GOOD:
        return "Consider for production."
    if whole >= ACCEPTABLE:
        return "Keep training or adjust."
    return "Stop and analyze the failure."


def summarize_epoch(
    position: int,
    measurements: Sequence[Measurement],
    *,
    prompts: Sequence[str] | None = None,
) -> EpochSummary:
    """Fold the measurements of one position; ``prompts`` names prompt or category of each.

    Scores that are None are skipped, never counted as 0. An issue counts for the epoch when at
    least a quarter of the images have it; the epoch collapsed when "photorealistic" does.

    Raises:
        ValueError: when ``prompts`` is not as long as ``measurements``.
    """
    means = {name: _mean(getattr(one, name) for one in measurements) for name in _SCORES}
    issue_counts = _counts(one.issues for one in measurements)
    issues = tuple(n for n, k in issue_counts.items() if k >= FLAG_SHARE * len(measurements))
    present = [mean for mean in means.values() if mean is not None]
    composite = _mean(one.composite for one in measurements)
    average = composite if composite is not None else fmean(present) if present else None
    backgrounds = _counts((one.background_hex,) for one in measurements if one.background_hex)
    colors = [one.unique_colors for one in measurements if one.unique_colors is not None]
    strengths = _counts(one.strengths for one in measurements)
    return EpochSummary(
        position=position,
        visual=means["visual_quality"],
        style=means["style_match"],
        prompt=means["prompt_adherence"],
        images=len(measurements),
        reasons={name: _reason(name, measurements) for name, mean in means.items() if mean is None},
        verdict=verdict(average, photorealistic_collapse=COLLAPSE in issues),
        action=None if average is None else action(average),
        issues=issues,
        issue_counts=issue_counts,
        strengths=tuple(n for n, k in strengths.items() if 2 * k >= len(measurements)),
        weak_spots=_weak_spots(measurements, prompts, average),
        background_hex=next(iter(backgrounds), None),
        unique_colors=float(median(colors)) if colors else None,
        color_accuracy_score=_metric_mean(measurements, "color_accuracy"),
        style_quality_score=_metric_mean(measurements, "style_quality"),
        told={issue: told(measurements, (issue,)).images > 0 for issue in FLAGS.values()},
        composite=composite,
    )


def average_of(measurement: Measurement) -> float | None:
    """Return the one number of an image, 0-10; None when it has no score.

    By adopted weights where it was measured under some, else the plain mean of its scores.
    """
    if measurement.composite is not None:
        return measurement.composite
    return _mean(getattr(measurement, name) for name in _SCORES)


def _held(score: float) -> float:
    return min(10.0, max(0.0, score))


def _mean(values: Iterable[float | None]) -> float | None:
    present = [value for value in values if value is not None and math.isfinite(value)]
    return fmean(present) if present else None


def _metric_mean(measurements: Sequence[Measurement], name: str) -> float | None:
    found = (one.metrics.get(name) for one in measurements)
    return _mean(metric.value for metric in found if metric is not None)


def _counts(groups: Iterable[Iterable[str]]) -> dict[str, int]:
    """Count in how many groups each name is; the most frequent first, then by name."""
    counted = Counter(name for group in groups for name in set(group))
    return dict(sorted(counted.items(), key=lambda pair: (-pair[1], pair[0])))


def _reason(name: str, measurements: Sequence[Measurement]) -> str:
    if not measurements:
        return "No image has been measured yet."
    given = _counts((one.reasons[name],) for one in measurements if name in one.reasons)
    return next(iter(given), "No image gave this score.")


def _weak_spots(
    measurements: Sequence[Measurement], prompts: Sequence[str] | None, average: float | None
) -> tuple[WeakSpot, ...]:
    """Return the names that fail while others do not, or lie a point below the average."""
    if prompts is None or average is None:
        return ()
    groups: dict[str, list[float]] = {}
    for name, one in zip(prompts, measurements, strict=True):
        score = average_of(one)
        if score is not None:
            groups.setdefault(name, []).append(score)
    if len(groups) < 2:
        return ()
    spots = [WeakSpot(name=n, average=fmean(s), images=len(s)) for n, s in groups.items()]
    limit = average - WEAK_GAP + EPSILON
    weak = [spot for spot in spots if spot.average <= limit]
    return tuple(sorted(weak, key=lambda spot: (spot.average, spot.name)))
