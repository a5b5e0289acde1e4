"""The owner's criteria for production, one function each: met, not met or not known, and why.

Everything here was measured on the test of the candidate's position, or scored by people; those
that rest on votes are in ``core.rules.vote_criteria``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, Literal

from core.rules.scoring import FLAG_SHARE, action, floor_for_display
from core.rules.telling import Told

State = Literal["met", "not met", "not known"]
SLOWEST = 5.0  # seconds an image
POSITIVE = 7.0  # mean of people's scores that counts as positive feedback
# Criterion -> the issues that speak against it.
TRAIT_ISSUES: Mapping[str, tuple[str, ...]] = {
    "style": ("photorealistic",),
    "colors": ("wrong_colors", "two_toned_hair"),
    "backgrounds": ("wrong_background", "noisy_background"),
    "artifacts": (
        "random_pixels",
        "too_many_colors",
        "uneven_grid",
        "wrong_grid",
        "blurry",
        "blank_image",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """One line of the checklist, and what was found."""

    key: str
    name: str
    state: State
    found: str  # a sentence with the numbers, or why it is not known
    must: bool  # False: nice to have, asked for only in strict mode

    def as_json(self) -> dict[str, Any]:
        """Return the form that is stored with the promotion."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What is known of a checkpoint that somebody wants in production."""

    average: float | None  # 0-10: people's score, else the machine's
    images: int  # measured
    defects: int  # images that could not be drawn
    issues: Mapping[str, int]  # issue -> measured images that have it
    told: Mapping[str, Told]  # key of TRAIT_ISSUES -> measured images that can tell
    prompts: int  # with a measured image
    weak_spots: tuple[str, ...]  # such as "fails on blue hair (3.2)", the worst first
    accessories: tuple[str, ...]  # promised by its prompts
    accessories_seen: tuple[float, ...]  # 0-100 of each promise that could be measured
    seconds: float | None  # mean time of an image
    people: tuple[float, ...]  # mean score of each judge, 0-10
    is_pixel_art: bool
    has_production: bool  # whether something is in production now


def state_of(*, met: bool) -> State:
    """Return the word for what is known to hold or not to hold."""
    return "met" if met else "not met"


def score(candidate: Candidate, key: str, least: float, *, must: bool) -> Criterion:
    """Judge the average of 0-10 scores by a threshold."""
    average, name = candidate.average, f"Score of at least {least:g}"
    if average is None:
        return Criterion(
            key=key, name=name, state="not known", must=must, found="Nothing is scored yet."
        )
    by = "people" if candidate.people else f"{candidate.images} images"
    found = f"{floor_for_display(average):.1f} of 10 by {by}. {action(average)}"
    met = average >= least - 1e-9
    return Criterion(key=key, name=name, state=state_of(met=met), must=must, found=found)


def style(candidate: Candidate) -> Criterion:
    """Judge whether it draws pixel art."""
    if candidate.images and not candidate.is_pixel_art:
        return Criterion(
            key="style", name="Pixel art, not photographs", state="not known", must=True,
            found="Its test asks for no pixel grid, so photographs cannot be told from it.",
        )  # fmt: skip
    return trait(candidate, "style", "Pixel art, not photographs")


def trait(candidate: Candidate, key: str, name: str, *, must: bool = True) -> Criterion:
    """Judge by the issues of its images: one on a quarter of them is one of the epoch.

    Where no image can tell, as no prompt promised a background, nothing is met.
    """
    if not candidate.images:
        return Criterion(
            key=key, name=name, state="not known", must=must, found="No image is measured."
        )
    told, issues = candidate.told[key], candidate.issues
    counts = {issue: issues[issue] for issue in TRAIT_ISSUES[key] if issues.get(issue)}
    parts = [
        f"{issue.replace('_', ' ')} on {n} of {candidate.images} images"
        for issue, n in counts.items()
    ]
    if key == "artifacts" and candidate.defects:
        parts.append(f"{candidate.defects} could not be drawn")
    bad = any(n / candidate.images >= FLAG_SHARE for n in counts.values())
    bad = bad or (key == "artifacts" and candidate.defects > 0)
    state: State = "not known" if not told.images and not bad else state_of(met=not bad)
    found = f"{'; '.join(parts)}." if parts else _none_found(candidate, told)
    return Criterion(key=key, name=name, state=state, must=must, found=found)


def _none_found(candidate: Candidate, told: Told) -> str:
    """Say on how many images nothing was found, or why none of them can tell."""
    if not told.images:
        return f"None of {candidate.images} images can tell: {told.reason}."
    if told.images < candidate.images:
        return f"No fault on the {told.images} of {candidate.images} images that can tell."
    return f"No fault on {candidate.images} images."


def accessories(candidate: Candidate) -> Criterion:
    """Judge what was promised to be seen, as far as anything can see it."""
    name, promised = "Clean accessories", ", ".join(candidate.accessories)
    if not candidate.accessories_seen:
        found = (
            f"Nothing here can recognize {promised}: look at the pictures."
            if promised
            else "No test prompt asks for one."
        )
        return Criterion(key="accessories", name=name, state="not known", must=True, found=found)
    mean = fmean(candidate.accessories_seen)
    return Criterion(
        key="accessories", name=name, state=state_of(met=mean >= 50), must=True,
        found=f"{mean:.0f} % of {promised} are seen.",
    )  # fmt: skip


def consistent(candidate: Candidate) -> Criterion:
    """Judge by its prompts: one that fails, or lies a point below the average, is a weak spot."""
    key, name, weak = "consistent", "Consistent across prompts", candidate.weak_spots
    if candidate.prompts < 2:
        return Criterion(
            key=key,
            name=name,
            state="not known",
            must=False,
            found="Fewer than two prompts are measured.",
        )
    more = f"; and {len(weak) - 4} more" if len(weak) > 4 else ""
    found = f"It {'; it '.join(weak[:4])}{more}." if weak else f"All {candidate.prompts} alike."
    return Criterion(key=key, name=name, state=state_of(met=not weak), must=False, found=found)


def speed(candidate: Candidate) -> Criterion:
    """Judge by the mean time of its test images."""
    key, name = "speed", f"An image in less than {SLOWEST:g} s"
    if candidate.seconds is None:
        return Criterion(
            key=key, name=name, state="not known", must=False, found="Nothing is drawn."
        )
    found = f"{candidate.seconds:.1f} s on the machine that drew its test."
    met = candidate.seconds < SLOWEST
    return Criterion(key=key, name=name, state=state_of(met=met), must=False, found=found)


def feedback(candidate: Candidate) -> Criterion:
    """Judge by what people scored by hand."""
    key, name = "feedback", "People's feedback is positive"
    if not candidate.people:
        return Criterion(
            key=key, name=name, state="not known", must=False, found="Nobody has scored it by hand."
        )
    mean = fmean(candidate.people)
    judges = "1 person" if len(candidate.people) == 1 else f"{len(candidate.people)} people"
    found = f"{floor_for_display(mean):.1f} of 10 by {judges}."
    return Criterion(
        key=key, name=name, state=state_of(met=mean >= POSITIVE), must=False, found=found
    )
