"""Promised things, such as a crown or a smile, answered by what has proved that it sees them."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from core.metrics.applicability import not_applicable
from core.metrics.color import Bytes
from core.metrics.detector import Detector
from core.metrics.profile import TrainingProfile
from core.metrics.proof import Proof
from core.nouns import Expectation

SEEN = 50.0  # points from which a thing counts as there
NO_SCORES: Mapping[str, float] = MappingProxyType({})
_NO_PROFILE = "not measurable: it takes training images with captions to learn to see it"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """How surely one thing is in the picture."""

    points: float  # 0-100, 50 is the threshold
    proof: Proof
    how: str = "learned from"  # before the number of training images with it

    @property
    def there(self) -> bool:
        """Whether it counts as seen."""
        return self.points >= SEEN


@dataclass(frozen=True, kw_only=True)
class Unseen:
    """A thing that cannot be looked for, and why."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Things:
    """The promised things, and those that nobody asked for."""

    promised: tuple[tuple[str, Seen | Unseen], ...] = ()
    expression: tuple[str, Seen | Unseen] | None = None
    unasked: tuple[tuple[str, Seen], ...] = ()  # things captions name, whether they are there

    @property
    def atoms(self) -> dict[str, float]:
        """Points of each promise that could be looked for, 0-100."""
        asked = [*self.promised, *([self.expression] if self.expression else [])]
        return {name: answer.points for name, answer in asked if isinstance(answer, Seen)}


def look_for_things(
    cells: Bytes,
    expect: Expectation,
    profile: TrainingProfile | None,
    scores: Mapping[str, float] = NO_SCORES,
) -> Things:
    """Return which things of ``expect``, and which others, (rows, columns, 3) cells show.

    ``scores`` are those of the image by the profile's detectors, where a model was at hand.
    """

    def look(name: str, what: str = "") -> Seen | Unseen:
        reason = not_applicable(expect, what or name)
        return Unseen(reason=reason) if reason else _look_for(cells, name, expect, profile, scores)

    expression = expect.expression
    others = sorted(set(profile.things) - set(expect.accessories)) if profile else []
    looked = [(name, look(name)) for name in others]
    return Things(
        promised=tuple((name, look(name)) for name in expect.accessories),
        expression=(expression, look(expression, "expression")) if expression else None,
        unasked=tuple((name, answer) for name, answer in looked if isinstance(answer, Seen)),
    )


def _look_for(
    cells: Bytes,
    name: str,
    expect: Expectation,
    profile: TrainingProfile | None,
    scores: Mapping[str, float],
) -> Seen | Unseen:
    """Return whether one thing is to be seen."""
    if profile is None or not profile.images:
        return Unseen(reason=_NO_PROFILE)
    if not profile.fits(expect):
        return Unseen(reason=profile.why_elsewhere(expect.subject))
    seer = profile.seer(name)
    if seer is None or seer.proof is None:
        return Unseen(reason=f"not measurable: {profile.why_unseen(name)}")
    if isinstance(seer, Detector):
        points, how = _points_by_name(seer, scores.get(name)), f"by {seer.scorer}, proved on"
        why_not = f"{seer.scorer}, which sees it, was not at hand"
    else:
        points, how = seer.points(cells), "learned from"
        why_not = "the picture has another shape than those learned from"
    if points is None:
        return Unseen(reason=f"not measurable: {why_not}")
    return Seen(points=points, proof=seer.proof, how=how)


def _points_by_name(detector: Detector, score: float | None) -> float | None:
    return None if score is None else detector.points_of(score)
