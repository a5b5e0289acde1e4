"""Krippendorff's published vectors, and the images that divide their judges."""

from __future__ import annotations

from itertools import zip_longest
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.rules.agreement import agreement, alpha_nominal, controversies
from core.rules.votes import Choice, Vote


def columns(*judges: str) -> list[list[str]]:
    """Turn one string of answers a judge into the answers of each unit; a dot is no answer."""
    return [[value for value in unit if value not in {None, "."}] for unit in zip_longest(*judges)]


@pytest.mark.parametrize(
    ("judges", "alpha"),
    [
        (("0100000010", "1110010000"), 0.095),
        (("aabbdcccedda", "babbbccceddd"), 0.692),
        (("123321412...", "1233224125.3", ".3332342251.", "12332441251."), 0.743),
    ],
)
def test_krippendorffs_examples_come_out(judges: tuple[str, ...], alpha: float) -> None:
    """Two judges and two values, two judges and five, four judges with gaps (2011, A, B and C)."""
    assert alpha_nominal(columns(*judges)) == pytest.approx(alpha, abs=0.0005)


def test_alpha_is_none_where_it_cannot_be_told() -> None:
    """No unit with two answers, or one name only."""
    assert alpha_nominal([["a"], ["b"]]) is None
    assert alpha_nominal([["a", "a"], ["a", "a"]]) is None
    assert alpha_nominal([]) is None


def answers(rows: list[str]) -> list[Vote]:
    """Build votes of judges 0, 1, 2 ... from one string a unit: a, b or t for a tie."""
    made: dict[str, tuple[Choice, Choice]] = {"a": ("left", "right"), "b": ("right", "left")}
    found = []
    for unit, row in enumerate(rows):
        for judge, letter in enumerate(row):
            swapped = (unit + judge) % 2
            found.append(
                Vote(
                    left="b" if swapped else "a",
                    right="a" if swapped else "b",
                    choice=made[letter][swapped] if letter in made else "tie",
                    judge=str(judge),
                    unit=f"p{unit}",
                    number=len(found),
                )
            )
    return found


@given(st.lists(st.text("abt", min_size=1, max_size=4), max_size=8), st.randoms())
@settings(max_examples=30, deadline=None)
def test_swapped_names_and_another_order_change_nothing(rows: list[str], random: Random) -> None:
    """Agreement is about who won, not on which side or in which order."""
    found = agreement(answers(rows))
    votes = answers(rows)
    random.shuffle(votes)
    assert agreement(votes) == found
    mirrored = [row.translate(str.maketrans("ab", "ba")) for row in rows]
    other = agreement(answers(mirrored))
    assert other.alpha == pytest.approx(found.alpha, abs=1e-9)


def test_agreement_has_an_interval_and_a_word() -> None:
    """Full agreement is firm; half of the answers thrown is not."""
    full = agreement(answers(["aaa", "bbb"] * 10))
    assert (full.alpha, full.reading, full.judged, full.judges) == (1.0, "firm", 20, 3)
    mixed = agreement(answers(["aab", "bba", "aaa", "bbb"] * 5))
    assert mixed.alpha is not None
    assert mixed.low is not None
    assert mixed.high is not None
    assert mixed.low < mixed.alpha < mixed.high
    assert mixed.reading == "weak"
    assert agreement(answers(["a", "b"])).reading is None


def test_the_most_divided_images_come_first() -> None:
    """An even split before a lone voice; images that all answered alike are not listed."""
    found = controversies(answers(["aaab", "aabb", "aaaa", "abt"]))
    assert [one.unit for one in found] == ["p3", "p1", "p0"]
    assert (found[1].first, found[1].second, found[1].even) == (2, 2, 0)
    assert found[0].division == 1.0
