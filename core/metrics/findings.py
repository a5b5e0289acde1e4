"""What is wrong with an image and what is good about it, in ids and words for a person."""

from collections.abc import Mapping

from core.metrics.adherence import Promises, Unmeasured
from core.metrics.background import Background, ColorFigures
from core.metrics.grid_search import FITS
from core.metrics.look import Look
from core.metrics.pixel_art import (
    DRAWN_BY_PEOPLE,
    StyleAnchors,
    alignment_points,
    flatness_points,
    has_random_pixels,
)
from core.metrics.things import Unseen

NOTHING_PROMISED = "the prompt promises no color and no thing that can be measured"
RIGHT = 90.0  # of 100 from which a promised color counts as kept
_SOLID, _NOISY = 90.0, 70.0


def issues_of(
    look: Look, ground: Background, promises: Promises, anchors: StyleAnchors
) -> tuple[str, ...]:
    """Return the ids of what is wrong (see ISSUES), the gravest first."""
    kept = promises.kept.values()
    found = {
        "photorealistic": look.photographic,
        "blurry": look.lost_grid and not look.photographic,
        "wrong_background": isinstance(promises.background, ColorFigures)
        and promises.background.is_wrong,
        "noisy_background": promises.plain_background and ground.solid < _NOISY,
        "wrong_colors": any(answer.figures.is_wrong for answer in kept),
        "misplaced_color": bool(promises.misplaced),
        "two_toned_hair": any(answer.two_toned for answer in kept),
    }
    # of a photograph nothing is said about its cells
    if look.is_pixel_art and not look.photographic:
        found |= _cell_issues(look, anchors)
    return tuple(name for name, holds in found.items() if holds)


def _cell_issues(look: Look, anchors: StyleAnchors) -> dict[str, bool]:
    """Return what is wrong with the cells."""
    limit = 1.5 * anchors.palette_limit(look.grid.cells)
    off_grid = look.aligned is not None and look.aligned.score < FITS and not look.lost_grid
    return {
        "random_pixels": has_random_pixels(look.neighbors.orphans, anchors),
        "too_many_colors": look.palette > limit,
        "wrong_grid": off_grid and look.found is not None,
        "uneven_grid": off_grid and look.found is None,
    }


def strengths_of(
    look: Look, ground: Background, promises: Promises, style: float | None
) -> tuple[str, ...]:
    """Return what is good, in words; ``style`` is the style quality, 0-100."""
    told = promises.background
    found = {
        "solid background": promises.plain_background and ground.solid >= _SOLID,
        "right background color": isinstance(told, ColorFigures) and told.score >= RIGHT,
    }
    for name, answer in promises.kept.items():
        found[f"right {name} color"] = answer.figures.score >= RIGHT
    for name, points in promises.things.atoms.items():
        found[f"{name} as promised"] = points >= RIGHT
    if style is not None and look.aligned and look.flatness is not None:
        aligned = alignment_points(look.aligned.score) >= 90
        found |= {
            "clean pixel grid": aligned and flatness_points(look.flatness) >= 90,
            "no stray pixels": look.neighbors.orphans <= DRAWN_BY_PEOPLE.orphans_75,
            "pixel art style": style >= 90,
            "not photorealistic": not look.lost_grid and not look.photographic,
        }
    return tuple(name for name, holds in found.items() if holds)


def reasons_of(
    scores: Mapping[str, float | None], look: Look, promises: Promises
) -> dict[str, str]:
    """Return why a score is None, and which promises were kept out of the prompt's score."""
    why = {
        "visual_quality": look.why_no_style,
        "style_match": look.why_no_style,
        "prompt_adherence": NOTHING_PROMISED,
    }
    reasons = {name: why[name] for name, score in scores.items() if score is None}
    for name, answer in [("background", promises.background), *promises.regions.items()]:
        if isinstance(answer, Unmeasured):
            reasons[name] = answer.reason
    things = promises.things
    unseen = [f"{name}: {it.reason}" for name, it in things.promised if isinstance(it, Unseen)]
    if unseen:
        reasons["accessories"] = "; ".join(unseen)
    if things.expression and isinstance(things.expression[1], Unseen):
        reasons["expression"] = f"{things.expression[0]}: {things.expression[1].reason}"
    return reasons
