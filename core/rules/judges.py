"""Signs that a judge's answers should not be relied on, from checks that do not ask for taste.

A flagged judge goes on voting. Show the result with and without (``votes.without_judges``), and
decide without looking at which of the two it favors.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from statistics import median
from typing import TYPE_CHECKING

from scipy.special import bdtr, betaincc

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from core.rules.votes import Vote

GOLD_SHARE, GOLD_CHANCE = 0.7, 0.05  # flagged when passing 70 % of golds is less likely than 5 %
REPEATS_LEAST, REPEATS_SAME = 8, 0.6
FASTEST_MS = 800  # for two images; of more, for each two of them
SPEED_LEAST = 5  # timed answers before a median means anything
SIDE_CHANCE = 0.001
RUN_LEAST = 10  # answers in a row on one side


@dataclass(frozen=True, kw_only=True)
class Judge:
    """What the checks say of one judge."""

    name: str
    votes: int  # answers that count, skips left out
    golds: int
    golds_passed: int
    repeats: int  # pairs shown a second time, swapped
    repeats_same: int
    median_ms: float | None
    left_share: float | None  # of the clear answers; None without one
    flags: tuple[str, ...]  # sentences; empty when nothing is wrong


def judge_checks(votes: Iterable[Vote]) -> list[Judge]:
    """Check every judge by name: golds, swapped repeats, speed and one-sidedness."""
    ordered = sorted(votes, key=lambda vote: (vote.judge, vote.number))
    grouped = groupby(ordered, key=lambda vote: vote.judge)
    return [_check(name, list(given)) for name, given in grouped]


def flagged(votes: Iterable[Vote]) -> list[str]:
    """Return the names of the judges with a flag."""
    return [judge.name for judge in judge_checks(votes) if judge.flags]


def _check(name: str, votes: Sequence[Vote]) -> Judge:
    answered = [vote for vote in votes if vote.choice != "skip"]
    shown = [list(pairs) for _, pairs in groupby(answered, key=lambda vote: vote.number)]
    golds = [
        all(_passed(vote) for vote in pairs)  # of a ranking: the spoiled image lost each pair
        for pairs in shown
        if pairs[0].purpose == "gold" and pairs[0].expected
    ]
    repeats = _repeats(answered)
    timed = [(pairs[0], ms) for pairs in shown if (ms := pairs[0].milliseconds) is not None]
    times = [ms for _, ms in timed]
    # Sides are drawn, so that taste cannot make them uneven; golds and repeats count too. The pairs
    # of a ranking follow from each other, so that sides of theirs would look like a habit.
    sides = [
        vote.choice for vote in answered if vote.choice in {"left", "right"} and vote.places == 2
    ]
    flags = (
        _gold_flag(golds),
        _repeat_flag(repeats),
        _speed_flag([2 * ms / vote.places for vote, ms in timed]),
        _side_flag(sides),
        _run_flag(sides),
    )
    return Judge(
        name=name,
        votes=sum(vote.purpose == "vote" for vote in answered),
        golds=len(golds),
        golds_passed=sum(golds),
        repeats=len(repeats),
        repeats_same=sum(repeats),
        median_ms=float(median(times)) if times else None,
        left_share=sides.count("left") / len(sides) if sides else None,
        flags=tuple(flag for flag in flags if flag),
    )


def _passed(vote: Vote) -> bool:
    if vote.expected in {"tie", "both_bad"}:
        return vote.choice in {"tie", "both_bad"}
    return vote.choice == vote.expected


def _repeats(votes: Sequence[Vote]) -> list[bool]:
    """Say of each repeat whether it named the same winner as the judge's vote before it."""
    first = {(vote.pair, vote.unit): vote.winner for vote in votes if vote.purpose == "vote"}
    again = [vote for vote in votes if vote.purpose == "repeat"]
    return [
        first[vote.pair, vote.unit] == vote.winner
        for vote in again
        if (vote.pair, vote.unit) in first
    ]


def _gold_flag(golds: Sequence[bool]) -> str | None:
    passed = sum(golds)
    chance = float(betaincc(1 + passed, 1 + len(golds) - passed, GOLD_SHARE))
    if chance >= GOLD_CHANCE:
        return None
    return f"passed only {passed} of {len(golds)} golds, whose answer is known"


def _repeat_flag(repeats: Sequence[bool]) -> str | None:
    same = sum(repeats)
    if len(repeats) < REPEATS_LEAST or same / len(repeats) >= REPEATS_SAME:
        return None
    return f"answered only {same} of {len(repeats)} repeats as the first time"


def _speed_flag(times: Sequence[float]) -> str | None:
    if len(times) < SPEED_LEAST or median(times) >= FASTEST_MS:
        return None
    return f"takes {median(times) / 1000:.1f} s for two images half of the time: too fast to look"


def _side_flag(sides: Sequence[str]) -> str | None:
    fewer = min(sides.count("left"), sides.count("right"))
    if not sides or 2 * float(bdtr(fewer, len(sides), 0.5)) >= SIDE_CHANCE:
        return None
    return f"chose one side {len(sides) - fewer} of {len(sides)} times, though sides are drawn"


def _run_flag(sides: Sequence[str]) -> str | None:
    longest = max((len(list(run)) for _, run in groupby(sides)), default=0)
    # A run of ten comes about by chance in a long session; so long a one must be rare there too.
    if longest < RUN_LEAST or len(sides) * 2.0**-longest >= 0.01:
        return None
    return f"chose the same side {longest} times in a row, though sides are drawn"
