"""Strengths of many slots: known truth, other programs, and what must not matter."""

from __future__ import annotations

from random import Random

import choix
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import stdtrit

from core.rules import davidson
from core.rules.davidson import Ranking, rank
from core.rules.votes import Choice, Vote
from tests.bench.votes import STRENGTHS, session, strengths_missed

SLOTS = ("e6", "e7", "e8")
# Wins of the left and of the right slot, by the pair as it was shown.
TABLE = {
    ("e6", "e7"): (7, 9),
    ("e7", "e6"): (11, 5),
    ("e6", "e8"): (6, 12),
    ("e8", "e6"): (13, 4),
    ("e7", "e8"): (9, 8),
    ("e8", "e7"): (12, 6),
}


def vote(left: str, right: str, choice: Choice, number: int, unit: str | None = None) -> Vote:
    """Build one vote of ann."""
    return Vote(
        left=left,
        right=right,
        choice=choice,
        judge="ann",
        unit=unit or f"p{number}",
        number=number,
    )


def from_table(unit: str | None = None) -> list[Vote]:
    """Build the votes of TABLE, none of them a tie."""
    shown = [
        (left, right, choice)
        for (left, right), counts in TABLE.items()
        for choice, count in zip(("left", "right"), counts, strict=True)
        for _ in range(count)
    ]
    return [
        vote(left, right, "left" if choice == "left" else "right", number, unit)
        for number, (left, right, choice) in enumerate(shown)
    ]


def values(ranking: Ranking, slots: tuple[str, ...] = SLOTS) -> list[float]:
    """Return the strengths in the order of the slots."""
    return [ranking.strengths[slot].value for slot in slots]


def free(patch: pytest.MonkeyPatch, *, strength: float = 1e3, position: float = 1e3) -> None:
    """Set the widths of the prior, so wide by default that it says nothing."""
    patch.setattr(davidson, "STRENGTH_SD", strength)
    patch.setattr(davidson, "POSITION_SD", position)
    patch.setattr(davidson, "TIE_SD", 1e3)


def test_choix_finds_the_same_strengths(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bradley-Terry without sides, as maximum likelihood and with a penalty."""
    votes = from_table()
    place = {slot: index for index, slot in enumerate(SLOTS)}
    wins = [
        (place[one.left], place[one.right])
        if one.choice == "left"
        else (place[one.right], place[one.left])
        for one in votes
    ]
    free(monkeypatch, position=1e-6)
    assert values(rank(votes)) == pytest.approx(choix.ilsr_pairwise(3, wins), abs=1e-5)
    free(monkeypatch, strength=0.7, position=1e-6)
    theirs = choix.opt_pairwise(3, wins, alpha=0.5 / 0.7**2)
    assert values(rank(votes)) == pytest.approx(theirs, abs=1e-5)


def test_statsmodels_finds_the_same_strengths_position_and_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Figures of statsmodels 0.15.0: Logit of "left won" on the slots, with a constant for left."""
    free(monkeypatch)
    found = rank(from_table(unit="p0"))  # one unit: Laplace's interval alone
    assert values(found) == pytest.approx(
        [-0.48913520704794977, 0.08110591839490999, 0.4080292886530398], abs=1e-5
    )
    assert found.position.value == pytest.approx(0.31028039296179166, abs=1e-5)
    error = (found.position.high - found.position.value) / stdtrit(1, 0.975)
    assert error == pytest.approx(0.2108661877569498, abs=1e-5)
    assert found.ties < 1e-4


def test_known_strengths_ties_and_position_are_recovered() -> None:
    """From 3,000 simulated votes, within three times the error that such a number allows."""
    found = rank(session(3000, seed=5, units=3000))
    truth = np.array(list(STRENGTHS.values())) - np.mean(list(STRENGTHS.values()))
    assert values(found, tuple(STRENGTHS)) == pytest.approx(truth, abs=0.18)
    assert found.position.value == pytest.approx(0.3, abs=0.14)
    assert found.position_matters
    assert found.ties == pytest.approx(0.5, abs=0.08)
    assert found.slots[0] == "e9"


def test_intervals_hold_the_truth_nineteen_times_in_twenty() -> None:
    """40 sessions of 200 votes, five strengths each, with a margin for their number."""
    found = strengths_missed(40, 0.0, votes=200)
    assert found["strength missed"] <= 0.1
    assert found["position missed"] <= 0.16


def test_alike_votes_on_few_prompts_widen_the_interval() -> None:
    """The same votes are surer when each has a prompt of its own."""
    sides = [(("a", "b"), n) if n % 20 < 10 else (("b", "a"), n) for n in range(100)]
    once = [
        vote(*pair, "left" if (pair[0] == "a") == (n % 10 < 7) else "right", n) for pair, n in sides
    ]
    few = [vote(one.left, one.right, one.choice, one.number, f"p{one.number % 10}") for one in once]
    wide, narrow = rank(few).strengths["a"], rank(once).strengths["a"]
    assert wide.value == pytest.approx(narrow.value)
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_a_slot_that_never_lost_stays_finite() -> None:
    """The prior holds it, and it is the likely best."""
    found = rank([vote("a", "b", "left", n) for n in range(20)])
    assert 0 < found.strengths["a"].value < 5
    assert found.p_best["a"] > 0.95
    assert found.beats("a", "b") + found.beats("b", "a") == pytest.approx(1.0)


def test_slots_that_were_never_linked_are_ranked_apart() -> None:
    """Each group has its own best; slots without a vote stand alone."""
    votes = [vote("a", "b", "left", n) for n in range(5)]
    found = rank([*votes, vote("c", "d", "right", 9)], ["a", "z"])
    assert found.groups == (("a", "b"), ("c", "d"), ("z",))
    assert found.unknown == {"z"}
    assert found.p_best["a"] + found.p_best["b"] == pytest.approx(1.0)
    assert rank([]).slots == ()


some_votes = st.lists(
    st.tuples(
        st.sampled_from([("a", "b"), ("b", "a"), ("a", "c"), ("c", "b")]),
        st.sampled_from(["left", "right", "tie", "both_bad"]),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=12,
).map(
    lambda drawn: [
        vote(*pair, choice, number, f"p{unit}") for number, (pair, choice, unit) in enumerate(drawn)
    ]
)
MIRROR: dict[Choice, Choice] = {"left": "right", "right": "left"}


@given(some_votes, st.randoms(use_true_random=False))
@settings(max_examples=12, deadline=None)
def test_order_does_not_matter_and_mirrored_answers_mirror_the_strengths(
    votes: list[Vote], random: Random
) -> None:
    """Turning every answer round turns strengths and position round; ties stay."""
    found = rank(votes)
    again = rank(random.sample(votes, len(votes)))
    assert again.strengths == found.strengths
    assert again.p_best == found.p_best
    turned = rank(
        [
            vote(one.left, one.right, MIRROR.get(one.choice, one.choice), one.number, one.unit)
            for one in votes
        ]
    )
    for slot, fit in found.strengths.items():
        other = turned.strengths[slot]
        assert (-other.value, -other.high) == pytest.approx((fit.value, fit.low), abs=1e-6)
    assert -turned.position.value == pytest.approx(found.position.value, abs=1e-6)
    assert turned.ties == pytest.approx(found.ties, rel=1e-6)
