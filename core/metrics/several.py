"""Several colors promised for one thing, such as "pink and blue hair": each has to be there."""

from collections.abc import Sequence

import numpy as np

from core.metrics.color import Bools, Floats
from core.metrics.color_words import Painted, Target, parts_of, resolve

EACH = 0.05  # of a thing's place that each of its colors has at least: a tip or a streak


def share_there(
    cells: Painted, weights: Floats | Bools, targets: Sequence[Target], least: float = EACH
) -> float:
    """Return how many of the promised colors, or of their hues, are there, as a share of them.

    ``weights`` (rows, columns) tell the place and how much each of its cells counts; a color that
    has less than ``least`` of it counts in part. 1 where one of them is enough.
    """
    if not each_is_asked(targets):
        return 1.0
    return float(np.minimum(_shares(cells, weights, targets) / least, 1.0).mean())


def missing(
    cells: Painted, weights: Floats | Bools, promised: str, least: float = EACH
) -> list[str]:
    """Return those of several promised colors, such as "pink and blue", that are hardly there."""
    shares = _shares(cells, weights, resolve(promised))
    return [
        part for part, share in zip(parts_of(promised), shares, strict=True) if share < least / 2
    ]


def each_is_asked(targets: Sequence[Target]) -> bool:
    """Say whether several colors are promised, and not one or the other of them."""
    return len(targets) > 1 and not any(target.either for target in targets)


def _shares(cells: Painted, weights: Floats | Bools, targets: Sequence[Target]) -> Floats:
    """Return (k,) the share of a place that each of k colors, or its hue, has."""
    inside: Bools = weights > 0
    answers = [cells.match((target,), inside) for target in targets]
    there = np.stack([answer.match | answer.hue for answer in answers])
    return np.asarray(there @ (weights[inside] / weights[inside].sum()))
