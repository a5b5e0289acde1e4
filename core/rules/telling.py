"""Which images can tell whether something is wrong with an epoch, and why the others cannot.

An issue that no image could show is not known; it is never "not there".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from core.nouns import Measurement, MetricValue

# Issue -> the metric without which nobody can say that it is not there; "region_" begins the
# names of all regions. Only a promised color can be wrong, and only a measured style can be.
_SHOWN_BY: Mapping[str, str] = MappingProxyType(
    {
        "wrong_background": "background_match",
        "noisy_background": "background_match",
        "wrong_colors": "region_",
        "two_toned_hair": "region_",
    }
)
_STYLE = "style_quality"  # shows all other issues
_SCORE_OF = {_STYLE: "style_match"}  # whose reason stands for that of a metric
_UNASKED = {
    "background_match": "its prompt promises no background",
    "region_": "its prompt promises no color of hair or another region",
    _STYLE: "its style is not measured",
}


@dataclass(frozen=True, kw_only=True)
class Told:
    """How many images can show some issues, and the commonest reason of those that cannot."""

    images: int
    reason: str | None  # None: there is no image that cannot


def told(measurements: Sequence[Measurement], issues: Sequence[str]) -> Told:
    """Return how many images can show at least one of these issues.

    An image that has one has shown it, whatever else could be measured of it.
    """
    whys = [_why_not(each, issues) for each in measurements]
    reasons = Counter(why for why in whys if why is not None)
    return Told(images=whys.count(None), reason=reasons.most_common(1)[0][0] if reasons else None)


def has_issue(measurement: Measurement, issue: str) -> bool | None:
    """Return whether an image has an issue; None where it cannot tell."""
    return issue in measurement.issues if told([measurement], (issue,)).images else None


def _why_not(measurement: Measurement, issues: Sequence[str]) -> str | None:
    """Return why an image can show none of these issues; None where it can show one."""
    if set(issues) & set(measurement.issues):
        return None
    asked = sorted({_SHOWN_BY.get(issue, _STYLE) for issue in issues})
    found = [metric for name in asked for metric in _metrics(measurement, name)]
    if "photorealistic" in measurement.issues and asked == [_STYLE]:
        return "of a photograph nothing is said about its cells"
    if any(metric.value is not None for metric in found):
        return None
    given = (metric.explanation for metric in found)
    score = _SCORE_OF.get(asked[0], "prompt_adherence")
    return next(given, measurement.reasons.get(score, _UNASKED[asked[0]]))


def _metrics(measurement: Measurement, name: str) -> list[MetricValue]:
    """Return the metric of a name, or those of all regions."""
    if name.endswith("_"):
        return [metric for key, metric in measurement.metrics.items() if key.startswith(name)]
    return [measurement.metrics[name]] if name in measurement.metrics else []
