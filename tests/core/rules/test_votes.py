"""Counting votes, and the owner's figures and words made of them."""

from __future__ import annotations

import pytest

from core.errors import Fixable
from core.rules.votes import (
    Choice,
    Vote,
    by_category,
    linked,
    ranking_votes,
    tally,
    without_judges,
)


def vote(choice: Choice, number: int = 0, **more: str) -> Vote:
    """Build a vote between base (left) and lora (right)."""
    left, right = more.pop("left", "base"), more.pop("right", "lora")
    unit, judge = more.pop("unit", f"p{number}"), more.pop("judge", "ann")
    return Vote(
        left=left,
        right=right,
        choice=choice,
        judge=judge,
        unit=unit,
        number=number,
        **more,  # type: ignore[arg-type]
    )


def test_win_rate_and_consistency_are_the_owners() -> None:
    """Ties and "both bad" are in the total, skips are not, and both are percentages."""
    choices: list[Choice] = ["right"] * 6 + ["left"] * 2 + ["tie", "both_bad", "skip"]
    counts = tally([vote(choice, n) for n, choice in enumerate(choices)], "base", "lora")
    assert (counts.total, counts.decisive, counts.skipped) == (10, 8, 1)
    assert (counts.win_rate, counts.consistency) == (60.0, 80.0)
    assert (counts.decisive_rate, counts.points_rate) == (75.0, 70.0)


@pytest.mark.parametrize(
    ("wins", "progress"),
    [
        (61, "good progress"),
        (60, "some improvement"),
        (40, "some improvement"),
        (39, "may be ineffective"),
    ],
)
def test_the_owners_decision_tree_is_above_60_40_to_60_and_below_40(
    wins: int, progress: str
) -> None:
    """Sixty itself is some improvement only."""
    votes = [vote("right" if n < wins else "left", n) for n in range(100)]
    assert tally(votes, "base", "lora").progress == progress


def test_nothing_counted_is_none_and_not_zero() -> None:
    """A skip alone gives no rate."""
    counts = tally([vote("skip")], "base", "lora")
    assert (counts.win_rate, counts.consistency, counts.decisive_rate) == (None, None, None)
    assert (counts.points_rate, counts.progress) == (None, None)


def test_the_side_shown_does_not_change_who_won() -> None:
    """A win on the left is the left slot's, whichever it was."""
    shown = [vote("left", left="lora", right="base"), vote("right", 1)]
    assert tally(shown, "base", "lora").b_wins == 2
    assert {one.pair for one in shown} == {("base", "lora")}


def test_golds_repeats_and_skips_are_no_votes_for_the_ranking() -> None:
    """Checks of a judge do not decide who wins."""
    votes = [
        vote("left", 2),
        vote("left", 0, purpose="repeat"),
        vote("left", 1, purpose="gold"),
        vote("skip", 3),
    ]
    assert [one.number for one in ranking_votes(votes)] == [2]
    assert tally(votes, "base", "lora").total == 1


def test_a_slot_against_itself_is_refused_except_as_a_gold() -> None:
    """Two of the same say nothing; a gold asks just that."""
    with pytest.raises(Fixable, match="says nothing"):
        vote("left", left="lora")
    with pytest.raises(Fixable, match="two different slots"):
        tally([], "lora", "lora")
    assert vote("tie", left="lora", purpose="gold").winner is None


def test_votes_can_be_taken_by_category_and_without_some_judges() -> None:
    """Categories come by name; a vote without one is in none."""
    votes = [vote("left", 0, category="tiles"), vote("left", 1, category="icons"), vote("left", 2)]
    assert list(by_category(votes)) == ["icons", "tiles"]
    assert without_judges(votes, ["ann"]) == []


def test_slots_are_linked_through_others() -> None:
    """A chain is one group, a slot without votes is alone."""
    votes = [vote("left", left="c", right="b"), vote("tie", left="a", right="b")]
    assert linked(votes, ["a", "b", "c", "d"]) == (("a", "b", "c"), ("d",))
