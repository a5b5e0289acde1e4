"""From a log in the trainer's folder to the advice and the panel under the curve."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from house import NOW, House, open_house

from core.charts.progress import rate_chart
from core.store import gallery
from core.store.database import row
from daemon.judge import Judge
from daemon.rate_logs import RateLogs
from dashboard.parts.charts import progress_of
from logged_rates import write_log

START = NOW.timestamp()
PACE = 50  # steps an epoch, of eleven minutes
RUN = {"position_unit": "epoch"}


def lines(values: dict[int, float]) -> list[tuple[int, float, float]]:
    """Return what is logged: step, time and rate, where a save follows each fiftieth step."""
    return [(step, START + (step - 0.1) * 660 / PACE, rate) for step, rate in values.items()]


def falling(last: int) -> dict[int, float]:
    """Return a rate that falls until step 150, then begins anew."""
    return {step: 1e-4 * (1 - (step % 150) / 150) for step in range(1, last + 1)}


def save(folder: Path, epoch: int) -> dict[str, Any]:
    """Return a checkpoint as the database knows it."""
    return {
        "position": epoch,
        "step": epoch * PACE,
        "saved_at": NOW + timedelta(minutes=11 * epoch),
        "closed_at": datetime(2030, 1, 1, tzinfo=UTC),
        "source_path": str(folder / f"punk-{epoch:06d}.safetensors"),
    }


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Give a trainer's output folder."""
    folder = tmp_path / "work" / "a" / "output"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize(
    "place",
    [
        ".",
        "logs/20261121030000/network_train",
        "../logs/punk20261121030000/network_train",
        "../../log",
        "../tensorboard/2026-11-21_03-00-00",
        "runs/Nov21_03-00-00_pod",
    ],
)
def test_logs_are_found_where_trainers_put_them(output: Path, place: str) -> None:
    """In the output folder, and in log folders in it, beside it and beside its parent."""
    write_log(output / place, {"lr/unet": lines(falling(100))})
    found = RateLogs().measure(RUN, [save(output, 1), save(output, 2)], [], latest=2)
    assert found is not None
    assert found.share_for(2) == pytest.approx(1 / 3, abs=0.02)


@pytest.mark.parametrize("place", ["pictures", "../../../logs", "logs/1/2/3/4/5", "../other/logs"])
def test_no_other_folder_is_searched(output: Path, place: str) -> None:
    """Neither below folders of other names nor far away."""
    write_log(output / place, {"lr/unet": lines(falling(100))})
    assert RateLogs().measure(RUN, [save(output, 1), save(output, 2)], [], latest=2) is None


def test_a_folder_the_trainers_command_names_is_searched(output: Path, tmp_path: Path) -> None:
    """`epochwatch train` knows the command line."""
    write_log(tmp_path / "elsewhere" / "x", {"lr/unet": lines(falling(100))})
    words = f"accelerate launch train_network.py --logging_dir={tmp_path / 'elsewhere'} --x 'a"
    saves = [save(output, 1), save(output, 2)]
    assert RateLogs().measure(RUN, saves, [{"command": words}], latest=2) is None  # cut in quotes
    assert RateLogs().measure(RUN, saves, [{"command": f"{words}'"}], latest=2)
    assert RateLogs().measure(RUN, saves, [{"command": "--logging_dir ../../.."}], latest=2) is None


def test_links_pipes_and_rubbish_are_left_alone(output: Path, tmp_path: Path) -> None:
    """None of them is followed, waited for or an error."""
    real = write_log(tmp_path / "far", {"lr/unet": lines(falling(100))})
    logs = output / "logs"
    logs.mkdir()
    (logs / real.name).symlink_to(real)
    (logs / "linked").symlink_to(tmp_path / "far")
    os.mkfifo(logs / "events.out.tfevents.1.pipe")
    (logs / "events.out.tfevents.2.rubbish").write_bytes(os.urandom(5000))
    (logs / "events.out.tfevents.3.folder").mkdir()
    assert RateLogs().measure(RUN, [save(output, 1), save(output, 2)], [], latest=2) is None


def test_a_log_that_grew_is_read_on(output: Path) -> None:
    """Each byte is read once; a log written anew is read anew."""
    whole = write_log(output, {"lr/unet": lines(falling(200))}).read_bytes()
    (path,) = output.iterdir()
    logs, saves = RateLogs(), [save(output, epoch) for epoch in (1, 2, 3, 4)]
    path.write_bytes(whole[: len(whole) // 2])
    half = logs.measure(RUN, saves, [], latest=4)
    with path.open("ab") as stream:
        stream.write(whole[len(whole) // 2 :])
    full = logs.measure(RUN, saves, [], latest=4)
    assert half is not None
    assert full is not None
    assert half.points[-1][0] < 2.1
    assert full == RateLogs().measure(RUN, saves, [], latest=4)
    path.write_bytes(whole[: len(whole) // 2])
    assert logs.measure(RUN, saves, [], latest=4) == half


def test_reading_leaves_the_trainers_folder_as_it_was(output: Path) -> None:
    """Nothing is written, and what may not be read is no error."""
    path = write_log(output / "logs", {"lr/unet": lines(falling(100))})
    before = [(each, each.stat().st_mtime_ns) for each in sorted(output.parent.rglob("*"))]
    saves = [save(output, 1), save(output, 2)]
    assert RateLogs().measure(RUN, saves, [], latest=2)
    assert [(each, each.stat().st_mtime_ns) for each in sorted(output.parent.rglob("*"))] == before
    path.unlink()
    assert RateLogs().measure(RUN, saves, [], latest=2) is None
    assert RateLogs().measure(RUN, [], [], latest=2) is None


@pytest.fixture
def house(migrated_dsn: str, tmp_path: Path) -> Iterator[House]:
    """Give the parts on a migrated database."""
    with open_house(migrated_dsn, tmp_path) as parts:
        yield parts


def trained(house: House, output: Path, epochs: int) -> int:
    """Draw a run whose score falls at the fourth epoch, right after its rate began anew."""
    quality: dict[int | None, float] = {None: 0.2, 1: 0.5, 2: 0.8, 3: 1.0, 4: 0.3, 5: 0.2}
    run_id = 0
    for epoch in range(1, epochs + 1):
        run_id = house.arrive(epoch)
        with house.database.transaction() as connection:
            connection.execute(
                b"UPDATE epochwatch.checkpoints SET source_path = %s WHERE position = %s",
                (save(output, epoch)["source_path"], epoch),
            )
        house.draw(quality)
        house.judge.judge()
    return run_id


def advice_of(house: House, run_id: int) -> dict[str, Any]:
    """Return the advice that stands."""
    with house.database.transaction() as connection:
        found = row(connection, "results.current_advice", run_id=run_id)
    assert found is not None
    return dict(found)


def test_a_log_beside_the_run_holds_a_stop_back(house: House, output: Path) -> None:
    """From the file to the sentence and the panel; without the log the same scores say stop."""
    write_log(output.parent / "logs" / "1" / "network_train", {"lr/unet": lines(falling(230))})
    run_id = trained(house, output, 4)
    advice = advice_of(house, run_id)
    assert advice["sentence"].startswith("Continue: the learning rate was just restarted"), advice
    assert advice["body"]["rates_from"] == "measured (TensorBoard, lr/unet)"
    assert advice["body"]["measured_rate"]["peak"] == pytest.approx(1e-4, rel=0.02)
    with house.database.transaction() as connection:
        shown = progress_of((), (), gallery.advice(connection, run_id), "epoch")
    panel = rate_chart(shown).to_dict()
    assert panel["title"]["text"] == "learning rate: measured (TensorBoard, lr/unet)"
    assert len(panel["data"]["values"]) == len(advice["body"]["rates"]) > 100

    house.judge._marks.clear()
    house.judge._rev = -1
    house.judge.judge()
    assert advice_of(house, run_id) == advice, "the same scores and the same log are no news"
    elsewhere = Judge(database=house.database, host="clerk")
    elsewhere.judge_run(run_id)
    assert advice_of(house, run_id) == advice, "who does not see the log keeps what was read"

    trained(house, output, 5)
    assert "just restarted" not in advice_of(house, run_id)["sentence"]


def test_without_a_log_nothing_is_drawn(house: House, output: Path) -> None:
    """The run's metadata tells no schedule here."""
    advice = advice_of(house, trained(house, output, 4))
    assert advice["body"]["rates"] == []
    assert "restarted" not in advice["sentence"]
