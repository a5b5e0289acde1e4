"""What a run is tested with follows what its trainer wrote; what may mislead is kept beside it."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from checkpoints_made import kohya_file
from core.formats.checkpoint_file import facts
from core.formats.checkpoint_header import Header, read_header
from core.formats.checkpoint_metadata import storable
from core.nouns import Recipe
from core.settings import load_settings
from core.store import migrate
from core.store.database import Database, Row, row
from core.store.registration import Arrival, register
from daemon.demo.story import DATASET, MODEL, SUITE
from daemon.preparation import Preparation

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)


@pytest.fixture
def database(fresh_dsn: str) -> Database:
    """Give a migrated database, not opened yet."""
    migrate.migrate(fresh_dsn)
    return Database(fresh_dsn)


def prepared(database: Database, folder: Path, *, suite: Path | None, **metadata: str) -> Row:
    """Register one checkpoint with this metadata, prepare its run, and return the run."""
    path = kohya_file(folder / "punk-000001.safetensors", 1, **metadata)
    header = read_header(path)
    assert isinstance(header, Header)
    data = folder / "data"
    data.mkdir()
    for file in sorted(DATASET.iterdir())[:16]:
        shutil.copy(file, data)
    settings = load_settings(
        home=folder, base_model=str(MODEL), data=data, suite=suite, host_name="pod"
    )
    with database:
        with database.transaction() as connection:
            run_id = register(
                connection,
                Arrival(
                    sha256="1" * 64, body_sha256="2" * 64, size_bytes=path.stat().st_size,
                    facts=facts(header, path.name), facts_json=storable(header.metadata),
                    host="pod", root=str(folder), source_path=str(path), file_name=path.name,
                    closed_at=NOW, admitted_at=NOW,
                ),
            )  # fmt: skip
        Preparation(database=database, settings=settings).prepare()
        with database.transaction() as connection:
            about = row(connection, "gallery.run", run_id=run_id)
            suite_row = connection.execute(
                b"SELECT d.body FROM epochwatch.run_setups s"
                b" JOIN epochwatch.documents d ON d.digest = s.suite"
            ).fetchone()
    assert about is not None
    assert suite_row is not None
    return about | {"recipe": suite_row["body"]["recipe"]}


def test_a_derived_suite_draws_as_the_trainer_trained(database: Database, tmp_path: Path) -> None:
    """Size, clip skip and token length come from the metadata, so that nothing is left to doubt."""
    about = prepared(database, tmp_path, suite=None, ss_clip_skip="2", ss_max_token_length="150")
    recipe = about["recipe"]
    assert (recipe["width"], recipe["clip_skip"], recipe["token_length"]) == (512, 2, 150)
    assert not [each for each in about["doubts"] if "suite's recipe" in each]


def test_a_suite_that_differs_from_the_training_is_doubted(
    database: Database, tmp_path: Path
) -> None:
    """The demo's suite draws 96 pixels with clip skip 1; this run was trained otherwise."""
    about = prepared(database, tmp_path, suite=SUITE, ss_clip_skip="2")
    assert about["blocked_reason"] is None
    assert about["recipe"]["clip_skip"] == Recipe().clip_skip == 1
    told = " ".join(about["doubts"])
    assert "Trained at 512x512 pixels, tested at 96x96" in told
    assert "set clip_skip = 2" in told
