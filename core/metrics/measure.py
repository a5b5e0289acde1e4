"""One image in, one measurement out: the only function of this package that sees everything."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from core.errors import Fixable
from core.metrics.adherence import (
    Promises,
    RegionAnswer,
    Unmeasured,
    all_promises,
    color_accuracy,
    judge_promises,
    weighted_mean,
)
from core.metrics.background import Background, ColorFigures, background_of
from core.metrics.cells import Grid, cell_colors, grid_over
from core.metrics.color import Bytes, merge_palette
from core.metrics.grid_search import (
    FITS,
    SMALLEST_PITCH,
    Alignment,
    alignment,
    edge_profiles,
    find_grid,
)
from core.metrics.pixel_art import (
    DRAWN_BY_PEOPLE,
    StyleAnchors,
    alignment_points,
    cell_flatness,
    flatness_points,
    has_lost_the_grid,
    has_random_pixels,
    is_photographic,
    orphan_points,
    orphan_share,
    palette_points,
    tone_count,
)
from core.metrics.profile import TrainingProfile
from core.metrics.tables import metric_value
from core.nouns import Expectation, Measurement, MetricValue

_COLOR_CELLS = 24  # along the width, where there is no pixel grid: enough for colors
_SMALLEST = 8  # pixels a side
_SOLID, _NOISY = 90.0, 70.0
_NOTHING_PROMISED = "the prompt promises no color that can be measured"
_NO_GRID = "not applicable: this is not pixel art on an even grid of 8 to 128 cells"
_TINY_CELLS = "cells of under 3 pixels show no edges or ramps; measure the large image"


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was seen of the pixel grid; None where it does not apply."""

    grid: Grid
    cells: Bytes
    is_pixel_art: bool  # asked for, or found
    aligned: Alignment | None
    found: int | None  # the grid that fits best, when the one asked for does not
    flatness: float | None
    orphans: float
    palette: int
    tones: float

    @property
    def lost_grid(self) -> bool:
        """Whether neither edges nor cells show any grid."""
        score = self.aligned.score if self.aligned else None
        return self.found is None and has_lost_the_grid(score, self.flatness)


def measure(
    pixels: Bytes,
    *,
    expect: Expectation,
    grid: int | None,
    profile: TrainingProfile | None = None,
) -> Measurement:
    """Measure one image (H, W, 3) uint8 against what its prompt promises.

    ``grid`` is the number of cells along the width that the art is meant to have; None looks for
    one and treats an image without as no pixel art. Scores are 0-10. What cannot be measured is
    None with a reason. Raises Fixable when ``pixels`` is no 8-bit RGB image.
    """
    _check(pixels)
    if trouble := _degenerate(pixels, grid):
        return _nothing(pixels, *trouble)
    look = _look(pixels, grid, profile)
    ground = background_of(look.cells)
    promises = judge_promises(look.cells, expect, ground, profile)
    metrics = _color_metrics(promises, ground, look) | _style_metrics(look, profile)
    metrics |= _accessory_metrics(expect)
    visual = _visual_quality(look, ground, promises, profile)
    style = metrics["style_quality"].value
    atoms = list(promises.atoms.values())
    adherence = float(np.mean(atoms)) / 10 if atoms else None
    return Measurement(
        visual_quality=visual,
        style_match=None if style is None else style / 10,
        prompt_adherence=adherence,
        reasons=_reasons(visual, style, adherence, look, promises, expect),
        metrics=metrics,
        issues=tuple(_issues(look, ground, promises, profile)),
        strengths=tuple(_strengths(look, ground, promises, metrics)),
        background_hex=ground.hex,
        unique_colors=look.palette,
    )


def _check(pixels: Bytes) -> None:
    """Refuse anything but (H, W, 3) uint8."""
    if pixels.dtype != np.uint8:
        unreal = np.issubdtype(pixels.dtype, np.floating) and not np.isfinite(pixels).all()
        what = "numbers that are not finite" if unreal else f"{pixels.dtype} values"
        raise Fixable(
            f"The image holds {what} instead of 8-bit color, so it cannot be measured; "
            "convert it to 8-bit RGB, and look at the generator if it made this by itself."
        )
    if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise Fixable(
            f"The image has the shape {pixels.shape} where height x width x 3 is needed, so it "
            "cannot be measured; convert it to RGB and lay transparent images over a color."
        )


def _degenerate(pixels: Bytes, grid: int | None) -> tuple[str, str] | None:
    """Return the issue and the reason why nothing can be measured, or None."""
    height, width = pixels.shape[:2]
    if min(height, width) < _SMALLEST:
        return "too_small", f"the image has {width}x{height} pixels, at least 8x8 are needed"
    if grid is not None and not 1 <= grid <= width:
        return "too_small", f"the image is {width} pixels wide and cannot hold {grid} cells"
    middle = np.median(pixels.reshape(-1, 3)[:: max(1, height * width // 4096)], axis=0)
    if np.abs(pixels.astype(np.int16) - middle.astype(np.int16)).max() <= 8:
        return "blank_image", "the image is one single color: there is nothing to measure"
    return None


def _nothing(pixels: Bytes, issue: str, reason: str) -> Measurement:
    """Return the measurement of an image that cannot be measured."""
    none = {
        name: metric_value(name, None, reason)
        for name in ("color_accuracy", "style_quality", "background_solid", "grid_alignment")
    }
    rgb = np.median(pixels.reshape(-1, 3), axis=0).astype(np.uint8)
    blank = issue == "blank_image"
    return Measurement(
        visual_quality=None,
        style_match=None,
        prompt_adherence=None,
        reasons=dict.fromkeys(("visual_quality", "style_match", "prompt_adherence"), reason),
        metrics=none,
        issues=(issue,),
        strengths=(),
        background_hex="#" + rgb.tobytes().hex() if blank else None,
        unique_colors=1 if blank else None,
    )


def _look(pixels: Bytes, asked: int | None, profile: TrainingProfile | None) -> Look:
    """Return what is seen of the pixel grid that was asked for, or of the one that is found."""
    edges = edge_profiles(pixels)
    found = find_grid(edges) if asked is None else None
    fallback = profile.grid if profile and profile.grid <= pixels.shape[1] else _COLOR_CELLS
    columns = asked or found or min(fallback, pixels.shape[1])
    laid = grid_over(pixels, columns)
    aligned = alignment(edges, columns) if laid.pitch >= SMALLEST_PITCH else None
    if asked is not None and aligned and aligned.score < FITS:
        found = find_grid(edges)
    laid = _shifted(laid, aligned)
    cells = cell_colors(pixels, laid)
    return Look(
        grid=laid,
        cells=cells,
        is_pixel_art=asked is not None or found is not None,
        aligned=aligned,
        found=found,
        flatness=cell_flatness(pixels, laid),
        orphans=orphan_share(cells),
        palette=merge_palette(cells.reshape(-1, 3)).size,
        tones=tone_count(pixels),
    )


def _shifted(laid: Grid, aligned: Alignment | None) -> Grid:
    """Return the grid moved onto the lines of a cropped image, when they clearly lie elsewhere."""
    if aligned is None or aligned.score < FITS or aligned.unshifted > 0.8 * aligned.score:
        return laid
    return replace(laid, phase_x=aligned.phase_x, phase_y=aligned.phase_y)


def _color_metrics(promises: Promises, ground: Background, look: Look) -> dict[str, MetricValue]:
    """Return the metrics of color."""
    purity, accuracy = promises.purity, color_accuracy(promises)
    together = all_promises(promises)
    said = "against all promised colors" if accuracy is not None else _NOTHING_PROMISED
    return {
        **_background_metrics(promises, ground),
        **_region_metrics(promises),
        "purity": metric_value(
            "purity", purity,
            "share of one hue in the promised regions, against the training images"
            if purity is not None
            else "needs a promised region that at least 20 training captions name",
        ),
        "color_accuracy": metric_value("color_accuracy", accuracy, said),
        "all_promises": metric_value("all_promises", together, said),
        "unique_colors": metric_value(
            "unique_colors", look.palette, f"{look.palette} colors over {look.grid.cells} cells"
        ),
    }  # fmt: skip


def _background_metrics(promises: Promises, ground: Background) -> dict[str, MetricValue]:
    """Return the metrics of the background."""
    told = promises.background
    names = {"match": "in the promised color", "closeness": "close to it", "hue": "of its hue"}
    metrics = {
        f"background_{name}": metric_value(
            f"background_{name}", getattr(told, name), f"border cells {words}, %"
        )
        if isinstance(told, ColorFigures)
        else metric_value(
            f"background_{name}", None, told.reason if told else "the prompt promises no background"
        )
        for name, words in names.items()
    }
    said = f"{ground.solid:.0f} % of the border cells are {ground.hex}"
    metrics["background_solid"] = metric_value("background_solid", ground.solid, said)
    return metrics


def _region_metrics(promises: Promises) -> dict[str, MetricValue]:
    """Return one metric for each promised region, and the second tone of the hair."""
    metrics: dict[str, MetricValue] = {}
    for name, answer in promises.regions.items():
        if isinstance(answer, Unmeasured):
            metrics[f"region_{name}"] = metric_value("region", None, answer.reason)
            continue
        figures = answer.figures
        said = f"match {figures.match:.0f}, close {figures.closeness:.0f}, hue {figures.hue:.0f}"
        metrics[f"region_{name}"] = metric_value("region", figures.score, f"{said}; {answer.how}")
        if name == "hair" and answer.tones:
            said = "share of the hair in a second hue, %"
            metrics["two_toned"] = metric_value("two_toned", answer.tones.second, said)
    return metrics


def _accessory_metrics(expect: Expectation) -> dict[str, MetricValue]:
    """Return promised things as not measurable: they are kept out of every mean."""
    return {
        f"accessory_{name}": metric_value(
            "accessory", None, f"{name}: seeing things is not measurable in this release"
        )
        for name in expect.accessories
    }


def _style_metrics(look: Look, profile: TrainingProfile | None) -> dict[str, MetricValue]:
    """Return the metrics of pixel-art style."""
    score = look.aligned.score if look.aligned else None
    why_not = _NO_GRID if not look.is_pixel_art else _TINY_CELLS
    no_edges = why_not if look.grid.pitch < SMALLEST_PITCH else "the image has no edges"
    quality = _style_points(look, DRAWN_BY_PEOPLE)
    said = "alignment .35, flat cells .25, palette .25, no photograph .15"
    metrics = {
        "grid_alignment": metric_value(
            "grid_alignment", score, _said_of_grid(look) if score is not None else no_edges
        ),
        "cell_flatness": metric_value(
            "cell_flatness", look.flatness,
            why_not if look.flatness is None else "share of cells without a visible ramp",
        ),
        "palette_size": metric_value("palette_size", look.palette, "colors after merging shades"),
        "orphan_cells": metric_value(
            "orphan_cells", look.orphans, "share of cells unlike all eight neighbors"
        ),
        "tones": metric_value("tones", look.tones, "effective number of 5-bit colors"),
        "style_quality": metric_value("style_quality", quality, said if quality else why_not),
    }  # fmt: skip
    if look.found is not None:
        metrics["grid_found"] = metric_value("grid_found", look.found, "the grid that fits best")
    if profile and quality is not None:
        second = _style_points(look, profile.anchors)
        metrics["style_against_training"] = metric_value("style_against_training", second, said)
    return metrics


def _said_of_grid(look: Look) -> str:
    """Return the alignment in words."""
    said = f"edges on a grid of {look.grid.columns} cells, {look.grid.pitch:.2f} pixels each"
    if look.grid.phase_x or look.grid.phase_y:
        said += f", shifted by {look.grid.phase_x:.1f} and {look.grid.phase_y:.1f} pixels"
    return said


def _photographic(look: Look, anchors: StyleAnchors) -> bool:
    """Return whether an image that should be pixel art reads as a photograph."""
    return look.is_pixel_art and is_photographic(
        lost_grid=look.lost_grid,
        tones=look.tones,
        size=look.palette,
        share=look.orphans,
        limit=anchors.palette_limit(look.grid.cells),
        anchors=anchors,
    )


def _style_points(look: Look, anchors: StyleAnchors) -> float | None:
    """Return style 0-100, or None outside pixel art or where cells are too small to show it."""
    if not look.is_pixel_art or look.flatness is None or look.aligned is None:
        return None
    parts = [
        (0.35, alignment_points(look.aligned.score)),
        (0.25, flatness_points(look.flatness)),
        (0.25, palette_points(look.palette, look.grid.cells, anchors)),
        (0.15, 0.0 if _photographic(look, anchors) else 100.0),
    ]
    return weighted_mean(parts)


def _visual_quality(
    look: Look, ground: Background, promises: Promises, profile: TrainingProfile | None
) -> float | None:
    """Return 0-10: stray cells .35, solid background .25, purity .20, flat cells .20.

    A background need only be solid where a plain one was promised; missing parts re-share.
    """
    if not look.is_pixel_art:
        return None
    anchors = profile.anchors if profile else DRAWN_BY_PEOPLE
    parts = [(0.35, orphan_points(look.orphans, anchors))]
    if promises.plain_background:
        parts.append((0.25, ground.solid))
    if promises.purity is not None:
        parts.append((0.20, promises.purity))
    if look.flatness is not None:
        parts.append((0.20, flatness_points(look.flatness)))
    points = weighted_mean(parts)
    return None if points is None else points / 10


def _reasons(
    visual: float | None,
    style: float | None,
    adherence: float | None,
    look: Look,
    promises: Promises,
    expect: Expectation,
) -> dict[str, str]:
    """Return why a score is None, and what was kept out of the prompt's score."""
    reasons: dict[str, str] = {}
    why_not = _NO_GRID if not look.is_pixel_art else _TINY_CELLS
    if visual is None:
        reasons["visual_quality"] = why_not
    if style is None:
        reasons["style_match"] = why_not
    if adherence is None:
        reasons["prompt_adherence"] = _NOTHING_PROMISED
    for name, answer in [("background", promises.background), *promises.regions.items()]:
        if isinstance(answer, Unmeasured):
            reasons[name] = answer.reason
    if expect.accessories:
        listed = ", ".join(expect.accessories)
        reasons["accessories"] = f"{listed}: seeing things is not measurable in this release"
    return reasons


def _issues(
    look: Look, ground: Background, promises: Promises, profile: TrainingProfile | None
) -> list[str]:
    """Return the ids of what is wrong, the gravest first."""
    anchors = profile.anchors if profile else DRAWN_BY_PEOPLE
    found: list[str] = []
    if _photographic(look, anchors):
        found.append("photorealistic")
    elif look.is_pixel_art and look.lost_grid:
        found.append("blurry")
    if isinstance(promises.background, ColorFigures) and promises.background.is_wrong:
        found.append("wrong_background")
    if promises.plain_background and ground.solid < _NOISY:
        found.append("noisy_background")
    if any(answer.figures.is_wrong for answer in promises.kept.values()):
        found.append("wrong_colors")
    if any(answer.two_toned for answer in promises.kept.values()):
        found.append("two_toned_hair")
    return found + _grid_issues(look, anchors, photographic="photorealistic" in found)


def _grid_issues(look: Look, anchors: StyleAnchors, *, photographic: bool) -> list[str]:
    """Return the ids of what is wrong with the cells; none of it is said of a photograph."""
    if photographic or not look.is_pixel_art:
        return []
    found: list[str] = []
    if has_random_pixels(look.orphans, anchors):
        found.append("random_pixels")
    if look.palette > 1.5 * anchors.palette_limit(look.grid.cells):
        found.append("too_many_colors")
    if look.aligned and look.aligned.score < FITS and not look.lost_grid:
        found.append("wrong_grid" if look.found else "uneven_grid")
    return found


def _strengths(
    look: Look, ground: Background, promises: Promises, metrics: dict[str, MetricValue]
) -> list[str]:
    """Return what is good, in words."""
    good: list[str] = []
    if promises.plain_background and ground.solid >= _SOLID:
        good.append("solid background")
    told = promises.background
    if isinstance(told, ColorFigures) and told.score >= 90:
        good.append("right background color")
    for name, answer in promises.regions.items():
        if isinstance(answer, RegionAnswer) and answer.figures.score >= 90:
            good.append(f"right {name} color")
    style = metrics["style_quality"].value
    if style is None or not look.aligned or look.flatness is None:
        return good
    if alignment_points(look.aligned.score) >= 90 and flatness_points(look.flatness) >= 90:
        good.append("clean pixel grid")
    if look.orphans <= DRAWN_BY_PEOPLE.orphans_75:
        good.append("no stray pixels")
    if style >= 90:
        good.append("pixel art style")
    if not look.lost_grid and not _photographic(look, DRAWN_BY_PEOPLE):
        good.append("not photorealistic")
    return good
