"""Files come into the database: what is drawn once for two of them, and what is not."""

from __future__ import annotations

from pathlib import Path

import checkpoints_made as made
from core.store import migrate
from core.store.database import Database
from core.store.files import LocalStore
from daemon.intake import Intake
from daemon.spool import Spool


def test_the_same_numbers_under_other_names_are_another_lora(
    fresh_dsn: str, tmp_path: Path
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
    migrate.migrate(fresh_dsn)
    with Database(fresh_dsn) as database:
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
