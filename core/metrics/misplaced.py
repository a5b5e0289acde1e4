"""A promised color that is there, but in another place than promised."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from core.metrics.color import Bools
from core.metrics.color_words import Painted, Target, match_cells
from core.metrics.several import EACH

_FEWEST = 4  # cells: fewer may be an eye or a stray one


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a promised color was looked for."""

    mask: Bools  # (rows, columns)
    targets: tuple[Target, ...]
    least: float  # share of the cells elsewhere that has to show it
    each: float = EACH  # share of the place that each of several colors has at least


def cells_elsewhere(cells: Painted, places: Mapping[str, Place], wrong: set[str]) -> dict[str, int]:
    """Return, of the promises that are ``wrong``, how many (rows, columns, 3) cells elsewhere keep.

    Those with too few are left out, and so is a color that another promise shares: it is there by
    right.
    """
    found = {}
    for name in sorted(wrong & places.keys()):
        place = places[name]
        others = [each for other, each in places.items() if other != name]
        if any(_alike(place, each) for each in others):
            continue
        outside = cells.match(place.targets, ~place.mask).match
        count = int(np.count_nonzero(outside))
        if count >= max(_FEWEST, place.least * len(outside)):
            found[name] = count
    return found


def said_of(count: int) -> str:
    """Return it in words."""
    return f"the promised color is there, but elsewhere ({count} cells)"


def _alike(first: Place, second: Place) -> bool:
    """Return whether two promises ask for the same color, as far as one can tell."""
    return _covers(first.targets, second.targets) or _covers(second.targets, first.targets)


def _covers(wide: tuple[Target, ...], narrow: tuple[Target, ...]) -> bool:
    """Return whether one of the narrow colors, or most of what its word stands for, is the wide."""
    return any(float(np.mean(match_cells(one.rgb, wide).match)) > 0.5 for one in narrow)
