"""The next pair: told by the votes so far, by a seed, and by nothing else."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from core.rules.davidson import rank
from core.rules.next_pair import Proposal, leading, next_pair
from core.rules.votes import Vote

SLOTS = ("a", "b", "c", "d")
UNITS = ("p1", "p2", "p3")


def given(winner: str, loser: str, times: int, start: int = 0) -> list[Vote]:
    """Build votes of ben, each on its own unit."""
    return [
        Vote(left=winner, right=loser, choice="left", judge="ben", unit=f"q{n}", number=n)
        for n in range(start, start + times)
    ]


# a and b lead and were hardly compared; c and d are far behind.
LED = [
    *given("a", "c", 12),
    *given("b", "d", 12, 12),
    *given("a", "d", 8, 24),
    *given("b", "c", 8, 32),
]


def proposals(votes: list[Vote], times: int, share: float = 0.2) -> list[Proposal]:
    """Return what ann would be shown with many seeds."""
    ranking = rank(votes, SLOTS)
    found = [
        next_pair(
            votes,
            SLOTS,
            UNITS,
            judge="ann",
            rng=np.random.default_rng(seed),
            random_share=share,
            ranking=ranking,
        )
        for seed in range(times)
    ]
    return [one for one in found if one is not None]


def test_the_leaders_meet_most_where_their_order_is_open() -> None:
    """Without chance nearly all are the two that lead, on either side and on every prompt."""
    found = proposals(LED, 60, share=0.0)
    leaders = [one for one in found if {one.left, one.right} == {"a", "b"}]
    assert len(leaders) > 50
    assert {one.left for one in leaders} == {"a", "b"}
    assert {one.unit for one in leaders} == set(UNITS)


def test_pairs_are_drawn_as_two_draws_of_the_best_would() -> None:
    """The chances of all pairs add up to 1."""
    ranking = rank(LED, SLOTS)
    chances = [leading(ranking, *pair) for pair in combinations(SLOTS, 2)]
    assert sum(chances) == pytest.approx(1.0, abs=0.01)
    assert max(chances) == leading(ranking, "a", "b")


def test_every_pair_keeps_a_chance() -> None:
    """One in five is drawn from all pairs alike."""
    found = proposals(LED, 400)
    by_chance = [one for one in found if one.reason == "chance"]
    assert 0.12 < len(by_chance) / len(found) < 0.28
    assert len(Counter(frozenset((one.left, one.right)) for one in by_chance)) == 6


def test_the_same_votes_and_seed_give_the_same_pair_in_any_order() -> None:
    """The page can be loaded again."""
    assert proposals(LED, 10) == proposals(LED[::-1], 10)


def test_a_judge_is_never_asked_twice_and_ends() -> None:
    """All pairs on all units come once; then there is nothing more."""
    votes: list[Vote] = []
    rng = np.random.default_rng(0)
    seen = set()
    while (at := next_pair(votes, SLOTS, UNITS, judge="ann", rng=rng)) is not None:
        choice = "skip" if len(votes) % 5 == 0 else "tie"
        votes.append(
            Vote(
                left=at.left,
                right=at.right,
                choice=choice,
                judge="ann",
                unit=at.unit,
                number=len(votes),
            )
        )
        seen.add((votes[-1].pair, at.unit))
    assert len(seen) == len(votes) == 6 * len(UNITS)
    assert next_pair(votes, SLOTS, UNITS, judge="ben", rng=rng) is not None


def test_the_least_seen_prompt_comes_first() -> None:
    """With two of three prompts voted on, the third follows."""
    votes = [
        Vote(left="a", right="b", choice="tie", judge="ben", unit=unit, number=n)
        for n, unit in enumerate(("p1", "p3"))
    ]
    at = next_pair(votes, ("a", "b"), UNITS, judge="ann", rng=np.random.default_rng(1))
    assert at is not None
    assert at.unit == "p2"
