"""What a promised color means for a measured one: a hex by difference, a word by basic term.

A word such as "pink" is no single hex: its cells are named by the nearest labeled color instead.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property

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
    FAR,
    LIGHTEST,
    MATCH,
    Bools,
    Bytes,
    Floats,
    Numbers,
    Palette,
    closeness,
    delta_e,
    distinct,
    lab,
    merge_palettes,
    oklab,
    rgb_of_hex,
    same_hue,
)

_OWN_COLOR = 5.0  # CIEDE2000 within which a cell is the word's own color, whatever its name
_FAMILY = 25.0  # CIEDE2000 within which a cell can be the shade that a word such as "teal" names
_AT_ONCE = 128  # colors that are named together: what fits in the cache of a processor
_PAIRS = 4096  # of colors, compared together for the same reason
_SLACK = 1.15  # a cell on the border of two terms is called by both
_DARKER_BY, _LIGHTER_BY = 0.16, 0.13  # OKLab L that it may be off: ff0000 is no "dark red"
_DARKER = ("dark", "deep")
_LIGHTER = ("light", "pale", "pastel", "baby")
_BRIGHTER = ("bright", "vivid", "neon", "electric")
_NO_LESS = 0.21  # OKLab L below the middle of its term where a color is no bright one any more
_AS_TERM = {"grey": "gray", "violet": "purple"}  # words that mean more than their one CSS shade


@dataclass(frozen=True, kw_only=True, eq=False)
class Target:
    """One promised color, resolved; the same words give the same one, which is a key."""

    rgb: Bytes  # (k, 3) the hex, or the labeled colors that the word stands for
    terms: Bools  # (11,) basic terms it may be called by
    is_word: bool
    lightness: tuple[float, float]  # OKLab L that "dark" or "light" allows; (0, 1) otherwise
    reach: float  # CIEDE2000 from ``rgb`` within which the term counts
    either: bool = False  # it may be missing where another one is there: "silver or white"

    @cached_property
    def lab(self) -> Floats:
        """(k, 3): the colors in CIELAB."""
        return lab(self.rgb)

    @cached_property
    def ok(self) -> Floats:
        """(3,): the first of the colors in OKLab."""
        return np.asarray(oklab(self.rgb)[0])


@dataclass(frozen=True, kw_only=True, eq=False)
class CellMatch:
    """How cells answer to a promised color: 0-1 in three ways, each of the cells' shape."""

    table: Floats  # (3, ...): match, closeness, hue

    @property
    def match(self) -> Bools:
        """Which are the same color."""
        return self.table[0] > 0

    @property
    def closeness(self) -> Floats:
        """How near each comes, graded."""
        return self.table[1]

    @property
    def hue(self) -> Bools:
        """Which are of the same hue class."""
        return self.table[2] > 0


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
    flat = _naming_space(rgb).reshape(-1, 3)
    parts = [_to_terms(flat[at : at + _AT_ONCE]) for at in range(0, len(flat), _AT_ONCE)]
    return np.concatenate(parts).reshape(*rgb.shape[:-1], len(BASIC_TERMS))


def _to_terms(flat: Floats) -> Floats:
    """Return (n, 11) distances of (n, 3) places in the naming space."""
    _, anchors, labels = _anchors()
    squared = np.zeros((len(anchors), len(flat)))
    for axis in range(3):
        gap = flat[:, axis] - anchors[:, axis, None]
        squared += np.square(gap, out=gap)
    starts = np.searchsorted(labels, np.arange(len(BASIC_TERMS)))
    return np.asarray(np.sqrt(np.minimum.reduceat(squared, starts, axis=0)).T)


def basic_terms(rgb: Bytes) -> Bools:
    """Return (..., 11): the basic terms (Berlin & Kay 1969) that (..., 3) uint8 may be called by.

    The nearest labeled color decides; a term almost as near counts too.
    """
    distance = term_distances(rgb)
    return np.asarray(distance <= np.maximum(distance.min(axis=-1, keepdims=True) * _SLACK, 1e-6))


def basic_term(rgb: Bytes) -> str:
    """Return the basic term of one (3,) uint8 color, such as "green"."""
    return BASIC_TERMS[int(term_distances(rgb).argmin())]


@cache
def resolve(text: str) -> tuple[Target, ...]:
    """Return the colors of an expectation, such as "#50be50", "hot pink" or "blue and white".

    More than one color is a promised pattern. Empty when any part is not a color we know.
    """
    targets = [target for part in parts_of(text) if (target := _resolve_one(part))]
    if len(targets) < len(parts_of(text)):
        return ()
    either = re.search(r"\bor\b", text.lower()) is not None
    return tuple(replace(target, either=True) if either else target for target in targets)


def parts_of(text: str) -> list[str]:
    """Return the single colors of an expectation, in lower case."""
    return [
        part.strip() for part in re.split(r"\b(?:and|or)\b|[,/&+]", text.lower()) if part.strip()
    ]


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
    return paint([cells])[0].match(targets)


@dataclass(frozen=True, kw_only=True, eq=False)
class Shades:
    """The different colors of a stack of pictures, and what is told of each, worked out once."""

    rgb: Bytes  # (k, 3)
    # told yet (k,), and how (3, k)
    _answers: dict[Target, tuple[Bools, Floats]] = field(default_factory=dict)

    @cached_property
    def lab(self) -> Floats:
        """(k, 3): CIELAB."""
        return lab(_at_least_two(self.rgb))[: len(self.rgb)]

    @cached_property
    def ok(self) -> Floats:
        """(k, 3): OKLab."""
        return oklab(_at_least_two(self.rgb))[: len(self.rgb)]

    @cached_property
    def terms(self) -> Bools:
        """(k, 11): the basic terms each may be called by."""
        return basic_terms(self.rgb)

    def match(self, numbers: Numbers, target: Target) -> CellMatch:
        """Return how the colors of these numbers answer; what was asked before is looked up."""
        if target not in self._answers:
            count = len(self.rgb)
            self._answers[target] = np.zeros(count, dtype=bool), np.zeros((3, count))
        told, answers = self._answers[target]
        if not told.take(numbers).all():
            asked = np.zeros(len(told), dtype=bool)
            asked[numbers] = True
            new = np.flatnonzero(asked & ~told)
            answers[:, new] = _match_one(self.lab[new], self.ok[new], self.terms[new], target)
            told[new] = True
        return CellMatch(table=answers.take(numbers, axis=1))


def _at_least_two(rgb: Bytes) -> Bytes:
    """Return (k, 3) colors, a single one twice: alone, it would differ from itself in a table.

    A matrix of one row is multiplied in another order, which moves the last bit.
    """
    return rgb if len(rgb) > 1 else rgb.repeat(2, axis=0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Painted:
    """The cells of one picture, and the numbers of their colors among those of its stack."""

    cells: Bytes  # (..., 3)
    number: Numbers  # (...)
    shades: Shades

    def match(self, targets: tuple[Target, ...], where: Bools | None = None) -> CellMatch:
        """Return how the cells, or (n,) those in a mask, answer to any of at least one target."""
        numbers = self.number if where is None else self.number[where]
        answers = [self.shades.match(numbers, target) for target in targets]
        if len(answers) == 1:
            return answers[0]
        return CellMatch(table=np.maximum.reduce([one.table for one in answers]))


def paint(stack: Sequence[Bytes]) -> list[Painted]:
    """Return pictures (..., 3) uint8 with their colors numbered together."""
    rgb, of = distinct(np.concatenate([cells.reshape(-1, 3) for cells in stack]))
    shades = Shades(rgb=rgb)
    ends = np.cumsum([cells.size // 3 for cells in stack])[:-1]
    return [
        Painted(cells=cells, number=number.reshape(cells.shape[:-1]), shades=shades)
        for cells, number in zip(stack, np.split(of, ends), strict=True)
    ]


def palettes_of(stack: Sequence[Painted], where: Bools | None = None) -> list[Palette]:
    """Return the merged palettes of pictures that were painted together, or of a mask of each."""
    shades = stack[0].shades
    numbers = [each.number.reshape(-1) if where is None else each.number[where] for each in stack]
    return merge_palettes(shades.rgb, shades.lab, numbers)


def by_shape(stack: Sequence[Painted]) -> Iterator[tuple[list[int], Numbers]]:
    """Give the places in the stack of pictures of one shape, and their numbers stacked."""
    for shape in dict.fromkeys(each.number.shape for each in stack):
        places = [at for at, each in enumerate(stack) if each.number.shape == shape]
        yield places, np.stack([stack[at].number for at in places])


def _match_one(colors: Floats, ok: Floats, names: Bools, target: Target) -> Floats:
    """Return (3, n): how (n, 3) colors answer to one target, as in a ``CellMatch``."""
    named: Bools = np.asarray((names & target.terms).any(axis=-1))
    low, high = target.lightness
    called = named & (ok[..., 0] >= low) & (ok[..., 0] <= high)
    if np.isinf(target.reach):  # a basic term: what is called by it is as close as can be
        near = np.ones(len(colors))
        near[~called] = closeness(_nearest(colors[~called], target.lab))
        return np.stack([called, near, named])
    difference = _nearest(colors, target.lab)
    near = closeness(difference)
    if not target.is_word:
        hue = np.asarray(named | same_hue(ok, target.ok))
        return np.stack([difference <= target.reach, near, hue])
    match = (called & (difference <= target.reach)) | (difference <= _OWN_COLOR)
    return np.stack([match, np.where(match, 1.0, near), named])


def _nearest(colors: Floats, wanted: Floats) -> Floats:
    """Return the CIEDE2000 of (n, 3) colors to the nearest of (k, 3); infinite where none is near.

    Lightness alone shows that most are too far to count.
    """
    found = np.full((len(colors), len(wanted)), np.inf)
    near = np.abs(colors[:, None, 0] - wanted[:, 0]) <= LIGHTEST * FAR
    for part in np.split(np.flatnonzero(near), range(_PAIRS, np.count_nonzero(near), _PAIRS)):
        color, want = np.divmod(part, len(wanted))
        found.reshape(-1)[part] = delta_e(colors[color], wanted[want])
    return np.asarray(found.min(axis=1))
