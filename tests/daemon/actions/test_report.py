"""A report and the picture of an alert, made from a database as the daemon leaves it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from PIL import Image

from core.charts.progress import Progress
from core.reports.run_report import run_report
from core.store import gallery
from core.store.database import Database, rows
from core.store.files import ImageStore, open_store
from daemon.actions.picture import contact_sheet_of
from daemon.actions.report import story_of, write_report
from databases import migrated_database
from seeded_history import HOSTILE, Seeded, seed


@dataclass(frozen=True, kw_only=True)
class House:
    """A database with runs in every state, and the pictures that belong to it."""

    database: Database
    store: ImageStore
    folder: Path
    runs: Seeded


@pytest.fixture(scope="module")
def house(server_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Give a seeded house."""
    folder = tmp_path_factory.mktemp("store")
    store = open_store(folder)
    with migrated_database(server_dsn) as dsn:
        with psycopg.connect(dsn) as connection:
            runs = seed(connection, store)
        with Database(dsn) as database:
            yield House(database=database, store=store, folder=folder, runs=runs)


def _sheet(house: House, **action: Any) -> Image.Image | None:
    with house.database.transaction() as connection:
        png = contact_sheet_of(connection, house.store, {"run_id": house.runs.live, **action})
    return Image.open(io.BytesIO(png)) if png else None


def test_a_story_tells_what_the_database_knows(house: House) -> None:
    """Every position with its pictures, the baseline first, a reason where there is none."""
    with house.database.transaction() as connection:
        story = story_of(connection, house.store, house.runs.live)
    assert story.run_name == "punk-portraits-v7"
    assert story.positions == list(range(1, 10))
    assert len(story.grid) == 12
    assert all(len(row.cells) == 10 for row in story.grid)
    notes = {cell.note for row in story.grid for cell in row.cells if cell.image is None}
    assert any("came out black" in note for note in notes)
    assert story.progress.pick == 7


def test_what_may_mislead_stands_with_the_pictures_of_the_epochs(house: House) -> None:
    """Once above all of them in the report, and with each picture in its close-up."""
    live = house.runs.live
    with house.database.transaction() as connection:
        connection.execute(
            b"UPDATE epochwatch.run_setups SET doubts = %s WHERE run_id = %s",
            (["The base <b>model</b> is unverified."], live),
        )
        story = story_of(connection, house.store, live)
        first = gallery.pictures(connection, live)[0]
        detail = gallery.picture(connection, live, first.sample_id)
        connection.execute(b"UPDATE epochwatch.run_setups SET doubts = '{}'")
    bare = replace(story, progress=Progress(averages={}))  # without charts, which take seconds
    page = run_report(bare)
    assert page.count("Before you trust this test: one thing to know") == 1
    assert page.count("The base &lt;b&gt;model&lt;/b&gt; is unverified.") == 1
    assert "Before you trust" not in run_report(replace(bare, doubts=()))
    assert detail is not None
    assert list(detail.doubts) == ["The base <b>model</b> is unverified."]


def test_a_report_is_written_whole(house: House, tmp_path: Path) -> None:
    """Finished under a hostile name, or blocked before its first picture; no half file is left."""
    for run_id in (house.runs.hostile, house.runs.blocked):
        with house.database.transaction() as connection:
            path = write_report(connection, house.store, run_id, tmp_path / "reports")
        assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")
        assert HOSTILE not in path.read_text(encoding="utf-8")
    assert len(list((tmp_path / "reports").iterdir())) == 2


def test_a_run_that_is_not_there_has_no_report(house: House, tmp_path: Path) -> None:
    """And no file either."""
    with house.database.transaction() as connection, pytest.raises(LookupError):
        write_report(connection, house.store, 10_000, tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_alert_shows_the_pick_beside_the_baseline(house: House) -> None:
    """Six prompts, two tiles each, four in a row."""
    sheet = _sheet(house, payload={"pick": 7})
    assert sheet is not None
    assert sheet.size == (828, 12 + 3 * 222)


@pytest.mark.parametrize("payload", [{}, {"pick": None}, {"pick": 99}])
def test_an_alert_without_a_pick_has_no_picture(house: House, payload: dict[str, Any]) -> None:
    """A failure, or the first minute of a run."""
    assert _sheet(house, payload=payload) is None


def test_a_picture_that_is_gone_leaves_the_others(house: House) -> None:
    """Somebody cleaned the store; the alert still shows what there is."""
    with house.database.transaction() as connection:
        results = rows(connection, "results.of_run", run_id=house.runs.live)
    name = next(each["image_sha256"] for each in results if each["position"] == 7)
    path = house.folder / "images" / name[:2] / f"{name}.png"
    aside = path.rename(house.folder / "aside")
    sheet = _sheet(house, payload={"pick": 7})
    aside.rename(path)
    assert sheet is not None
    last = sheet.crop((624, 456, 816, 648)).getcolors()
    assert last == [(192 * 192, (24, 24, 27))]
