"""Which cells speak against an image, and which colors were compared: what a picture can show.

The same questions as ``measure`` asks, answered cell by cell; changes no number.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from core.formats.finishing import read_finishing
from core.metrics.applicability import grid_to_ask
from core.metrics.background import Background, background_of, foreground_mask, ring_mask
from core.metrics.cells import Grid
from core.metrics.color import (
    MATCH,
    MERGE,
    Bools,
    Bytes,
    delta_e,
    hex_of_rgb,
    lab,
    merge_palette,
    rgb_of_hex,
)
from core.metrics.color_words import Target, match_cells, paint, parts_of, resolve
from core.metrics.findings import RIGHT
from core.metrics.look import COLOR_CELLS, Look, look_at
from core.metrics.measure import measure
from core.metrics.pixel_art import flat_mask, orphan_mask
from core.metrics.profile import TrainingProfile
from core.metrics.regions import SURE, RegionMap, settled
from core.metrics.several import EACH, each_is_asked
from core.nouns import Expectation, Measurement

_SMALLEST_ENTRY = 0.004  # of the cells: two cells of 24x24


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One promised color beside the one that was measured for it."""

    name: str  # "background", "hair"
    promised: str  # as it was asked for: "#50be50", "hot pink"
    wanted: str  # "#rrggbb" of it, the nearest one where a word stands for several
    measured: str  # "#rrggbb"
    difference: float  # CIEDE2000
    how: str  # where the measured color comes from, for a person


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that can be shown; masks are (rows, columns)."""

    grid: Grid
    asked: int | None
    found: float | None  # the grid that fits best, when none was asked for or that one does not fit
    alignment: float | None  # 0-1
    is_pixel_art: bool
    cropped: bool  # cells are cut at the borders
    stray: Bools
    uneven: Bools | None  # None where cells are too small to have a ramp
    wrong_background: Bools | None  # None without a promise
    wrong_regions: Mapping[str, Bools]  # of regions whose place is known and that are not right
    comparisons: tuple[Comparison, ...]
    palette: tuple[str, ...]  # "#rrggbb", the largest entry first


def evidence_of(
    pixels: Bytes,
    *,
    expect: Expectation,
    grid: int | None,
    profile: TrainingProfile | None = None,
    finishing: str = "cells",
) -> tuple[Measurement, Evidence | None]:
    """Return what ``measure`` says of (H, W, 3) uint8, and the cells it rests on.

    The evidence is None where nothing can be measured, such as on a blank image. Raises Fixable
    where ``measure`` does.
    """
    measured = measure(pixels, expect=expect, grid=grid, profile=profile, finishing=finishing)
    kind = profile.kind if profile else None
    if kind == "votes" or {"too_small", "blank_image"} & set(measured.issues):
        return measured, None
    steps = read_finishing(finishing)
    look = look_at(pixels, grid, profile.grid if profile else COLOR_CELLS, steps, kind)
    ground = background_of(look.cells)
    expect = _with_a_number(expect, measured)
    places = _places(look.cells, expect, profile)
    return measured, Evidence(
        grid=look.grid,
        asked=grid_to_ask(kind, grid),
        found=look.found,
        alignment=look.aligned.score if look.aligned else None,
        is_pixel_art=look.is_pixel_art,
        cropped=look.cropped,
        stray=orphan_mask(look.cells),
        uneven=_uneven(pixels, look),
        wrong_background=_wrong_background(look.cells, expect),
        wrong_regions={
            name: _wrong_region(look.cells, ground, region, targets)
            for name, (region, targets) in places.items()
            if (value := measured.metrics[f"region_{name}"].value) is not None and value < RIGHT
        },
        comparisons=_comparisons(look.cells, expect, ground, places),
        palette=_palette(look.cells),
    )


def _with_a_number(expect: Expectation, measured: Measurement) -> Expectation:
    """Return the promised colors that were judged: what does not apply, or is off, has no fault."""
    judged = {name for name, metric in measured.metrics.items() if metric.value is not None}
    return replace(
        expect,
        background=expect.background if "background_match" in judged else None,
        regions=tuple(each for each in expect.regions if f"region_{each[0]}" in judged),
    )


Places = Mapping[str, tuple[RegionMap, tuple[Target, ...]]]


def _places(cells: Bytes, expect: Expectation, profile: TrainingProfile | None) -> Places:
    """Return the map and the promise of each region whose place the training images tell."""
    found = {}
    known = profile if profile and profile.fits(expect) else None
    for name, color in expect.regions:
        region, targets = known.region(name) if known else None, resolve(color)
        shape = (len(region.probability), len(region.probability[0])) if region else None
        if region and targets and region.usable and region.match > 0 and shape == cells.shape[:2]:
            found[name] = (settled(paint([cells])[0], region, targets), targets)
    return found


def _uneven(pixels: Bytes, look: Look) -> Bools | None:
    """Return the cells with a ramp, where cells are meant to be flat."""
    flat = flat_mask(pixels, look.grid) if look.is_pixel_art else None
    return None if flat is None else ~flat


def _wrong_background(cells: Bytes, expect: Expectation) -> Bools | None:
    """Return the border cells in another color than promised."""
    targets = resolve(expect.background) if expect.background else ()
    if not targets:
        return None
    return ring_mask(*cells.shape[:2]) & ~match_cells(cells, targets).match


def _wrong_region(
    cells: Bytes, ground: Background, region: RegionMap, targets: tuple[Target, ...]
) -> Bools:
    """Return the cells that most training images give to a region, in another hue than promised.

    Shades are no fault, and neither is what often stands there instead: the background behind
    shorter hair, or a crown.
    """
    answer = match_cells(cells, targets)
    excused = answer.match | answer.hue
    colors = lab(cells)
    excused |= delta_e(colors, lab(ground.rgb)) <= MERGE
    for value in region.intruders:
        excused |= delta_e(colors, lab(rgb_of_hex(value))) <= MATCH
    return (np.asarray(region.probability) >= SURE[-1]) & ~excused


def _comparisons(
    cells: Bytes, expect: Expectation, ground: Background, places: Places
) -> tuple[Comparison, ...]:
    """Return each promise that is a color beside what was found for it."""
    found: list[Comparison] = []
    if expect.background:
        how = f"the border, {ground.solid:.0f} % in one color"
        ring = cells[ring_mask(*cells.shape[:2])]
        found += _compared("background", expect.background, ground.rgb[None], ring, how)
    figure = cells[foreground_mask(cells, ground)]
    for name, color in expect.regions:
        if name in places:
            region, targets = places[name]
            inside = region.sure_cells(cells, ground.rgb, targets)
            main = merge_palette(inside).rgb[:1]
            found += _compared(name, color, main, inside, f"where {region.images} images have it")
        else:
            inside = figure if len(figure) else cells.reshape(-1, 3)
            entries = merge_palette(inside).rgb
            found += _compared(name, color, entries, inside, "the closest in the figure")
    return tuple(found)


def _compared(
    name: str, promised: str, main: Bytes, inside: Bytes, how: str
) -> Iterator[Comparison]:
    """Give each promised color beside what was found for it; nothing where it is no color.

    A single one, or one or the other, is held against the (n, 3) ``main`` colors, and each of
    several against all that a place has of at least a streak: the (m, 3) cells ``inside``.
    """
    targets = resolve(promised)
    if each_is_asked(targets):
        palette = merge_palette(inside)
        main = palette.rgb[palette.share >= min(EACH / 2, palette.share[0])]
        for part, target in zip(parts_of(promised), targets, strict=True):
            yield _nearest(name, part, main, target.rgb, how)
    elif targets:
        wanted = np.concatenate([target.rgb for target in targets])
        yield _nearest(name, promised, main, wanted, how)


def _nearest(name: str, promised: str, candidates: Bytes, wanted: Bytes, how: str) -> Comparison:
    """Return the closest of (n, 3) candidate colors beside (k, 3) that a promise stands for."""
    difference = delta_e(lab(candidates)[:, None], lab(wanted)[None])
    which, nearest = np.unravel_index(difference.argmin(), difference.shape)
    return Comparison(
        name=name,
        promised=promised,
        wanted=hex_of_rgb(wanted[nearest]),
        measured=hex_of_rgb(candidates[which]),
        difference=float(difference.min()),
        how=how,
    )


def _palette(cells: Bytes) -> tuple[str, ...]:
    """Return the entries that more than a cell or two have."""
    palette = merge_palette(cells.reshape(-1, 3), MERGE)
    return tuple(
        hex_of_rgb(rgb)
        for rgb, share in zip(palette.rgb, palette.share, strict=True)
        if share >= _SMALLEST_ENTRY
    )
