"""Schedules as trainers set them, read from what a checkpoint says of itself."""

from __future__ import annotations

import pytest

from core.rules.learning_rate import (
    KINDS,
    Kind,
    Schedule,
    course,
    schedule_from,
    schedule_of_run,
)

OWNERS = {
    "ss_lr_scheduler": "cosine_with_restarts",
    "ss_learning_rate": "0.0001",
    "ss_unet_lr": "0.0001",
    "ss_lr_warmup_steps": "0",
    "ss_max_train_steps": "1000",
    "ss_num_epochs": "10",
    "ss_optimizer": "bitsandbytes.optim.adamw.AdamW8bit(weight_decay=0.1)",
}


def made(kind: Kind, **settings: float) -> Schedule:
    """Build a schedule of 100 steps."""
    return Schedule(kind=kind, peak=1e-4, total=100, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_every_course_is_the_trainers_own(kind: Kind) -> None:
    """The numbers are those of diffusers' schedulers, step by step."""
    optimization = pytest.importorskip("diffusers.optimization")
    torch = pytest.importorskip("torch")
    warmup = 0 if kind == "constant" else 10
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = optimization.get_scheduler(
        kind,
        optimizer,
        num_warmup_steps=warmup,
        num_training_steps=100,
        **({"num_cycles": 3} if "restarts" in kind else {}),
    )
    ours = made(kind, warmup=warmup, cycles=3)
    for step in range(100):
        assert ours.share_at(step) == pytest.approx(theirs.get_last_lr()[0], abs=2e-5)
        optimizer.step()
        theirs.step()


def test_the_owners_run_is_read_from_its_metadata() -> None:
    """Cosine with restarts, one cycle where none is told: a plain fall without a restart."""
    found = schedule_from(OWNERS)
    assert found is not None
    assert (found.kind, found.peak, found.total, found.epochs) == (
        "cosine_with_restarts",
        1e-4,
        1000,
        10,
    )
    assert found.restarts == ()
    assert found.share_for(5) == pytest.approx(0.5, abs=0.01)
    assert found.share_for(10) < 0.01


@pytest.mark.parametrize(
    "change",
    [
        {"ss_lr_scheduler": "None"},
        {"ss_lr_scheduler": "my own"},
        {"ss_max_train_steps": ""},
        {"ss_num_epochs": "many"},
        {"ss_optimizer": "prodigyopt.prodigy.Prodigy(d_coef=1.0)"},
    ],
)
def test_what_is_not_known_is_not_guessed(change: dict[str, str]) -> None:
    """No schedule without a known scheduler, steps, epochs and a rate that follows it."""
    assert schedule_from(OWNERS | change) is None


def test_a_restart_lies_between_two_saves() -> None:
    """Two cycles of ten epochs restart at the end of 5: what 6 shows comes after it."""
    found = schedule_from(OWNERS | {"ss_lr_scheduler_num_cycles": "2"})
    assert found is not None
    assert found.restarts == (500.0,)
    assert found.restarted_between(5, 6)
    assert not found.restarted_between(4, 5)
    assert not found.restarted_between(6, 7)
    assert found.share_for(5) < 0.01
    assert found.share_for(6) > 0.8


def test_the_course_draws_a_restart_upright() -> None:
    """Just before it the rate is at its lowest, just after at its peak."""
    found = schedule_from(OWNERS | {"ss_lr_scheduler_num_cycles": "2"})
    assert found is not None
    rows = [row for row in course(found, [1, 10]) if abs(row["position"] - 5) < 1e-3]
    assert min(row["share"] for row in rows) == pytest.approx(0, abs=1e-3)
    assert max(row["share"] for row in rows) == pytest.approx(1, abs=1e-3)
    assert all(0 <= row["share"] <= 1 for row in course(found, [10]))


def test_a_runs_own_columns_fill_what_files_do_not_tell() -> None:
    """Trainers do not write the cycles down; the file's words come before the columns."""
    run = {
        "lr_scheduler": "cosine",
        "lr_scheduler_cycles": 4,
        "total_steps": 800,
        "max_train_epochs": 8,
        "position_unit": "epoch",
    }
    alone, with_file = schedule_of_run(run), schedule_of_run(run, OWNERS)
    assert alone is not None
    assert with_file is not None
    assert (alone.kind, alone.total) == ("cosine", 800)
    assert (with_file.kind, with_file.total, with_file.cycles) == ("cosine_with_restarts", 1000, 4)
    assert schedule_of_run({"position_unit": "epoch"}) is None
