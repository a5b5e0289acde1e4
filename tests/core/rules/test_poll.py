"""A whole poll: one sentence, its evidence, and what to distrust."""

from __future__ import annotations

import json
from random import Random

from core.rules.note_themes import Note
from core.rules.poll import as_json, read_poll
from core.rules.votes import Choice, Vote


def votes(
    wins: int, losses: int, *, judge: str = "ann", a: str = "base", b: str = "pick", start: int = 0
) -> list[Vote]:
    """Return votes on units of their own, sides drawn."""
    rng = Random(start + 5)
    found = []
    for number in range(wins + losses):
        left = rng.random() < 0.5
        better = number < wins
        choice: Choice = "left" if left == better else "right"
        found.append(
            Vote(
                left=b if left else a,
                right=a if left else b,
                choice=choice,
                judge=judge,
                unit=f"{a}{b}{judge}{number}",
                number=start + number,
                milliseconds=1500,
                category=("portrait", "item")[number % 2],
            )
        )
    return found


def test_two_slots_give_a_decision_with_its_interval() -> None:
    """Twenty-eight of thirty is proof."""
    poll = read_poll(votes(28, 2), ["base", "pick"])
    assert (poll.a, poll.b, poll.verdict) == ("base", "pick", "B better")
    assert poll.sentence.startswith("Use pick (95 % confidence)")
    assert set(poll.categories) == {"portrait", "item"}
    assert poll.weak_categories == ()
    assert poll.sides.clear == 30


def test_a_budget_that_is_used_up_says_so_and_what_stands() -> None:
    """The decision is not made up."""
    poll = read_poll(votes(6, 4), ["base", "pick"], budget=12, given=12)
    assert poll.verdict == "budget reached"
    assert poll.sentence.startswith("The 12 votes set out for are given. ")
    assert "leads" in poll.sentence or "Nobody leads" in poll.sentence
    assert read_poll(votes(6, 4), ["base", "pick"], budget=12, given=11).verdict == "continue"
    sure = read_poll(votes(28, 2), ["base", "pick"], budget=12, given=12)
    assert sure.verdict == "B better"


def test_of_many_slots_the_best_is_set_against_the_first() -> None:
    """And every pair with a vote has its own figures."""
    given = [
        *votes(9, 3, b="five"),
        *votes(11, 1, b="seven", start=20),
        *votes(8, 4, a="five", b="seven", start=40),
    ]
    poll = read_poll(given, ["base", "five", "seven", "unseen"])
    assert poll.b == "seven"
    assert poll.ranking.slots[0] == "seven"
    assert set(poll.pairs) == {("base", "five"), ("base", "seven"), ("five", "seven")}


def test_the_best_of_many_is_held_to_a_higher_bar() -> None:
    """What proves one candidate does not prove the best of five; also without flagged judges."""
    hasty = [
        Vote(left="e1", right="e2", choice="tie", judge="bot", unit=f"x{n}", number=900 + n,
             milliseconds=120)
        for n in range(9)
    ]  # fmt: skip
    given = [*votes(17, 4, b="e1"), *votes(5, 5, b="e2", start=40), *hasty]
    one = read_poll(given, ["base", "e1"])
    assert one.verdict == "B better"
    assert one.higher_bar is None
    many = read_poll(given, ["base", "e1", "e2", "e3", "e4", "e5"])
    assert (many.b, many.verdict) == ("e1", "continue")
    assert "e1 leads" in many.sentence
    assert many.higher_bar is not None
    assert many.higher_bar.startswith("e1 is the best of 5. The best of 5 is held to a higher bar")
    assert many.without_flagged is not None
    assert many.without_flagged.among == 5
    assert {each.among for each in many.categories.values()} == {5}
    assert {each.among for each in many.pairs.values()} == {15}
    told = as_json(many)["result"]
    assert 20 <= told["e_value"] < told["e_needed"] == 100
    surer = read_poll(votes(24, 2, b="e1"), many.slots)
    assert surer.verdict == "B better"


def test_a_weak_category_is_named() -> None:
    """Where the candidate wins no more than half of ten clear votes or more."""
    given = [
        Vote(left="base", right="pick", choice="left" if n % 2 else "right", judge="ann",
             unit=str(n), number=n, category=("item", "tile")[n % 2])
        for n in range(20)
    ]  # fmt: skip
    assert read_poll(given, ["base", "pick"]).weak_categories == ("tile",)
    few = read_poll(given[:18], ["base", "pick"])
    assert few.categories["tile"].tally.decisive_rate == 0
    assert few.weak_categories == ()


def test_a_flagged_judge_is_shown_with_the_result_without_them() -> None:
    """And whose absence alone would change the decision."""
    hasty = [
        Vote(left="pick", right="base", choice="left", judge="bot", unit=f"x{n}", number=100 + n,
             milliseconds=120)
        for n in range(24)
    ]  # fmt: skip
    poll = read_poll([*votes(6, 5), *hasty], ["base", "pick"])
    assert [judge.name for judge in poll.judges if judge.flags] == ["bot"]
    assert poll.verdict == "B better"
    assert poll.without_flagged is not None
    assert poll.without_flagged.decision == "continue"
    assert poll.decisive_judges == ("bot",)


def test_no_vote_is_no_number() -> None:
    """Unknown is null, also as JSON."""
    told = as_json(read_poll([], ["base", "pick"], seconds={"base": [], "pick": [2.0, 4.0]}))
    assert told["result"]["win_rate"] is None
    assert told["result"]["verdict"] is None
    assert told["decision"] == "continue"
    assert told["generation_seconds"]["base"] == {"images": 0, "mean": None, "median": None}
    assert told["generation_seconds"]["pick"]["mean"] == 3.0
    assert told["agreement"]["alpha"] is None
    json.dumps(told, allow_nan=False)


def test_a_slot_without_votes_has_no_strength() -> None:
    """Alone it would be the best of itself, with certainty."""
    told = as_json(read_poll(votes(8, 2), ["base", "pick", "new"]))
    (new,) = [each for each in told["ranking"] if each["slot"] == "new"]
    assert (new["strength"], new["interval"], new["p_best"]) == (None, None, None)
    assert all(each["p_best"] is not None for each in told["ranking"] if each["slot"] != "new")


def test_a_full_poll_is_plain_data() -> None:
    """Themes with who won beside them, judges, ranking, position."""
    notes = [Note(words="better colors", about="s1", winner="pick")]
    given = [*votes(8, 2), *votes(7, 3, judge="ben", start=30)]
    told = as_json(read_poll(given, ["base", "pick"], notes=notes))
    json.dumps(told, allow_nan=False)
    assert told["themes"] == [
        {
            "theme": "better colors",
            "count": 1,
            "says": "the color palette works",
            "won": {"pick": 1},
        }
    ]
    assert [each["name"] for each in told["judges"]] == ["ann", "ben"]
    assert told["position"]["clear_votes"] == 20
