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
    backgrounds_of,
    foreground_masks,
    ring_mask,
)
from core.metrics.color import Bools
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
    settled,
    tones_of,
)
from core.metrics.several import EACH, each_is_asked, missing
from core.metrics.shown import Question, shown_figures
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
    shown = _shown(stack, expects, figures, profile)
    asked = zip(stack, expects, grounds, figures, shown, repeat(profile), scores)
    return [(each[2], judge_promises(*each)) for each in asked]


def _shown(
    stack: Sequence[Painted],
    expects: Sequence[Expectation],
    figures: Sequence[Bools],
    profile: TrainingProfile | None,
) -> list[dict[str, ColorFigures]]:
    """Return how the border answers, and the figure as a whole, to each color that is promised."""
    questions = []
    for cells, expect, figure in zip(stack, expects, figures, strict=True):
        places = {}
        if ground := resolve(expect.background or ""):
            ring = ring_mask(*figure.shape)
            places["background"] = Question(cells=cells, where=ring, targets=ground)
        where = figure if figure.any() else np.ones_like(figure)
        known = _known(profile, expect)
        for name, color in expect.regions:
            if targets := resolve(color):
                least = _least_area(name, known, figure)
                each = EACH_OF_FIGURE * least
                places[name] = Question(
                    cells=cells, where=where, targets=targets, least=least, each=each
                )
        questions.append(places)
    found = iter(shown_figures([asked for places in questions for asked in places.values()]))
    return [{name: next(found) for name in places} for places in questions]


def judge_promises(
    cells: Painted,
    expect: Expectation,
    background: Background,
    figure: Bools,
    shown: Mapping[str, ColorFigures],
    profile: TrainingProfile | None,
    scores: Mapping[str, float] = NO_SCORES,
) -> Promises:
    """Return how (rows, columns, 3) cells keep what ``expect`` promises.

    ``figure`` is the mask of those that are not background, ``shown`` is what the border and the
    figure have of each promised color, and ``scores`` are those of the image by the profile's
    detectors.
    """
    why_no_ground = not_applicable(expect, "background")
    ground = resolve(expect.background) if expect.background and not why_no_ground else ()
    told: ColorFigures | Unmeasured | None = None
    if expect.background and why_no_ground:
        told = Unmeasured(reason=why_no_ground)
    elif expect.background:
        told = shown["background"] if ground else _not_a_color(expect.background)
    regions: dict[str, RegionAnswer | Unmeasured] = {}
    known = _known(profile, expect)
    for name, color in expect.regions:
        if why_not := not_applicable(expect, name):
            regions[name] = Unmeasured(reason=why_not)
        elif not (targets := resolve(color)):
            regions[name] = _not_a_color(color)
        elif region := _map_of(known, name, cells):
            regions[name] = _by_map(cells, name, region, targets, background)
        else:
            regions[name] = _by_figure(name, shown[name], targets, figure, known)
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


def _known(profile: TrainingProfile | None, expect: Expectation) -> TrainingProfile | None:
    """Return what training images tell of such a picture, if anything."""
    return profile if profile and profile.images and profile.fits(expect) else None


def _map_of(profile: TrainingProfile | None, name: str, cells: Painted) -> RegionMap | None:
    """Return where training images have a region, if they tell and these cells have their shape."""
    region = profile.region(name) if profile else None
    if region is None or not region.usable or region.match <= 0:
        return None
    shape = len(region.probability), len(region.probability[0])
    return region if cells.number.shape == shape else None


def _by_figure(
    name: str,
    figures: ColorFigures,
    targets: tuple[Target, ...],
    figure: Bools,
    profile: TrainingProfile | None,
) -> RegionAnswer:
    """Return how a region keeps its promise where nothing tells its place: by all of the figure."""
    least = _least_area(name, profile, figure)
    why = "too few training captions name it" if profile else "there are no training images like it"
    return RegionAnswer(
        figures=figures,
        tones=None,
        purity=None,
        two_toned=False,
        how=f"looked for anywhere in the figure, since {why}",
        place=Place(mask=figure, targets=targets, least=least, each=EACH_OF_FIGURE * least),
    )


def _least_area(name: str, profile: TrainingProfile | None, figure: Bools) -> float:
    """Return the least area as a share of the figure; a learned one is a share of the picture."""
    region = profile.region(name) if profile else None
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
