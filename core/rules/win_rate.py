"""What the votes on two slots say now: win rate, interval, proof, decision, and what is missing.

Everything here may be read after every vote; see ``core.rules.betting`` for why.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Literal

from core.rules.betting import (
    ALPHA,
    PROOF,
    Interval,
    confidence_sequence,
    e_better,
    e_mean_above,
    mean_sequence,
)
from core.rules.forecast import EQUAL, units_needed, units_to_flip, votes_needed, votes_to_flip
from core.rules.votes import VERDICTS, Tally, Vote, between, by_category, ranking_votes, tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Decision = Literal["A better", "B better", "equivalent", "continue"]
Counted = Literal["votes", "units"]
CATEGORY_LEAST = 10  # decisive votes before a category may pass anything


@dataclass(frozen=True, kw_only=True)
class WinRate:
    """The standing of a candidate B against a baseline A."""

    tally: Tally
    counted: Counted  # whether one vote or one prompt and seed is one piece of evidence
    units: int  # prompts and seeds with a vote
    win_interval: Interval  # of the owner's win rate, ties in the total
    interval: Interval  # of B's decisive rate (votes), or of its points with ties as half (units)
    e_a: float  # proof that A is better: 20 is 95 %
    e_b: float
    decision: Decision
    more: (
        int | None
    )  # further votes (or units) that decide this; 0 when decided, None when too many
    to_flip: int | None  # votes (or units) that, turned round, undo the result; None without one
    among: int = 1  # pairs of slots from which the votes may have picked this one

    @property
    def verdict(self) -> str | None:
        """The owner's verdict word with its win rate and interval; None without a comparison."""
        rate = self.tally.win_rate
        if rate is None:
            return None
        word = next(word for least, word in VERDICTS if rate >= least)
        return f"{word}: {rate:.1f} % of {self.tally.compared} won ({self.win_interval})"

    @property
    def proof_needed(self) -> float:
        """The e-value at which one of the two is called better."""
        return proof_needed(self.among)

    @property
    def enough(self) -> bool:
        """Whether there are votes enough for a category to pass."""
        return self.tally.decisive >= CATEGORY_LEAST

    @property
    def sentence(self) -> str:
        """Say the decision, or who leads, how sure that is and how many votes are missing."""
        found = f"{self._evidence()}."
        if self.decision == "equivalent":
            return f"{self.tally.a} and {self.tally.b} are equivalent: {found}"
        if self.decision != "continue":
            name = self.tally.a if self.decision == "A better" else self.tally.b
            return f"Use {name} (95 % confidence): {found}"
        return f"{self._leader()}: {found} {self._missing()}"

    def _evidence(self) -> str:
        counts = self.tally
        if self.counted == "votes":
            return (
                f"{counts.b} won {counts.b_wins} of {counts.decisive} clear votes ({self.interval})"
            )
        points = f"{counts.points_rate:.1f} % of the points"
        return f"{counts.b} has {points}, {self.interval} over {self.units} prompts and seeds"

    def _leader(self) -> str:
        found, name = max((self.e_a, self.tally.a), (self.e_b, self.tally.b))
        proof = found / self.among
        if proof <= 1:
            return "Nobody leads clearly"
        return f"{name} leads ({int(100 * (1 - 1 / proof))} % confidence)"

    def _missing(self) -> str:
        noun = "votes" if self.counted == "votes" else "prompts and seeds"
        if self.more is None:
            return f"More {noun} than anyone would give are needed to decide this."
        return f"About {self.more} more {noun} decide this."


def win_rate(votes: Iterable[Vote], a: str, b: str, *, among: int = 1) -> WinRate:
    """Judge a candidate ``b`` against a baseline ``a``, from votes in any order.

    Votes on one prompt and seed are alike. When any was voted on more than once, units are the
    evidence: the mean outcome of each, in the order in which they were first voted on, which must
    have been a random one. Otherwise each decisive vote is one. "Better" needs e >= 20,
    "equivalent" an interval within 40-60 %.

    Where the votes themselves picked the pair, ``among`` is how many they could have picked:
    "better" then needs e >= 20 x ``among``, and the intervals are those of 5 % / ``among``. So
    much holds whichever is picked, and whenever (Bonferroni; e-values need nothing more).

    Raises:
        Fixable: when a and b are the same slot.
    """
    pair = ranking_votes(between(votes, a, b))
    counts = tally(pair, a, b)
    per_unit = Counter(vote.unit for vote in pair)
    if max(per_unit.values(), default=1) == 1:
        return _by_votes(counts, len(per_unit), among)
    return _by_units(counts, pair, among)


def proof_needed(among: int) -> float:
    """Return the e-value that proves a claim which the votes picked from so many."""
    return PROOF * among


def category_rates(votes: Iterable[Vote], a: str, b: str, *, among: int = 1) -> dict[str, WinRate]:
    """Judge each category by itself; see ``WinRate.enough`` before one passes."""
    return {
        name: win_rate(some, a, b, among=among)
        for name, some in by_category(between(votes, a, b)).items()
    }


def _by_votes(counts: Tally, units: int, among: int) -> WinRate:
    alpha = ALPHA / among
    interval = confidence_sequence(counts.b_wins, counts.decisive, alpha)
    e_a = e_better(counts.a_wins, counts.decisive)
    e_b = e_better(counts.b_wins, counts.decisive)
    decision = _decide(e_a, e_b, interval, among)
    more: int | None = 0
    if decision == "continue":
        more = votes_needed(counts.b_wins, counts.decisive, alpha=alpha)
        if more is not None and counts.decisive:  # ties cost votes too
            more = ceil(more * counts.total / counts.decisive)
    return WinRate(
        tally=counts,
        counted="votes",
        units=units,
        win_interval=confidence_sequence(counts.b_wins, counts.total, alpha),
        interval=interval,
        e_a=e_a,
        e_b=e_b,
        decision=decision,
        more=more,
        to_flip=votes_to_flip(counts.b_wins, counts.decisive, alpha=alpha),
        among=among,
    )


def _by_units(counts: Tally, votes: Sequence[Vote], among: int) -> WinRate:
    alpha = ALPHA / among
    wins: dict[str, list[float]] = {}
    points: dict[str, list[float]] = {}
    for vote in votes:
        won = float(vote.winner == counts.b)
        wins.setdefault(vote.unit, []).append(won)
        points.setdefault(vote.unit, []).append(0.5 if vote.winner is None else won)
    outcomes = [sum(values) / len(values) for values in points.values()]
    interval = mean_sequence(outcomes, alpha)
    e_b = e_mean_above(outcomes, alpha=alpha)
    e_a = e_mean_above([1 - x for x in outcomes], alpha=alpha)
    decision = _decide(e_a, e_b, interval, among)
    return WinRate(
        tally=counts,
        counted="units",
        units=len(outcomes),
        win_interval=mean_sequence([sum(values) / len(values) for values in wins.values()], alpha),
        interval=interval,
        e_a=e_a,
        e_b=e_b,
        decision=decision,
        more=units_needed(outcomes, alpha=alpha) if decision == "continue" else 0,
        to_flip=units_to_flip(outcomes, alpha=alpha),
        among=among,
    )


def _decide(e_a: float, e_b: float, interval: Interval, among: int) -> Decision:
    if max(e_a, e_b) >= proof_needed(among):
        return "A better" if e_a > e_b else "B better"
    return "equivalent" if interval.within(*EQUAL) else "continue"
