"""What the dashboard asks is answered from what the daemon wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from core.store import gallery, scores
from core.store.database import Database
from databases import migrated_database
from seeded_history import HOSTILE, MemoryStore, Seeded, seed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from core.store.database import Connection


@pytest.fixture(scope="module")
def seeded(server_dsn: str) -> Iterator[tuple[Database, Seeded]]:
    """A database with the sample history."""
    with migrated_database(server_dsn) as dsn:
        with psycopg.connect(dsn) as connection:
            runs = seed(connection, MemoryStore())
        with Database(dsn) as database:
            yield database, runs


@pytest.fixture
def connection(seeded: tuple[Database, Seeded]) -> Iterator[Connection]:
    """A connection inside a transaction that is undone."""
    with seeded[0].transaction() as open_connection:
        yield open_connection
        raise psycopg.Rollback


@pytest.fixture
def runs(seeded: tuple[Database, Seeded]) -> Seeded:
    """The ids of the sample runs."""
    return seeded[1]


def test_the_run_in_progress_comes_first(connection: Connection, runs: Seeded) -> None:
    """Then the newest."""
    found = gallery.runs(connection)
    assert [each.id for each in found] == [runs.live, runs.hostile, runs.blocked, runs.parked]
    assert (found[0].checkpoints, found[0].scored) == (9, 8)


def test_names_come_back_as_they_were_written(connection: Connection, runs: Seeded) -> None:
    """Escaping is the page's business, not the memory's."""
    facts = gallery.run(connection, runs.hostile)
    assert facts is not None
    assert facts["run_name"] == HOSTILE
    assert gallery.run(connection, 999_999) is None


def test_pictures_are_ordered_by_prompt_then_position(connection: Connection, runs: Seeded) -> None:
    """The baseline leads, and what is not drawn yet has a slot."""
    found = gallery.pictures(connection, runs.live)
    first = [each for each in found if each.ordinal == 0]
    assert [each.position for each in first] == [None, *range(1, 10)]
    assert len(found) == 120
    assert sum(each.image_sha256 is None and each.defect is None for each in found) == 7
    assert [each.position for each in found if each.defect] == [2]


def test_a_superseded_checkpoints_pictures_make_way(connection: Connection, runs: Seeded) -> None:
    """A retrained epoch shows its new pictures only."""
    connection.execute(
        "UPDATE epochwatch.checkpoints SET superseded = TRUE WHERE run_id = %s AND position = 3",
        (runs.live,),
    )
    assert 3 not in {each.position for each in gallery.pictures(connection, runs.live)}


def test_a_checkpoint_says_how_far_its_test_is(connection: Connection, runs: Seeded) -> None:
    """Asked, drawn, measured and lost are counted apart."""
    lines = {each.position: each for each in gallery.checkpoints(connection, runs.live)}
    assert (lines[9].asked, lines[9].drawn, lines[9].drawing) == (12, 5, True)
    assert (lines[2].measured, lines[2].defects) == (11, 1)
    parked = gallery.checkpoints(connection, runs.parked)[0]
    assert parked.parked_reason is not None
    assert parked.attempts == 3


def test_the_newest_pictures_come_first(connection: Connection, runs: Seeded) -> None:
    """The page shows them as they are drawn."""
    found = gallery.newest(connection, runs.live, 6)
    assert [each.position for each in found] == [9, 9, 9, 9, 9, 8]


def test_a_picture_has_all_its_numbers(connection: Connection, runs: Seeded) -> None:
    """And belongs to its run: an id from elsewhere finds nothing."""
    sample = gallery.newest(connection, runs.live, 1)[0].sample_id
    detail = gallery.picture(connection, runs.live, sample)
    assert detail is not None
    assert detail.body is not None
    assert detail.body["metrics"]["accessories"]["value"] is None
    assert isinstance(detail.visual, float)
    assert gallery.picture(connection, runs.hostile, sample) is None


def test_a_persons_last_word_counts_and_moves_the_revision(
    connection: Connection, runs: Seeded
) -> None:
    """Scores are appended; the latest of a judge is shown."""
    before = gallery.revision(connection)
    scores.add(connection, runs.live, 5, "Mara", 5, 5, 5, "first")
    scores.add(connection, runs.live, 5, "Mara", 6, 7, 8, "second")
    mine = [each for each in gallery.person_scores(connection, runs.live) if each.position == 5]
    assert [(each.average, each.note) for each in mine] == [(7.0, "second")]
    assert gallery.revision(connection) > before


def test_refused_files_alerts_work_and_machines_are_told(
    connection: Connection, runs: Seeded
) -> None:
    """Each with its reason."""
    assert {each.state for each in gallery.refused(connection)} == {"refused", "quarantined"}
    assert {each.state for each in gallery.alerts(connection)} == {"done", "failed"}
    assert gallery.work(connection, runs.parked).parked == 1
    assert gallery.work(connection, runs.live).drawing == 1
    assert gallery.hosts(connection)[0].silent_seconds < 60
    assert [each.ordinal for each in gallery.trainer_samples(connection, runs.live)] == [0, 1, 2]


def test_a_run_without_anything_has_empty_answers(connection: Connection) -> None:
    """Nothing is None that should be empty."""
    assert gallery.advice(connection, 999_999) is None
    assert gallery.pictures(connection, 999_999) == ()
    assert gallery.work(connection, 999_999).open == 0
