"""Which slot of a comparison scores best: paired, with its interval, never from too little."""

from __future__ import annotations

import pytest

from core.nouns import Slot, Stack
from core.rules.best_slot import best_slot, slot_names

NOISE = (0.1, -0.1, 0.05, -0.05, 0.15, -0.15, 0.08, -0.08, 0.02, -0.02, 0.12, -0.12)


def scores(losses: dict[str, float], units: int = 12) -> dict[str, dict[str, float]]:
    """Return slots that each lose so much everywhere; units differ by far more than slots."""
    return {
        name: {
            f"unit{at:02}": 4 + 0.4 * at - loss + NOISE[(at + 5 * place) % 12]
            for at in range(units)
        }
        for place, (name, loss) in enumerate(losses.items())
    }


def test_the_best_is_named_with_what_it_wins_by_and_who_cannot_be_told_from_it() -> None:
    """The interval is paired: units that differ by four points hide no half a point."""
    found = best_slot(
        scores({"strength 0.6": 0.03, "strength 0.8": 0.0, "strength 1": 0.5}), noun="prompts"
    )
    assert found.paired is not None
    assert found.paired.best == "strength 0.8"
    assert found.sentence.startswith("Best of three by score: strength 0.8, +0.5 over strength 1 (")
    assert "95 % interval 0." in found.sentence
    assert found.sentence.endswith("), on 12 prompts; strength 0.6 cannot be told from it.")


def test_slots_that_are_alike_have_no_best() -> None:
    """The highest mean is told with an interval around nothing."""
    found = best_slot(scores({"a": 0.0, "b": 0.01, "c": 0.02}), noun="prompts and seeds", to_come=4)
    assert found.sentence.startswith("No slot is shown to score best: ")
    assert "(95 % interval \u22120." in found.sentence
    assert "on 12 prompts and seeds so far, with 4 to come" in found.sentence


def test_means_are_over_what_every_slot_has() -> None:
    """A slot that has drawn only the easy units so far is not the best for it."""
    given = scores({"a": 0.0, "b": 0.5})
    given["b"] = dict(list(given["b"].items())[6:])
    found = best_slot(given, noun="prompts")
    assert found.paired is not None
    assert (found.paired.units, found.paired.best) == (6, "a")


@pytest.mark.parametrize(("units", "told"), [(0, "none"), (1, "only 1"), (2, "only 2")])
def test_of_too_few_units_the_reason_is_told(units: int, told: str) -> None:
    """Three units that every slot has are needed."""
    found = best_slot(scores({"a": 0.0, "b": 3.0}, units), noun="prompts")
    assert found.paired is None
    have = "have" if units == 2 else "has"
    assert f"{told} of the prompts {have} a score in every slot, and 3" in found.sentence


def test_a_slot_that_alone_has_scores_is_not_told_as_too_few_prompts() -> None:
    """The others are still to be drawn, or cannot be."""
    found = best_slot(scores({"base": 0.0}), noun="prompts", to_come=4)
    assert found.sentence.endswith("only base has scores; wait for the rest.")
    assert best_slot(scores({"base": 0.0}), noun="prompts").sentence.endswith("others have none.")


def test_more_slots_need_more_proof() -> None:
    """The interval holds whichever of all pairs the scores pick."""
    two = best_slot(scores({"a": 0.0, "b": 0.3}), noun="prompts").paired
    many = best_slot(
        scores({"a": 0.0, "b": 0.3} | {f"x{at}": 2.0 for at in range(8)}), noun="prompts"
    ).paired
    assert two is not None
    assert many is not None
    assert many.losses["b"][1] < two.losses["b"][1]


def test_a_sweep_is_told_by_strengths_and_a_stack_by_its_label() -> None:
    """Where only the strength differs, the epoch need not be said again."""
    base = Slot(label="base", stack=Stack(base_sha256="b"))
    at = [
        Slot(label=f"epoch 3 at {s}", stack=Stack(base_sha256="b", loras=(("l", s),)))
        for s in ("0.60", "1.00")
    ]
    merged = Slot(
        label="epoch 3 + palette epoch 4 at 0.50",
        stack=Stack(base_sha256="b", loras=(("l", "1.00"), ("p", "0.50"))),
    )
    assert list(slot_names([base, *at]).values()) == ["base", "strength 0.6", "strength 1.0"]
    assert slot_names([at[1], merged])[merged.key] == merged.label
