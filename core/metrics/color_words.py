"""What a promised color means for a measured one: a hex by difference, a word by basic term.

A word such as "pink" is no single hex: its cells are named by the nearest labeled color instead.
"""

import re
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from core.formats.color_names import (
    BASIC_TERMS,
    COLOR_NAMES,
    ColorWord,
    color_word,
    normal_hex,
)
from core.metrics.color import (
    MATCH,
    Bools,
    Bytes,
    Floats,
    closeness,
    delta_e,
    distinct,
    lab,
    oklab,
    rgb_of_hex,
    same_hue,
)

_OWN_COLOR = 5.0  # CIEDE2000 within which a cell is the word's own color, whatever its name
_FAMILY = 25.0  # CIEDE2000 within which a cell can be the shade that a word such as "teal" names
_SLACK = 1.15  # a cell on the border of two terms is called by both
_DARKER_BY, _LIGHTER_BY = 0.16, 0.13  # OKLab L that it may be off: ff0000 is no "dark red"
_DARKER = ("dark", "deep")
_LIGHTER = ("light", "pale", "pastel", "baby")
_BRIGHTER = ("bright", "vivid", "neon", "electric")
_NO_LESS = 0.21  # OKLab L below the middle of its term where a color is no bright one any more
_AS_TERM = {"grey": "gray", "violet": "purple"}  # words that mean more than their one CSS shade


@dataclass(frozen=True, kw_only=True)
class Target:
    """One promised color, resolved."""

    rgb: Bytes  # (k, 3) the hex, or the labeled colors that the word stands for
    terms: Bools  # (11,) basic terms it may be called by
    is_word: bool
    lightness: tuple[float, float]  # OKLab L that "dark" or "light" allows; (0, 1) otherwise
    reach: float  # CIEDE2000 from ``rgb`` within which the term counts


@dataclass(frozen=True, kw_only=True)
class CellMatch:
    """How cells answer to a promised color; the three arrays share the cells' shape."""

    match: Bools  # the same color
    closeness: Floats  # 0-1, graded
    hue: Bools  # the same hue class


@cache
def _anchors() -> tuple[Bytes, Floats, NDArray[np.intp]]:
    """Return the labeled colors: (n, 3) uint8, (n, 3) naming space, (n,) index of the term.

    Sorted by term, and every term has some.
    """
    once = {color.hex: color for color in COLOR_NAMES.values()}.values()
    named = sorted(once, key=lambda color: BASIC_TERMS.index(color.terms[0]))
    rgb = np.stack([rgb_of_hex(color.hex) for color in named])
    terms = np.array([BASIC_TERMS.index(color.terms[0]) for color in named])
    return rgb, _naming_space(rgb), terms


def _naming_space(rgb: Bytes) -> Floats:
    """Return OKLab with a and b doubled, where distance follows difference better (CSS Color 4)."""
    return np.asarray(oklab(rgb) * np.array([1.0, 2.0, 2.0]))


def term_distances(rgb: Bytes) -> Floats:
    """Return (..., 11): the distance of each color to the nearest labeled color of each term."""
    _, anchors, labels = _anchors()
    flat = _naming_space(rgb).reshape(-1, 3)
    squared = np.zeros((len(anchors), len(flat)))
    for axis in range(3):
        gap = flat[:, axis] - anchors[:, axis, None]
        squared += np.square(gap, out=gap)
    starts = np.searchsorted(labels, np.arange(len(BASIC_TERMS)))
    nearest = np.sqrt(np.minimum.reduceat(squared, starts, axis=0))
    return nearest.T.reshape(*rgb.shape[:-1], len(BASIC_TERMS))


def basic_terms(rgb: Bytes) -> Bools:
    """Return (..., 11): the basic terms (Berlin & Kay 1969) that (..., 3) uint8 may be called by.

    The nearest labeled color decides; a term almost as near counts too.
    """
    distance = term_distances(rgb)
    return np.asarray(distance <= np.maximum(distance.min(axis=-1, keepdims=True) * _SLACK, 1e-6))


def basic_term(rgb: Bytes) -> str:
    """Return the basic term of one (3,) uint8 color, such as "green"."""
    return BASIC_TERMS[int(term_distances(rgb).argmin())]


def resolve(text: str) -> tuple[Target, ...]:
    """Return the colors of an expectation, such as "#50be50", "hot pink" or "blue and white".

    More than one color is a promised pattern. Empty when any part is not a color we know.
    """
    parts = [part.strip() for part in re.split(r"\band\b|[,/&+]", text.lower()) if part.strip()]
    targets = [_resolve_one(part) for part in parts]
    return tuple(target for target in targets if target) if all(targets) else ()


@cache
def _resolve_one(text: str) -> Target | None:
    """Return one color resolved, or None."""
    if value := normal_hex(text):
        rgb = rgb_of_hex(value)[None, :]
        terms = basic_terms(rgb)[0]
        return Target(rgb=rgb, terms=terms, is_word=False, lightness=(0.0, 1.0), reach=MATCH)
    word = color_word(text)
    return _resolve_word(word) if word else None


def _resolve_word(word: ColorWord) -> Target:
    """Return a word resolved; a plain basic term stands for all labeled colors of its term."""
    name = _AS_TERM.get(word.color.name, word.color.name)
    if name in BASIC_TERMS:
        anchors, _, labels = _anchors()
        terms = np.asarray(BASIC_TERMS) == name
        rgb, reach = anchors[labels == BASIC_TERMS.index(name)], np.inf
    else:
        terms = np.isin(BASIC_TERMS, word.color.terms)
        rgb, reach = rgb_of_hex(word.color.hex)[None, :], _FAMILY
    lightness = _lightness(word, rgb)
    light = oklab(rgb)[..., 0]
    rgb = rgb[(light >= lightness[0]) & (light <= lightness[1])]  # the middle one is always left
    return Target(rgb=rgb, terms=terms, is_word=True, lightness=lightness, reach=reach)


def _lightness(word: ColorWord, rgb: Bytes) -> tuple[float, float]:
    """Return the range of OKLab L of (k, 3) colors that a word allows.

    A shade of its own, such as "navy", is that light; a modifier tests the direction only.
    """
    middle = float(np.median(oklab(rgb)[..., 0]))
    low, high = (middle - _DARKER_BY, middle + _LIGHTER_BY) if len(rgb) == 1 else (0.0, 1.0)
    if any(modifier in _DARKER for modifier in word.modifiers):
        return 0.0, middle
    if any(modifier in _LIGHTER for modifier in word.modifiers):
        return middle, 1.0
    if len(rgb) > 1 and any(modifier in _BRIGHTER for modifier in word.modifiers):
        return middle - _NO_LESS, 1.0
    return low, high


def match_cells(cells: Bytes, targets: tuple[Target, ...]) -> CellMatch:
    """Return how (..., 3) uint8 cells answer to any of ``targets`` (at least one).

    A hex matches within CIEDE2000 of 10. Hue class: the same basic term, or hues within 20 degrees
    in OKLCh with chroma above 0.05 on both.
    """
    rgb, of_cell = distinct(cells)
    colors, ok, names = lab(rgb), oklab(rgb), basic_terms(rgb)
    answers = [_match_one(colors, ok, names, target) for target in targets]
    shape = cells.shape[:-1]
    return CellMatch(
        match=np.logical_or.reduce([one.match for one in answers])[of_cell].reshape(shape),
        closeness=np.maximum.reduce([one.closeness for one in answers])[of_cell].reshape(shape),
        hue=np.logical_or.reduce([one.hue for one in answers])[of_cell].reshape(shape),
    )


def _match_one(colors: Floats, ok: Floats, names: Bools, target: Target) -> CellMatch:
    """Return how cells answer to one target."""
    difference = delta_e(colors[..., None, :], lab(target.rgb)).min(axis=-1)
    named: Bools = np.asarray((names & target.terms).any(axis=-1))
    near = closeness(difference)
    if not target.is_word:
        hue = np.asarray(named | same_hue(ok, oklab(target.rgb)[0]))
        return CellMatch(match=difference <= target.reach, closeness=near, hue=hue)
    low, high = target.lightness
    light_enough = (ok[..., 0] >= low) & (ok[..., 0] <= high)
    match = named & light_enough & (difference <= target.reach)
    if np.isfinite(target.reach):  # a shade of its own, not one of the basic terms
        match |= difference <= _OWN_COLOR
    return CellMatch(match=match, closeness=np.where(match, 1.0, near), hue=named)
