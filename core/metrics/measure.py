"""Images in, one measurement out for each: the only function of this package that sees everything."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from core.errors import Fixable
from core.formats.finishing import Finishing, read_finishing
from core.metrics.adherence import Promises, judge_all, weighted_mean
from core.metrics.background import Background, background_of
from core.metrics.color import Bytes
from core.metrics.color_words import paint
from core.metrics.findings import issues_of, reasons_of, strengths_of
from core.metrics.look import COLOR_CELLS, Look, look_at, look_at_all
from core.metrics.metric_rows import (
    color_metrics,
    edge_metrics,
    finishing_metrics,
    style_metrics,
    thing_metrics,
)
from core.metrics.pixel_art import (
    DRAWN_BY_PEOPLE,
    StyleAnchors,
    flatness_points,
    orphan_points,
)
from core.metrics.profile import TrainingProfile
from core.metrics.tables import metric_value
from core.metrics.things import NO_SCORES
from core.nouns import Expectation, Measurement

_SMALLEST = 8  # pixels a side
_STACK = 512  # pictures that are measured together: some 100 MB
_SAME_LEVEL = 8  # of 255, within which all pixels of a blank image lie
VOTES_DECIDE = "not applicable: the profile is votes only, so people's votes decide"
_SCORES = ("visual_quality", "style_match", "prompt_adherence")


def measure(
    pixels: Bytes,
    *,
    expect: Expectation,
    grid: int | None,
    profile: TrainingProfile | None = None,
    finishing: str = "cells",
    detected: Mapping[str, float] = NO_SCORES,
) -> Measurement:
    """Measure one image (H, W, 3) uint8 against what its prompt promises.

    ``grid`` is the number of cells along the width that the art is meant to have; None looks for
    one and treats an image without as no pixel art; a profile of another kind than pixel art holds
    no image to a grid. ``finishing`` is the recipe's: with a grid,
    colors are measured on the small picture that is shipped. ``detected`` are the scores that the
    profile's detectors give the image, by thing. Scores are 0-10. What cannot be
    measured is None with a reason. Raises Fixable when ``pixels`` is no 8-bit RGB image, or
    ``finishing`` is not understood.
    """
    return measure_many(
        [pixels],
        expects=[expect],
        grid=grid,
        profile=profile,
        finishing=finishing,
        detected=[detected],
    )[0]


def measure_many(
    pictures: Sequence[Bytes],
    *,
    expects: Sequence[Expectation],
    grid: int | None,
    profile: TrainingProfile | None = None,
    finishing: str = "cells",
    detected: Sequence[Mapping[str, float]] | None = None,
) -> list[Measurement]:
    """Return ``measure`` for each of several pictures, to the last bit, in less time for each.

    What is costly by color is worked out once for up to 512 pictures, and small ones share the
    fixed cost of each step. Raises Fixable where ``measure`` does for any of them.
    """
    for pixels in pictures:
        _check(pixels)
    steps = read_finishing(finishing)
    found = [_unmeasured(pixels, grid, profile) for pixels in pictures]
    scores = detected or [NO_SCORES] * len(pictures)
    todo = [at for at, known in enumerate(found) if known is None]
    for stack in (todo[at : at + _STACK] for at in range(0, len(todo), _STACK)):
        asked = [(pictures[at], expects[at], scores[at]) for at in stack]
        for at, measured in zip(stack, _measured(asked, grid, profile, steps), strict=True):
            found[at] = measured
    return [measured for measured in found if measured]


def _unmeasured(
    pixels: Bytes, grid: int | None, profile: TrainingProfile | None
) -> Measurement | None:
    """Return the measurement of a picture that is not to be scored, or None."""
    if trouble := _degenerate(pixels, grid):
        return _nothing(pixels, *trouble)
    if profile and profile.kind == "votes":
        return _not_scored(pixels, VOTES_DECIDE)
    return None


def _measured(
    asked: Sequence[tuple[Bytes, Expectation, Mapping[str, float]]],
    grid: int | None,
    profile: TrainingProfile | None,
    steps: Finishing,
) -> Iterator[Measurement]:
    """Give the measurement of each of a stack of pictures."""
    pictures, expects, scores = zip(*asked, strict=True)
    kind, columns = (profile.kind, profile.grid) if profile else (None, COLOR_CELLS)
    looks = look_at_all(pictures, grid, columns, steps, kind)
    judged = judge_all([look.painted for look in looks], expects, profile, scores)
    before: list[Promises | None] = [None] * len(looks)
    if looks[0].painted.cells is not looks[0].plain_cells:
        plain = paint([look.plain_cells for look in looks])
        before = [promises for _, promises in judge_all(plain, expects, profile)]
    for pixels, look, (ground, promises), unfinished in zip(
        pictures, looks, judged, before, strict=True
    ):
        yield _told(pixels, look, ground, promises, unfinished, profile)


def _told(
    pixels: Bytes,
    look: Look,
    ground: Background,
    promises: Promises,
    unfinished: Promises | None,
    profile: TrainingProfile | None,
) -> Measurement:
    """Return what was seen and judged of one picture as it is stored."""
    anchors = profile.anchors if profile else DRAWN_BY_PEOPLE
    metrics = color_metrics(promises, ground, look) | style_metrics(look, profile)
    metrics |= edge_metrics(pixels, look) | thing_metrics(promises.things)
    style = metrics["style_quality"].value
    atoms = list(promises.atoms.values())
    scores = {
        "visual_quality": _visual_quality(look, ground, promises, anchors),
        "style_match": None if style is None else style / 10,
        "prompt_adherence": sum(atoms) / len(atoms) / 10 if atoms else None,
    }
    off = {name: why for name in scores if profile and (why := profile.why_off(name))}
    scores |= dict.fromkeys(off)
    if unfinished:
        metrics |= finishing_metrics(look, unfinished)
    return Measurement(
        visual_quality=scores["visual_quality"],
        style_match=scores["style_match"],
        prompt_adherence=scores["prompt_adherence"],
        reasons=reasons_of(scores, look, promises) | off,
        metrics=metrics,
        issues=issues_of(look, ground, promises, anchors),
        strengths=strengths_of(look, ground, promises, style),
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
    # a few pixels mostly show that the rest need not be looked at
    if _is_blank(pixels[::8, ::8]) and _is_blank(pixels):
        return "blank_image", "the image is one single color: there is nothing to measure"
    return None


def _is_blank(pixels: Bytes) -> bool:
    """Return whether all pixels are one color, give or take 8 levels."""
    spread = pixels.max(axis=(0, 1)).astype(int) - pixels.min(axis=(0, 1))
    return bool(spread.max() <= 2 * _SAME_LEVEL)


def _nothing(pixels: Bytes, issue: str, reason: str) -> Measurement:
    """Return the measurement of an image that cannot be measured."""
    names = ("color_accuracy", "style_quality", "background_solid", "grid_alignment")
    blank = issue == "blank_image"
    rgb = np.median(pixels.reshape(-1, 3), axis=0).astype(np.uint8)
    return Measurement(
        visual_quality=None,
        style_match=None,
        prompt_adherence=None,
        reasons=dict.fromkeys(_SCORES, reason),
        metrics={name: metric_value(name, None, reason) for name in names},
        issues=(issue,),
        strengths=(),
        background_hex="#" + rgb.tobytes().hex() if blank else None,
        unique_colors=1 if blank else None,
    )


def _not_scored(pixels: Bytes, reason: str) -> Measurement:
    """Return the measurement of an image that no machine is to judge: only what describes it."""
    look = look_at(pixels, None, min(COLOR_CELLS, pixels.shape[1]), kind="votes")
    counted = f"{look.palette} colors over {look.grid.cells} cells"
    return Measurement(
        visual_quality=None,
        style_match=None,
        prompt_adherence=None,
        reasons=dict.fromkeys(_SCORES, reason),
        metrics={"unique_colors": metric_value("unique_colors", look.palette, counted)},
        issues=(),
        strengths=(),
        background_hex=background_of(look.cells).hex,
        unique_colors=look.palette,
    )


def _visual_quality(
    look: Look, ground: Background, promises: Promises, anchors: StyleAnchors
) -> float | None:
    """Return 0-10: stray cells .35, solid background .25, purity .20, flat cells .20.

    A background need only be solid where a plain one was promised; missing parts re-share.
    """
    if not look.is_pixel_art:
        return None
    parts = [(0.35, orphan_points(look.neighbors.orphans, anchors))]
    if promises.plain_background:
        parts.append((0.25, ground.solid))
    if promises.purity is not None:
        parts.append((0.20, promises.purity))
    if look.flatness is not None:
        parts.append((0.20, flatness_points(look.flatness)))
    points = weighted_mean(parts)
    return None if points is None else points / 10
