"""The peer of B5: all that `measure` tells of a picture, in plain loops over pixels and cells.

The definitions are those of `core.metrics`, written as one writes them in loops: each cell is
converted once, each pair of neighbors is compared once, and the palette holds each color once.
What a promised color means, and which pixels belong to a cell, is looked up as `measure` does.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from statistics import mean, median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.metrics.cells import INNER, Grid, pixels_at, sample_positions
from core.metrics.color_words import Target, resolve
from core.metrics.color_words import _anchors as labeled_colors
from core.metrics.edges import _positions as edge_positions
from core.metrics.pixel_art import (
    DRAWN_BY_PEOPLE,
    alignment_points,
    flatness_points,
    palette_points,
)
from core.metrics.regions import least_area
from core.nouns import Expectation
from tests.bench.pixel_loops import Color, ciede2000, lab_of, linear

Triple = tuple[float, float, float]
Delta = Callable[[Triple, Triple], float]
Rows = list[list[Color]]
_SIDES = ((0, 1), (1, 0), (1, 1), (1, -1))
_TERMS = 11


@dataclass(frozen=True, kw_only=True)
class Shade:
    """One cell, converted; named only where a promise asks for it."""

    rgb: Color
    lab: Triple
    ok: Triple

    @cached_property
    def terms(self) -> tuple[bool, ...]:
        """Return the basic terms it may be called by."""
        light, red, yellow = self.ok[0], 2 * self.ok[1], 2 * self.ok[2]
        nearest = [math.inf] * _TERMS
        for mine, others, third, term in _named():
            far = (light - mine) ** 2 + (red - others) ** 2 + (yellow - third) ** 2
            if far < nearest[term]:  # noqa: PLR1730 - min() would cost the peer a call
                nearest[term] = far
        limit = max(math.sqrt(min(nearest)) * 1.15, 1e-6) ** 2
        return tuple(far <= limit for far in nearest)


def shade_of(rgb: Color) -> Shade:
    """Return a color converted."""
    return Shade(rgb=rgb, lab=lab_of(rgb), ok=_oklab(rgb))


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One promised color as plain numbers."""

    labs: tuple[Triple, ...]
    ok: Triple
    target: Target
    terms: tuple[bool, ...]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How one cell answers to a promise."""

    match: bool
    close: float
    hue: bool


def same_loops(
    pixels: NDArray[np.uint8],
    expect: Expectation,
    columns: int,
    delta: Delta = ciede2000,
    shade: Callable[[Color], Shade] = shade_of,
) -> dict[str, Any]:
    """Return the metrics and scores of (H, W, 3) uint8 by name, None where `measure` has None."""
    rows: Rows = [[tuple(one) for one in row] for row in pixels.tolist()]
    pitch = len(rows[0]) / columns
    grid = Grid(columns=columns, rows=round(len(rows) / pitch), pitch=pitch)
    cells = [[shade(one) for one in row] for row in _cells(rows, grid)]
    ring = [cells[y][x] for y, x in _places(grid) if _in_ring(y, x, grid)]
    ground, solid = _ground(ring, delta)
    figure = _figure(cells, ground, grid, delta)
    told = _promises(cells, ring, figure, expect, delta) | {"background_solid": solid}
    told |= {"background_hex": "#" + bytes(ground.rgb).hex()}
    told |= _neighbors(cells, delta) | {"tones": _tones(rows)}
    told["unique_colors"] = len(_merged([one for row in cells for one in row], delta))
    told |= _of_edges(rows, cells, grid, delta) if pitch >= 3 else {}
    return told | {"visual_quality": _quality(told, expect)}


def _places(grid: Grid) -> Iterable[tuple[int, int]]:
    return ((y, x) for y in range(grid.rows) for x in range(grid.columns))


def _in_ring(y: int, x: int, grid: Grid) -> bool:
    return y == 0 or x in (0, grid.columns - 1)


def _cells(rows: Rows, grid: Grid) -> Rows:
    """Return the median color of the inner part of each cell."""
    if grid.pitch == 1:
        return rows
    ys, xs = _inner(rows, grid, INNER)
    return [[_median([rows[y][x] for y in down for x in right]) for right in xs] for down in ys]


def _inner(rows: Rows, grid: Grid, part: float) -> tuple[list[list[int]], list[list[int]]]:
    """Return the pixel rows of each row of cells, and the pixel columns of each column."""
    ys = pixels_at(len(rows), sample_positions(grid.rows, grid.pitch, 0.0, part))
    xs = pixels_at(len(rows[0]), sample_positions(grid.columns, grid.pitch, 0.0, part))
    return ys.tolist(), xs.tolist()


def _median(colors: Sequence[Color]) -> Color:
    red, green, blue = (sorted(values) for values in zip(*colors, strict=True))
    low, high = (len(colors) - 1) // 2, len(colors) // 2
    if low == high:
        return red[low], green[low], blue[low]
    return (
        (red[low] + red[high] + 1) // 2,
        (green[low] + green[high] + 1) // 2,
        (blue[low] + blue[high] + 1) // 2,
    )


@cache
def _named() -> tuple[tuple[float, float, float, int], ...]:
    _, places, terms = labeled_colors()
    return tuple((*place, int(term)) for place, term in zip(places.tolist(), terms, strict=True))


def _oklab(rgb: Color) -> Triple:
    red, green, blue = (linear(value / 255) for value in rgb)
    long = (0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue) ** (1 / 3)
    mid = (0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue) ** (1 / 3)
    short = (0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue) ** (1 / 3)
    return (
        0.2104542553 * long + 0.7936177850 * mid - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * mid + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * mid - 0.8086757660 * short,
    )


def _merged(cells: Sequence[Shade], delta: Delta) -> list[tuple[Shade, list[Shade], int]]:
    """Return (seed, different colors, cells) of each palette entry, the commonest color first."""
    counts = Counter(one.rgb for one in cells)
    shades = {one.rgb: one for one in cells}
    entries: list[tuple[Shade, list[Shade], int]] = []
    for rgb in sorted(counts, key=lambda rgb: (-counts[rgb], rgb)):
        shade = shades[rgb]
        for at, (seed, members, size) in enumerate(entries):
            if delta(seed.lab, shade.lab) <= 6:
                entries[at] = (seed, [*members, shade], size + counts[rgb])
                break
        else:
            entries.append((shade, [shade], counts[rgb]))
    return entries


def _ground(ring: Sequence[Shade], delta: Delta) -> tuple[Shade, float]:
    """Return the most typical color of the ring's largest entry, and the entry's share, %."""
    _, members, size = max(_merged(ring, delta), key=lambda entry: entry[2])
    members = sorted(members, key=lambda one: one.rgb)
    typical = min(members, key=lambda one: sum(delta(one.lab, other.lab) for other in members))
    return typical, 100 * size / len(ring)


def _figure(cells: list[list[Shade]], ground: Shade, grid: Grid, delta: Delta) -> list[list[bool]]:
    """Return which cells cannot be reached from the ring over the background's color."""
    alike = [[delta(one.lab, ground.lab) <= 6 for one in row] for row in cells]
    figure = [[True] * grid.columns for _ in range(grid.rows)]
    todo = deque(at for at in _places(grid) if _in_ring(*at, grid) and alike[at[0]][at[1]])
    while todo:
        y, x = todo.popleft()
        if not figure[y][x]:
            continue
        figure[y][x] = False
        for below, beside in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
            if 0 <= below < grid.rows and 0 <= beside < grid.columns and alike[below][beside]:
                todo.append((below, beside))
    return figure


@cache
def _wanted(text: str) -> tuple[Wanted, ...]:
    """Return what a promise means, worked out once a process as in `measure`."""
    return tuple(
        Wanted(
            labs=tuple(lab_of(tuple(rgb)) for rgb in target.rgb.tolist()),
            ok=_oklab(tuple(target.rgb[0].tolist())),
            target=target,
            terms=tuple(target.terms.tolist()),
        )
        for target in resolve(text)
    )


def _answer(cell: Shade, promise: Sequence[Wanted], delta: Delta) -> Answer:
    answers = [_answer_one(cell, wanted, delta) for wanted in promise]
    return Answer(
        match=any(one.match for one in answers),
        close=max(one.close for one in answers),
        hue=any(one.hue for one in answers),
    )


def _answer_one(cell: Shade, wanted: Wanted, delta: Delta) -> Answer:
    far = min(delta(cell.lab, one) for one in wanted.labs)
    near = min(max((25 - far) / 20, 0.0), 1.0)
    named = any(mine and theirs for mine, theirs in zip(cell.terms, wanted.terms, strict=True))
    target = wanted.target
    if not target.is_word:
        return Answer(
            match=far <= target.reach, close=near, hue=named or _same_hue(cell.ok, wanted.ok)
        )
    low, high = target.lightness
    match = named and low <= cell.ok[0] <= high and far <= target.reach
    match = match or (math.isfinite(target.reach) and far <= 5)
    return Answer(match=match, close=1.0 if match else near, hue=named)


def _same_hue(first: Triple, second: Triple) -> bool:
    if math.hypot(*first[1:]) <= 0.05 or math.hypot(*second[1:]) <= 0.05:
        return False
    turn = math.degrees(math.atan2(first[2], first[1]) - math.atan2(second[2], second[1]))
    return abs((turn + 180) % 360 - 180) <= 20


def _promises(
    cells: list[list[Shade]],
    ring: Sequence[Shade],
    figure: list[list[bool]],
    expect: Expectation,
    delta: Delta,
) -> dict[str, Any]:
    """Return how the ring and the figure keep what was promised, and the means of it."""
    told: dict[str, Any] = {}
    atoms, colors = [], []
    if promise := _wanted(expect.background) if expect.background else ():
        answers = [_answer(one, promise, delta) for one in ring]
        match, close, hue = (
            100 * mean(getattr(one, name) for one in answers) for name in ("match", "close", "hue")
        )
        told |= {"background_match": match, "background_closeness": close, "background_hue": hue}
        atoms.append(0.5 * match + 0.3 * close + 0.2 * hue)
        colors.append((0.4, atoms[0]))
    inside = [
        one
        for row, seen in zip(cells, figure, strict=True)
        for one, is_figure in zip(row, seen, strict=True)
        if is_figure
    ] or [one for row in cells for one in row]
    regions = [_region(name, _wanted(text), inside, delta) for name, text in expect.regions]
    told |= {
        f"region_{name}": score for (name, _), score in zip(expect.regions, regions, strict=True)
    }
    if regions:
        colors.append((0.4, mean(regions)))
    atoms += regions
    told["color_accuracy"] = sum(w * v for w, v in colors) / sum(w for w, _ in colors)
    told["all_promises"] = math.exp(mean(math.log(max(atom, 0.1)) for atom in atoms))
    told["prompt_adherence"] = mean(atoms) / 10
    return told


def _region(name: str, promise: Sequence[Wanted], inside: Sequence[Shade], delta: Delta) -> float:
    """Return whether there is enough of a color in the figure, the closest cells first."""
    answers = [_answer(one, promise, delta) for one in inside]
    needed = max(1, round(least_area(name, None) * len(inside)))
    closest = sorted((one.close for one in answers), reverse=True)[:needed]
    match = 100 * min(1.0, sum(one.match for one in answers) / needed)
    hue = 100 * min(1.0, sum(one.hue for one in answers) / needed)
    return 0.5 * match + 0.3 * 100 * mean(closest) + 0.2 * hue


def _neighbors(cells: list[list[Shade]], delta: Delta) -> dict[str, float]:
    """Return the shares of cells unlike all neighbors, of pairs that look alike, and of bands."""
    height, width = len(cells), len(cells[0])
    alone = [[True] * width for _ in range(height)]
    pairs = plain = sides = bands = 0
    for y in range(height):
        for x in range(width):
            for down, right in _SIDES:
                below, beside = y + down, x + right
                if not (below < height and 0 <= beside < width):
                    continue
                far = delta(cells[y][x].lab, cells[below][beside].lab)
                pairs += 1
                plain += far < 3
                if far <= 6:
                    alone[y][x] = alone[below][beside] = False
                if not (down and right):
                    sides += 1
                    bands += 0.5 < far <= 4 and _goes_on(cells, (y, x), (below, beside))
    stray = sum(map(sum, alone)) / (height * width)
    return {"orphan_cells": stray, "plain": plain / pairs, "banding": bands / sides}


def _goes_on(cells: list[list[Shade]], first: tuple[int, int], second: tuple[int, int]) -> bool:
    """Return whether the cells before and after a step do not go back."""
    (y, x), (below, beside) = first, second
    down, right = below - y, beside - x
    here, there = cells[y][x].lab, cells[below][beside].lab
    before = cells[max(y - down, 0)][max(x - right, 0)].lab
    after = cells[min(below + down, len(cells) - 1)][min(beside + right, len(cells[0]) - 1)].lab
    step = [b - a for a, b in zip(here, there, strict=True)]
    most = 0.25 * sum(each * each for each in step)
    back = sum((a - b) * each for a, b, each in zip(before, here, step, strict=True))
    on = sum((a - b) * each for a, b, each in zip(there, after, step, strict=True))
    return back <= most and on <= most


def _tones(rows: Rows) -> float:
    """Return the effective number of 5-bit colors of every other pixel."""
    counts: Counter[Color] = Counter()
    for row in rows[::2]:
        for red, green, blue in row[::2]:
            counts[red >> 3, green >> 3, blue >> 3] += 1
    every = counts.total()
    return math.exp(-sum(n / every * math.log(n / every) for n in counts.values()))


def _quality(told: dict[str, Any], expect: Expectation) -> float:
    """Return the visual quality: stray cells, a solid background, flat cells."""
    good, bad = DRAWN_BY_PEOPLE.orphans_75, 5 * DRAWN_BY_PEOPLE.orphans_95
    parts = [(0.35, 100 * min(max((bad - told["orphan_cells"]) / (bad - good), 0.0), 1.0))]
    if expect.background and len(_wanted(expect.background)) == 1:
        parts.append((0.25, told["background_solid"]))
    if "cell_flatness" in told:
        parts.append((0.20, 100 * min(max((told["cell_flatness"] - 0.5) / 0.48, 0.0), 1.0)))
    return sum(w * v for w, v in parts) / sum(w for w, _ in parts) / 10


def _of_edges(rows: Rows, cells: list[list[Shade]], grid: Grid, delta: Delta) -> dict[str, float]:
    """Return what only cells of several pixels show; for pictures on their grid, not shifted."""
    flat = _flatness(rows, grid, delta)
    turned = [list(column) for column in zip(*rows, strict=True)]
    aligned = mean(_alignment(_profile(each), grid.pitch) for each in (rows, turned))
    areas = _areas(rows, [[one.rgb for one in row] for row in cells], grid)
    count = len(_merged([one for row in cells for one in row], delta))
    return {
        "grid_alignment": aligned,
        "cell_flatness": flat,
        "edge_sharpness": min(max(1 - 6 * median(areas), 0.0), 1.0),
        "style_quality": 0.35 * alignment_points(aligned)
        + 0.25 * flatness_points(flat)
        + 0.25 * palette_points(count, grid.cells, DRAWN_BY_PEOPLE)
        + 15,
    }


def _profile(rows: Rows) -> list[float]:
    """Return the edge strength before each column but the first, less the noise floor."""
    lengths = [[math.dist(a, b) for a, b in pairwise(row)] for row in rows]
    floor = 2.5 * median([each for row in lengths for each in row][::7]) + 1
    return [sum(max(each - floor, 0.0) for each in column) for column in zip(*lengths, strict=True)]


def _alignment(profile: list[float], pitch: float) -> float:
    """Return the share of edges on the lines at the best shift, less chance."""
    total, reach, best = sum(profile), round(0.08 * pitch) + 0.5, 0.0
    shift = 0.0
    while shift < pitch:
        share = near = 0.0
        for at, strength in enumerate(profile, start=1):
            beside = (at - shift) % pitch
            if min(beside, pitch - beside) <= reach + 1e-9:
                share += strength / total
                near += 1 / len(profile)
        best = max(best, (share - near) / (1 - near))
        shift += 0.5
    return best


def _flatness(rows: Rows, grid: Grid, delta: Delta) -> float:
    """Return the share of cells whose halves look the same."""
    ys, xs = _inner(rows, grid, 0.7 if grid.pitch >= 8 else 1.0)
    n = len(xs[0])
    flat = 0
    for down in ys:
        for right in xs:
            halves = [
                [rows[y][x] for y in down for x in right[: n // 2]],
                [rows[y][x] for y in down for x in right[n - n // 2 :]],
                [rows[y][x] for y in down[: n // 2] for x in right],
                [rows[y][x] for y in down[n - n // 2 :] for x in right],
            ]
            first, second, third, fourth = (lab_of(_median(half)) for half in halves)
            ramp = max(delta(first, second), delta(third, fourth))
            flat += ramp < 3 * (1 + 4 / (n // 2 * n))
    return flat / grid.cells


def _areas(rows: Rows, colors: Rows, grid: Grid) -> list[float]:
    """Return the area between each of the strongest edges and a step, in cells."""
    areas = []
    turned = [list(column) for column in zip(*rows, strict=True)]
    swapped = [list(column) for column in zip(*colors, strict=True)]
    for pixels, cells in ((rows, colors), (turned, swapped)):
        steps = [
            (math.dist(cells[y][x], cells[y][x + 1]), y, x)
            for y in range(len(cells))
            for x in range(len(cells[0]) - 1)
        ]
        strong = sorted((each for each in steps if each[0] >= 48), reverse=True)[:64]
        across, _ = edge_positions(len(cells[0]), grid.pitch, 0.0, len(pixels[0]))
        _, along = edge_positions(len(cells), grid.pitch, 0.0, len(pixels))
        for _, y, x in strong:
            places = along[y].tolist(), across[x].tolist()
            areas.append(_area(pixels, places, cells[y][x], cells[y][x + 1]))
    return areas


def _area(pixels: Rows, places: tuple[list[int], list[int]], here: Color, there: Color) -> float:
    step = [b - a for a, b in zip(here, there, strict=True)]
    squared = sum(each * each for each in step)
    total = 0.0
    for x in places[1]:
        on = [
            sum((value - a) * b for value, a, b in zip(pixels[y][x], here, step, strict=True))
            for y in places[0]
        ]
        rise = mean(on) / squared
        total += rise * (1 - rise)
    return total / len(places[1])
