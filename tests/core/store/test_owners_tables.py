"""The one rule: the machine fills an empty cell or replaces its own words, and nothing else."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from core.errors import Permanent
from core.store import migrate, owners_tables
from core.store.database import Connection, Row
from databases import EXAMPLE_DATA, load, new_database
from whole_program import wait_for

NEW_RUN = {
    "run_name": "punks", "run_date": datetime(2026, 11, 20, tzinfo=UTC), "status": "in_progress",
    "base_model": "sd15", "model_type": "SD15",
}  # fmt: skip
SAMPLE = "a" * 64


@pytest.fixture(scope="module")
def example_dsn(server_dsn: str) -> Iterator[str]:
    """Give a migrated database with the example data, all of it typed by people."""
    with new_database(server_dsn, owner="plain_owner") as dsn:
        migrate.migrate(dsn)
        load(dsn, EXAMPLE_DATA)
        yield dsn


@pytest.fixture
def connection(example_dsn: str) -> Iterator[Connection]:
    """Give a connection whose work is rolled back."""
    with opened(example_dsn) as connection, connection.transaction(force_rollback=True):
        yield connection


def opened(dsn: str) -> Connection:
    """Connect the way the store does."""
    return psycopg.Connection[Row].connect(
        dsn, row_factory=dict_row, prepare_threshold=None, autocommit=True
    )


def run_called(connection: Connection, name: str) -> int:
    """Return the id of a run of the example data."""
    query = "SELECT id FROM public.training_runs WHERE run_name = %s"
    found = connection.execute(query, [name]).fetchone()
    assert found is not None
    return int(found["id"])


def new_run(connection: Connection, **cells: Any) -> int:
    """Return the id of a run that the machine made."""
    made = owners_tables.insert_run(connection, {**NEW_RUN, **cells})
    assert made is not None
    return made


def cells_of(connection: Connection, table: str, row_id: int) -> Row:
    """Return one row."""
    query = sql.SQL("SELECT *, xmin::text AS version FROM public.{} WHERE id = %s")
    found = connection.execute(query.format(sql.Identifier(table)), [row_id]).fetchone()
    assert found is not None
    return found


def by_hand(connection: Connection, row_id: int, assignment: str) -> None:
    """Edit an epoch's row as a person does in an SQL editor."""
    query = sql.SQL("UPDATE public.epoch_results SET {} WHERE id = %s").format(sql.SQL(assignment))
    assert connection.execute(query, [row_id]).rowcount == 1


def test_scores_typed_by_hand_survive_and_empty_cells_beside_them_are_filled(
    connection: Connection,
) -> None:
    """A 7 from before the machine, and the 8 it is changed to later, are never overwritten."""
    run_id = run_called(connection, "SD15_PERFECT_Nov9")
    machine = {"visual_quality_score": 3, "style_match_score": 4, "visual_score": 3.4}
    epoch_id = owners_tables.write_epoch(connection, run_id, 7, machine)
    first = cells_of(connection, "epoch_results", epoch_id)
    assert (first["visual_quality_score"], first["visual_score"]) == (9, Decimal("3.4"))

    by_hand(connection, epoch_id, "visual_quality_score = 8")
    owners_tables.write_epoch(connection, run_id, 7, machine | {"visual_score": 3.6})

    then = cells_of(connection, "epoch_results", epoch_id)
    assert (then["visual_quality_score"], then["style_match_score"]) == (8, 9)
    assert then["visual_score"] == Decimal("3.6")


def test_the_machine_replaces_its_own_words_until_a_person_changes_them(
    connection: Connection,
) -> None:
    """Re-scoring moves a score freely; after one edit it stays where the person put it."""
    run_id = new_run(connection)
    epoch_id = owners_tables.write_epoch(connection, run_id, 1, {"visual_quality_score": 5})
    for score in (6, 7):
        owners_tables.write_epoch(connection, run_id, 1, {"visual_quality_score": score})
        assert cells_of(connection, "epoch_results", epoch_id)["visual_quality_score"] == score
    by_hand(connection, epoch_id, "visual_quality_score = 2")
    owners_tables.write_epoch(connection, run_id, 1, {"visual_quality_score": 9})
    assert cells_of(connection, "epoch_results", epoch_id)["visual_quality_score"] == 2


def test_a_value_typed_before_stays_a_persons_even_if_the_machine_once_agreed(
    connection: Connection,
) -> None:
    """Writing the same 9 does not make the 9 the machine's."""
    run_id = run_called(connection, "SD15_PERFECT_Nov9")
    owners_tables.write_epoch(connection, run_id, 7, {"visual_quality_score": 9})
    epoch_id = owners_tables.write_epoch(connection, run_id, 7, {"visual_quality_score": 4})
    assert cells_of(connection, "epoch_results", epoch_id)["visual_quality_score"] == 9


def test_a_cell_a_person_emptied_is_filled_again(connection: Connection) -> None:
    """Empty means empty, whoever emptied it."""
    run_id = new_run(connection)
    epoch_id = owners_tables.write_epoch(connection, run_id, 1, {"observations": "pale"})
    by_hand(connection, epoch_id, "observations = NULL")
    owners_tables.write_epoch(connection, run_id, 1, {"observations": "still pale"})
    assert cells_of(connection, "epoch_results", epoch_id)["observations"] == "still pale"


def test_the_machine_takes_its_own_word_back_but_not_a_persons(connection: Connection) -> None:
    """What is unknown now is NULL again; a person's word is not."""
    run_id = new_run(connection)
    given = {"is_overtrained": True, "verdict": "good"}
    epoch_id = owners_tables.write_epoch(connection, run_id, 1, given)
    by_hand(connection, epoch_id, "verdict = 'best'")
    owners_tables.write_epoch(connection, run_id, 1, {"is_overtrained": None, "verdict": None})
    now = cells_of(connection, "epoch_results", epoch_id)
    assert (now["is_overtrained"], now["verdict"]) == (None, "best")


@pytest.mark.parametrize(
    ("column", "first", "second"),
    [
        ("visual_score", 22 / 3, 7.4),
        ("average_score", Decimal("7.3333333333333333333333333"), Decimal("7.30")),
        ("visual_score", 0.1 + 0.2, 1e-7),
        ("visual_score", 7, 7.5),
        ("visual_quality_score", 7.6, 7),
        ("issues_detail", ("wrong hair", 'a "quoted", {braced} one'), []),
        ("test_image_paths", [], ["a.png"]),
        ("has_random_pixels", False, True),
        ("observations", "50% done \\ 'so' {far} 🧢", ""),
        ("unique_colors", 12, 13),
    ],
)
def test_a_value_of_any_type_is_known_again(
    connection: Connection, column: str, first: Any, second: Any
) -> None:
    """Whatever rounding or zone it was stored with, the machine finds its own words again."""
    run_id = new_run(connection)
    owners_tables.write_epoch(connection, run_id, 1, {})
    epoch_id = owners_tables.write_epoch(connection, run_id, 1, {column: first})
    before = cells_of(connection, "epoch_results", epoch_id)[column]
    owners_tables.write_epoch(connection, run_id, 1, {column: second})
    after = cells_of(connection, "epoch_results", epoch_id)[column]
    assert before is not None
    assert after != before


def test_floats_of_a_run_are_known_again(connection: Connection) -> None:
    """A learning rate is a FLOAT; it is compared by value."""
    run_id = new_run(connection, learning_rate=1e-4 / 3)
    owners_tables.write_run(connection, run_id, {"learning_rate": 5e-5})
    assert cells_of(connection, "training_runs", run_id)["learning_rate"] == 5e-5


def test_times_are_stored_in_utc_whatever_the_session_thinks(connection: Connection) -> None:
    """The owner's TIMESTAMPs have no zone and mean UTC."""
    connection.execute("SET LOCAL TIME ZONE 'America/New_York'")
    when = datetime(2026, 11, 20, 20, tzinfo=timezone(timedelta(hours=-5)))
    run_id = new_run(connection, run_date=when)
    row = cells_of(connection, "training_runs", run_id)
    assert row["run_date"] == datetime(2026, 11, 21, 1)  # noqa: DTZ001 - the column has no zone
    epoch_id = owners_tables.write_epoch(connection, run_id, 1, {"verdict": "good"})
    stamps = cells_of(connection, "epoch_results", epoch_id)
    told = connection.execute("SELECT now()").fetchone()
    assert told is not None
    clocks = told["now"], datetime.now(UTC)  # a stamp is the server's or ours
    for stamp in (row["created_at"], row["updated_at"], stamps["updated_at"]):
        late = min(abs(stamp.replace(tzinfo=UTC) - clock) for clock in clocks)
        assert late < timedelta(minutes=5)


def test_saying_the_same_again_touches_nothing(connection: Connection) -> None:
    """The row is not written, so its time of change stays; a real change moves it."""
    run_id = new_run(connection)
    cells = {"visual_score": 22 / 3, "issues_detail": ["wrong hair"], "verdict": "good"}
    epoch_id = owners_tables.write_epoch(connection, run_id, 1, cells)
    before = cells_of(connection, "epoch_results", epoch_id)
    assert owners_tables.write_epoch(connection, run_id, 1, cells) == epoch_id
    owners_tables.write_run(connection, run_id, {"status": "in_progress"})
    assert cells_of(connection, "epoch_results", epoch_id) == before
    owners_tables.write_epoch(connection, run_id, 1, {"verdict": "skip"})
    assert cells_of(connection, "epoch_results", epoch_id)["updated_at"] > before["updated_at"]


def test_an_old_memory_never_speaks_for_a_new_row(connection: Connection) -> None:
    """After a reset of the ids, what was written into a deleted row is void."""
    epoch_id = owners_tables.write_epoch(connection, new_run(connection), 1, {"verdict": "skip"})
    connection.execute(
        'UPDATE epochwatch.written SET row_id = row_id + 1, cells = \'{"notes": "mine"}\' '
        "WHERE table_name = 'epoch_results'"
    )
    run_id = run_called(connection, "SD15_PERFECT_Nov9")
    assert owners_tables.write_epoch(connection, run_id, 1, {"verdict": "good"}) == epoch_id + 1
    by_hand(connection, epoch_id + 1, "notes = 'mine'")
    owners_tables.write_epoch(connection, run_id, 1, {"notes": "the machine's"})
    assert cells_of(connection, "epoch_results", epoch_id + 1)["notes"] == "mine"


def test_the_status_is_the_machines_until_a_person_sets_it(connection: Connection) -> None:
    """A run cancelled by a person stays cancelled, and one made by a person keeps its status."""
    run_id = new_run(connection)
    for said in ("completed", "in_progress"):
        owners_tables.write_run(connection, run_id, {"status": said})
        assert cells_of(connection, "training_runs", run_id)["status"] == said
    owners_tables.type_run(connection, run_id, {"status": "cancelled"})
    owners_tables.write_run(connection, run_id, {"status": "completed"})
    assert cells_of(connection, "training_runs", run_id)["status"] == "cancelled"
    by_hand_made = run_called(connection, "SDXL_Current")
    before = cells_of(connection, "training_runs", by_hand_made)["status"]
    owners_tables.write_run(connection, by_hand_made, {"status": "failed"})
    assert cells_of(connection, "training_runs", by_hand_made)["status"] == before != "failed"


def test_what_a_person_types_through_us_is_safe_even_if_the_machine_said_the_same(
    connection: Connection,
) -> None:
    """A promotion that confirms the machine's `best` makes it the person's."""
    run_id = new_run(connection)
    owners_tables.write_epoch(connection, run_id, 7, {"verdict": "best", "visual_score": 9.1})
    typed = {"verdict": "best", "production_ready": True}
    epoch_id = owners_tables.type_epoch(connection, run_id, 7, typed)
    again = {"verdict": "skip", "visual_score": 8.0}
    assert owners_tables.write_epoch(connection, run_id, 7, again) == epoch_id
    row = cells_of(connection, "epoch_results", epoch_id)
    assert (row["verdict"], row["production_ready"]) == ("best", True)
    assert row["visual_score"] == Decimal("8.0")
    assert owners_tables.type_epoch(connection, run_id, 8, {"notes": "new"}) != epoch_id


def test_a_taken_run_name_is_not_taken_over(connection: Connection) -> None:
    """The caller chooses another name; nothing of the person's run changes."""
    assert owners_tables.insert_run(connection, {**NEW_RUN, "run_name": "SDXL_Current"}) is None


def test_one_row_an_image_and_it_follows_the_same_rule(connection: Connection) -> None:
    """The sample is the key; a person's `passed` stays, the score moves."""
    run_id = new_run(connection)
    epoch_id = owners_tables.write_epoch(connection, run_id, 1, {})
    prompt_id = owners_tables.test_prompt_id(connection, "crown", "pink hair, gold crown", "")
    first = {"passed": True, "score": 7, "score_exact": 7.25, "seed": 2**62}
    row_id = owners_tables.write_prompt_result(connection, epoch_id, SAMPLE, prompt_id, first)
    connection.execute(
        "UPDATE public.prompt_test_results SET passed = FALSE WHERE id = %s", [row_id]
    )
    second = {"passed": True, "score": 8, "score_exact": 8.5, "seed": 2**62}
    assert row_id == owners_tables.write_prompt_result(
        connection, epoch_id, SAMPLE, prompt_id, second
    )
    row = cells_of(connection, "prompt_test_results", row_id)
    assert (row["passed"], row["score"], row["score_exact"]) == (False, 8, Decimal("8.5"))
    assert (row["seed"], row["test_prompt_id"]) == (2**62, prompt_id)


def test_one_test_prompt_for_each_pair_of_texts(connection: Connection) -> None:
    """The name stays if it is free, else it gets eight hex digits; no negative is an empty one."""
    plain = owners_tables.test_prompt_id(
        connection, "crown", "gold crown", None, {"purpose": "hats"}
    )
    assert owners_tables.test_prompt_id(connection, "another name", "gold crown", "") == plain
    other = owners_tables.test_prompt_id(connection, "crown", "gold crown", "blurry")
    assert other != plain
    names = [cells_of(connection, "test_prompts", one)["prompt_name"] for one in (plain, other)]
    assert names[0] == "crown"
    assert names[1].startswith("crown#")
    assert len(names[1]) == len("crown#") + 8
    assert cells_of(connection, "test_prompts", plain)["purpose"] == "hats"


def test_only_known_cells_can_be_written(connection: Connection) -> None:
    """Keys, unknown columns and anything that is no column at all are refused."""
    run_id = new_run(connection)
    for name in ("id", "run_name", "mood", "notes = 'x', status"):
        with pytest.raises(ValueError, match="not a cell"):
            owners_tables.write_run(connection, run_id, {name: "x"})
    with pytest.raises(ValueError, match="not a cell"):
        owners_tables.write_epoch(connection, run_id, 1, {"training_run_id": 7})


def test_no_column_of_the_lists_is_missing_in_the_tables(connection: Connection) -> None:
    """The fixed lists and the schema name the same columns, but for bookkeeping."""
    query = "SELECT column_name FROM information_schema.columns WHERE table_name = %s"
    keys = {
        "run_name", "run_date", "training_run_id", "epoch_number", "epoch_result_id", "sample_id",
        "prompt_name", "prompt_text", "negative_prompt",
    }  # fmt: skip
    for table, columns in owners_tables.COLUMNS.items():
        there = {row["column_name"] for row in connection.execute(query, [table])}
        assert columns <= there
        assert there - columns <= keys | {"id", "created_at", "updated_at"}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused(connection: Connection, value: float) -> None:
    """NaN would sort above every score; unknown is None."""
    with pytest.raises(ValueError, match="visual_score"):
        owners_tables.write_epoch(connection, new_run(connection), 1, {"visual_score": value})


def test_results_of_a_deleted_run_are_refused_in_words(connection: Connection) -> None:
    """The owner deleted it while we worked: the message says so, and the transaction lives on."""
    run_id = new_run(connection)
    connection.execute("DELETE FROM public.training_runs WHERE id = %s", [run_id])
    for write in (
        lambda: owners_tables.write_run(connection, run_id, {"notes": "x"}),
        lambda: owners_tables.write_epoch(connection, run_id, 1, {"notes": "x"}),
        lambda: owners_tables.write_prompt_result(connection, 10**6, SAMPLE, 1, {}),
    ):
        with pytest.raises(Permanent, match="deleted"):
            write()
    assert run_called(connection, "SDXL_Current")


def test_a_persons_edit_in_progress_is_waited_for_and_kept(migrated_dsn: str) -> None:
    """The row is locked while it is compared, so no edit falls between looking and writing."""
    with opened(migrated_dsn) as machine, opened(migrated_dsn) as person:
        run_id = new_run(machine)
        epoch_id = owners_tables.write_epoch(machine, run_id, 1, {"verdict": "good"})

        def rescore() -> None:
            with machine.transaction():
                owners_tables.write_epoch(machine, run_id, 1, {"verdict": "skip", "notes": "n"})

        with person.transaction():
            by_hand(person, epoch_id, "verdict = 'best'")
            writing = threading.Thread(target=rescore)
            writing.start()
            wait_for(lambda: _waits_for_a_row(migrated_dsn), what="the machine at the person's row")
        writing.join()
        row = cells_of(person, "epoch_results", epoch_id)
    assert (row["verdict"], row["notes"]) == ("best", "n")


def _waits_for_a_row(dsn: str) -> bool:
    with opened(dsn) as onlooker:
        found = onlooker.execute(
            "SELECT FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return found.rowcount > 0


def test_two_machines_that_write_the_same_at_the_same_time_make_one_row_each(
    migrated_dsn: str,
) -> None:
    """Eight writers of one position and one prompt: one row, no error."""
    with opened(migrated_dsn) as connection:
        run_id = new_run(connection)

    def write(number: int) -> tuple[int, int]:
        with opened(migrated_dsn) as connection, connection.transaction():
            epoch_id = owners_tables.write_epoch(connection, run_id, 1, {"unique_colors": number})
            prompt_id = owners_tables.test_prompt_id(connection, f"name {number}", "gold crown", "")
            owners_tables.write_prompt_result(connection, epoch_id, SAMPLE, prompt_id, {"score": 1})
            return epoch_id, prompt_id

    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(write, range(8)))
    assert len(made) == 1


def test_words_that_are_taken_back_are_the_machines_to_change_again(connection: Connection) -> None:
    """Only where they still stand; a deleted run or position is no trouble."""
    run_id = new_run(connection)
    said = {"verdict": "best", "production_ready": True}
    epoch_id = owners_tables.type_epoch(connection, run_id, 4, {**said, "notes": "mine"})
    by_hand(connection, epoch_id, "production_ready = NULL")
    owners_tables.give_back_epoch(
        connection, run_id, 4, said, {"verdict": "good", "production_ready": False}
    )
    found = cells_of(connection, "epoch_results", epoch_id)
    assert (found["verdict"], found["production_ready"], found["notes"]) == ("good", None, "mine")
    owners_tables.write_epoch(connection, run_id, 4, {"verdict": "skip", "notes": "ours"})
    found = cells_of(connection, "epoch_results", epoch_id)
    assert (found["verdict"], found["notes"]) == ("skip", "mine")
    owners_tables.give_back_epoch(connection, run_id, 5, said, said)
    owners_tables.give_back_epoch(connection, 0, 4, said, said)
    owners_tables.give_back_run(connection, 0, {"best_epoch": 4}, {"best_epoch": None})
