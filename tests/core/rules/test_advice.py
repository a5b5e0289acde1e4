"""The advice on a run: when to stop, what to ship, and the sentence that says so."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.rules.advice import ScoreRow, advise, evidence_digest, read_scores
from core.rules.learning_rate import Schedule
from core.rules.stopping import GateStop

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

PEAKED = [5.0, 6.0, 7.0, 7.6, 8.2, 8.5, 9.0, 8.0, 6.6]


def paired(means: Sequence[float], prompts: int = 4) -> list[ScoreRow]:
    """Build rows of ``prompts`` prompts around the means, with fixed differences and noise."""
    rng = np.random.default_rng(3)
    shift = rng.normal(0, 1, prompts)
    return [
        ScoreRow(
            position=epoch,
            unit=f"p{unit}",
            score=float(np.clip(mean + shift[unit] + rng.normal(0, 0.3), 0, 10)),
        )
        for epoch, mean in enumerate(means, start=1)
        for unit in range(prompts)
    ]


@pytest.mark.parametrize(
    ("scores", "label", "status", "pick", "stop"),
    [
        ("6,7,7", "improving", "continue", 3, False),
        ("7,7,7", "plateau", "plateau", None, False),
        ("9,8,6", "degrading", "degrading", 1, True),
        ("5,6,7,7.5,8,8.5,9,8,6", "degrading", "degrading", 7, True),
        ("6,6.5,7,7,7,7,7", "plateau", "plateau", None, False),
        ("6,7", "insufficient", "continue", 2, False),
        ("9,2", "insufficient", "continue", 1, False),
    ],
)
def test_the_owners_examples_are_judged_as_they_are_written(
    scores: str, label: str, status: str, pick: int | None, *, stop: bool
) -> None:
    """Labels and statuses are the owner's, the stop is the trend's."""
    advice = advise(read_scores(scores), planned=10)
    assert (advice.label, advice.status, advice.stop) == (label, status, stop)
    assert pick is None or advice.pick == pick


def test_a_stop_says_what_is_best_how_sure_and_what_it_saves() -> None:
    """The sentence holds pick, chance, basis, the chance of better later, time and money."""
    advice = advise(paired(PEAKED), planned=11, seconds_per_epoch=660, price_per_hour=0.44)
    assert re.fullmatch(
        r"Stop\. Epoch 7 is best with \d+ % \(by score; not yet checked against your votes\)\. "
        r"Chance that epochs 10-11 beat it by 0\.25: \d+ %\. "
        r"Saves 2 epochs \(about 22 min, \$0\.16\)\. Removing the pod ends the bill\.",
        advice.sentence.replace("under 1 %", "1 %"),
    )
    assert advice.epochs_saved == 2


def test_the_reasons_say_where_the_best_is_and_what_going_on_is_worth() -> None:
    """Epochs 6-7, and a few hundredths of a point against 22 minutes; before three tests neither."""
    rising = advise(
        paired([5.0, 6.0, 7.0, 7.6]), planned=6, seconds_per_epoch=660, price_per_hour=0.44
    )
    assert rising.estimated_best is not None
    first, last = rising.estimated_best
    span = f"{first}-{last}" if last > first else f"{first}"
    assert f"Estimated best epoch: {span} (at least an even chance that it is there)." in (
        rising.reasons
    )
    assert (
        f"Going on to epoch 6 is expected to add {rising.expected_gain:.2f} points to the pick, "
        "for about 22 min, $0.16."
    ) in rising.reasons
    steps = [
        ScoreRow(position=500 * r.position, unit=r.unit, score=r.score) for r in paired(PEAKED)
    ]
    said = " ".join(advise(steps, planned=6000, unit="step", seconds_per_epoch=60).reasons)
    assert "Estimated best step: 3500" in said
    assert "Going on to step 6000 is expected to add" in said
    assert "points to the pick, for about 3 min." in said
    assert "Going on" not in " ".join(advise(paired(PEAKED), planned=9).reasons)
    assert "Estimated" not in " ".join(advise(read_scores("6,7"), planned=9).reasons)


def test_what_ends_the_bill_is_named_where_there_is_a_price() -> None:
    """Stopping the trainer alone does not, and a saved state makes it easy to decide."""
    told = {
        state: advise(
            paired(PEAKED), planned=11, price_per_hour=0.44, resumable=state
        ).sentence.rpartition("Removing ")[2]
        for state in (True, False, None)
    }
    assert told[True] == "the pod ends the bill; the state folder lets you resume."
    assert told[False] == "the pod ends the bill; no state was saved to resume from."
    assert told[None] == "the pod ends the bill."
    over = advise(paired(PEAKED), planned=9, ended=True, price_per_hour=0.44)
    assert over.sentence.endswith("Removing the pod ends the bill.")
    assert "bill" not in advise(paired(PEAKED), planned=11).sentence
    assert "bill" not in advise(read_scores("6,7,7"), planned=10, price_per_hour=0.44).sentence


def test_a_stop_never_says_to_keep_training() -> None:
    """Where the best is only acceptable, the guide's word for going on would contradict the stop."""
    low = [mean - 2.5 for mean in PEAKED]
    stopped, ended = advise(paired(low), planned=11), advise(paired(low), planned=9, ended=True)
    assert stopped.stop
    for advice in (stopped, ended):
        assert "Not yet one to ship" in advice.reasons[-1]
        assert not any("Keep training" in reason for reason in advice.reasons)


def test_votes_are_named_when_the_score_was_checked_against_them() -> None:
    """The basis ends up in the brackets."""
    basis = "the score agrees with your votes on 60 of 84 pairs"
    assert f"(by score; {basis})" in advise(paired(PEAKED), planned=10, basis=basis).sentence


def test_going_on_names_the_leader_and_the_chance() -> None:
    """There is something to come, and it is likely better."""
    sentence = advise(read_scores("6,7,7"), planned=10).sentence
    assert sentence.startswith("Continue. Epoch 3 leads with ")
    assert "epochs 4-10 beat it by 0.25" in sentence


def test_an_unknown_plan_looks_three_ahead_and_saves_nothing_it_can_name() -> None:
    """Neither epochs saved nor an end are invented."""
    advice = advise(paired(PEAKED), planned=None)
    assert advice.stop
    assert advice.epochs_saved is None
    assert "next 3 epochs" in advice.sentence
    assert "Saves" not in advice.sentence


def test_too_few_tests_say_so() -> None:
    """Advice starts at the third tested position."""
    assert "2 of the 3 epochs" in advise(read_scores("6,7"), planned=10).sentence
    assert (
        "1 of the 3 epochs that advice needs is tested"
        in advise(read_scores("6"), planned=9).sentence
    )


def test_no_scores_at_all_are_no_error() -> None:
    """An empty run has a sentence too."""
    for rows in ([], [ScoreRow(position=1, unit="a", score=math.nan)]):
        advice = advise(rows, planned=10)
        assert (advice.label, advice.status, advice.pick, advice.stop) == (
            "insufficient",
            "continue",
            None,
            False,
        )
        assert advice.p_later_better is None
        assert "nothing to judge" in advice.sentence


@pytest.mark.parametrize("arguments", [{"planned": 9}, {"planned": 10, "ended": True}])
def test_an_ended_run_is_optimal_with_a_pick_and_nothing_to_stop(arguments: dict[str, Any]) -> None:
    """Reaching the last planned epoch ends a run, and so does saying so."""
    advice = advise(paired(PEAKED), **arguments)
    assert (advice.status, advice.pick, advice.stop, advice.p_later_better) == (
        "optimal",
        7,
        False,
        0.0,
    )
    assert advice.sentence.startswith("Training has ended. Epoch 7 is best with ")


@pytest.mark.parametrize("places", [(1, 10), (1, 5, 10), (1, 5, 10, 3, 7)])
def test_a_folder_of_finished_epochs_has_not_ended_before_its_last_test(
    places: tuple[int, ...],
) -> None:
    """First, middle and last are drawn first: what leads then is not the pick, and no bill ends."""
    means = [5.0, 9.0, 7.0, 7.2, 8.0, 7.0, 6.5, 6.2, 6.0, 5.0]
    rows = [row for row in paired(means) if row.position in places]
    waiting = advise(rows, planned=10, price_per_hour=0.44, untested=10 - len(places))
    assert not waiting.ended
    assert not waiting.stop
    assert waiting.sentence.startswith(
        f"Training is over; {10 - len(places)} saved checkpoints are not tested yet. Epoch "
    )
    assert "leads so far with" in waiting.sentence or "is the pick" in waiting.sentence
    assert not any(word in waiting.sentence for word in ("bill", "has ended", "Chance"))
    assert not any("at which a stop pays" in reason for reason in waiting.reasons)
    said = advise(rows, planned=None, ended=True, untested=1)
    assert not said.ended
    assert "1 saved checkpoint is not tested yet" in said.sentence
    assert advise(rows, planned=10).ended
    assert not advise(paired(means[:6]), planned=10, untested=2).untested


def test_a_near_tie_names_both() -> None:
    """The earlier of two level epochs is the pick, and the sentence says what it is level with."""
    advice = advise(read_scores("6,6.5,7,7,7,7,7"), planned=10)
    assert "Epoch 6 is the pick, within 0.1 of epoch 7 (best with " in advice.sentence
    assert advice.top_two == (7, 6)


def test_an_unclear_winner_of_an_ended_run_asks_for_a_comparison() -> None:
    """Two epochs that cannot be told apart are named together."""
    sentence = advise(read_scores("5,6,7,7.5,8,8.5,9,8,6"), planned=9).sentence
    assert "Compare it with epoch 6 (" in sentence


def test_one_noisy_image_never_stops_a_run() -> None:
    """A single image must be confirmed by the test before it; two units or a person's score not."""
    one = [ScoreRow(position=e, unit="p", score=s) for e, s in enumerate((9, 8.5, 5), start=1)]
    alone = advise(one, planned=10)
    assert alone.p_later_better < 0.3
    assert not alone.stop
    assert alone.sentence.startswith("Continue until one more test confirms a stop.")
    again = [*one, ScoreRow(position=4, unit="p", score=4.5)]
    assert advise(again, planned=10).stop
    two = [ScoreRow(position=r.position, unit=u, score=r.score) for r in one for u in "ab"]
    assert advise(two, planned=10).stop


def test_two_tests_never_stop_a_run() -> None:
    """However bad the second is."""
    assert not advise(paired([9, 1]), planned=10, dial="eager").stop


def test_a_failing_must_have_keeps_a_plateau_going() -> None:
    """A late jump cannot be forecast; its gate decides, not the trend. A fall still stops."""
    flat = paired([7.0] * 9, prompts=15)
    assert advise(flat, planned=10).stop
    held = advise(flat, planned=10, must_pending="green background")
    assert not held.stop
    assert held.sentence.startswith("Continue: green background still fails")
    assert advise(paired(PEAKED), planned=10, must_pending="green background").stop


def test_a_failed_gate_of_the_plan_stops_a_run_that_still_rises() -> None:
    """The plan was written before the results: from its epoch on the advice says so, not before."""
    rows = paired([5.0, 6.0, 7.0, 8.0, 8.6])
    asked = GateStop(gate="green background", failed_at=4, stop_at=5)
    assert not advise(rows, planned=10).stop
    stopped = advise(rows, planned=10, gate_stop=asked)
    assert stopped.stop
    assert stopped.epochs_saved == 5
    assert stopped.sentence.startswith(
        'Stop: the plan\'s gate "green background" failed at 4. Epoch 5 is best with '
    )
    assert any(reason.endswith("the stop is the plan's.") for reason in stopped.reasons)
    assert not advise(rows[:16], planned=10, gate_stop=asked).stop
    over = advise(rows, planned=5, gate_stop=asked)
    assert (over.ended, over.stop) == (True, False)
    assert (
        "Continue" not in advise(rows[:1], planned=10, gate_stop=replace(asked, stop_at=1)).sentence
    )


def test_dials_order_the_readiness_to_stop() -> None:
    """Whoever is careful stops no earlier than whoever is eager."""
    for length in range(3, 9):
        rows = paired([5, 6, 6.8, 7, 7.1, 7.1, 7, 7][:length], prompts=6)
        stops = [
            advise(rows, planned=10, dial=dial).stop for dial in ("careful", "normal", "eager")
        ]
        assert stops == sorted(stops)


def test_a_persons_averages_rule_the_labels_but_not_the_trend() -> None:
    """Status follows the effective averages; pick and chances stay the measurements'."""
    rows = paired([5, 6, 7, 8])
    plain = advise(rows, planned=10)
    corrected = advise(rows, planned=10, effective={1: 9, 2: 9, 3: 8, 4: 6})
    assert plain.label == "improving"
    assert corrected.label == "degrading"
    assert corrected.p_best == plain.p_best


def test_json_holds_what_scripts_rely_on() -> None:
    """The keys of the command line's --json are there and everything is plain JSON."""
    body = advise(paired(PEAKED), planned=10).as_json()
    wanted = {"label", "status", "pick", "p_best", "p_later_better", "stop", "sentence"}
    assert wanted <= set(body)
    assert json.loads(json.dumps(body, allow_nan=False)) == body
    assert set(body["p_best"]) == {str(epoch) for epoch in range(1, 10)}


def test_the_chart_covers_past_and_future() -> None:
    """Tested positions carry averages, those to come a widening fan within the scale."""
    chart = advise(paired([6, 6.5, 7, 7.2]), planned=8).chart
    assert [point.position for point in chart] == list(range(1, 9))
    assert [point.tested for point in chart] == [True] * 4 + [False] * 4
    assert chart[0].average is not None
    assert chart[7].average is None
    assert chart[7].sd > chart[4].sd
    assert all(0 <= low <= high <= 10 for p in chart for low, high in [(p.fan[0], p.fan[-1])])


def test_steps_are_called_steps() -> None:
    """The words follow the unit of the positions."""
    rows = [ScoreRow(position=500 * r.position, unit=r.unit, score=r.score) for r in paired(PEAKED)]
    advice = advise(rows, planned=6000, unit="step", seconds_per_epoch=60)
    assert advice.sentence.startswith("Stop. Step 3500 is best")
    assert "steps 5000-6000 beat it" in advice.sentence
    assert "Saves 3 checkpoints (about 3 min)." in advice.sentence
    assert advice.epochs_saved == 3


rows_strategy = st.lists(
    st.tuples(
        st.integers(1, 8),
        st.sampled_from("abc"),
        st.one_of(st.floats(0, 10, width=16), st.just(math.nan)),
    ),
    max_size=15,
)


@settings(max_examples=40, deadline=None)
@given(rows_strategy, st.sampled_from([None, 4, 10]), st.randoms(use_true_random=False))
def test_any_rows_give_the_same_sound_advice_in_any_order(
    cells: list[tuple[int, str, float]], planned: Any, random: Random
) -> None:
    """Nothing crashes, the order does not matter, and the digest knows it."""
    rows = [ScoreRow(position=e, unit=u, score=s) for e, u, s in cells]
    shuffled = list(rows)
    random.shuffle(shuffled)
    advice = advise(rows, planned=planned)
    assert advise(shuffled, planned=planned) == advice
    assert advice.sentence
    json.dumps(advice.as_json(), allow_nan=False)
    before = evidence_digest(rows, planned, ended=False, dial="normal")
    assert evidence_digest(shuffled, planned, ended=False, dial="normal") == before


def test_the_digest_changes_with_whatever_the_advice_rests_on() -> None:
    """Another score, plan, end, dial or context is other evidence."""
    rows = read_scores("6,7,7")
    digests = {
        evidence_digest(rows, 10, ended=False, dial="normal"),
        evidence_digest(read_scores("6,7,8"), 10, ended=False, dial="normal"),
        evidence_digest(rows, 11, ended=False, dial="normal"),
        evidence_digest(rows, (1, 2, 3, 10), ended=False, dial="normal"),
        evidence_digest(rows, 10, ended=True, dial="normal"),
        evidence_digest(rows, 10, ended=False, dial="eager"),
        evidence_digest(rows, 10, ended=False, dial="normal", context={"basis": "checked"}),
    }
    assert len(digests) == 7


def test_a_drop_right_after_a_warm_restart_stops_nothing() -> None:
    """The rate jumps back between 7 and 8: one more test; between 5 and 6 it is long over."""
    rows = paired([*PEAKED[:7], 6.0], prompts=15)
    halves = Schedule(
        kind="cosine_with_restarts", peak=1e-4, total=1400, epochs=14, cycles=2
    )  # restarts at the end of 7
    assert advise(rows, planned=14).stop
    held = advise(rows, planned=14, schedule=halves)
    assert not held.stop
    assert held.sentence.startswith("Continue: the learning rate was just restarted")
    assert any("restarted right before the latest epoch" in reason for reason in held.reasons)
    later = advise(paired([*PEAKED[:7], 6.0, 5.0], prompts=15), planned=14, schedule=halves)
    assert later.stop


def test_a_stop_at_a_high_learning_rate_says_so() -> None:
    """At epoch 9 of 20 a cosine is above a fifth of its peak; at 9 of 10 it is not."""
    cosine = {"kind": "cosine", "peak": 1e-4, "total": 1000}
    early = advise(paired(PEAKED), planned=20, schedule=Schedule(**cosine, epochs=20))  # type: ignore[arg-type]
    late = advise(paired(PEAKED), planned=10, schedule=Schedule(**cosine, epochs=10))  # type: ignore[arg-type]
    assert early.stop
    assert "The learning rate is still at 58 % of its peak." in early.sentence
    assert late.stop
    assert "learning rate" not in late.sentence


def test_where_the_machine_gives_no_score_the_votes_decide() -> None:
    """Votes only is no missing measurement: the sentence says who decides, and nothing stops."""
    found = advise([], planned=6, unscored="not applicable: the profile is votes only")

    assert "votes decide" in found.sentence
    assert "votes only" in found.sentence
    assert not found.stop
    assert found.pick is None
