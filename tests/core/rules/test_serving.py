"""What a judge is shown: every pair once, checks among them, sides drawn, and nothing undrawn."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import combinations
from random import Random

import pytest

from core.rules.ballots import as_notes, as_votes, spoiled_place, under_labels, unique_labels
from core.rules.judges import judge_checks
from core.rules.serving import Choice, Piece, choose, gold, left_to_show, ranked_gold, repeat

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A serving as the store gives it."""

    id: str
    judge: str = "ann"
    unit: str = "u0"
    category: str = "portrait"
    slots: tuple[str, ...] = ("a", "b")
    purpose: str = "vote"
    expected: str | None = None
    choice: str | None = None
    ranking: tuple[int, ...] | None = None
    note: str = ""
    milliseconds: int | None = 900
    voted_at: datetime | None = None


def pieces(count: int, slots: str = "ab", drawn: str | None = None) -> list[Piece]:
    """Return so many prompts and seeds."""
    return [
        Piece(unit=f"u{n}", category="portrait", drawn=frozenset(drawn or slots))
        for n in range(count)
    ]


def session(
    count: int, slots: str = "ab", *, seed: int = 1, ways: int = 2, answer: str = "left"
) -> list[Shown]:
    """Answer until nothing is left, and return what was shown."""
    chance = Random(seed)
    served: list[Shown] = []
    while len(served) < 2000:
        found = choose(
            served, pieces(count, slots), list(slots), judge="ann", chance=chance, ways=ways
        )
        if found is None:
            return served
        served.append(
            Shown(
                id=str(len(served)),
                unit=found.unit,
                slots=found.slots,
                purpose=found.purpose,
                expected=found.expected,
                choice=answer if len(found.slots) == 2 else "ranking",
                ranking=None if len(found.slots) == 2 else tuple(range(len(found.slots))),
                voted_at=NOON + timedelta(seconds=len(served)),
            )
        )
    raise AssertionError("it never ends")


def test_every_pair_of_every_prompt_is_asked_once() -> None:
    """With three slots there are three pairs a prompt."""
    votes = [each for each in session(10, "abc") if each.purpose == "vote"]
    asked = [(each.unit, *sorted(each.slots)) for each in votes]
    assert len(asked) == len(set(asked)) == 30


def test_about_one_in_ten_is_a_gold_and_one_in_ten_a_repeat() -> None:
    """Over several sessions."""
    counts = Counter(each.purpose for seed in range(6) for each in session(60, seed=seed))
    total = sum(counts.values())
    assert 0.06 < counts["gold"] / total < 0.14
    assert 0.05 < counts["repeat"] / total < 0.14


def test_sides_are_drawn_and_do_not_follow_the_slots() -> None:
    """Either slot stands on the left half of the time."""
    left = Counter(
        each.slots[0]
        for seed in range(5)
        for each in session(60, seed=seed)
        if each.purpose == "vote"
    )
    assert 0.4 < left["a"] / 300 < 0.6


def test_a_repeat_swaps_the_sides_of_an_answered_pair_some_time_ago() -> None:
    """Once each."""
    for seed in range(5):
        served = session(40, seed=seed)
        for place, each in enumerate(served):
            if each.purpose == "repeat":
                before = next(
                    n for n, e in enumerate(served) if e.purpose == "vote" and e.unit == each.unit
                )
                assert served[before].slots == each.slots[::-1]
                assert place - before > 5
        again = [each.unit for each in served if each.purpose == "repeat"]
        assert len(again) == len(set(again))


def test_a_gold_shows_one_slot_twice_and_knows_its_answer() -> None:
    """A tie, or the side that is not spoiled."""
    found = [gold(pieces(5), Random(seed)) for seed in range(60)]
    assert all(each is not None and each.slots[0] == each.slots[1] for each in found)
    assert {each.expected for each in found if each} == {"left", "right", "tie"}
    assert all(each.asks is None for each in found if each)
    assert gold([], Random(1)) is None


def test_what_is_not_drawn_is_not_shown() -> None:
    """A pair needs both its images."""
    found = choose([], pieces(4, drawn="a"), ["a", "b"], judge="ann", chance=Random(1))
    assert found is None
    assert left_to_show([], pieces(4, drawn="a"), ["a", "b"], "ann") == 0
    some = [*pieces(3, drawn="a"), Piece(unit="whole", category="", drawn=frozenset("ab"))]
    shown = choose([], some, ["a", "b"], judge="ann", chance=Random(4))
    assert shown is not None
    assert shown.unit == "whole" or shown.purpose == "gold"


def test_a_pair_on_the_desk_is_not_served_again() -> None:
    """Also while it has no answer, and after an undo."""
    for choice in (None, "undone"):
        waiting = [Shown(id="1", unit="u0", choice=choice)]
        assert choose(waiting, pieces(1), ["a", "b"], judge="ann", chance=Random(2)) is None
        assert left_to_show(waiting, pieces(2), ["a", "b"], "ann") == 1
        assert left_to_show(waiting, pieces(2), ["a", "b"], "ben") == 2


def test_nothing_is_repeated_before_anything_lies_far_enough_back() -> None:
    """Skips and golds are never repeated."""
    mine = [Shown(id=str(n), unit=f"u{n}", choice="left") for n in range(6)]
    assert repeat(mine, Random(1)) is None
    skipped = [replace(each, choice="skip") for each in mine]
    assert repeat([*skipped, *mine], Random(1)) is None
    assert repeat([*mine, *skipped], Random(1)) == Choice(
        unit=repeat([*mine, *skipped], Random(1)).unit,  # type: ignore[union-attr]
        category="portrait",
        slots=("b", "a"),
        purpose="repeat",
    )


def test_rankings_show_four_slots_at_once_and_never_a_pair_twice() -> None:
    """With six slots a prompt gives more than one ranking."""
    served = [each for each in session(6, "abcdef", ways=4) if each.purpose == "vote"]
    assert Counter(len(each.slots) for each in served)[4] >= 6
    seen = [(each.unit, pair) for each in served for pair in combinations(sorted(each.slots), 2)]
    assert len(seen) == len(set(seen))


def test_about_one_ranking_in_ten_has_a_spoiled_place_that_must_come_last() -> None:
    """Any place, drawn; it may come again, and takes no pair from the votes."""
    served = [each for seed in range(6) for each in session(40, "abcd", seed=seed, ways=4)]
    golds = [each for each in served if each.purpose == "gold"]
    assert 0.05 < len(golds) / len(served) < 0.16
    assert {spoiled_place(each.expected) for each in golds} == {0, 1, 2, 3}
    assert len(served) - len(golds) == 6 * 40
    three = ranked_gold(pieces(3, "abc"), "abc", Random(1), 4)
    assert (len(three.slots), three.asks) == (3, None)


@pytest.mark.parametrize(("last", "passed"), [(1, 1), (2, 0)])
def test_a_ranked_gold_is_passed_when_the_spoiled_place_comes_last(last: int, passed: int) -> None:
    """It is one gold, not one for each pair, and no vote for a slot."""
    order = (*(place for place in range(4) if place != last), last)
    shown = Shown(
        id="1", slots=tuple("abcd"), purpose="gold", expected="1", choice="ranking", ranking=order,
        voted_at=NOON,
    )  # fmt: skip
    votes = as_votes([shown])
    assert {each.purpose for each in votes} == {"gold"}
    judge = judge_checks(votes)[0]
    assert (judge.golds, judge.golds_passed, judge.votes) == (1, passed, 0)
    none_is_good = replace(shown, choice="both_bad", ranking=None)
    assert as_votes([none_is_good]) == []
    assert judge_checks(as_votes([replace(none_is_good, choice="tie")]))[0].golds_passed == 0


def test_a_judge_who_ranks_without_looking_is_flagged() -> None:
    """Always in the order in which they stand, as fast as keys can be pressed; golds find out."""
    served = [replace(each, milliseconds=700) for each in session(200, "abcd", ways=4)]
    flags = " ".join(judge_checks(as_votes(served))[0].flags)
    assert "golds" in flags
    assert "takes 0.3 s" in flags
    looks = [
        replace(
            each,
            milliseconds=2500,
            ranking=tuple(sorted(range(4), key=lambda place: (
                each.purpose == "gold" and place == spoiled_place(each.expected), each.slots[place]
            ))),
        )
        for each in session(200, "abcd", ways=4)
    ]  # fmt: skip
    judge = judge_checks(as_votes(looks))[0]
    assert judge.golds == judge.golds_passed > 10
    assert (judge.flags, judge.median_ms) == ((), 2500)


@pytest.mark.parametrize("ways", [2, 4])
def test_the_same_chance_chooses_the_same(ways: int) -> None:
    """Nothing else decides."""
    first, again = (session(5, "abcd", seed=3, ways=ways) for _ in range(2))
    assert first == again


def test_a_ranking_becomes_a_vote_on_each_pair_of_slots() -> None:
    """The earlier place is the left side; who came first wins."""
    ranked = Shown(
        id="1", slots=("a", "b", "c"), choice="ranking", ranking=(2, 0, 1), voted_at=NOON
    )
    assert [(vote.left, vote.right, vote.winner) for vote in as_votes([ranked])] == [
        ("a", "c", "c"),
        ("b", "c", "c"),
        ("a", "b", "a"),
    ]


def test_nobody_counts_twice_on_one_pair() -> None:
    """A pair that was ranked after it had been answered keeps its first answer."""
    pair = Shown(id="1", slots=("b", "a"), choice="left", voted_at=NOON)
    ranked = Shown(
        id="2",
        slots=("a", "b", "c"),
        choice="ranking",
        ranking=(0, 1, 2),
        voted_at=NOON + timedelta(seconds=1),
    )
    votes = as_votes([ranked, pair])
    assert [vote.winner for vote in votes if vote.pair == ("a", "b")] == ["b"]
    assert len(votes) == 3


def test_undone_and_unanswered_servings_are_no_votes() -> None:
    """One "none is good" of three images is one answer on each pair."""
    given = [
        Shown(id="1", choice="undone", voted_at=NOON),
        Shown(id="2"),
        Shown(id="3", slots=("a", "b", "c"), choice="both_bad", voted_at=NOON),
    ]
    assert [vote.choice for vote in as_votes(given)] == ["both_bad"] * 3


def test_notes_know_who_won_beside_them() -> None:
    """A gold's note says nothing of a slot."""
    given = [
        Shown(id="1", choice="right", note="better colors", voted_at=NOON),
        Shown(id="2", choice="tie", note="same", voted_at=NOON),
        Shown(id="3", choice="left", note="odd", purpose="gold", slots=("a", "a"), voted_at=NOON),
        Shown(id="4", choice="left", note="  ", voted_at=NOON),
    ]
    assert [(note.about, note.winner) for note in as_notes(given)] == [("1", "b"), ("2", None)]


def test_slots_are_called_as_people_call_them_each_another() -> None:
    """Two slots of one label get a number."""
    labels = unique_labels([("a", "epoch 7"), ("b", "epoch 7"), ("c", "base")])
    assert labels == {"a": "epoch 7", "b": "epoch 7 (2)", "c": "base"}
    votes = as_votes([Shown(id="1", choice="left", voted_at=NOON)])
    assert under_labels(votes, labels)[0].winner == "epoch 7"
