"""Gates and expectations of a plan on made histories."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from core.formats.run_plan import Criterion, Expected, Gate, RunPlan, read_plan
from core.nouns import EpochScore, Measurement, MetricValue
from core.rules.gate_evidence import (
    EpochEvidence,
    Evidence,
    PromptValues,
    epoch_evidence,
    is_metric,
)
from core.rules.gates import (
    GateState,
    decisions_due,
    deepest_tier,
    hypothesis_sentence,
    judge_expectations,
    judge_gates,
    must_pending,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

EXAMPLE = Path(__file__).resolve().parents[3] / "docs" / "examples" / "next_run.toml"
GREEN = Gate(
    name="green",
    criterion=Criterion(metric="background_match", op=">=", threshold=50.0, at_least=(12, 15)),
    by_epoch=4,
    stop_at=5,
    must=True,
)


def plan_of(*gates: Gate, expectations: Sequence[Expected] = ()) -> RunPlan:
    """Build a plan of some gates."""
    return RunPlan(
        name="p",
        hypothesis="h",
        confidence=0.85,
        parent_run=None,
        changes=(),
        gates=gates,
        expectations=tuple(expectations),
        look_at=(),
        decisions=(),
    )


def epoch(
    position: int,
    hits: int = 0,
    measured: int = 15,
    *,
    average: float | None = None,
    over: bool = True,
) -> EpochEvidence:
    """Build an epoch whose first prompts have the promised background, and the others have not."""
    images = tuple(
        PromptValues(
            prompt=f"p{number}", values={"background_match": 90.0 if number < hits else 5.0}
        )
        for number in range(measured)
    )
    scores = {} if average is None else {"average": average}
    return EpochEvidence(position=position, images=images, scores=scores, over=over)


def judged(gate: Gate, *epochs: EpochEvidence, ended: bool = False) -> GateState:
    """Judge one gate."""
    [state] = judge_gates(plan_of(gate), Evidence(epochs=epochs, ended=ended))
    return state


def averaged(*averages: float | None, first: int = 1) -> tuple[EpochEvidence, ...]:
    """Build epochs of which only the average is known."""
    return tuple(
        EpochEvidence(position=place, scores={"average": average})
        for place, average in enumerate(averages, start=first)
    )


def test_a_count_is_literal_once_all_are_tested() -> None:
    """12 of 15 is passed by 12 and failed by 11, with no allowance for chance."""
    passed = judged(GREEN, epoch(4, 12))
    assert (passed.state, passed.epoch) == ("passed", 4)
    assert passed.sentence == (
        "green (background match at least 50 on 12 of 15 prompts): passed at epoch 4 with "
        "12 of 15 prompts."
    )
    failed = judged(GREEN, epoch(4, 11))
    assert (failed.state, failed.stop_at) == ("failed", 5)
    assert failed.sentence.endswith(
        "failed at epoch 4 with 11 of 15 prompts. The plan says: stop at epoch 5."
    )


@pytest.mark.parametrize(
    ("hits", "measured", "state"),
    [
        (0, 3, "pending"),  # three misses leave twelve
        (0, 4, "failed"),  # out of reach
        (8, 12, "failed"),
        (9, 12, "pending"),
        (12, 12, "passed"),  # nothing that comes can take it away
    ],
)
def test_a_count_fails_early_only_when_it_is_out_of_reach(
    hits: int, measured: int, state: str
) -> None:
    """While the gate's own epoch is being tested."""
    assert judged(GREEN, epoch(4, hits, measured, over=False)).state == state


def test_too_few_prompts_cannot_decide_a_count() -> None:
    """The test is over, and the prompts that were measured allow either."""
    state = judged(GREEN, epoch(4, 2, 4))
    assert (state.state, state.stop_at) == ("unmeasured", None)
    assert "cannot be measured at epoch 4: 4 of 15 prompts are measured, 2 hold" in state.sentence


def test_seeds_of_a_prompt_count_once() -> None:
    """The mean of its images decides."""
    images = [PromptValues(prompt="p", values={"background_match": v}) for v in (100.0, 0.0, 80.0)]
    gate = Gate(
        name="g",
        criterion=Criterion(metric="background_match", op=">=", threshold=50, at_least=(1, 1)),
        by_epoch=1,
    )
    state = judged(gate, EpochEvidence(position=1, images=tuple(images)))
    assert "1 of 1 prompts" in state.sentence


def test_a_gate_is_open_until_its_epoch_is_tested() -> None:
    """Whatever earlier epochs say, and whether or not later ones are tested already."""
    open_ = judged(GREEN, epoch(1, 0), epoch(2, 3))
    assert (open_.state, open_.failing) == ("pending", True)
    assert open_.sentence.endswith("open until epoch 4; epoch 2: 3 of 15 prompts.")
    nothing = judged(GREEN)
    assert (nothing.state, nothing.failing) == ("pending", False)
    waiting = EpochEvidence(position=4, over=False)
    assert judged(GREEN, epoch(1), waiting, epoch(10, 15)).state == "pending"
    earlier = EpochEvidence(position=3, over=False)
    assert judged(GREEN, earlier, epoch(4, 0)).state == "pending"


def test_the_first_epoch_that_meets_a_gate_passes_it() -> None:
    """Also when a later one does not; that is told."""
    state = judged(GREEN, epoch(3, 13), epoch(4, 2))
    assert (state.state, state.epoch) == ("passed", 3)
    assert state.sentence.endswith("Epoch 4 no longer meets it (2 of 15 prompts).")


def test_an_epoch_that_is_not_there_decides_nothing() -> None:
    """Lost, or not reached before the run ended."""
    lost = judged(GREEN, epoch(3, 2), epoch(5, 15))
    assert lost.state == "unmeasured"
    assert "epoch 4 is not there; the last before it, 3: 2 of 15 prompts." in lost.sentence
    assert judged(GREEN, epoch(2, 2), ended=True).state == "unmeasured"


def test_what_cannot_be_measured_says_why() -> None:
    """The reason of the images, not a zero."""
    gate = Gate(
        name="crown",
        criterion=Criterion(metric="accessory_crown", op=">=", threshold=50),
        by_epoch=2,
    )
    image = PromptValues(
        prompt="p",
        values={"accessory_crown": None},
        reasons={"accessory_crown": "crown: no detector"},
    )
    state = judged(gate, EpochEvidence(position=2, images=(image,)))
    assert state.sentence.endswith("cannot be measured at epoch 2: crown: no detector.")
    assert "no image was measured" in judged(gate, EpochEvidence(position=2)).sentence
    assert "no prompt of the suite" in judged(gate, epoch(2)).sentence


@pytest.mark.parametrize(
    ("op", "value", "state"),
    [
        (">=", 8.0, "passed"),
        (">=", 7.999999999999, "passed"),  # the last digits of a float
        (">=", 7.99, "failed"),
        (">", 8.0, "failed"),
        ("<=", 8.0, "passed"),
        ("<", 8.0, "failed"),
        ("<", 7.9, "passed"),
        (">=", float("nan"), "unmeasured"),
        (">=", None, "unmeasured"),
    ],
)
def test_an_average_is_compared_as_written(op: str, value: float | None, state: str) -> None:
    """With the epoch's own score."""
    criterion = Criterion(metric="average", op=op, threshold=8.0)  # type: ignore[arg-type]
    gate = Gate(name="g", criterion=criterion, by_epoch=1)
    assert judged(gate, *averaged(value)).state == state


STEADY = Gate(
    name="steady",
    criterion=Criterion(metric="average", op="no oscillation", threshold=None),
    by_epoch=6,
)


@pytest.mark.parametrize(
    ("averages", "state"),
    [
        ((5, 6, 7, 7.5, 8, 8), "passed"),
        ((5, 6, 7), "pending"),
        ((5, 7, 5, 7), "failed"),  # as soon as it is seen
        ((5, 7, 5, 7, 8, 8.5), "failed"),  # and what was seen stays so
        ((None, None, None, None, 5, 6), "unmeasured"),
    ],
)
def test_no_oscillation_of_a_score(averages: tuple[float | None, ...], state: str) -> None:
    """Two turns are one too many."""
    assert judged(STEADY, *averaged(*averages)).state == state


@pytest.mark.parametrize(
    ("averages", "words"),
    [
        ((None, None, None, None, None, 6), "cannot be measured: 1 epoch is measured, and a turn"),
        ((None, None, None, None, 5, 6), "cannot be measured: 2 epochs are measured, and a turn"),
    ],
)
def test_one_epoch_is_and_two_are(averages: tuple[float | None, ...], words: str) -> None:
    """A sentence that a person reads is a sentence."""
    assert words in judged(STEADY, *averaged(*averages)).sentence
    seen = judged(GREEN, epoch(4, 1, 1)).sentence
    assert "1 of 15 prompts is measured, 1 holds" in seen


def test_no_oscillation_of_a_yes_or_no() -> None:
    """Right, wrong, right again is two flips; wrong then right is learning."""
    gate = Gate(
        name="stable",
        criterion=Criterion(metric="background_match", op="no oscillation", threshold=50.0),
        by_epoch=4,
        from_epoch=2,
    )
    learned = judged(gate, epoch(1, 15), epoch(2, 0), epoch(3, 15), epoch(4, 15))
    assert learned.sentence.endswith("passed: steady at epochs 2, 3, 4.")
    lost = judged(gate, epoch(2, 15), epoch(3, 0), epoch(4, 15))
    assert lost.state == "failed"
    assert "(2: yes, 90, 3: no, 5, 4: yes, 90)" in lost.sentence


def test_a_must_have_that_still_fails_is_named_before_its_gate() -> None:
    """A plateau is no reason to stop then; a wish, an unknown or a passed gate is none."""
    wish = Gate(name="wish", criterion=GREEN.criterion, by_epoch=4)
    early = Evidence(epochs=(epoch(2, 3),))
    assert must_pending(judge_gates(plan_of(wish, GREEN), early)) == "green"
    assert must_pending(judge_gates(plan_of(wish), early)) is None
    assert must_pending(judge_gates(plan_of(GREEN), Evidence())) is None
    assert must_pending(judge_gates(plan_of(GREEN), Evidence(epochs=(epoch(2, 14),)))) is None


def test_a_gate_asks_for_the_full_suite_where_it_is_due() -> None:
    """And for nothing elsewhere."""
    assert [deepest_tier(plan_of(GREEN), place) for place in (3, 4, 5)] == [None, "full", None]


def test_an_expectation_says_where_it_held() -> None:
    """Epoch by epoch of its phase; without a criterion it is a person's."""
    criterion = Criterion(metric="average", op=">=", threshold=7)
    plan = plan_of(
        GREEN,
        expectations=(
            Expected(first=3, last=5, text="Above 7.", criterion=criterion),
            Expected(first=3, last=3, text="Pretty."),
            Expected(first=8, last=9, text="Later."),
        ),
    )
    measured, eye, later = judge_expectations(plan, Evidence(epochs=averaged(7, 6, None, first=3)))
    assert (measured.held, measured.missed, measured.unknown) == ((3,), (4,), (5,))
    assert measured.sentence == "3-5: Above 7. (held at 3, not at 4, cannot be told at 5)"
    assert eye.sentence == "3: Pretty. (a person judges this at 3)"
    assert later.sentence == "8-9: Later. (not tested yet)"


def test_the_names_of_metrics_are_those_of_the_measurements() -> None:
    """Regions and things are families: the bare family is none."""
    assert all(map(is_metric, ("background_match", "region_hair", "accessory_gold_chain")))
    assert not any(map(is_metric, ("region", "accessory_", "beauty", "average")))


def test_measurements_become_evidence_with_their_reasons() -> None:
    """The scores of the epoch are the effective ones, not the mean of the images."""
    metric = MetricValue(value=None, low=0, high=100, higher_is_better=True, explanation="no hair")
    one = Measurement(
        visual_quality=8.0,
        style_match=None,
        prompt_adherence=6.0,
        reasons={"style_match": "no grid"},
        metrics={"region_hair": metric},
        issues=(),
        strengths=(),
        background_hex=None,
        unique_colors=None,
    )
    score = EpochScore(position=2, visual=9.0, style=9.0, prompt=9.0, images=1)
    found = epoch_evidence(2, [("pink", one)], score)
    assert found.scores == {"average": 9.0, "visual": 9.0, "style": 9.0, "prompt": 9.0}
    [image] = found.images
    assert image.values == {
        "region_hair": None,
        "average": 7.0,
        "visual": 8.0,
        "style": None,
        "prompt": 6.0,
    }
    assert image.reasons == {"region_hair": "no hair", "style": "no grid"}


def history(backgrounds: Sequence[int], averages: Sequence[float]) -> Evidence:
    """Make a history of the owner's suite: how many of 15 backgrounds are right, and the average."""
    epochs = []
    for place, (hits, average) in enumerate(zip(backgrounds, averages, strict=True), start=1):
        images = tuple(
            PromptValues(
                prompt=f"p{number}",
                values={
                    "background_match": 95.0 if number < hits else 2.0,
                    "color_accuracy": 55.0 + 5 * place,
                    "region_hair": 70.0,
                    "two_toned": 10.0,
                    "accessory_crown": None,
                    "accessory_necklace": None,
                },
                reasons={"accessory_crown": "no detector", "accessory_necklace": "no detector"},
            )
            for number in range(15)
        )
        scores = dict.fromkeys(("average", "visual", "style", "prompt"), average)
        epochs.append(EpochEvidence(position=place, images=images, scores=scores))
    random.Random(3).shuffle(epochs)
    return Evidence(epochs=tuple(epochs), ended=len(epochs) == 10)


def test_the_owners_plan_is_judged_on_a_run_that_succeeds() -> None:
    """Every must-have passed; what no detector sees is neither passed nor failed."""
    plan = read_plan(EXAMPLE)
    evidence = history(
        (0, 2, 9, 13, 14, 15, 15, 15, 15, 15), (6.5, 7, 7.2, 7.4, 7.8, 8.1, 8.6, 8.6, 8.7, 8.6)
    )
    states = judge_gates(plan, evidence)
    by_name = {each.gate: each.state for each in states}
    assert {name for name, state in by_name.items() if state != "passed"} == {
        "crown to be seen",
        "necklace to be seen",
    }
    assert by_name["crown to be seen"] == "unmeasured"
    assert hypothesis_sentence(plan, states) == (
        "The hypothesis (stated with 85 %) holds: all 4 must-have gates are passed."
    )
    due = decisions_due(plan, states, evidence)
    assert [(each.after_epoch, each.outcome) for each in due] == [
        (4, "passed"),
        (10, "passed"),
        (10, None),
        (10, None),
    ]


def test_the_owners_plan_is_judged_on_the_run_before_it() -> None:
    """A background that never comes: the gate at epoch 4 says to stop at 5, in any order of arrival."""
    plan = read_plan(EXAMPLE)
    evidence = history((0, 1, 0, 2), (5.0, 6.0, 6.5, 7.0))
    states = judge_gates(plan, evidence)
    first = states[0]
    assert (first.gate, first.state, first.stop_at) == ("early background", "failed", 5)
    assert {each.state for each in states[1:]} == {"pending"}
    assert hypothesis_sentence(plan, states) == (
        "The hypothesis (stated with 85 %) does not hold: early background failed."
    )
    [due] = decisions_due(plan, states, evidence)
    assert due.do[0].startswith("Stop training at epoch 5")
    held = {each.text: each.held for each in judge_expectations(plan, evidence)}
    assert held["Quality may still be developing: 7-7.5 is acceptable."] == (4,)
