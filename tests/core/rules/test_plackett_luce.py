"""Rankings: broken into pairs, and strengths as another program finds them."""

from __future__ import annotations

import choix
import numpy as np
import pytest

from core.errors import Fixable
from core.rules.plackett_luce import pairs_of, strengths

SLOTS = ("a", "b", "c", "d", "e")
TRUE = np.array([1.2, 0.5, 0.0, -0.4, -1.3])


def drawn(count: int, ways: int = 4) -> list[list[int]]:
    """Return rankings of some of the slots, drawn from the true strengths."""
    rng = np.random.default_rng(3)
    found = []
    for _ in range(count):
        some = rng.permutation(5)[:ways]
        # Gumbel noise makes Plackett and Luce's model (Yellott 1977).
        found.append([int(s) for s in some[np.argsort(-(TRUE[some] + rng.gumbel(size=ways)))]])
    return found


def test_every_pair_of_a_ranking_is_named_once() -> None:
    """The better place comes first."""
    assert pairs_of([2, 0, 1], 3) == [(2, 0), (2, 1), (0, 1)]


@pytest.mark.parametrize("wrong", [[0, 1], [0, 1, 1], [1, 2, 3]])
def test_a_ranking_that_names_a_place_twice_is_refused(wrong: list[int]) -> None:
    """Nothing is guessed."""
    with pytest.raises(Fixable, match="names each place"):
        pairs_of(wrong, 3)


def test_strengths_agree_with_choix() -> None:
    """With the same ridge the two programs find the same maximum."""
    rankings = drawn(120)
    ours = strengths([[SLOTS[i] for i in ranking] for ranking in rankings], SLOTS)
    theirs = choix.opt_rankings(5, rankings, alpha=1 / 2.5**2 / 2)
    theirs -= theirs.mean()
    assert [ours[slot] for slot in SLOTS] == pytest.approx(list(theirs), abs=1e-4)


def test_known_strengths_are_recovered() -> None:
    """Eight hundred rankings are enough to come within a fifth."""
    rankings = drawn(800)
    ours = strengths([[SLOTS[i] for i in ranking] for ranking in rankings], SLOTS)
    assert [ours[slot] for slot in SLOTS] == pytest.approx(list(TRUE - TRUE.mean()), abs=0.2)


def test_a_slot_that_always_wins_stays_finite() -> None:
    """So does one that was never shown, which stands in the middle."""
    found = strengths([["a", "b"]] * 30, ("a", "b", "c"))
    assert 1 < found["a"] < 10
    assert found["c"] == pytest.approx(0, abs=1e-9)
