"""Which grid a picture shows: a whole one, or that of a crop, whose cells are cut at the borders.

The frequency at which edges come back tells a pitch of any real number, so that a picture is
measured on the lines it has. Where several fit equally well, none is taken.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from core.metrics.color import Floats
from core.metrics.grid_search import (
    COARSE,
    FITS,
    NEAR_BEST,
    POWER,
    SEARCH,
    SMALLEST_PITCH,
    Alignment,
    EdgeProfiles,
    alignment,
    find_grid,
)

_SEVERAL = (
    "not measured: the picture looks cropped, and several pixel grids fit its edges equally well; "
    "measure it before it is cropped"
)
_EITHER = (
    "not measured: the edges lie on {found:.0f} cells across and not on {asked}: either the picture "
    "is cropped along its lines or drawn on another grid; measure it before it is cropped"
)
_UNDOUBTED = 0.9  # alignment from which no other grid than the one asked for is looked for
_ALONE = 0.75  # alignment that a crop needs where the cells asked for are too small to compare
_CLEARLY = 0.02  # of alignment, by which another grid must fit better
_COARSER = 0.75  # of the cells of a grid, below which another one is coarser and not just beside it
_SAME = 0.1  # cells along the width, within which a measured grid is the whole one
_DIVIDES = 0.03  # of a pitch, within which a finer one is a half or a third of a coarser one
_LOOKED_AT = 8  # frequencies
_STRONG = 0.6  # of the strongest frequency: weaker ones hold fewer of the edges
_FINER = 16  # frequencies to each that the bare profile has
_BORDER = 0.75  # pixels, within which a border lies on a line
_DRAWN_STEP = 8  # pixels: generators draw multiples of it
_LEAST_PITCH = 1.5  # pixels a cell asked for, from which cells of a crop may be large enough
_STILL_SEEN = 0.75  # of the cells asked for: with fewer, lines on the borders are no crop's


@dataclass(frozen=True, kw_only=True)
class GridSeen:
    """The grid to measure on."""

    columns: float  # cells along the width; those cut at a border count as parts
    aligned: Alignment | None  # None without edges, and where cells are too small to have any
    found: float | None = None  # the columns that fit, where none were asked for or those do not
    cropped: bool = False
    unsure: str | None = None  # why no grid can be trusted, for a person


@dataclass(frozen=True, kw_only=True)
class _Fit:
    """How well a grid of any pitch fits."""

    columns: float
    score: float


def shows_lines(width: int, asked: int) -> bool:
    """Return whether a picture is large enough to show, by its edges, another grid than asked for."""
    return width >= _LEAST_PITCH * asked


def see_asked_grid(profiles: EdgeProfiles, asked: int) -> GridSeen:
    """Return the grid of a picture that was drawn with ``asked`` cells along its width.

    Only for pictures large enough to tell: see ``shows_lines``. A crop shows fewer of them, and
    they fit clearly better. The size before is not known, so a crop is told from art on another
    grid by its own size: see ``_is_crop``.
    """
    aligned = _aligned(profiles, asked)
    told = GridSeen(columns=asked, aligned=aligned)
    if aligned and aligned.score >= _UNDOUBTED:
        return told
    fits = _fitting(profiles, asked)
    least = aligned.score + _CLEARLY if aligned else _ALONE
    fewer = [fit for fit in fits if fit.score > least and fit.columns < asked - _SAME]
    for fit in fewer:
        crop = _is_crop(profiles, fit.columns, asked)
        if crop is None:
            return replace(told, unsure=_EITHER.format(found=fit.columns, asked=asked))
        if crop and len(fits) > 1:
            return replace(told, unsure=_SEVERAL)
        if crop:
            return GridSeen(
                columns=fit.columns, aligned=_aligned(profiles, fit.columns), cropped=True
            )
    if aligned is None or aligned.score >= FITS:
        return told
    return replace(told, found=_best(profiles, _fitting(profiles)))


def see_any_grid(profiles: EdgeProfiles) -> GridSeen | None:
    """Return the grid that a picture shows by itself, of 8 to 128 cells, or None without one."""
    fits = _fitting(profiles)
    best = _best(profiles, fits)
    if best is None:
        return None
    cropped = not isinstance(best, int)
    return GridSeen(
        columns=best,
        aligned=_aligned(profiles, best),
        found=best,
        cropped=cropped,
        unsure=_SEVERAL if cropped and len(fits) > 1 else None,
    )


def _aligned(profiles: EdgeProfiles, columns: float) -> Alignment | None:
    """Return the alignment, or None where cells are too small to have edges."""
    if profiles.width / columns < SMALLEST_PITCH:
        return None
    return alignment(profiles, columns)


def _best(profiles: EdgeProfiles, fits: Sequence[_Fit]) -> float | None:
    """Return the columns of the whole grid that fits, an int, or of one in ``fits`` that does more.

    That is one that fits clearly better, or as well and is coarser: half a pitch and a third of it
    hold the same edges.
    """
    columns = find_grid(profiles)
    if columns is None:
        cut = [fit.columns for fit in fits if not isinstance(_whole(fit.columns), int)]
        return cut[0] if cut else None
    if any(abs(fit.columns - columns) <= _SAME for fit in fits):
        return columns
    whole = alignment(profiles, columns)
    score = whole.score if whole else 0.0
    for fit in fits:
        coarser = fit.columns < _COARSER * columns and fit.score >= NEAR_BEST * score
        if coarser or fit.score > score + _CLEARLY:
            return _whole(fit.columns)
    return columns


def _whole(columns: float) -> float:
    """Return the columns as an int where they are a whole number as nearly as can be measured."""
    return round(columns) if abs(columns - round(columns)) <= _SAME else columns


def _is_crop(profiles: EdgeProfiles, columns: float, asked: int) -> bool | None:
    """Return whether a picture with ``columns`` cells is cut from one with ``asked``, if known.

    It is where the cells asked for make a size that a generator draws, and most are still seen.
    Else it is drawn as it is where its own size is such a one; where not, cells that are cut at a
    border show a crop, and lines on all borders leave it open.
    """
    mostly = columns > _STILL_SEEN * asked
    if mostly and _is_drawn_size(asked * profiles.width / columns, 0.5):
        return True
    if _is_drawn_size(profiles.width, 0) and _is_drawn_size(len(profiles.rows) + 1, 0):
        return False
    if _cuts_cells(profiles, columns):
        return True
    return None if mostly else False


def _is_drawn_size(size: float, give: float) -> bool:
    """Return whether a generator draws so many pixels, give or take some."""
    return abs(size - _DRAWN_STEP * round(size / _DRAWN_STEP)) <= give


def _cuts_cells(profiles: EdgeProfiles, columns: float) -> bool:
    """Return whether any border lies beside the lines of the grid."""
    aligned = alignment(profiles, columns)
    if aligned is None:
        return False
    pitch, height = profiles.width / columns, len(profiles.rows) + 1
    x, y = aligned.phase_x, aligned.phase_y
    places = [at / pitch for at in (x, y, profiles.width - x, height - y)]
    return any(abs(place - round(place)) * pitch > _BORDER + 0.02 * pitch for place in places)


def _fitting(profiles: EdgeProfiles, most: float = SEARCH.stop) -> list[_Fit]:
    """Return the grids of any pitch that fit within 95 % of the best one, the coarsest first.

    They have at most ``most`` cells along the width. Those that divide the pitch of a coarser one
    are left out.
    """
    tried = [
        _Fit(columns=columns, score=found.score)
        for columns in _frequencies(profiles, most)
        if (found := alignment(profiles, columns, COARSE))
    ]
    best = max((fit.score for fit in tried), default=0.0)
    good = [fit for fit in tried if best >= FITS and fit.score >= NEAR_BEST * best]
    return _undivided(sorted(good, key=lambda fit: fit.columns))


def _undivided(fits: Sequence[_Fit]) -> list[_Fit]:
    """Return those whose pitch is no half, third or other part of an earlier one's."""
    kept: list[_Fit] = []
    for fit in fits:
        ratios = [fit.columns / before.columns for before in kept]
        if all(ratio < 1.5 or abs(ratio - round(ratio)) > _DIVIDES for ratio in ratios):
            kept.append(fit)
    return kept


def _frequencies(profiles: EdgeProfiles, most: float) -> list[float]:
    """Return the numbers of cells along the width at which the edges come back most clearly.

    Peaks of the power spectrum, the mean of both axes, each placed by a parabola; without the
    harmonics of stronger ones.
    """
    power, length = _power(profiles)
    most = min(most, profiles.width / SMALLEST_PITCH)
    at = np.arange(*(int(length * n / profiles.width) for n in (SEARCH.start, most + 1)))
    at = at[(at > 0) & (at < len(power) - 1)]
    before, here, after = power[at - 1], power[at], power[at + 1]
    least = max(POWER, _STRONG * float(here.max(initial=0.0)))
    peak = (here >= least) & (here > before) & (here >= after)
    order = np.argsort(-here[peak])
    before, here, after = (each[peak][order] for each in (before, here, after))
    places = at[peak][order] + 0.5 * (before - after) / (before - 2 * here + after)
    columns = places * profiles.width / length
    found = [_Fit(columns=float(n), score=0.0) for n in columns if n <= most]
    return [one.columns for one in _undivided(found)[:_LOOKED_AT]]


def _power(profiles: EdgeProfiles) -> tuple[Floats, int]:
    """Return the strength of all frequencies, 0-1, and the pixels that the first one spans."""
    present = [profile for profile in (profiles.columns, profiles.rows) if profile.sum() > 0]
    longest = max(len(profiles.columns), len(profiles.rows))
    length = 1 << int(np.ceil(np.log2(_FINER * max(longest, 1))))
    if not present:
        return np.zeros(0), length
    spectra: list[NDArray[np.float64]] = [
        np.abs(np.fft.rfft(profile, length)) / profile.sum() for profile in present
    ]
    return np.asarray(np.mean(spectra, axis=0)), length
