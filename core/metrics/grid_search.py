"""How well the edges of an image sit on an even grid, and which grid fits best.

Works on two profiles of edge strength, one an axis, so that trying a grid costs microseconds.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from core.metrics.color import Bytes, Floats

SEARCH = range(8, 129)  # cells along the width that are tried
FITS = 0.5  # alignment from which a grid counts as found
SMALLEST_PITCH = 3.0  # pixels; below it lines and cells cannot be told apart
NEAR_BEST = 0.95  # of the best alignment, from which a grid fits as well
POWER = 0.25  # an alignment of 0.5 always has more power than this at the grid's frequency
COARSE = 16  # shifts tried while searching: closer together than a line is wide
_BAND = 0.08  # of the pitch, either side of a line


@dataclass(frozen=True, kw_only=True)
class EdgeProfiles:
    """Edge strength at the boundary before each pixel column and row, and the image's width."""

    columns: Floats  # (W-1,)
    rows: Floats  # (H-1,)
    width: int


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """How edges sit on the lines of one grid."""

    score: float  # 0 chance, 1 every edge on a line
    unshifted: float  # the same with the first line at the border
    phase_x: float  # pixels of the first line right of the border, within half a pitch
    phase_y: float


def edge_profiles(pixels: Bytes) -> EdgeProfiles:
    """Return the edge profiles of an (H, W, 3) image.

    Differences below the noise floor (2.5 times the median difference, plus 1 level) do not count.
    """
    # one plane a channel: whole rows of numbers instead of three at a time
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1)).astype(np.float32)
    across = _strength(planes[:, :, 1:] - planes[:, :, :-1])
    down = _strength(planes[:, 1:] - planes[:, :-1])
    return EdgeProfiles(
        columns=across.sum(axis=0, dtype=np.float64),
        rows=down.sum(axis=1, dtype=np.float64),
        width=pixels.shape[1],
    )


def _strength(difference: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the length of (3, h, w) color differences less the noise floor, at least 0."""
    difference *= difference
    length = np.sqrt(difference[0] + difference[1] + difference[2])
    # one pixel in seven is plenty for a median and far faster
    floor = 2.5 * float(np.median(length.reshape(-1)[::7])) + 1 if length.size else 0.0
    return np.asarray(np.maximum(length - floor, 0.0))


def alignment(profiles: EdgeProfiles, columns: float, steps: int = 0) -> Alignment | None:
    """Return how the edges sit on a grid of ``columns`` cells along the width, or None without any.

    The share of edge strength within 8 % of the pitch of a line, less what chance would put there,
    at the best shift of the grid, averaged over the axes that have edges. ``steps`` bounds the
    shifts that are tried; 0 tries every half pixel.
    """
    pitch = profiles.width / columns
    fits = [_fit(profile, pitch, steps) for profile in (profiles.columns, profiles.rows)]
    found = [fit for fit in fits if fit]
    if not found:
        return None
    shifts = [fit.shift if fit else 0.0 for fit in fits]
    return Alignment(
        score=float(np.mean([fit.best for fit in found])),
        unshifted=float(np.mean([fit.at_zero for fit in found])),
        phase_x=shifts[0],
        phase_y=shifts[1],
    )


@dataclass(frozen=True, kw_only=True)
class _Fit:
    """The fit of one axis."""

    best: float
    at_zero: float
    shift: float


def _fit(profile: Floats, pitch: float, steps: int) -> _Fit | None:
    """Return the chance-corrected share of ``profile`` on lines, at shift 0 and at the best one.

    ``steps`` bounds the shifts that are tried; 0 tries every half pixel.
    """
    total = float(profile.sum())
    if total <= 0:
        return None
    shifts = np.arange(0, pitch, max(0.5, pitch / steps) if steps else 0.5)
    share, chance = _near_lines(profile / total, pitch, shifts, round(_BAND * pitch))
    scores = np.clip((share - chance) / np.maximum(1 - chance, 1e-9), 0, 1)
    # of shifts as good as the best: the one with most edges right on the line, nearest to no shift
    exact, _ = _near_lines(profile / total, pitch, shifts, 0)
    away = np.minimum(shifts, pitch - shifts)
    best = int(np.lexsort((away, -exact.round(3), scores < scores.max() - 1e-3))[0])
    shift = float(shifts[best])
    if not steps:
        shift = _centered(profile, pitch, shift)
    return _Fit(
        best=float(scores[best]),
        at_zero=float(scores[0]),
        shift=shift if shift <= pitch / 2 else shift - pitch,
    )


def _centered(profile: Floats, pitch: float, shift: float) -> float:
    """Return ``shift`` moved to the middle of the edges beside its lines.

    A line between two pixels has the edges of both, which at four pixels a cell is half of what
    there is: the best shift may lie half a pixel beside the line.
    """
    places = np.arange(1, len(profile) + 1)
    beside = (places - shift + pitch / 2) % pitch - pitch / 2
    weight = np.where(np.abs(beside) <= _BAND * pitch + 1.5, profile, 0.0)
    total = float(weight.sum())
    return shift + float((weight * beside).sum()) / total if total > 0 else shift


def _near_lines(profile: Floats, pitch: float, shifts: Floats, band: int) -> tuple[Floats, Floats]:
    """Return, for each shift, the share of ``profile`` near a line and the share of positions.

    Near is within ``band`` pixels of the boundary that a line falls on.
    Positions are folded by the pitch and sorted once, so each shift costs two look-ups.
    """
    folded = np.arange(1, len(profile) + 1) % pitch
    order = np.argsort(folded)
    # three copies, so that a window may reach over either end of the fold
    around = np.concatenate([folded[order] - pitch, folded[order], folded[order] + pitch])
    mass = np.concatenate([[0.0], np.cumsum(np.tile(profile[order], 3))])
    reach = band + 0.5 + 1e-9
    low = np.searchsorted(around, shifts - reach, side="left")
    high = np.searchsorted(around, shifts + reach, side="right")
    return mass[high] - mass[low], (high - low) / len(profile)


def find_grid(profiles: EdgeProfiles) -> int | None:
    """Return the number of cells along the width, 8-128, or None when no even grid fits.

    Of all grids within 95 % of the best alignment, the finest that is no multiple of another one:
    twice as many lines always hold the same edges.
    """
    likely = _likely_grids(profiles)
    scores = {n: fit.score for n in likely if (fit := alignment(profiles, n, COARSE))}
    best = max(scores.values(), default=0.0)
    if best < FITS:
        return None
    good = [n for n, score in scores.items() if score >= NEAR_BEST * best]
    return max(n for n in good if not any(n % m == 0 for m in good if m < n))


def _likely_grids(profiles: EdgeProfiles) -> list[int]:
    """Return the grids worth a closer look: those at whose frequency the profiles have power."""
    tried = tuple(n for n in SEARCH if profiles.width / n >= SMALLEST_PITCH)
    present = [profile for profile in (profiles.columns, profiles.rows) if profile.sum() > 0]
    if not tried or not present:
        return []
    power = np.mean(
        [
            np.abs(_waves(len(profile), profiles.width, tried) @ profile) / profile.sum()
            for profile in present
        ],
        axis=0,
    )
    return [n for n, strength in zip(tried, power, strict=True) if strength >= POWER]


@lru_cache(maxsize=8)
def _waves(length: int, width: int, grids: tuple[int, ...]) -> NDArray[np.complex64]:
    """Return (grids, length): one turn of the unit circle per cell, for each grid."""
    turns = np.outer(grids, np.arange(1, length + 1)) / width
    return np.asarray(np.exp(2j * np.pi * turns), dtype=np.complex64)
