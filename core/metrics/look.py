"""What is seen of the pixel grid in one image, and how much of pixel art it is."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.formats.finishing import Finishing
from core.metrics.applicability import Kind, grid_to_ask, looks_for_grid, why_no_pixel_art
from core.metrics.cells import Grid, cell_colors, grid_at, grid_over
from core.metrics.color import Bytes
from core.metrics.color_words import Painted, paint, palettes_of
from core.metrics.cropped import GridSeen, see_any_grid, see_asked_grid, shows_lines
from core.metrics.finished import finished_cells
from core.metrics.grid_search import (
    FITS,
    SMALLEST_PITCH,
    Alignment,
    alignment,
    edge_profiles,
)
from core.metrics.pixel_art import (
    Neighbors,
    StyleAnchors,
    alignment_points,
    cell_flatness,
    flatness_points,
    has_lost_the_grid,
    is_photographic,
    neighbors_of,
    palette_points,
    tone_counts,
)

_PLAIN = Finishing()
COLOR_CELLS = 24  # along the width, where there is no pixel grid: enough for colors


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was seen of the pixel grid; None where it does not apply."""

    grid: Grid
    painted: Painted  # the cells as they are shipped: after the finishing
    plain_cells: Bytes  # the same before the finishing
    is_pixel_art: bool  # asked for, or found
    aligned: Alignment | None
    found: float | None  # the grid that fits best, when none was asked for or that one does not fit
    flatness: float | None
    neighbors: Neighbors
    palette: int
    tones: float
    not_art: str | None = None  # why this is not held to pixel art, though it may show a grid
    cropped: bool = False  # cells are cut at the borders; those seen by half or more are measured

    @property
    def cells(self) -> Bytes:
        """(rows, columns, 3) as they are shipped."""
        return self.painted.cells

    @property
    def lost_grid(self) -> bool:
        """Whether an image that should be pixel art shows no grid at all."""
        if not self.is_pixel_art or self.found is not None:
            return False
        return has_lost_the_grid(self.aligned.score if self.aligned else None, self.flatness)

    @property
    def photographic(self) -> bool:
        """Whether an image that should be pixel art reads as a photograph.

        Cells that lie on the grid are no photograph, however many colors they have: a LoRA that is
        still noisy has the style already.
        """
        if self.aligned is not None and self.aligned.score >= FITS:
            return False
        return self.is_pixel_art and is_photographic(
            lost_grid=self.lost_grid,
            tones=self.tones,
            size=self.palette,
            neighbors=self.neighbors,
            cells=self.grid.cells,
        )

    @property
    def why_no_style(self) -> str:
        """Why style cannot be measured, when it cannot."""
        if self.not_art:
            return self.not_art
        if not self.is_pixel_art:
            return "not applicable: this is not pixel art on an even grid of 8 to 128 cells"
        if self.grid.pitch < SMALLEST_PITCH:
            return "cells of under 3 pixels show no edges or ramps; measure the large image"
        return "the image has no edges to be measured"


def look_at(
    pixels: Bytes,
    asked: int | None,
    color_cells: int,
    finishing: Finishing = _PLAIN,
    kind: Kind | None = None,
) -> Look:
    """Return what is seen of the grid that was asked for, or of the one that is found.

    ``color_cells`` along the width are read where there is no grid at all. Cells are finished
    where a grid was asked for; edges, ramps and tones are those of the large image. The profile's
    ``kind`` says whether pixel art is meant at all.
    """
    return look_at_all([pixels], asked, color_cells, finishing, kind)[0]


def look_at_all(
    pictures: Sequence[Bytes],
    asked: int | None,
    color_cells: int,
    finishing: Finishing = _PLAIN,
    kind: Kind | None = None,
) -> list[Look]:
    """Return ``look_at`` for each of several pictures, with their cells painted together."""
    asked = grid_to_ask(kind, asked)
    untouched = asked is None or finishing.is_plain
    seen = [_seen(pixels, asked, color_cells, kind) for pixels in pictures]
    laid = [_laid(*each) for each in zip(pictures, seen, strict=True)]
    plain = [cell_colors(*each) for each in zip(pictures, laid, strict=True)]
    shipped = plain
    if not untouched:
        shipped = [finished_cells(*each, finishing) for each in zip(pictures, laid, strict=True)]
    stack = paint(shipped)
    painted = zip(
        stack, neighbors_of(stack), palettes_of(stack), tone_counts(pictures), strict=True
    )
    return [
        Look(
            grid=grid,
            painted=cells,
            plain_cells=before,
            is_pixel_art=not it.unsure and (asked is not None or it.found is not None),
            aligned=it.aligned,
            found=it.found,
            flatness=cell_flatness(pixels, grid),
            neighbors=neighbors,
            palette=palette.size,
            tones=tones,
            not_art=it.unsure or why_no_pixel_art(kind),
            cropped=it.cropped,
        )
        for pixels, it, grid, before, (cells, neighbors, palette, tones) in zip(
            pictures, seen, laid, plain, painted, strict=True
        )
    ]


def _seen(pixels: Bytes, asked: int | None, color_cells: int, kind: Kind | None) -> GridSeen:
    """Return the grid asked for, the one that is found, or the cells that colors are read on."""
    width = pixels.shape[1]
    if asked is not None:
        if not shows_lines(width, asked):
            return GridSeen(columns=asked, aligned=None)
        return see_asked_grid(edge_profiles(pixels), asked)
    edges = edge_profiles(pixels)
    found = see_any_grid(edges) if looks_for_grid(kind) else None
    if found is not None and not found.unsure:
        return found
    columns = min(color_cells, width)
    small = width / columns < SMALLEST_PITCH
    aligned = None if small else alignment(edges, columns)
    return GridSeen(columns=columns, aligned=aligned, unsure=found.unsure if found else None)


def _laid(pixels: Bytes, seen: GridSeen) -> Grid:
    """Return the grid over the image, on its own lines where they clearly lie beside the border."""
    fit = seen.aligned
    if seen.cropped and fit is not None:
        return grid_at(pixels, seen.columns, fit.phase_x, fit.phase_y)
    whole = grid_over(pixels, round(seen.columns))
    if fit is None or fit.score < FITS or fit.unshifted > 0.8 * fit.score:
        return whole
    return grid_at(pixels, whole.columns, fit.phase_x, fit.phase_y)


def style_points(look: Look, anchors: StyleAnchors) -> float | None:
    """Return style 0-100, or None outside pixel art and where cells are too small to show it.

    Alignment .35, flat cells .25, palette .25, and .15 for being neither photograph nor blur.
    """
    if not look.is_pixel_art or look.flatness is None or look.aligned is None:
        return None
    return (
        0.35 * alignment_points(look.aligned.score)
        + 0.25 * flatness_points(look.flatness)
        + 0.25 * palette_points(look.palette, look.grid.cells, anchors)
        + (0.0 if look.photographic or look.lost_grid else 15.0)
    )
