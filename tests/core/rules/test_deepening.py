"""Spare images go where they tell most."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.rules.deepening import retest_wishes

CHANCES = {5: 0.1, 6: 0.5, 7: 0.35, 8: 0.05, 9: 0.0}
DEPTHS = dict.fromkeys(CHANCES, 1)


def test_the_likeliest_get_more_prompts() -> None:
    """Three epochs get three prompts each, the likelier first where images run short."""
    assert retest_wishes(CHANCES, DEPTHS, spare=50, full=15) == {6: 4, 7: 4, 5: 4}
    assert retest_wishes(CHANCES, DEPTHS, spare=4, full=15) == {6: 4, 7: 2}


def test_what_is_tested_in_full_makes_room_for_the_next() -> None:
    """A full epoch cannot be deepened, and one that cannot be the best need not be."""
    assert retest_wishes(CHANCES, {**DEPTHS, 6: 15, 5: 14}, spare=50, full=15) == {
        7: 4,
        5: 15,
        8: 4,
    }
    assert retest_wishes({1: 1.0, 2: 0.0}, {1: 15, 2: 1}, spare=50, full=15) == {}


@given(
    st.dictionaries(st.integers(1, 20), st.tuples(st.floats(0, 1), st.integers(1, 15)), max_size=9),
    st.integers(0, 60),
)
def test_no_more_is_spent_than_there_is(epochs: dict[int, tuple[float, int]], spare: int) -> None:
    """Depths only grow, up to the whole suite, within what is spare."""
    depths = {at: depth for at, (_, depth) in epochs.items()}
    wishes = retest_wishes({at: p for at, (p, _) in epochs.items()}, depths, spare=spare, full=15)
    assert sum(depth - depths[at] for at, depth in wishes.items()) <= spare
    assert all(depths[at] < depth <= 15 for at, depth in wishes.items())
