"""Color science on arrays: CIELAB, OKLab, CIEDE2000, hue, and palettes merged by eye.

Knows nothing of pictures, grids or prompts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]
Bools = NDArray[np.bool_]
Numbers = NDArray[np.intp]  # of colors: their rows in a table
_Told = TypeVar("_Told", bound=np.generic)

MATCH = 10.0  # CIEDE2000 below which two colors are "the same color" to a person who asked for one
MERGE = 6.0  # one palette entry
JND = 3.0  # just visible side by side
CHROMATIC = 0.05  # OKLab chroma from which a hue can be named
_CLOSE, FAR = 5.0, 25.0  # CIEDE2000; beyond, a color is not close at all
LIGHTEST = 1.75  # by which CIEDE2000 divides a difference of lightness at most
_OPPOSITE, _TINY = 1e-9, 1e-300  # the length of the sum of opposite unit vectors; chroma of a gray
_FEW_PAIRS, _AT_ONCE, _LARGEST_TABLE = 256, 4096, 1 << 24

_C6, _C30, _C63 = np.cos(np.radians([6, 30, 63])).tolist()
_S6, _S30, _S63 = np.sin(np.radians([6, 30, 63])).tolist()
_LINEAR = np.where(
    np.arange(256) / 255 <= 0.04045,
    np.arange(256) / 255 / 12.92,
    ((np.arange(256) / 255 + 0.055) / 1.055) ** 2.4,
)
_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
_WHITE = _XYZ.sum(axis=1)
_OK_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_OK_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def rgb_of_hex(text: str) -> Bytes:
    """Return "#rrggbb" as (3,) uint8."""
    return np.frombuffer(bytes.fromhex(text[1:]), dtype=np.uint8)


def hex_of_rgb(rgb: Bytes) -> str:
    """Return (3,) uint8 as "#rrggbb"."""
    return "#" + rgb.tobytes().hex()


def lab(rgb: Bytes) -> Floats:
    """Return (..., 3) uint8 sRGB as CIELAB (D65 white of the sRGB matrix, so gray has no hue)."""
    xyz = (_LINEAR[rgb] @ _XYZ.T) / _WHITE
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.stack(
        [
            116 * f[..., 1] - 16,
            500 * (f[..., 0] - f[..., 1]),
            200 * (f[..., 1] - f[..., 2]),
        ],
        axis=-1,
    )


def oklab(rgb: Bytes) -> Floats:
    """Return (..., 3) uint8 sRGB as OKLab, L in 0-1 (B. Ottosson 2020, "A perceptual color space").

    Used for hue and clustering only: it overstates differences between near-blacks.
    """
    return np.asarray(np.cbrt(_LINEAR[rgb] @ _OK_LMS.T) @ _OK_LAB.T)


def delta_e(first: Floats, second: Floats) -> Floats:
    """Return CIEDE2000 of two CIELAB arrays (..., 3) that broadcast: 0 equal, 100 black to white.

    Sharma, Wu & Dalal 2004, "The CIEDE2000 color-difference formula", doi 10.1002/col.20070.
    Their hue angles are unit vectors here, which need hardly a sine: those are what costs.
    """
    l1, a1, b1 = first[..., 0], first[..., 1], first[..., 2]
    l2, a2, b2 = second[..., 0], second[..., 1], second[..., 2]
    g = 1.5 - 0.5 * _of_strong((_length(a1, b1) + _length(a2, b2)) / 2)
    a1, a2 = g * a1, g * a2
    c1, c2 = _length(a1, b1), _length(a2, b2)
    x, y, turn = _between_hues(
        a1 / _above_0(c1), b1 / _above_0(c1), a2 / _above_0(c2), b2 / _above_0(c2)
    )
    c_mean, l_mean = (c1 + c2) / 2, np.square((l1 + l2) / 2 - 50)
    bend = np.exp(-np.square((np.degrees(_full_circle(np.arctan2(y, x))) - 275) / 25))
    rotation = -2 * _of_strong(c_mean) * np.sin(np.radians(60 * bend))
    dl = (l2 - l1) / (1 + 0.015 * l_mean / np.sqrt(20 + l_mean))
    dc = (c2 - c1) / (1 + 0.045 * c_mean)
    dh = np.sqrt(c1 * c2) * turn / (1 + 0.015 * c_mean * _by_hue(x, y))
    squared = dl * dl + dc * dc + dh * dh + rotation * dc * dh
    return np.asarray(np.sqrt(np.maximum(squared, 0.0)))


def _between_hues(x1: Floats, y1: Floats, x2: Floats, y2: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the mean of two hues, as a unit vector, and twice the sine of half the signed turn.

    Hues are unit vectors, too; a gray's is 0 and so lends its partner's.
    """
    x, y = x1 + x2, y1 + y2
    length = _length(x, y)
    turn = np.copysign(_length(x2 - x1, y2 - y1), x1 * y2 - y1 * x2)
    opposite = length < _OPPOSITE
    if opposite.any():  # rounding must not choose the side on which their mean lies
        left = np.where((y1 > 0) | ((y1 == 0) & (x1 > 0)), 1.0, -1.0)
        x, y = np.where(opposite, -left * y1, x), np.where(opposite, left * x1, y)
        turn = np.where(opposite, 2 * left, turn)
        length = np.where(opposite, 1.0, length)
    return x / length, y / length, turn


def _length(a: Floats, b: Floats) -> Floats:
    """Return the chroma; ``hypot`` minds overflow, which no color reaches, at four times the time."""
    return np.asarray(np.sqrt(a * a + b * b))


def _of_strong(chroma: Floats) -> Floats:
    """Return 0-1, near 1 for strong colors: the root of C^7 / (C^7 + 25^7)."""
    third = chroma * chroma * chroma
    seventh = third * third * chroma
    return np.asarray(np.sqrt(seventh / (seventh + 25.0**7)))


def _by_hue(x: Floats, y: Floats) -> Floats:
    """Return T, the weight of a hue, a unit vector: a sum of the cosines of 1 to 4 times its angle.

    The vector is the first cosine and sine, and the addition theorems give all others.
    """
    x2, y2 = x * x - y * y, 2 * x * y
    x3, y3 = x * x2 - y * y2, x * y2 + y * x2
    x4, y4 = x2 * x2 - y2 * y2, 2 * x2 * y2
    return np.asarray(
        1
        - 0.17 * (x * _C30 + y * _S30)
        + 0.24 * x2
        + 0.32 * (x3 * _C6 - y3 * _S6)
        - 0.20 * (x4 * _C63 + y4 * _S63)
    )


def _full_circle(angle: Floats) -> Floats:
    """Return angles of arctan2 as 0 to 2 pi; what ``%`` gives, at a fifth of its time."""
    return np.where(angle < 0, angle + 2 * np.pi, angle)


def _above_0(chroma: Floats) -> Floats:
    """Return a chroma by which can be divided."""
    return np.maximum(chroma, _TINY)


def closeness(difference: Floats) -> Floats:
    """Return 1 at CIEDE2000 <= 5 falling to 0 at 25, past which the formula means little."""
    return np.asarray(np.clip((FAR - difference) / (FAR - _CLOSE), 0.0, 1.0))


def chroma(ok: Floats) -> Floats:
    """Return the OKLCh chroma of OKLab (..., 3); 0 is gray, about 0.3 the strongest of sRGB."""
    return np.hypot(ok[..., 1], ok[..., 2])


def hue_gap(first: Floats, second: Floats) -> Floats:
    """Return the difference of OKLCh hues in degrees, 0-180."""
    turn = np.arctan2(first[..., 2], first[..., 1]) - np.arctan2(second[..., 2], second[..., 1])
    return np.degrees(np.abs((turn + np.pi) % (2 * np.pi) - np.pi))


def same_hue(first: Floats, second: Floats, degrees: float = 20.0) -> Bools:
    """Return whether both OKLab colors are chromatic and at most ``degrees`` of hue apart."""
    strong = (chroma(first) > CHROMATIC) & (chroma(second) > CHROMATIC)
    return np.asarray(strong & (hue_gap(first, second) <= degrees))


def distinct(rgb: Bytes) -> tuple[Bytes, Numbers]:
    """Return the (k, 3) different colors of (..., 3) uint8 and, flat, which of them each one is.

    Pixel art has few, so whatever is costly by color is worked out on these.
    """
    red, green, blue = (plane.astype(np.intp) for plane in rgb.reshape(-1, 3).T)
    unique, back = _distinct((red << 16) + (green << 8) + blue, 1 << 24)
    colors = np.stack([unique >> 16, unique >> 8 & 255, unique & 255], axis=-1)
    return colors.astype(np.uint8), back


@dataclass(frozen=True, kw_only=True)
class Palette:
    """Colors merged into entries, the largest first; ``of`` names each input's entry."""

    rgb: Bytes  # (K, 3) the seed color of each entry
    share: Floats  # (K,) of the input, sums to 1
    of: Numbers  # (n,) entry of each input color

    @property
    def size(self) -> int:
        """Number of entries."""
        return len(self.share)


def pairs_of(first: Numbers, second: Numbers) -> Numbers:
    """Return one number for each pair of row numbers, whichever of both comes first.

    Pairs are counted along the rows of a triangle: 00, 01, 11, 02, 12, 22, and so on.
    """
    high = np.maximum(first, second)
    return (high * (high + 1) >> 1) + np.minimum(first, second)


def _rows_of(pairs: Numbers) -> tuple[Numbers, Numbers]:
    """Return the two row numbers of each of ``pairs_of``, the lower one first.

    The rows of the triangle begin at h (h + 1) / 2; of such numbers the root below is exact.
    """
    high = ((np.sqrt(8.0 * pairs + 1) - 1) / 2).astype(np.intp)
    return pairs - (high * (high + 1) >> 1), high


def differences(colors: Floats, pairs: Numbers, within: float = np.inf) -> Floats:
    """Return (n,) CIEDE2000 of ``pairs_of`` colors, the rows of (k, 3) CIELAB.

    Infinite where lightness alone shows that it is more than ``within``.
    """
    return told_of_pairs(colors, pairs, np.asarray, within)


def told_of_pairs(
    colors: Floats,
    pairs: Numbers,
    tell: Callable[[Floats], NDArray[_Told]],
    within: float = np.inf,
) -> NDArray[_Told]:
    """Return (n,) what ``tell`` makes of (m,) such ``differences``, for example whether they are small.

    Each pair is worked out and told once, however often it is asked for.
    """
    if len(pairs) < _FEW_PAIRS:
        return tell(_apart(colors, pairs, within))
    many = len(colors) * (len(colors) + 1) // 2
    if _is_sparse(pairs, many):
        unique, back = np.unique(pairs, return_inverse=True)
        return tell(_apart(colors, unique, within))[back]
    unique = _marked(pairs, many)
    told = tell(_apart(colors, unique, within))
    table = np.empty(many, dtype=told.dtype)
    table[unique] = told
    return table[pairs]


def _apart(colors: Floats, pairs: Numbers, within: float) -> Floats:
    """Return (n,) CIEDE2000 of pairs, those infinite whose lightness is too far apart."""
    first, second = _rows_of(pairs)
    light = colors[:, 0].copy()
    near = np.flatnonzero(np.abs(light[first] - light[second]) <= LIGHTEST * within)
    found = np.full(len(pairs), np.inf)
    for part in np.split(near, range(_AT_ONCE, len(near), _AT_ONCE)):  # what fits in a cache
        one, other = (colors.take(rows[part], axis=0) for rows in (first, second))
        found[part] = delta_e(one, other)
    return found


def _is_sparse(numbers: Numbers, many: int) -> bool:
    """Say whether numbers below ``many`` are sooner sorted than marked in a table."""
    return many > min(_LARGEST_TABLE, 64 * len(numbers))


def _marked(numbers: Numbers, many: int) -> Numbers:
    """Return the different ones of numbers below ``many``, sorted."""
    seen = np.zeros(many, dtype=bool)
    seen[numbers] = True
    return np.flatnonzero(seen)


def _distinct(numbers: Numbers, many: int) -> tuple[Numbers, Numbers]:
    """Return the different ones of numbers below ``many``, and which of them each one is."""
    if _is_sparse(numbers, many):
        unique, back = np.unique(numbers, return_inverse=True)
        return unique, back
    unique = _marked(numbers, many)
    place = np.empty(many, dtype=np.min_scalar_type(len(unique)))
    place[unique] = np.arange(len(unique))
    return unique, place[numbers].astype(np.intp)


def merge_palette(rgb: Bytes, threshold: float = MERGE) -> Palette:
    """Merge (n, 3) uint8 colors: the commonest takes all within ``threshold`` of CIEDE2000."""
    colors, number = distinct(rgb)
    return merge_palettes(colors, lab(colors), [number], threshold)[0]


def merge_palettes(
    rgb: Bytes, colors: Floats, pictures: Sequence[Numbers], threshold: float = MERGE
) -> list[Palette]:
    """Merge each picture's colors, given by their numbers in (k, 3) ``rgb`` and CIELAB ``colors``.

    The pictures take their turns together: one step merges the next entry of each.
    """
    sizes = np.array([len(each) for each in pictures])
    inputs = np.arange(len(pictures)).repeat(sizes) * len(rgb) + np.concatenate(pictures)
    keys, back = _distinct(inputs, len(pictures) * len(rgb))
    counts = np.bincount(back)
    picture, number = np.divmod(keys, len(rgb))
    rare = counts.max(initial=0) - counts
    order = np.argsort((picture * (rare.max(initial=0) + 1) + rare) * len(rgb) + number)
    merged, seeds = _greedy(colors, picture[order], number[order], threshold)
    entry = np.empty_like(merged)
    entry[order] = merged
    seeds = order[seeds]
    share = np.bincount(entry, weights=counts) / sizes[picture[seeds]]
    sorting = np.lexsort((-share, picture[seeds]))
    ends = np.searchsorted(picture[seeds][sorting], np.arange(len(pictures) + 1))
    rank = np.empty_like(sorting)
    rank[sorting] = np.arange(len(sorting)) - ends[picture[seeds][sorting]]
    of = rank[entry][back]
    main, share = rgb[number[seeds][sorting]], share[sorting]
    begin = np.concatenate([[0], np.cumsum(sizes)])
    return [
        Palette(rgb=main[a:b], share=share[a:b], of=of[c:d])
        for (a, b), (c, d) in zip(pairwise(ends.tolist()), pairwise(begin.tolist()), strict=True)
    ]


def _greedy(
    colors: Floats, picture: Numbers, number: Numbers, threshold: float
) -> tuple[Numbers, Numbers]:
    """Return the entry of each numbered color, sorted by picture, and where each entry's seed is."""
    entry = np.empty(len(number), dtype=np.intp)
    light = colors[number, 0]
    seeds: list[Numbers] = []
    left, entries = np.arange(len(number)), 0
    while left.size:
        begin = np.flatnonzero(np.diff(picture[left], prepend=-1))
        turn = np.arange(len(begin)).repeat(np.diff(begin, append=left.size))
        seed = left[begin][turn]
        near = np.abs(light[left] - light[seed]) <= LIGHTEST * threshold
        pairs = pairs_of(number[seed[near]], number[left[near]])
        near[near] = told_of_pairs(colors, pairs, lambda apart: apart <= threshold)
        entry[left[near]] = entries + turn[near]
        seeds.append(left[begin])
        entries += len(begin)
        left = left[~near]
    return entry, np.concatenate([np.zeros(0, dtype=np.intp), *seeds])
