"""How far an image keeps what its prompt promised: one atom for each color and thing, then their mean.

Judging atoms one by one and combining them stays closer to people than one holistic number
(GenEval 2, Soft-TIFA).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import repeat

import numpy as np

from core.metrics.applicability import not_applicable
from core.metrics.background import (
    Background,
    ColorFigures,
    background_figures,
    backgrounds_of,
    foreground_masks,
    ring_mask,
)
from core.metrics.color import Bools, Numbers
from core.metrics.color_words import Painted, Target, resolve
from core.metrics.misplaced import Place, cells_elsewhere, said_of
from core.metrics.profile import TrainingProfile
from core.metrics.regions import (
    EACH_OF_FIGURE,
    RegionMap,
    Tones,
    hair_is_two_toned,
    kept_figures,
    least_area,
    palette_figures,
    settled,
    tones_of,
)
from core.metrics.several import EACH, each_is_asked, missing
from core.metrics.things import NO_SCORES, Things, look_for_things
from core.nouns import Expectation

BACKGROUND_WEIGHT, REGIONS_WEIGHT, PURITY_WEIGHT = 0.4, 0.4, 0.2
_LEAST_ELSEWHERE = 0.04  # of the cells off the border, as for hair, that show a background's color
_SMALLEST_FOR_TONES = 8  # cells; lips and eyes are too small to have a second hue


@dataclass(frozen=True, kw_only=True)
class Unmeasured:
    """A promise that could not be judged, and why."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class RegionAnswer:
    """How one region keeps its promise."""

    figures: ColorFigures
    tones: Tones | None  # None without a map or in a small region
    purity: float | None  # 0-100 of what training images reach
    two_toned: bool
    how: str  # a sentence for a person
    place: Place  # where it was looked for


@dataclass(frozen=True, kw_only=True)
class Promises:
    """All that an expectation asks for, judged."""

    background: ColorFigures | Unmeasured | None  # None: nothing promised
    plain_background: bool  # a single color was promised, so it should be solid
    regions: Mapping[str, RegionAnswer | Unmeasured]
    things: Things = field(default_factory=Things)
    misplaced: Mapping[str, int] = field(default_factory=dict)  # cells elsewhere in its color
    missing: Mapping[str, Sequence[str]] = field(default_factory=dict)  # of several colors

    @cached_property
    def purity(self) -> float | None:
        """Mean purity of the promised regions that have one, 0-100."""
        found = [answer.purity for answer in self.kept.values() if answer.purity is not None]
        return sum(found) / len(found) if found else None

    @cached_property
    def kept(self) -> dict[str, RegionAnswer]:
        """The regions that could be judged."""
        return {
            name: answer
            for name, answer in self.regions.items()
            if isinstance(answer, RegionAnswer)
        }

    @cached_property
    def atoms(self) -> dict[str, float]:
        """Score of each promise that could be judged, 0-100."""
        scores = {name: answer.figures.score for name, answer in self.kept.items()}
        if isinstance(self.background, ColorFigures):
            scores = {"background": self.background.score, **scores}
        return scores | self.things.atoms


def judge_all(
    stack: Sequence[Painted],
    expects: Sequence[Expectation],
    profile: TrainingProfile | None,
    scores: Iterable[Mapping[str, float]] = repeat(NO_SCORES),
) -> list[tuple[Background, Promises]]:
    """Return the background of pictures that were painted together, and how they keep promises."""
    grounds = backgrounds_of(stack)
    figures = foreground_masks(stack, grounds)
    if len(stack) > 1:
        _ask_together(stack, expects, figures)
    asked = zip(stack, expects, grounds, figures, repeat(profile), scores)
    return [(each[2], judge_promises(*each)) for each in asked]


def _ask_together(
    stack: Sequence[Painted], expects: Sequence[Expectation], figures: Sequence[Bools]
) -> None:
    """Work out how the colors of all pictures answer, so that judging each one looks them up."""
    asked: dict[Target, list[Numbers]] = {}
    for cells, expect, figure in zip(stack, expects, figures, strict=True):
        ring, inside = cells.number[ring_mask(*figure.shape)], cells.number[figure]
        places = [
            (expect.background or "", ring),
            *((color, inside) for _, color in expect.regions),
        ]
        for text, numbers in places:
            for target in resolve(text):
                asked.setdefault(target, []).append(numbers)
    for target, found in asked.items():
        stack[0].shades.match(np.concatenate(found), target)


def judge_promises(
    cells: Painted,
    expect: Expectation,
    background: Background,
    figure: Bools,
    profile: TrainingProfile | None,
    scores: Mapping[str, float] = NO_SCORES,
) -> Promises:
    """Return how (rows, columns, 3) cells keep what ``expect`` promises.

    ``figure`` is the mask of those that are not background, and ``scores`` are those of the image
    by the profile's detectors.
    """
    why_no_ground = not_applicable(expect, "background")
    ground = resolve(expect.background) if expect.background and not why_no_ground else ()
    told: ColorFigures | Unmeasured | None = None
    if expect.background and why_no_ground:
        told = Unmeasured(reason=why_no_ground)
    elif expect.background:
        told = background_figures(cells, ground) if ground else _not_a_color(expect.background)
    known = profile if profile and profile.images and profile.fits(expect) else None
    regions: dict[str, RegionAnswer | Unmeasured] = {}
    for name, color in expect.regions:
        why_not = not_applicable(expect, name)
        regions[name] = (
            Unmeasured(reason=why_not)
            if why_not
            else _judge_region(cells, name, color, background, figure, known)
        )
    promises = Promises(
        background=told,
        plain_background=len(ground) == 1,
        regions=regions,
        things=look_for_things(cells.cells, expect, profile, scores),
    )
    if profile and profile.off:
        promises = _without_unproven(promises, profile)
    return _with_misplaced(_with_missing(promises, cells, expect), cells, ground)


def _with_missing(promises: Promises, cells: Painted, expect: Expectation) -> Promises:
    """Return the promises with those of several colors of one thing that are hardly there."""
    promised = [*expect.regions, ("background", expect.background or "")]
    several = {name: color for name, color in promised if each_is_asked(resolve(color))}
    if not several:
        return promises
    places = {
        name: (answer.place.mask, answer.place.each) for name, answer in promises.kept.items()
    }
    if isinstance(promises.background, ColorFigures):
        places["background"] = ring_mask(*cells.number.shape), EACH
    found = {
        name: missing(cells, mask, several[name], each)
        for name, (mask, each) in places.items()
        if name in several
    }
    return replace(promises, missing={name: gone for name, gone in found.items() if gone})


def _with_misplaced(promises: Promises, cells: Painted, ground: tuple[Target, ...]) -> Promises:
    """Return the promises with where else the colors are that are not in their place."""
    kept = promises.kept
    wrong = {name for name, answer in kept.items() if answer.figures.is_wrong}
    if isinstance(promises.background, ColorFigures) and promises.background.is_wrong:
        wrong.add("background")
    if not wrong:
        return promises
    places = {name: answer.place for name, answer in kept.items()}
    if isinstance(promises.background, ColorFigures):
        mask = ring_mask(*cells.number.shape)
        places["background"] = Place(mask=mask, targets=ground, least=_LEAST_ELSEWHERE)
    misplaced = cells_elsewhere(cells, places, wrong)
    if not misplaced:
        return promises
    regions = {
        name: replace(answer, how=f"{answer.how}; {said_of(misplaced[name])}")
        if isinstance(answer, RegionAnswer) and name in misplaced
        else answer
        for name, answer in promises.regions.items()
    }
    return replace(promises, misplaced=misplaced, regions=regions)


def _without_unproven(promises: Promises, profile: TrainingProfile) -> Promises:
    """Return the promises without those whose numbers have failed their proof."""
    regions = dict(promises.regions)
    for name in regions:
        if why := profile.why_off(f"region_{name}"):
            regions[name] = Unmeasured(reason=why)
    why = profile.why_off("background")
    if why and isinstance(promises.background, ColorFigures):
        return replace(promises, background=Unmeasured(reason=why), regions=regions)
    return replace(promises, regions=regions)


def _not_a_color(text: str) -> Unmeasured:
    """Return why a promise such as "checkered" is not judged."""
    return Unmeasured(reason=f"'{text}' is not a color that can be measured")


def _judge_region(
    cells: Painted,
    name: str,
    color: str,
    background: Background,
    figure: Bools,
    profile: TrainingProfile | None,
) -> RegionAnswer | Unmeasured:
    """Return how one region keeps its promise: by its map, else by the palette test."""
    targets = resolve(color)
    if not targets:
        return _not_a_color(color)
    region = profile.region(name) if profile else None
    if region and region.usable and region.match > 0 and _same_shape(cells, region):
        return _by_map(cells, name, region, targets, background)
    least = _least_area(name, region, figure)
    figures = palette_figures(cells, figure, targets, least)
    how = "looked for anywhere in the figure, since "
    how += (
        "too few training captions name it" if profile else "there are no training images like it"
    )
    return RegionAnswer(
        figures=figures,
        tones=None,
        purity=None,
        two_toned=False,
        how=how,
        place=Place(mask=figure, targets=targets, least=least, each=EACH_OF_FIGURE * least),
    )


def _same_shape(cells: Painted, region: RegionMap) -> bool:
    """Return whether a map fits these cells."""
    return cells.number.shape == (len(region.probability), len(region.probability[0]))


def _least_area(name: str, region: RegionMap | None, figure: np.ndarray) -> float:
    """Return the least area as a share of the figure; a learned one is a share of the picture."""
    share = least_area(name, region)
    learned = region is not None and region.images >= 3 and region.area > 0
    return share / max(float(figure.mean()), share) if learned else share


def _by_map(
    cells: Painted,
    name: str,
    region: RegionMap,
    targets: tuple[Target, ...],
    background: Background,
) -> RegionAnswer:
    """Return how a region keeps its promise where training images have it."""
    region = settled(cells, region, targets)
    inside = region.sure_cells(cells.cells, background.rgb, targets)
    tones = tones_of(inside) if len(inside) >= _SMALLEST_FOR_TONES else None
    relative = None
    if tones and region.purity > 0 and len(targets) == 1:
        relative = min(100.0, 100 * tones.purity / region.purity)
    return RegionAnswer(
        figures=kept_figures(cells, region, targets, background.rgb),
        tones=tones,
        purity=relative,
        two_toned=bool(
            name == "hair"
            and tones
            and len(targets) == 1
            and hair_is_two_toned(tones.second, region)
        ),
        how=f"measured where {region.images} training images have it",
        place=Place(mask=region.weights > 0, targets=targets, least=least_area(name, region)),
    )


def color_accuracy(promises: Promises) -> float | None:
    """Return 0-100 over all promised colors, or None when none could be judged.

    Background 0.4, regions 0.4 in equal parts, purity 0.2; a missing part re-shares its weight.
    """
    parts: list[tuple[float, float]] = []
    if isinstance(promises.background, ColorFigures):
        parts.append((BACKGROUND_WEIGHT, promises.background.score))
    if promises.kept:
        scores = [answer.figures.score for answer in promises.kept.values()]
        parts.append((REGIONS_WEIGHT, sum(scores) / len(scores)))
    if parts and promises.purity is not None:
        parts.append((PURITY_WEIGHT, promises.purity))
    return weighted_mean(parts)


def weighted_mean(parts: list[tuple[float, float]]) -> float | None:
    """Return the mean of (weight, value) pairs, or None without any."""
    total = sum(weight for weight, _ in parts)
    return sum(weight * value for weight, value in parts) / total if total else None


def all_promises(promises: Promises) -> float | None:
    """Return the geometric mean of the atoms, 0-100: near 0 as soon as one promise is broken."""
    scores = promises.atoms.values()
    if not scores:
        return None
    return math.exp(sum(math.log(max(score, 0.1)) for score in scores) / len(scores))
