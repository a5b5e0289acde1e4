"""Judges who do not look are flagged, and judges who do are not."""

from __future__ import annotations

from core.rules.judges import flagged, judge_checks
from core.rules.votes import Choice, Purpose, Vote
from tests.bench.votes import panel, with_and_without


def answer(
    number: int,
    choice: Choice,
    purpose: Purpose = "vote",
    *,
    expected: Choice | None = None,
    ms: int | None = 1500,
    swapped: bool = False,
    unit: str | None = None,
) -> Vote:
    """Build one answer of ann to e6 and e7."""
    return Vote(
        left="e7" if swapped else "e6",
        right="e6" if swapped else "e7",
        choice=choice,
        judge="ann",
        unit=unit or f"p{number}",
        number=number,
        milliseconds=ms,
        purpose=purpose,
        expected=expected,
    )


def sides(number: int) -> Choice:
    """Alternate in an uneven way, as drawn sides do."""
    return "left" if number % 3 == 0 or number % 7 == 1 else "right"


def test_failed_golds_are_flagged_and_passed_ones_are_not() -> None:
    """One failed gold flags nobody; "both bad" passes where the same image is shown twice."""
    failed = [answer(n, "left", "gold", expected="right", unit=f"g{n}") for n in range(4)]
    assert "0 of 4 golds" in judge_checks(failed)[0].flags[0]
    assert flagged(failed[:1]) == []
    passed = [answer(n, "both_bad", "gold", expected="tie") for n in range(20)]
    assert judge_checks(passed)[0].golds_passed == 20
    assert flagged(passed) == []


def test_repeats_that_name_another_winner_are_flagged() -> None:
    """The repeat is swapped, so that the same side is the other slot."""
    first = [answer(n, sides(n)) for n in range(10)]
    again = [answer(100 + n, sides(n), "repeat", swapped=True, unit=f"p{n}") for n in range(10)]
    checked = judge_checks([*again, *first])[0]
    assert (checked.repeats, checked.repeats_same) == (10, 0)
    assert "0 of 10 repeats" in checked.flags[0]
    assert flagged([*first, *again[:7]]) == []


def test_answers_faster_than_a_look_are_flagged() -> None:
    """The median counts: one quick answer is no crime, and unknown times say nothing."""
    assert "too fast" in judge_checks([answer(n, sides(n), ms=600) for n in range(9)])[0].flags[0]
    assert flagged([answer(n, sides(n), ms=100 if n == 3 else 900) for n in range(9)]) == []
    assert judge_checks([answer(1, "tie", ms=None)])[0].median_ms is None


def test_one_side_only_is_flagged() -> None:
    """Sides are drawn, so that taste cannot explain it."""
    checked = judge_checks([answer(n, "left") for n in range(14)])[0]
    assert len(checked.flags) == 2
    assert checked.left_share == 1.0


def test_a_judge_who_throws_dice_is_found_and_the_strengths_recover() -> None:
    """Over five panels the flagged are the careless ones, and without them the error falls."""
    names = [name for seed in range(5) for name in flagged(panel(seed=seed, golds=40))]
    assert set(names) == {"dice"}
    assert len(names) >= 4
    errors = [with_and_without(seed) for seed in range(5)]
    assert sum(after for _, after in errors) < sum(before for before, _ in errors)
