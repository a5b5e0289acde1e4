"""What a judge is shown next: a new pair, a swapped repeat, a gold whose answer is known, a ranking.

Chance comes from outside, as a generator that cannot be guessed; sides are drawn last, whatever
chose the pair.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Literal

import numpy as np

from core.rules.ballots import Served, as_votes, is_answered
from core.rules.davidson import rank
from core.rules.next_pair import RANDOM_SHARE, leading, next_pair
from core.rules.votes import Purpose, Vote

if TYPE_CHECKING:
    from random import Random

GOLD_SHARE = 0.1
REPEAT_SHARE = 0.1
REPEAT_AFTER = 6  # servings between a pair and its repeat, so that it is not remembered
RANKED = 4  # images in a ranking


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One prompt with one seed, and the slots whose image of it is drawn."""

    unit: str
    category: str
    drawn: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What to show, from left to right."""

    unit: str
    category: str
    slots: tuple[str, ...]
    purpose: Purpose = "vote"
    expected: str | None = None  # of a gold: left, right, tie; of several the place that is spoiled

    @property
    def asks(self) -> str | None:
        """What must not be asked twice of one judge; None for a gold, which may come again."""
        if self.purpose == "gold":
            return None
        return "/".join((self.purpose, self.unit, *sorted(self.slots)))


def choose(
    served: Sequence[Served],
    pieces: Sequence[Piece],
    slots: Sequence[str],
    *,
    judge: str,
    chance: Random,
    ways: int = 2,
) -> Choice | None:
    """Choose what ``judge`` is shown next; None when there is nothing new to show.

    ``served`` is everything served on this comparison, to anybody, in order; ``slots`` are those
    of the comparison. About one in ten is a gold and one in ten a repeat; the rest is chosen by
    ``next_pair``. Where ``ways`` is above 2 it is a ranking of up to four slots, one in ten a gold
    and none a repeat.
    """
    mine = [each for each in served if each.judge == judge]
    fresh = _fresh(served, mine, pieces, slots, judge=judge, chance=chance, ways=ways)
    if fresh is None:
        return None
    draw = chance.random()
    if ways > 2:
        return (
            ranked_gold(pieces, slots, chance, ways) if draw < GOLD_SHARE else _sides(fresh, chance)
        )
    if draw < GOLD_SHARE:
        return gold(pieces, chance) or _sides(fresh, chance)
    if draw < GOLD_SHARE + REPEAT_SHARE:
        return repeat(mine, chance) or _sides(fresh, chance)
    return _sides(fresh, chance)


def left_to_show(
    served: Iterable[Served], pieces: Sequence[Piece], slots: Sequence[str], judge: str
) -> int:
    """Return how many pairs of drawn images this judge has not been shown."""
    seen = _seen([each for each in served if each.judge == judge])
    return sum(
        (pair, piece.unit) not in seen
        for piece in pieces
        for pair in combinations(sorted(slots), 2)
        if piece.drawn.issuperset(pair)
    )


def gold(pieces: Sequence[Piece], chance: Random) -> Choice | None:
    """Return one image shown twice: as it is (a tie), or one side visibly spoiled."""
    drawn = [piece for piece in pieces if piece.drawn]
    if not drawn:
        return None
    piece = chance.choice(drawn)
    slot = chance.choice(sorted(piece.drawn))
    expected: Literal["left", "right", "tie"] = chance.choice(("left", "right", "tie", "tie"))
    return Choice(
        unit=piece.unit,
        category=piece.category,
        slots=(slot, slot),
        purpose="gold",
        expected=expected,
    )


def ranked_gold(pieces: Sequence[Piece], slots: Sequence[str], chance: Random, ways: int) -> Choice:
    """Return the images of one prompt and seed, one of them visibly spoiled: it must come last."""
    drawn = [(piece, sorted(piece.drawn.intersection(slots))) for piece in pieces]
    piece, found = chance.choice([each for each in drawn if len(each[1]) > 2])
    chosen = chance.sample(found, min(ways, len(found)))
    return Choice(
        unit=piece.unit,
        category=piece.category,
        slots=tuple(chosen),
        purpose="gold",
        expected=str(chance.randrange(len(chosen))),
    )


def repeat(mine: Sequence[Served], chance: Random) -> Choice | None:
    """Return an answered pair with its sides swapped; None while none lies far enough back."""
    again = {(each.unit, frozenset(each.slots)) for each in mine if each.purpose == "repeat"}
    past = [
        each
        for each in mine[:-REPEAT_AFTER]
        if each.purpose == "vote"
        and len(each.slots) == 2
        and is_answered(each)
        and each.choice != "skip"
        and (each.unit, frozenset(each.slots)) not in again
    ]
    if not past:
        return None
    found = chance.choice(past)
    return Choice(
        unit=found.unit,
        category=found.category,
        slots=(found.slots[1], found.slots[0]),
        purpose="repeat",
    )


def _sides(found: Choice, chance: Random) -> Choice:
    order = list(found.slots)
    chance.shuffle(order)
    return Choice(unit=found.unit, category=found.category, slots=tuple(order))


def _fresh(
    served: Sequence[Served],
    mine: Sequence[Served],
    pieces: Sequence[Piece],
    slots: Sequence[str],
    *,
    judge: str,
    chance: Random,
    ways: int,
) -> Choice | None:
    votes = as_votes(served)
    category = {piece.unit: piece.category for piece in pieces}
    if ways > 2:
        return _ranking(votes, mine, pieces, slots, chance, ways)
    found = next_pair(
        [*votes, *_closed(mine, pieces, slots, judge)],
        slots,
        list(category),
        judge=judge,
        rng=np.random.default_rng(chance.getrandbits(128)),
        # Of two slots there is one pair, which needs no ranking to be chosen.
        random_share=1.0 if len(slots) == 2 else RANDOM_SHARE,
    )
    if found is None:
        return None
    return Choice(unit=found.unit, category=category[found.unit], slots=(found.left, found.right))


def _closed(
    mine: Sequence[Served], pieces: Sequence[Piece], slots: Sequence[str], judge: str
) -> list[Vote]:
    """Return as skips, which count nowhere, what cannot be shown now: served before, or not drawn."""
    closed = set(_seen(mine))
    for piece in pieces:
        for pair in combinations(sorted(slots), 2):
            if not piece.drawn.issuperset(pair):
                closed.add((pair, piece.unit))
    return [
        Vote(left=pair[0], right=pair[1], choice="skip", judge=judge, unit=unit, number=0)
        for pair, unit in sorted(closed)
    ]


def _seen(mine: Iterable[Served]) -> set[tuple[tuple[str, str], str]]:
    return {
        ((min(pair), max(pair)), each.unit)
        for each in mine
        if each.purpose == "vote"
        for pair in combinations(each.slots, 2)
    }


def _ranking(
    votes: Sequence[Vote],
    mine: Sequence[Served],
    pieces: Sequence[Piece],
    slots: Sequence[str],
    chance: Random,
    ways: int,
) -> Choice | None:
    """Return the images of one prompt and seed of which this judge has seen no pair.

    Slots are drawn by how likely they are the best and its challenger, one time in five alike, so
    that no slot is lost to an early accident.
    """
    seen = _seen(mine)
    open_sets = [(piece, _unseen(piece, slots, seen)) for piece in pieces]
    most = min(ways, max((len(found) for _, found in open_sets), default=0))
    if most < 3:
        return None
    piece, free = chance.choice([each for each in open_sets if len(each[1]) >= most])
    if len(free) <= ways:
        chosen = free
    elif chance.random() < 0.2:
        chosen = chance.sample(free, ways)
    else:
        chosen = _likely(votes, slots, free, chance, ways)
    return Choice(unit=piece.unit, category=piece.category, slots=tuple(chosen))


def _unseen(
    piece: Piece, slots: Sequence[str], seen: set[tuple[tuple[str, str], str]]
) -> list[str]:
    """Return drawn slots of which no two were shown with this piece."""
    found: list[str] = []
    for slot in sorted(set(slots) & piece.drawn):
        if all(((min(slot, o), max(slot, o)), piece.unit) not in seen for o in found):
            found.append(slot)
    return found


def _likely(
    votes: Sequence[Vote], slots: Sequence[str], free: Sequence[str], chance: Random, ways: int
) -> list[str]:
    ranking = rank(votes, slots)
    weights: Mapping[str, float] = {
        slot: sum(leading(ranking, slot, other) for other in free if other != slot) for slot in free
    }
    chosen: list[str] = []
    while len(chosen) < ways:
        rest = [slot for slot in free if slot not in chosen]
        chosen += chance.choices(rest, [weights[slot] for slot in rest])
    return chosen
