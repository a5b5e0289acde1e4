"""What a judge is told while voting."""

from __future__ import annotations

from core.rules.votes import Vote
from dashboard.desk import forecast


def won(wins: int, losses: int, a: str, b: str) -> tuple[Vote, ...]:
    """Return votes on units of their own, the first slot winning first."""
    return tuple(
        Vote(
            left=a if number % 2 else b,
            right=b if number % 2 else a,
            choice="left" if bool(number % 2) == (number < wins) else "right",
            judge="ann",
            unit=f"{a}{b}{number}",
            number=number,
        )
        for number in range(wins + losses)
    )


def test_the_two_that_lead_are_decided_later_than_two_that_were_alone() -> None:
    """Of six slots the votes could have picked fifteen pairs."""
    given = won(17, 4, "five", "base")
    slots = ("base", "five", "six", "seven", "eight", "nine")
    assert forecast(given, ("base", "five")).startswith("Decided")
    assert forecast(given, slots).startswith("About ")
    assert forecast(given, slots).endswith("decide this between the two that lead.")
    assert forecast(won(30, 1, "five", "base"), slots).startswith("Decided between the two")
