"""Promised things, such as a crown or a smile, answered by the probes that have proved themselves."""

from dataclasses import dataclass

from core.metrics.applicability import not_applicable
from core.metrics.color import Bytes
from core.metrics.probe import Probe
from core.metrics.profile import TrainingProfile
from core.metrics.proof import Proof
from core.nouns import Expectation

SEEN = 50.0  # points from which a thing counts as there
_NO_PROFILE = "not measurable: it takes training images with captions to learn to see it"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """How surely one thing is in the picture."""

    points: float  # 0-100, 50 is the threshold
    proof: Proof

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


def look_for_things(cells: Bytes, expect: Expectation, profile: TrainingProfile | None) -> Things:
    """Return which things of ``expect``, and which others, (rows, columns, 3) cells show."""
    expression = expect.expression
    others = sorted(set(profile.things) - set(expect.accessories)) if profile else []
    looked = [(name, _look_for(cells, name, name, expect, profile)) for name in others]
    return Things(
        promised=tuple(
            (name, _look_for(cells, name, name, expect, profile)) for name in expect.accessories
        ),
        expression=(expression, _look_for(cells, expression, "expression", expect, profile))
        if expression
        else None,
        unasked=tuple((name, answer) for name, answer in looked if isinstance(answer, Seen)),
    )


def _look_for(
    cells: Bytes, name: str, what: str, expect: Expectation, profile: TrainingProfile | None
) -> Seen | Unseen:
    """Return whether one thing is to be seen."""
    if reason := not_applicable(expect, what):
        return Unseen(reason=reason)
    if profile is None or not profile.images:
        return Unseen(reason=_NO_PROFILE)
    if not profile.fits(expect):
        return Unseen(reason=profile.why_elsewhere(expect.subject))
    probe = profile.probe(name) or Probe(positives=0, negatives=profile.images)
    if probe.why_not:
        return Unseen(reason=f"not measurable: {probe.why_not}")
    points = probe.points(cells)
    if points is None or probe.proof is None:
        return Unseen(
            reason="not measurable: the picture has another shape than those learned from"
        )
    return Seen(points=points, proof=probe.proof)
