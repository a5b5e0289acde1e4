"""Which positions a curve runs over, and how many steps of the trend lie between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

Planned = Sequence[int] | int | None  # the positions a run will save, or its last one, or unknown

UNPLANNED_AHEAD = 3  # steps looked ahead when the plan is not known
MAX_AHEAD = 120  # positions to come that are looked at
MAX_STEPS = 20  # a gap longer than this is treated as this long: the trend is forgotten by then
_MAX_PAST_STEPS = 200


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """The positions of a curve in order; ``steps`` says how far along each of them lies."""

    positions: tuple[int, ...]  # tested ones, then those to come
    steps: tuple[int, ...]  # steps of the trend since the first position
    tested: int  # how many of the positions are tested

    @property
    def ahead(self) -> tuple[int, ...]:
        """The positions still to come."""
        return self.positions[self.tested :]


def spacing_of(positions: Sequence[int]) -> int:
    """Return how many epochs (or steps) lie between two saves, judged by the sorted positions.

    The greatest common divisor, so that 1, 5, 10 are epochs and 500, 1000 are saves 500 apart.
    Where an odd last save (3000, then 3214) would make that useless, the middle gap.
    """
    divisor = math.gcd(*positions) or 1
    if positions[-1] - positions[0] <= _MAX_PAST_STEPS * divisor:
        return divisor
    gaps = sorted(after - before for before, after in pairwise(positions))
    return gaps[(len(gaps) - 1) // 2]


def lay_out(tested: Sequence[int], planned: Planned, *, ended: bool = False) -> Timeline:
    """Return the timeline of the tested positions and of those still to come.

    ``planned`` is the sequence of positions the run will save, its last position, or None: then
    three saves more are looked at. One step of the trend is one save, so the same settings serve
    epochs and steps. With a planned sequence a step is one place in it; otherwise the spacing of
    the tested positions. A position that was skipped leaves its steps in, up to 20.
    """
    past = sorted(set(tested))
    if isinstance(planned, int) or planned is None:
        spacing = spacing_of(past)
        ahead = [] if ended else _ahead(past[-1], spacing, planned)
        places = {place: place / spacing for place in past + ahead}
    else:
        grid = sorted(set(planned) | set(past))
        places = {place: float(rank) for rank, place in enumerate(grid)}
        ahead = [] if ended else [place for place in grid if place > past[-1]][:MAX_AHEAD]
    positions = past + ahead
    steps = [0]
    for before, after in pairwise(positions):
        gap = round(places[after] - places[before])
        steps.append(steps[-1] + min(MAX_STEPS, max(1, gap)))
    return Timeline(positions=tuple(positions), steps=tuple(steps), tested=len(past))


def _ahead(latest: int, spacing: int, last: int | None) -> list[int]:
    end = latest + UNPLANNED_AHEAD * spacing if last is None else last
    coming = list(range(latest + spacing, end + 1, spacing))[:MAX_AHEAD]
    if len(coming) < MAX_AHEAD and end > (coming[-1] if coming else latest):
        coming.append(end)
    return coming
