"""How deep an epoch is tested and which samples that makes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.formats.prompt_suite import for_tier
from core.nouns import Expectation, Prompt, Recipe, Stack, Suite
from core.rules import planning

STACK = Stack(base_sha256="b" * 64, loras=(("a" * 64, "1.00"),))


def test_thrifty_is_the_owners_table() -> None:
    """Quick for 1-4 and 6, medium for 5, full for 7, medium for 8-10."""
    tiers = [planning.tier_for(epoch, planned=10) for epoch in range(1, 11)]
    assert tiers == ["quick"] * 4 + ["medium", "quick", "full"] + ["medium"] * 3
    assert planning.tier_for(14, planned=None) == "medium"


@pytest.mark.parametrize("planned", [3, 5, 20, 50, 100])
def test_the_table_stretches_to_runs_of_any_length(planned: int) -> None:
    """One full test where the best is expected, quick tests before the middle."""
    tiers = [planning.tier_for(epoch, planned=planned) for epoch in range(1, planned + 1)]
    assert tiers.count("full") == 1
    assert tiers[0] == "quick"
    assert tiers[-1] in ("medium", "full")


def test_an_epoch_named_alone_overrides_every_range() -> None:
    """A plan may deepen epoch 3 and thin out epoch 7."""
    named = {3: "full", 7: "quick"}
    assert planning.tier_for(3, planned=10, named=named) == "full"
    assert planning.tier_for(7, planned=10, named=named) == "quick"
    assert planning.tier_for(3, planned=10, dial="even", named=named) == "full"


def test_even_and_full_are_the_same_all_along() -> None:
    """They ignore the epoch."""
    assert {planning.tier_for(epoch, planned=10, dial="even") for epoch in range(1, 11)} == {
        "medium"
    }
    assert {planning.tier_for(epoch, planned=10, dial="full") for epoch in range(1, 11)} == {"full"}


def test_tiers_are_nested() -> None:
    """Quick prompts are in medium, medium ones in full."""
    prompts = [Prompt(name=tier, text=tier, tier=tier) for tier in ("full", "quick", "medium")]
    suite = Suite(name="tiers", recipe=Recipe(), prompts=tuple(prompts))
    names = [
        [prompt.name for prompt in for_tier(suite, tier)] for tier in ("quick", "medium", "full")
    ]
    assert names == [["quick"], ["quick", "medium"], ["full", "quick", "medium"]]


def test_samples_are_prompt_by_seed_each_once_in_order() -> None:
    """Two prompts of the same text share their samples."""
    prompts = [
        Prompt(name="a", text="crown", seeds=(42, 7)),
        Prompt(name="b", text="smile"),
        Prompt(name="c", text="crown", seeds=(7, 9)),
    ]
    samples = planning.expand(STACK, prompts, Recipe())
    assert [(sample.prompt, sample.seed) for sample in samples] == [
        ("crown", 42),
        ("crown", 7),
        ("smile", 42),
        ("crown", 9),
    ]
    assert len({sample.sample_id for sample in samples}) == 4
    assert planning.expand(STACK, prompts, Recipe()) == samples


def test_a_rubric_changes_with_metric_expectation_or_reference() -> None:
    """The order of the metrics does not matter."""
    green = Expectation(background="#00ff00")
    base = planning.rubric_digest({"grid": 1, "bg": 2}, green, "r")
    assert planning.rubric_digest({"bg": 2, "grid": 1}, green, "r") == base
    others = {
        planning.rubric_digest({"grid": 2, "bg": 2}, green, "r"),
        planning.rubric_digest({"grid": 1, "bg": 2}, Expectation(), "r"),
        planning.rubric_digest({"grid": 1, "bg": 2}, green, "s"),
    }
    assert base not in others
    assert len(others) == 3


def test_a_back_fill_starts_with_both_ends_and_the_middle() -> None:
    """Then it bisects."""
    assert planning.spread_order(range(1, 10)) == (1, 5, 9, 3, 7, 2, 4, 6, 8)
    assert planning.spread_order([500]) == (500,)
    assert planning.spread_order([]) == ()


@given(st.lists(st.integers(1, 1000), max_size=60))
def test_a_back_fill_reaches_every_position_once(positions: list[int]) -> None:
    """Whatever is given, nothing is lost or doubled."""
    order = planning.spread_order(positions)
    assert sorted(order) == sorted(set(positions))


@given(st.lists(st.integers(), max_size=30), st.integers(1, 8))
def test_batches_hold_everything_in_order(items: list[int], size: int) -> None:
    """Only the last may be shorter."""
    parts = list(planning.batches(items, size))
    assert [item for part in parts for item in part] == items
    assert all(len(part) == size for part in parts[:-1])


def test_a_batch_of_nothing_is_a_mistake() -> None:
    """Size 0 would never end."""
    with pytest.raises(ValueError, match="at least one"):
        list(planning.batches([1], 0))
