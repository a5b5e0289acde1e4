"""Is a checkpoint ready for production? The owner's criteria together, and what follows from them.

People's votes come as an argument; a person may set criteria aside with a reason, which is
recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from core.errors import Fixable
from core.nouns import Measurement
from core.rules import criteria, vote_criteria
from core.rules.criteria import Candidate, Criterion
from core.rules.scoring import summarize_epoch
from core.rules.telling import told
from core.rules.vote_criteria import Ballot

LEAST_SCORE, TARGET_SCORE = 8.0, 8.5
# Criteria that a model may fail and still be of use for everything else, and what is excluded then.
TRAITS = {"colors": "colors", "backgrounds": "backgrounds", "accessories": "accessories"}
_SHORT = TRAITS | {
    "score": f"a score of {LEAST_SCORE:g}",
    "style": "pixel-art style",
    "production": "votes against production",
    "target": f"a score of {TARGET_SCORE:g}",
    "overall": "overall win rate",
    "categories": "win rate by category",
    "consistent": "consistency across prompts",
    "artifacts": "artifacts",
    "speed": "time an image takes",
    "feedback": "people's feedback",
}


@dataclass(frozen=True, kw_only=True)
class Checklist:
    """All criteria and what follows from them."""

    criteria: tuple[Criterion, ...]
    strict: bool
    blocking: tuple[Criterion, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Find what stands in the way."""
        object.__setattr__(self, "blocking", tuple(c for c in self.criteria if self._blocks(c)))

    def _blocks(self, criterion: Criterion) -> bool:
        """Unknown blocks where everything was asked to be proven, and no score blocks anywhere."""
        if self.strict or criterion.key == "score":
            return criterion.state != "met"
        return criterion.must and criterion.state == "not met"

    @property
    def is_ready(self) -> bool:
        """Whether it may go to production without anybody overriding anything."""
        return not self.blocking

    @property
    def excluded(self) -> tuple[str, ...]:
        """The traits that are not ready, where everything else is; empty when it is ready."""
        if any(c.key not in TRAITS or c.state == "not known" for c in self.blocking):
            return ()
        return tuple(TRAITS[criterion.key] for criterion in self.blocking)

    @property
    def sentence(self) -> str:
        """Say whether it is ready, what is excluded and what nobody knows."""
        unknown = [c for c in self.criteria if c.must and c.state == "not known"]
        unchecked = any(c.key == "production" for c in unknown)
        rest = [c for c in unknown if c.key != "production" and c not in self.blocking]
        tail = f" Not known: {_listed(rest)}." if rest else ""
        tail = (" Unchecked by votes." if unchecked and self.blocking else "") + tail
        if self.excluded:
            return f"Ready, {' and '.join(self.excluded)} excluded.{tail}"
        if self.blocking:
            return f"Not ready: {_listed(self.blocking)}.{tail}"
        return f"Ready{', unchecked by votes' if unchecked else ''}.{tail}"


def candidate_of(
    *,
    images: Sequence[Mapping[str, Any]],
    people: Sequence[Mapping[str, Any]],
    epoch: Mapping[str, Any] | None,
    has_production: bool,
) -> Candidate:
    """Return what the rows of one position say.

    ``images`` are its samples with ``body`` (a measurement, None while not measured), ``defect``,
    ``seconds``, ``prompt_name``, ``expect`` and ``recipe``; ``people`` each judge's last scores;
    ``epoch`` the owner's row, which speaks only where nothing is measured.
    """
    measured = [(each, Measurement.from_json(each["body"])) for each in images if each["body"]]
    summary = summarize_epoch(
        0,
        [measurement for _, measurement in measured],
        prompts=[str(each["prompt_name"]) for each, _ in measured],
    )
    seen = [
        metric.value
        for _, measurement in measured
        for name, metric in measurement.metrics.items()
        if name.startswith("accessory_") and metric.value is not None
    ]
    seconds = [each["seconds"] for each in images if each["seconds"] is not None]
    opinions = tuple(
        fmean(float(p[name]) for name in ("visual", "style", "prompt")) for p in people
    )
    past = None if epoch is None or epoch["average"] is None else float(epoch["average"])
    machine = past if summary.average is None else summary.average
    promised = {a for each in images for a in (each["expect"] or {}).get("accessories") or ()}
    return Candidate(
        average=fmean(opinions) if opinions else machine,
        images=len(measured),
        defects=sum(each["defect"] is not None for each in images),
        issues=summary.issue_counts,
        told={
            key: told([measurement for _, measurement in measured], issues)
            for key, issues in criteria.TRAIT_ISSUES.items()
        },
        prompts=len({each["prompt_name"] for each, _ in measured}),
        weak_spots=tuple(spot.text for spot in summary.weak_spots),
        accessories=tuple(sorted(promised)),
        accessories_seen=tuple(seen),
        seconds=fmean(seconds) if seconds else None,
        people=opinions,
        is_pixel_art=any((each["recipe"] or {}).get("grid") is not None for each in images),
        has_production=has_production,
    )


def checklist(
    candidate: Candidate, ballot: Ballot | None = None, *, strict: bool = False
) -> Checklist:
    """Judge a candidate by the owner's criteria.

    The default asks for the must-haves, and takes what is not known on trust: without votes on
    current production the verdict says so. Strict asks for everything, all of it known, and for
    proof of each line about votes (an e-value of 20): that more than 60 % prefer it to current
    production, more than 80 % to the base model, and more than 70 % in each category.
    """
    return Checklist(
        strict=strict,
        criteria=(
            criteria.score(candidate, "score", LEAST_SCORE, must=True),
            criteria.style(candidate),
            criteria.trait(candidate, "colors", "Accurate colors"),
            criteria.trait(candidate, "backgrounds", "Solid backgrounds"),
            criteria.accessories(candidate),
            vote_criteria.production(candidate, ballot, strict=strict),
            criteria.score(candidate, "target", TARGET_SCORE, must=False),
            vote_criteria.overall(ballot, strict=strict),
            vote_criteria.categories(ballot, strict=strict),
            criteria.consistent(candidate),
            criteria.trait(candidate, "artifacts", "No artifacts", must=False),
            criteria.speed(candidate),
            criteria.feedback(candidate),
        ),
    )


def set_aside(checked: Checklist, reason: str) -> tuple[str, ...]:
    """Return the keys of the criteria that a person overrides by promoting anyway.

    Raises:
        Fixable: when something blocks and no reason is given.
    """
    if checked.blocking and not reason.strip():
        found = "; ".join(f"{c.name}: {c.found}" for c in checked.blocking)
        raise Fixable(f"Not promoted. {checked.sentence} {found} To do it anyway, give a reason.")
    return tuple(criterion.key for criterion in checked.blocking)


def _listed(named: Sequence[Criterion]) -> str:
    return ", ".join(_SHORT[criterion.key] for criterion in named)
