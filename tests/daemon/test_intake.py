"""Files come into the database: what is drawn once for two of them, and what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

import checkpoints_made as made
from core.store.database import Database, rows
from core.store.files import LocalStore
from daemon.examiner import SightingState
from daemon.intake import Intake
from daemon.spool import Spool
from daemon.watcher import ScanResult, Sighting


def test_the_same_numbers_under_other_names_are_another_lora(
    migrated_dsn: str, tmp_path: Path
) -> None:
    """A last save that repeats its epoch is drawn as that; a wrongly renamed file is not."""
    tensors, folder = made.kohya_tensors(), tmp_path / "output"
    folder.mkdir()
    # Names of equal length in the same order, so that the bodies are the same bytes.
    renamed = {
        name.replace("lora_unet_down", "lora_unet_town"): one for name, one in tensors.items()
    }
    for name, content, epoch in (
        ("punk-000001", tensors, 1),
        ("punk-000002", renamed, 2),
        ("punk", tensors, 3),
    ):
        data = made.safetensors_bytes(content, made.kohya_metadata(epoch))
        (folder / f"{name}.safetensors").write_bytes(data)
    with Database(migrated_dsn) as database:
        intake = Intake(
            database=database, spool=Spool(tmp_path / "spool", least_free=0),
            store=LocalStore(tmp_path / "store"), host="pod",
        )  # fmt: skip
        for name in ("punk-000001", "punk-000002", "punk"):
            intake.take_files([folder / f"{name}.safetensors"])
        with database.transaction() as connection:
            found = connection.execute(
                b"SELECT file_name, sha256, drawn_as FROM epochwatch.checkpoints"
            ).fetchall()
    drawn = {each["file_name"]: (each["sha256"], each["drawn_as"]) for each in found}
    first, second, last = (
        drawn[f"{name}.safetensors"] for name in ("punk-000001", "punk-000002", "punk")
    )
    assert first[1] == first[0]
    assert second[1] == second[0]
    assert last[1] == first[0] != last[0]


def _seen(path: str, state: SightingState, reason: str) -> ScanResult:
    sighting = Sighting(
        root="/out", path=path, size=9, mtime_ns=1, inode=2, state=state, reason=reason, sha256=None
    )
    return ScanResult(sightings=(sighting,), admitted=(), trainer_samples=())


def test_a_damaged_file_and_one_without_room_are_told_once_by_an_alert_and_in_the_log(
    migrated_dsn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An epoch is missing from the run; a file that is no checkpoint of it is in the log only."""
    with Database(migrated_dsn) as database:
        intake = Intake(
            database=database, spool=Spool(tmp_path / "spool", least_free=0),
            store=LocalStore(tmp_path / "store"), host="pod",
        )  # fmt: skip
        for free in (90, 80):
            reason = f"Only {free} MB are free where checkpoints are copied."
            intake.take(_seen("/out/punk-000003.safetensors", "blocked", reason))
        intake.take(_seen("/out/punk-000004.safetensors", "quarantined", "It ends too early."))
        intake.take(_seen("/out/vae.safetensors", "refused", "It is a VAE."))
        with database.transaction() as connection:
            told = rows(connection, "actions.recent", kind="alert", limit=9)
    assert {each["payload"]["title"]: each["payload"]["body"] for each in told} == {
        "punk-000003.safetensors: waits for space": "Only 90 MB are free where checkpoints are copied.",
        "punk-000004.safetensors: is damaged": "It ends too early.",
    }
    logged = capsys.readouterr().out
    assert logged.count("file is not used") == 3
    assert "vae.safetensors" in logged
