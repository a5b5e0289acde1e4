"""Colors of regions such as hair, found without a segmenter: by where training images have them."""

from dataclasses import dataclass, replace

import numpy as np

from core.metrics.background import ColorFigures
from core.metrics.color import (
    CHROMATIC,
    MATCH,
    MERGE,
    Bools,
    Bytes,
    Floats,
    chroma,
    delta_e,
    hue_gap,
    lab,
    merge_palette,
    oklab,
    rgb_of_hex,
)
from core.metrics.color_words import Painted, Target, match_cells
from core.metrics.several import share_there

CORE = 0.3  # probability from which a cell belongs to a region
SURE = (0.8, 0.65, 0.5)  # from which its hues are held against it: the first with enough cells
FEWEST_SURE = 8
_SMALL = 24  # cells of a region that a step of one cell to the side may leave quite empty
FEWEST_CORE, FEWEST_IMAGES = 4, 20
SAME_HUE = 25.0  # degrees in OKLCh: shading, not a second color
EACH_OF_FIGURE = 0.25  # of the least area that each of several promised colors has in a figure
_LESSER_TONE = 15.0  # % of the cells that make a second tone
_OUTLINE_LIGHTNESS = 0.2

# Share of the figure (not of the picture) that a region has at least, where nothing was learned.
_LEAST_AREA = {"hair": 0.04, "skin": 0.08, "eyes": 0.003, "lips": 0.004}
_LEAST_AREA_OF_OTHERS = 0.01


@dataclass(frozen=True, kw_only=True)
class RegionMap:
    """Where one region lies in the training images, and what they themselves score on it."""

    probability: tuple[tuple[float, ...], ...]  # (rows, columns)
    images: int  # training images whose caption names the region
    match: float  # what nine in ten of those images reach, 0-100: earns full marks
    closeness: float
    hue: float
    purity: float
    area: float  # median share of all cells in the region's color
    second_tone: float  # 95 % quantile of the second tone, %
    intruders: tuple[str, ...] = ()  # colors such as skin or a gold crown that often stand there
    own: tuple[float, float, float] = (0.0, 0.0, 0.0)  # as above, where nothing else covers it

    @property
    def weights(self) -> Floats:
        """(rows, columns): the probability where it reaches 0.3, else 0."""
        grid = np.asarray(self.probability)
        return np.where(grid >= CORE, grid, 0.0)

    @property
    def usable(self) -> bool:
        """Whether enough images and cells speak for it."""
        enough = np.count_nonzero(self.weights) >= FEWEST_CORE
        return self.images >= FEWEST_IMAGES and bool(enough)

    def sure_cells(self, cells: Bytes, background: Bytes, targets: tuple[Target, ...]) -> Bytes:
        """Return (n, 3): the cells that belong to the region in most or all training images.

        Those in the picture's (3,) background color or in that of a known intruder are left out,
        unless they match the promise or hardly any would be left.
        """
        grid = np.asarray(self.probability)
        sure = [grid >= level for level in SURE if np.count_nonzero(grid >= level) >= FEWEST_SURE]
        inside = cells[sure[0] if sure else grid >= CORE]
        return inside[self._uncovered(inside, background, targets)]

    def own_weights(self, cells: Bytes, background: Bytes, targets: tuple[Target, ...]) -> Floats:
        """Return (rows, columns): the probability of cells that most training images give to it.

        0 where the background or an intruder covers them, as in ``sure_cells``.
        """
        grid = np.asarray(self.probability)
        sure = grid >= SURE[-1]
        place = sure if np.count_nonzero(sure) >= FEWEST_SURE else grid >= CORE
        weights = np.zeros(grid.shape)
        weights[place] = grid[place] * self._uncovered(cells[place], background, targets)
        return weights

    def _uncovered(self, inside: Bytes, background: Bytes, targets: tuple[Target, ...]) -> Bools:
        """Return which (n, 3) cells nothing else covers; all of them where hardly any would be."""
        colors = lab(inside)
        other = delta_e(colors, lab(background)) <= MERGE
        for value in self.intruders:
            other |= delta_e(colors, lab(rgb_of_hex(value))) <= MATCH
        kept: Bools = ~other | match_cells(inside, targets).match
        return kept if np.count_nonzero(kept) >= FEWEST_CORE else np.ones_like(kept)


def weighted_figures(cells: Painted, weights: Floats, targets: tuple[Target, ...]) -> ColorFigures:
    """Return how (rows, columns, 3) cells answer to a color, each weighted by its probability."""
    inside = weights > 0
    answer = cells.match(targets, inside)
    share = weights[inside] / weights[inside].sum()
    match, closeness, hue = (100 * (answer.table @ share)).tolist()
    figures = ColorFigures(match=match, closeness=closeness, hue=hue)
    return figures.times(share_there(cells, weights, targets))


def kept_figures(
    cells: Painted, region: RegionMap, targets: tuple[Target, ...], background: Bytes
) -> ColorFigures:
    """Return agreement of a region with its promise, 100 being what training images reach.

    Rare shapes reach it too, and a large region with a part in another color has as many cells of
    the promised one: so it is no better than among the cells that nothing else covers. A map that
    was learned before those were told apart (``own``) does not know that.
    """
    figures = mapped_figures(cells, region, targets)
    if not any(region.own):
        return figures
    weights = region.own_weights(cells.cells, background, targets)
    own = weighted_figures(cells, weights, targets)
    match, closeness, hue = region.own
    return ColorFigures(
        match=min(figures.match, _at_most(own.match, match)),
        closeness=min(figures.closeness, _at_most(own.closeness, closeness)),
        hue=min(figures.hue, _at_most(own.hue, hue)),
    )


def mapped_figures(cells: Painted, region: RegionMap, targets: tuple[Target, ...]) -> ColorFigures:
    """Return agreement by all cells of a region's place, 100 being what training images reach."""
    raw = weighted_figures(cells, region.weights, targets)
    return ColorFigures(
        match=_relative(raw.match, region.match),
        closeness=_relative(raw.closeness, region.closeness),
        hue=_relative(raw.hue, region.hue),
    )


def settled(cells: Painted, region: RegionMap, targets: tuple[Target, ...]) -> RegionMap:
    """Return the map where it fits cells best: a small region, such as lips, may lie a cell off."""
    own = mapped_figures(cells, region, targets)
    if own.match >= 100 or np.count_nonzero(region.weights) > _SMALL:
        return region
    places = [region, *_a_cell_off(region)]
    return max(places, key=lambda place: mapped_figures(cells, place, targets).score)


def _a_cell_off(region: RegionMap) -> list[RegionMap]:
    """Return the map moved by a cell in each direction in which none of its cells leaves the picture."""
    around = np.pad(np.asarray(region.probability), 1)
    rows, columns = len(region.probability), len(region.probability[0])
    moved = [around[y : y + rows, x : x + columns] for y in range(3) for x in range(3)]
    places = [replace(region, probability=tuple(map(tuple, each.tolist()))) for each in moved]
    cells = np.count_nonzero(region.weights)
    return [place for place in places if np.count_nonzero(place.weights) == cells]


def _relative(value: float, reference: float) -> float:
    """Return ``value`` in % of a positive reference, at most 100."""
    return min(100.0, 100 * value / reference) if reference > 0 else value


def _at_most(value: float, reference: float) -> float:
    """Return ``value`` in % of a reference; 100, which limits nothing, where that is 0."""
    return _relative(value, reference) if reference > 0 else 100.0


def least_area(name: str, region: RegionMap | None) -> float:
    """Return the share of the figure that a region needs in the palette test.

    Half of what training images give it, when a few of them name it; else a rough share by name.
    """
    if region and region.images >= 3 and region.area > 0:
        return region.area / 2
    return _LEAST_AREA.get(name, _LEAST_AREA_OF_OTHERS)


@dataclass(frozen=True, kw_only=True)
class Tones:
    """The hues within a region, shades not counted."""

    purity: float  # 0-100, share of the largest hue
    second: float  # 0-100, share of the second color of a two-toned region; 0 when it has one color


def without_outline(cells: Bytes) -> Bytes:
    """Return (n, 3) cells without dark outline, unless hardly any would be left."""
    ok = oklab(cells)
    outline = (ok[..., 0] < _OUTLINE_LIGHTNESS) & (chroma(ok) < CHROMATIC)
    kept = cells[~outline]
    return kept if len(kept) >= max(FEWEST_CORE, len(cells) // 4) else cells


def tones_of(cells: Bytes) -> Tones:
    """Return purity and second tone of the (n, 3) cells of one region."""
    kept = without_outline(cells)
    return Tones(purity=_purity(kept), second=_second_tone(oklab(kept)))


def _purity(cells: Bytes) -> float:
    """Return the share, 0-100, of the palette entry with the most shades.

    Shades are entries within 25 degrees of hue, or any two grays.
    """
    palette = merge_palette(cells)
    ok = oklab(palette.rgb)
    gray = chroma(ok) < CHROMATIC
    alike = (hue_gap(ok[:, None], ok[None, :]) <= SAME_HUE) & ~gray[:, None] & ~gray[None, :]
    alike |= gray[:, None] & gray[None, :]
    family = (alike | np.eye(len(ok), dtype=bool)) @ palette.share
    return 100 * min(1.0, float(family.max()))


def _second_tone(ok: Floats) -> float:
    """Return the share, 0-100, of the lesser of two clusters when they differ in hue, else 0.

    Two-means in OKLab with a and b doubled; two tones are more than 0.1 apart, at least 15 % each,
    more than 25 degrees of hue apart and both chromatic: shading alone never is two-toned.
    """
    space = ok * np.array([1.0, 2.0, 2.0])
    first, second = _two_means(space)
    lesser = 100 * min(first.mean(), second.mean())
    if lesser < _LESSER_TONE:
        return 0.0
    centers = np.stack([ok[first].mean(axis=0), ok[second].mean(axis=0)])
    apart = np.linalg.norm((centers[0] - centers[1]) * np.array([1.0, 2.0, 2.0])) > 0.1
    hue = hue_gap(centers[0], centers[1]) > SAME_HUE and chroma(centers).min() > 0.03
    return float(lesser) if apart and hue else 0.0


def _two_means(points: Floats) -> tuple[Bools, Bools]:
    """Return the two clusters of (n, 3) points as masks; started from the two farthest extremes."""
    far = ((points - points.mean(axis=0)) ** 2).sum(axis=1).argmax()
    farther = ((points - points[far]) ** 2).sum(axis=1).argmax()
    centers = points[[far, farther]]
    first = np.ones(len(points), dtype=bool)
    for _ in range(10):
        distance = ((points[:, None] - centers[None]) ** 2).sum(axis=-1)
        first = distance[:, 0] <= distance[:, 1]
        if first.all() or not first.any():
            break
        centers = np.stack([points[first].mean(axis=0), points[~first].mean(axis=0)])
    return first, ~first


def hair_is_two_toned(second: float, region: RegionMap) -> bool:
    """Return whether a second tone is larger than in nearly all training images."""
    return second >= _LESSER_TONE and second > region.second_tone
