"""A logged learning rate laid over epochs, steps, resumes and other trainers' logs."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import pytest

from core.formats.tensorboard_log import Rate, RateLog
from core.rules.advice import advise
from core.rules.learning_rate import Schedule
from core.rules.measured_rate import (
    MeasuredRate,
    Save,
    continued,
    measured_rate,
    rate_body,
    reaching,
    steps_per_position,
    stored_rate,
)
from core.rules.score_rows import ScoreRow

PACE = 50  # steps an epoch
HALVES = Schedule(kind="cosine_with_restarts", peak=1e-4, total=500, epochs=10, cycles=2)


def log_of(
    values: Sequence[float], *, first: int = 1, every: int = 1, at: float = 1000.0, tag: str = "lr"
) -> RateLog:
    """Build a log with a line every ``every`` steps of a second each, the first at ``at``."""
    rates = [
        Rate(first + number, at + number, value)
        for number, value in enumerate(values)
        if number % every == 0
    ]
    return RateLog(rates={tag: rates})


def saves_of(epochs: Sequence[int], *, at: float = 1000.0, pace: int = PACE) -> list[Save]:
    """Build the saves of a run that began at ``at``, half a second after the last step of each."""
    return [
        Save(position=epoch, step=epoch * pace, times=(at + epoch * pace - 0.5,))
        for epoch in epochs
    ]


def planned_values(schedule: Schedule, steps: int) -> list[float]:
    """Return what a trainer logs: after each step the rate of the next."""
    return [1e-4 * schedule.share_at(step) for step in range(1, steps + 1)]


def laid(logs: Sequence[RateLog], saves: Sequence[Save], latest: int = 10) -> MeasuredRate | None:
    """Lay logs over epochs of fifty steps."""
    return measured_rate(logs, saves, per_position=PACE, latest=latest)


@pytest.mark.parametrize("every", [1, 10])
def test_what_was_logged_is_what_the_scheduler_did(every: int) -> None:
    """Shares and restarts of the log are those of the settings."""
    found = laid([log_of(planned_values(HALVES, 500), every=every)], saves_of(range(1, 11)))
    assert found is not None
    assert found.peak == pytest.approx(1e-4, rel=0.01)
    for epoch in range(1, 11):
        assert found.share_for(epoch) == pytest.approx(HALVES.share_for(epoch), abs=0.07)
        before = epoch - 1
        assert found.restarted_between(before, epoch) == HALVES.restarted_between(before, epoch)
    assert len(found.restarts) == 1


def test_a_warm_up_is_no_restart_and_a_growing_rate_is_none() -> None:
    """Only a rise after a fall is one: Prodigy's estimate grows for long."""
    warm = [min(1.0, step / 60) * 1e-4 * (1 - step / 600) for step in range(500)]
    grown = [1e-6 * (1 + step // 40) for step in range(500)]
    for values in (warm, grown, [1e-4] * 500):
        found = laid([log_of(values)], saves_of(range(1, 11)))
        assert found is not None
        assert found.restarts == ()


def test_a_restart_that_warms_up_again_begins_where_it_rises() -> None:
    """Ten steps from the bottom to the top are one restart, at the first of them."""
    values = [1e-4 * (1 - step / 250) for step in range(250)]
    values += [1e-4 * min(1.0, step / 10) * (1 - step / 250) for step in range(1, 251)]
    found = laid([log_of(values)], saves_of(range(1, 11)))
    assert found is not None
    assert found.restarts == (pytest.approx(5.02, abs=0.03),)


@pytest.mark.parametrize("adapted", ["d*lr", "d_lr"])
def test_the_rate_an_optimizer_made_itself_comes_first(adapted: str) -> None:
    """Of Prodigy's two the product counts, and the image model's before the text encoder's."""
    log = RateLog(
        rates={
            tag: [Rate(step, 1000.0 + step, value * (1 - step / 600)) for step in range(1, 501)]
            for tag, value in {
                "lr/textencoder": 0.5,
                "lr/unet": 1.0,
                f"lr/{adapted}/textencoder": 3e-4,
                f"lr/{adapted}/unet": 2e-4,
            }.items()
        }
    )
    found = laid([log], saves_of(range(1, 11)))
    assert found is not None
    assert (found.tag, found.peak) == (f"lr/{adapted}/unet", pytest.approx(2e-4, rel=0.01))


def test_other_trainers_logs_are_not_taken() -> None:
    """One of another day, one at another step, and one that only ever says zero."""
    saves = saves_of(range(1, 4))
    values = [1e-4] * 150
    assert laid([log_of(values)], saves, latest=3)
    assert laid([log_of(values, at=90_000.0)], saves, latest=3) is None
    assert laid([log_of(values, first=40)], saves, latest=3) is None
    assert laid([log_of([0.0] * 150)], saves, latest=3) is None
    assert laid([RateLog()], saves, latest=3) is None
    assert measured_rate([log_of(values)], saves, per_position=None, latest=3) is None


def test_the_log_of_a_run_that_ended_just_before_is_not_taken() -> None:
    """Its last line is minutes old, and the new run's steps begin anew."""
    old = log_of([1e-4] * 900, at=0.0)
    assert laid([old], saves_of([1, 2], at=950.0), latest=2) is None


def test_of_overlapping_logs_the_later_counts() -> None:
    """A crash at 3.6, resumed from 3: what was trained again stands."""
    early, late = log_of([1e-4] * 180), log_of([5e-5] * 150, first=151, at=5000.0)
    saves = [*saves_of([1, 2, 3]), *saves_of([4, 5, 6], at=4850.0)]
    for logs in ([early, late], [late, early]):
        found = laid(logs, saves, latest=6)
        assert found is not None
        assert [found.share_for(epoch) for epoch in (3, 4, 6)] == [1.0, 0.5, 0.5]


def test_a_resumed_trainer_may_count_its_steps_anew() -> None:
    """Kohya's does, without --skip_until_initial_step: epochs go on, steps begin at zero."""
    first, second = log_of([1e-4] * 150), log_of([5e-5] * 150, at=5000.0)
    saves = [
        *saves_of([1, 2, 3]),
        *(
            Save(position=3 + more, step=more * PACE, times=(4999.5 + more * PACE,))
            for more in (1, 2, 3)
        ),
    ]
    pace = steps_per_position({"position_unit": "epoch"}, saves)
    assert pace == PACE
    found = measured_rate([first, second], saves, per_position=pace, latest=6)
    assert found is not None
    assert found.points[-1][0] == pytest.approx(6, abs=0.03)
    assert [found.share_for(epoch) for epoch in (3, 4, 6)] == [1.0, 0.5, 0.5]


def test_steps_of_an_epoch_come_from_the_saves_else_from_the_plan() -> None:
    """A run that is counted in steps needs neither."""
    unknown = [Save(position=2, step=None, times=(1.0,))]
    plan = {"total_steps": 900, "max_train_epochs": 9}
    assert steps_per_position({"position_unit": "step"}, unknown) == 1
    assert steps_per_position(plan, saves_of([1, 2])) == PACE
    assert steps_per_position(plan, unknown) == 100
    assert steps_per_position({}, unknown) is None


def test_runs_in_steps_are_laid_over_steps() -> None:
    """Positions are the log's own steps."""
    values = [1e-4 * (1 - step / 600) for step in range(500)]
    saves = [Save(position=at, step=at, times=(999.5 + at,)) for at in (100, 200, 300)]
    found = measured_rate([log_of(values)], saves, per_position=1.0, latest=300)
    assert found is not None
    assert found.points[-1][0] == 300
    assert found.share_for(300) == pytest.approx(0.5, abs=0.01)


def test_a_save_without_a_step_is_placed_by_its_time() -> None:
    """OneTrainer's last file says nothing."""
    found = laid([log_of([1e-4] * 100)], [Save(position=2, step=None, times=(1099.5,))], latest=2)
    assert found is not None
    assert found.points[-1][0] == pytest.approx(2, abs=0.02)


def test_long_logs_are_thinned_and_keep_their_restarts() -> None:
    """Thirty thousand lines are less than five hundred points, the jumps upright."""
    long = Schedule(kind="cosine_with_restarts", peak=1e-4, total=30_000, epochs=10, cycles=5)
    found = measured_rate(
        [log_of(planned_values(long, 30_000))],
        saves_of(range(1, 11), pace=3000),
        per_position=3000,
        latest=10,
    )
    assert found is not None
    assert len(found.points) <= 500
    assert found.restarts == pytest.approx([2, 4, 6, 8], abs=0.01)


def test_a_log_that_ends_too_early_says_nothing_of_now() -> None:
    """It must be known past the last position but one; a writer's delay of minutes is none."""
    found = laid([log_of([1e-4] * 230)], saves_of(range(1, 5)), latest=6)
    assert reaching(found, [1, 2, 3, 4, 5]) is found
    assert reaching(found, [1, 2, 3, 4, 5, 6]) is None
    assert reaching(found, [1]) is found
    assert reaching(None, [1]) is None


def test_what_is_ahead_is_drawn_by_settings_that_agree() -> None:
    """The panel shows the whole run where the log and the settings say the same."""
    found = laid([log_of(planned_values(HALVES, 300))], saves_of(range(1, 7)), latest=6)
    assert found is not None
    body = rate_body(continued(found, HALVES), [1, 10])
    assert body["rates"][-1]["position"] == 10
    assert body["rates_from"] == "measured (TensorBoard, lr), then by its settings"
    other = Schedule(kind="constant", peak=1e-4, total=500, epochs=10)
    body = rate_body(continued(found, other), [1, 10])
    assert body["rates"][-1]["position"] == 6
    assert body["rates_from"] == "measured (TensorBoard, lr)"
    assert rate_body(HALVES, [1, 10])["rates_from"] == "by its settings"
    assert rate_body(None, [1, 10]) == {"rates": []}


def test_what_is_stored_is_what_was_measured() -> None:
    """A host without the log judges on the same numbers."""
    found = laid([log_of(planned_values(HALVES, 300))], saves_of(range(1, 7)), latest=6)
    assert found is not None
    body = json.loads(json.dumps(rate_body(continued(found, HALVES), [1, 10]), allow_nan=False))
    assert stored_rate(body) == found
    assert stored_rate({"rates": []}) is None
    assert stored_rate({}) is None


def test_advice_rests_on_the_measured_rate() -> None:
    """A stop at a high rate says so, and a drop after a measured restart stops nothing."""
    means = (4.0, 6.0, 8.0, 7.0, 6.0, 5.0)
    rows = [
        ScoreRow(position=place, unit=f"p{unit}#1", score=score + math.sin(unit) / 10)
        for place, score in enumerate(means, 1)
        for unit in range(15)
    ]
    high = laid([log_of([1e-4] * 300)], saves_of(range(1, 7)), latest=6)
    stopped = advise(rows, planned=10, schedule=high)
    assert stopped.stop
    assert "The learning rate is still at over 99 % of its peak." in stopped.sentence
    values = [1e-4 * (1 - step / 260) for step in range(250)] + [1e-4] * 50
    held = advise(
        rows, planned=10, schedule=laid([log_of(values)], saves_of(range(1, 7)), latest=6)
    )
    assert not held.stop
    assert held.sentence.startswith("Continue: the learning rate was just restarted")
