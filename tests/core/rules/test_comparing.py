"""A comparison's body and name: the same wish is the same grid."""

from __future__ import annotations

import pytest

from core.errors import Fixable
from core.nouns import Slot, Stack
from core.rules.comparing import MOST_SLOTS, comparison_body, comparison_origin, retest_origin


def slot(number: int, strength: str = "1.00") -> Slot:
    """Return an epoch as a slot."""
    return Slot(
        label=f"epoch {number}",
        stack=Stack(base_sha256="b" * 64, loras=((f"{number:064x}", strength),)),
        run_id=1,
        position=number,
    )


def test_the_title_is_no_part_of_what_is_compared() -> None:
    """The same slots under another title are the same comparison; another seed is another."""
    first = comparison_body(title="", slots=[slot(1), slot(2)], suite="s" * 64, profile=None)
    again = comparison_body(title="mine", slots=[slot(1), slot(2)], suite="s" * 64, profile=None)
    seeded = comparison_body(
        title="", slots=[slot(1), slot(2)], suite="s" * 64, profile=None, seeds=[3]
    )
    assert first["title"] == "epoch 1 / epoch 2"
    assert comparison_origin(first) == comparison_origin(again)
    assert comparison_origin(first) != comparison_origin(seeded)


@pytest.mark.parametrize(
    "slots", [[], [slot(1)], [slot(1), slot(1)], [slot(n) for n in range(MOST_SLOTS + 1)]]
)
def test_a_comparison_that_shows_nothing_is_refused(slots: list[Slot]) -> None:
    """Fewer than two different slots, or more than can be looked at."""
    with pytest.raises(Fixable):
        comparison_body(title="", slots=slots, suite="s" * 64, profile=None)


def test_a_slot_survives_the_database() -> None:
    """What is stored in a grid's body comes back the same."""
    assert Slot.from_json(slot(3, "0.80").as_json()) == slot(3, "0.80")


def test_a_pair_is_retested_under_one_name_in_either_order() -> None:
    """The loop is bounded by the name."""
    assert retest_origin(5, (4, 3)) == retest_origin(5, (3, 4)) == "retest/5/3-4"
