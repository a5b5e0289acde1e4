"""What the votes on two slots say: decision, words, and what mirrors, order and undo leave."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.rules.votes import Choice, Vote
from core.rules.win_rate import WinRate, category_rates, win_rate

CHOICES: tuple[Choice, ...] = ("left", "right", "tie", "both_bad", "skip")


def votes_of(wins: int, losses: int, ties: int = 0, *, units: int | None = None) -> list[Vote]:
    """Build votes for "lora" against "base", each on its own unit unless ``units`` are given."""
    won = ["lora"] * wins + ["base"] * losses + [""] * ties
    return [
        Vote(
            left="lora" if number % 2 else "base",
            right="base" if number % 2 else "lora",
            choice="tie" if not who else "left" if (who == "lora") == bool(number % 2) else "right",
            judge="ann",
            unit=f"p{number % units if units else number}",
            number=number,
        )
        for number, who in enumerate(won)
    ]


some_votes = st.lists(
    st.tuples(st.booleans(), st.sampled_from(CHOICES), st.integers(0, 12)), max_size=25
).map(
    lambda drawn: [
        Vote(
            left="b" if swapped else "a",
            right="a" if swapped else "b",
            choice=choice,
            judge="ann",
            unit=f"p{unit}",
            number=number,
        )
        for number, (swapped, choice, unit) in enumerate(drawn)
    ]
)


def figures(found: WinRate) -> tuple[object, ...]:
    """Return what a mirrored result must have mirrored."""
    low, high = found.interval.low, found.interval.high
    return (found.tally.a_wins, found.tally.b_wins, low, high, found.e_a, found.e_b)


@given(some_votes)
@settings(max_examples=20, deadline=None)
def test_swapping_a_and_b_mirrors_every_result(votes: list[Vote]) -> None:
    """Rates, ends, proofs, decision, votes missing and votes to flip."""
    one, other = win_rate(votes, "a", "b"), win_rate(votes, "b", "a")
    a, b, low, high, e_a, e_b = figures(other)
    mirrored = (b, a, 1 - float(str(high)), 1 - float(str(low)), e_b, e_a)
    assert figures(one) == pytest.approx(mirrored, abs=1e-6)
    opposite = {"A better": "B better", "B better": "A better"}
    assert one.decision == opposite.get(other.decision, other.decision)
    assert (one.more, one.to_flip, one.units) == (other.more, other.to_flip, other.units)


@given(some_votes, st.randoms(use_true_random=False))
@settings(max_examples=12, deadline=None)
def test_the_order_of_votes_does_not_matter_and_undo_is_removal(
    votes: list[Vote], random: Random
) -> None:
    """The rows may come as the database pleases; a skip, which takes a vote back, is no row."""
    shuffled = random.sample(votes, len(votes))
    assert win_rate(shuffled, "a", "b") == win_rate(votes, "a", "b")
    kept = [vote for vote in votes if vote.choice != "skip"]
    with_skips, without = win_rate(votes, "a", "b"), win_rate(kept, "a", "b")
    assert figures(with_skips) == figures(without)
    assert with_skips.sentence == without.sentence


@pytest.mark.parametrize(
    ("wins", "losses", "decision"),
    [
        (73, 27, "B better"),
        (27, 73, "A better"),
        (60, 40, "continue"),
        (0, 0, "continue"),
        (500, 500, "equivalent"),
    ],
)
def test_the_decision_needs_proof(wins: int, losses: int, decision: str) -> None:
    """Sixty of a hundred proves nothing; equality needs an interval within 40 to 60 %."""
    found = win_rate(votes_of(wins, losses), "base", "lora")
    assert found.decision == decision
    assert (found.more == 0) == (decision != "continue")


@pytest.mark.parametrize(("wins", "units"), [(46, None), (40, 30)])
def test_what_was_picked_from_many_needs_more_proof_and_has_a_wider_interval(
    wins: int, units: int | None
) -> None:
    """So many times the proof; votes are missing again, and fewer of them flip what stands."""
    alone, picked = (
        win_rate(votes_of(wins, 20, units=units), "base", "lora", among=n) for n in (1, 5)
    )
    assert alone.proof_needed == 20 <= max(alone.e_a, alone.e_b)
    assert (alone.decision, picked.decision) == ("B better", "continue")
    assert max(picked.e_a, picked.e_b) < 100 == picked.proof_needed
    assert picked.interval.low < alone.interval.low
    assert picked.win_interval.high > alone.win_interval.high
    assert picked.more
    assert picked.sentence.startswith("lora leads (")
    sure = [win_rate(votes_of(60, 6, units=units), "base", "lora", among=n) for n in (1, 5)]
    assert {each.decision for each in sure} == {"B better"}
    assert (sure[0].to_flip or 0) > (sure[1].to_flip or 0) > 0


@pytest.mark.parametrize(
    ("wins", "word"),
    [
        (80, "EXCELLENT"),
        (79, "GOOD"),
        (70, "GOOD"),
        (60, "MODERATE"),
        (50, "MINIMAL"),
        (49, "POOR"),
        (0, "POOR"),
    ],
)
def test_the_owners_word_never_comes_without_its_interval(wins: int, word: str) -> None:
    """Word, rate, number of comparisons and both ends."""
    verdict = win_rate(votes_of(wins, 100 - wins), "base", "lora").verdict
    assert verdict is not None
    assert verdict.startswith(f"{word}: {wins}.0 % of 100 comparisons won (")
    assert " to " in verdict
    assert win_rate([], "base", "lora").verdict is None


def test_sentences_say_who_how_sure_and_how_many_more() -> None:
    """Proof names the winner; without proof the e-value's own bound is given."""
    sure = win_rate(votes_of(73, 27), "base", "lora").sentence
    assert sure == ("Use lora (95 % confidence): lora won 73 of 100 clear votes (57.5 to 85.5 %).")
    unsure = win_rate(votes_of(14, 6), "base", "lora").sentence
    assert unsure.startswith("lora leads (59 % confidence): lora won 14 of 20 clear votes")
    assert unsure.endswith("more votes decide this.")
    assert "equivalent" in win_rate(votes_of(500, 500), "base", "lora").sentence
    assert win_rate([], "base", "lora").sentence.startswith("Nobody leads clearly")


def test_votes_on_the_same_prompt_count_by_prompt() -> None:
    """A hundred clicks on four prompts are four pieces of evidence, and prove nothing."""
    found = win_rate(votes_of(73, 27, units=4), "base", "lora")
    assert (found.counted, found.units, found.decision) == ("units", 4, "continue")
    assert found.interval.high - found.interval.low > 0.5
    assert "over 4 prompts and seeds" in found.sentence
    assert "prompts and seeds decide this" in found.sentence


def test_ties_widen_nothing_but_cost_votes() -> None:
    """They are no bets, so the interval stays; the votes still missing grow with them."""
    plain = win_rate(votes_of(14, 6), "base", "lora")
    tied = win_rate(votes_of(14, 6, 20), "base", "lora")
    assert tied.interval == plain.interval
    assert plain.more is not None
    assert tied.more == 2 * plain.more


def test_categories_are_judged_each_by_itself() -> None:
    """Ten clear votes are needed before one may pass."""
    tiles = [
        Vote(
            left="base",
            right="lora",
            choice="right",
            judge="ann",
            unit=f"p{n}",
            number=n,
            category="tiles" if n < 9 else "icons",
        )
        for n in range(19)
    ]
    found = category_rates(tiles, "base", "lora")
    assert {name: one.enough for name, one in found.items()} == {"icons": True, "tiles": False}
    assert found["icons"].decision == "B better"
