"""A trainer's command line tells of its learning rate what its checkpoints do not."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from house import open_house

from core.rules.learning_rate import schedule_of_run
from core.settings import Settings
from core.store.database import row
from daemon.train_command import schedule_settings
from daemon.train_log import LogReader
from daemon.train_reporter import Reporter

CONFIG = """
lr_scheduler = "cosine_with_restarts"
lr_scheduler_num_cycles = 4
[optimizer_arguments]
unet_lr = 1e-4
optimizer_type = "AdamW8bit"
cache_latents = true
"""


def test_the_command_line_wins_over_the_file_that_it_names(tmp_path: Path) -> None:
    """As sd-scripts reads both, in whichever table a value stands."""
    (tmp_path / "run.toml").write_text(CONFIG)
    told = ("python", "train_network.py", "--config_file", "run")
    assert schedule_settings(told, tmp_path) == {
        "lr_scheduler": "cosine_with_restarts",
        "lr_scheduler_cycles": 4,
        "unet_lr": 1e-4,
        "optimizer_type": "AdamW8bit",
    }
    assert schedule_settings((*told, "--lr-scheduler-num-cycles=3"), tmp_path) | {} == {
        **schedule_settings(told, tmp_path), "lr_scheduler_cycles": 3,
    }  # fmt: skip
    assert schedule_settings(("t.py", "--lr_num_cycles=2"), tmp_path) == {"lr_scheduler_cycles": 2}


@pytest.mark.parametrize("value", ["0", "-3", "1.5", "many", "9" * 30, ""])
def test_what_is_no_number_of_cycles_is_left_out(tmp_path: Path, value: str) -> None:
    """The run's cell stays empty rather than wrong."""
    assert schedule_settings(("t.py", f"--lr_scheduler_num_cycles={value}"), tmp_path) == {}


def test_a_file_that_is_missing_broken_or_large_is_left_alone(tmp_path: Path) -> None:
    """Somebody else's file never stands in the trainer's way."""
    (tmp_path / "broken.toml").write_text("= nothing")
    (tmp_path / "large.toml").write_text(CONFIG + "#" * 300_000)
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    for name in ("missing", "broken", "large", "folder", "binary"):
        assert schedule_settings(("t.py", f"--config_file={name}"), tmp_path) == {}


def test_the_number_of_restarts_comes_into_the_run_and_into_its_schedule(
    migrated_dsn: str, tmp_path: Path
) -> None:
    """What the metadata said stays; an empty cell is filled once, and a person's word stands."""
    (tmp_path / "run.toml").write_text(CONFIG)
    with open_house(migrated_dsn, tmp_path) as house:
        run_id = house.arrive(1)
        reporter = Reporter(
            settings=Settings(home=tmp_path, host_name="pod"), pid=1, run_name="punk",
            started_at=datetime(2026, 1, 1, tzinfo=UTC), log=LogReader(), folder=tmp_path,
            command=("t.py", "--config_file=run", "--max_train_epochs=99"),
        )  # fmt: skip
        with house.database.transaction() as connection:
            before = row(connection, "runs.get", run_id=run_id)
            reporter._beat(connection)
            after = row(connection, "runs.get", run_id=run_id)
        assert before is not None
        assert after is not None
        assert (before["lr_scheduler_cycles"], after["lr_scheduler_cycles"]) == (None, 4)
        assert after["max_train_epochs"] == before["max_train_epochs"] == 6
        schedule = schedule_of_run(after)
        assert schedule is not None
        assert len(schedule.restarts) == 3
        with house.database.transaction() as connection:
            connection.execute(b"UPDATE public.training_runs SET lr_scheduler_cycles = 2")
            reporter._beat(connection)
            reporter._settled = None
            reporter._beat(connection)
            again = row(connection, "runs.get", run_id=run_id)
        assert again is not None
        assert again["lr_scheduler_cycles"] == 2
