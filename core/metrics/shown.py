"""How much of a promised color a place shows, for all pictures of a stack together."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from core.metrics.background import ColorFigures
from core.metrics.color import Bools, Floats
from core.metrics.color_words import Painted, Target
from core.metrics.several import EACH, share_there


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is promised of a place in a picture."""

    cells: Painted
    where: Bools  # (rows, columns), at least one cell
    targets: tuple[Target, ...]  # at least one: any of them will do
    least: float = 1.0  # share of the place whose best cells earn 100: a figure is not all hair
    each: float = EACH  # share of the place that each of several colors has at least


def shown_figures(questions: Sequence[Question]) -> list[ColorFigures]:
    """Return how each place answers; all pictures have been painted together.

    Cells are taken from the closest on, until there are enough. Of several colors that are all
    asked for, each has to be there.
    """
    if not questions:
        return []
    tables = _answers(questions)
    sizes = np.array([table.shape[1] for table in tables])
    least = np.array([asked.least for asked in questions])
    needed = np.maximum(np.rint(least * sizes), 1).astype(np.intp)
    answers, begins = np.concatenate(tables, axis=1), np.cumsum([0, *sizes])
    shares = np.minimum(np.add.reduceat(answers, begins[:-1], axis=1) / needed, 1.0)
    for at in np.flatnonzero(needed < sizes).tolist():
        closest = np.sort(tables[at][1])[-needed[at] :]
        shares[1, at] = np.add.reduce(closest) / needed[at]
    return [
        ColorFigures(match=match, closeness=closeness, hue=hue).times(
            share_there(asked.cells, asked.where, asked.targets, asked.each)
        )
        for asked, (match, closeness, hue) in zip(questions, (100 * shares.T).tolist(), strict=True)
    ]


def _answers(questions: Sequence[Question]) -> list[Floats]:
    """Return the table (3, n) of each question's cells, as in ``CellMatch``; one look a color."""
    numbers = [asked.cells.number[asked.where] for asked in questions]
    shades = questions[0].cells.shades
    asking: dict[Target, list[int]] = {}
    for at, asked in enumerate(questions):
        for target in asked.targets:
            asking.setdefault(target, []).append(at)
    found: dict[int, Floats] = {}
    for target, places in asking.items():
        table = shades.match(np.concatenate([numbers[at] for at in places]), target).table
        ends = np.cumsum([0, *(len(numbers[at]) for at in places)]).tolist()
        for at, (begin, end) in zip(places, pairwise(ends), strict=True):
            part = table[:, begin:end]
            found[at] = np.maximum(found[at], part) if at in found else part
    return [found[at] for at in range(len(questions))]
