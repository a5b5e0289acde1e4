"""Runs and checkpoints register themselves, exactly once, on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from core.nouns import CheckpointFacts
from core.store import owners_tables
from core.store.database import Connection, Database, row, rows
from core.store.registration import Arrival, register

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)


@pytest.fixture
def connection(migrated_dsn: str) -> Iterator[Connection]:
    """Give a connection to a migrated database."""
    with Database(migrated_dsn) as database, database.transaction() as connection:
        yield connection


def facts(**changes: Any) -> CheckpointFacts:
    """Return what a kohya header says, with changes."""
    told = CheckpointFacts(
        family="sd1", kind="lora", layout="kohya", output_name="punk", session_id="111", epoch=1,
        step=50, planned_epochs=10, planned_steps=500, is_final=False, base_model_name="v1-5",
        base_model_sha256=None, rank=32, alpha=16.0, saved_at=NOW, body_sha256_claimed=None,
        module_count=10, training={"network_dim": 32, "network_alpha": 16, "learning_rate": 1e-4},
    )  # fmt: skip
    return replace(told, **changes)


def arrival(number: int, told: CheckpointFacts, **changes: Any) -> Arrival:
    """Return an arrival whose content is numbered."""
    made = Arrival(
        sha256=f"{number:064x}", body_sha256=f"{number + 1000:064x}", size_bytes=36_000_000,
        facts=told, facts_json={}, host="pod", root="/out", source_path=f"/out/{number}.safetensors",
        file_name=f"{number}.safetensors", closed_at=NOW, admitted_at=NOW,
    )  # fmt: skip
    return replace(made, **changes)


def test_a_session_is_one_run_and_registering_twice_changes_nothing(connection: Connection) -> None:
    """All epochs of a trainer's session join one run, whose row is filled from the metadata."""
    first = register(connection, arrival(1, facts()))
    assert register(connection, arrival(2, facts(epoch=2))) == first
    assert register(connection, arrival(1, facts())) == first
    current = rows(connection, "checkpoints.current", run_id=first)
    assert [each["position"] for each in current] == [1, 2]
    about = connection.execute("SELECT * FROM public.training_runs").fetchall()
    assert len(about) == 1
    assert about[0]["network_dim"] == 32
    assert about[0]["learning_rate"] == pytest.approx(1e-4)
    assert about[0]["max_train_epochs"] == 10
    assert about[0]["model_type"] == "SD15"
    assert about[0]["checkpoint_file_size_mb"] == 36


def test_a_new_session_that_goes_on_joins_and_one_that_starts_over_does_not(
    connection: Connection,
) -> None:
    """A resumed training is the same run; a rerun under the same name is a run of its own."""
    first = register(connection, arrival(1, facts()))
    resumed = register(connection, arrival(2, facts(session_id="222", epoch=2)))
    again = register(connection, arrival(3, facts(session_id="333", epoch=1)))
    names = connection.execute("SELECT run_name FROM public.training_runs ORDER BY id").fetchall()
    assert resumed == first
    assert again != first
    assert [each["run_name"] for each in names] == ["punk", "punk (2)"]


def test_other_dimensions_are_another_run(connection: Connection) -> None:
    """The same name with another rank is not a continuation."""
    first = register(connection, arrival(1, facts()))
    other = register(
        connection,
        arrival(2, facts(session_id="222", epoch=2, rank=64, training={"network_dim": 64})),
    )
    assert other != first


def test_a_row_made_by_hand_is_found_and_not_overwritten(connection: Connection) -> None:
    """A run the owner entered before training is joined; what they typed stays."""
    connection.execute(
        "INSERT INTO public.training_runs (run_name, run_date, status, base_model, model_type,"
        " network_dim, notes) VALUES ('punk', now(), 'in_progress', 'runwayml/v1-5', 'SD15', 32, 'mine')"
    )
    joined = register(connection, arrival(1, facts()))
    about = connection.execute("SELECT * FROM public.training_runs").fetchall()
    assert [each["id"] for each in about] == [joined]
    assert about[0]["base_model"] == "runwayml/v1-5"
    assert about[0]["notes"] == "mine"
    assert about[0]["network_alpha"] == 16


def test_a_run_that_was_finished_by_hand_goes_on_with_a_new_checkpoint(
    connection: Connection,
) -> None:
    """The same file again is no news; the next one takes back that the run is over."""
    run_id = register(connection, arrival(1, facts(epoch=1)))
    owners_tables.finish_run(connection, run_id)
    assert _status(connection, run_id) == "completed"
    register(connection, arrival(1, facts(epoch=1)))
    assert _status(connection, run_id) == "completed"
    register(connection, arrival(2, facts(epoch=2)))
    assert _status(connection, run_id) == "in_progress"
    owners_tables.type_run(connection, run_id, {"status": "completed"})
    register(connection, arrival(3, facts(epoch=3)))
    assert _status(connection, run_id) == "completed"


def _status(connection: Connection, run_id: int) -> str:
    found = row(connection, "runs.get", run_id=run_id)
    assert found is not None
    return str(found["status"])


def test_a_new_file_at_a_position_supersedes_the_old_one(connection: Connection) -> None:
    """Same epoch, new content: the new file is current, the old one is kept as superseded."""
    run_id = register(connection, arrival(1, facts()))
    register(connection, arrival(2, facts()))
    register(connection, arrival(1, facts()))  # seen again: it does not come back
    current = rows(connection, "checkpoints.current", run_id=run_id)
    assert [each["sha256"] for each in current] == [f"{2:064x}"]


def test_equal_weights_under_two_names_are_drawn_once(connection: Connection) -> None:
    """The final file with the tensors of an epoch file is drawn as that file."""
    run_id = register(connection, arrival(1, facts()))
    register(connection, arrival(2, facts(epoch=2), body_sha256=f"{1001:064x}"))
    drawn = {each["drawn_as"] for each in rows(connection, "checkpoints.current", run_id=run_id)}
    assert drawn == {f"{1:064x}"}


def test_a_named_run_takes_everything(connection: Connection) -> None:
    """--run NAME wins over sessions."""
    first = register(connection, arrival(1, facts(), run_name="mine"))
    assert (
        register(connection, arrival(2, facts(session_id="9", epoch=2), run_name="mine")) == first
    )


def test_a_run_that_saves_by_step_is_counted_in_steps(connection: Connection) -> None:
    """Step saves have their step as position; the last save, which knows its epoch, too."""
    run_id = register(connection, arrival(1, facts(epoch=None, step=50, is_step_save=True)))
    register(connection, arrival(2, facts(epoch=None, step=100, is_step_save=True)))
    register(connection, arrival(3, facts(epoch=10, step=500, is_final=True)))
    assert _positions(connection, run_id) == [50, 100, 500]
    about = connection.execute("SELECT position_unit FROM public.training_runs").fetchall()
    assert about[0]["position_unit"] == "step"


def test_step_saves_between_epochs_have_no_position(connection: Connection) -> None:
    """A run that saves by step and by epoch is counted in epochs, whichever came first."""
    run_id = register(connection, arrival(1, facts(epoch=None, step=25, is_step_save=True)))
    assert _positions(connection, run_id) == [25]
    register(connection, arrival(2, facts(epoch=1, step=50)))
    register(connection, arrival(3, facts(epoch=None, step=75, is_step_save=True)))
    assert _positions(connection, run_id) == [1]


def _positions(connection: Connection, run_id: int) -> list[int]:
    current = rows(connection, "checkpoints.current", run_id=run_id)
    return [each["position"] for each in current]


def positions(connection: Connection, run_id: int) -> dict[int, int]:
    """Return the number of each current checkpoint's content by position."""
    current = rows(connection, "checkpoints.current", run_id=run_id)
    return {each["position"]: int(each["sha256"], 16) for each in current}


@pytest.mark.parametrize("order", [1, -1])
def test_a_last_save_without_a_number_stands_after_all_others(
    connection: Connection, order: int
) -> None:
    """As diffusers and PEFT leave it on top of the folder; it moves on when more steps come."""
    last = facts(epoch=None, step=None, planned_epochs=None, planned_steps=None, is_final=True)
    steps = [replace(last, step=number, is_final=False) for number in (500, 1000)]
    arrivals = [arrival(1, steps[0]), arrival(2, steps[1]), arrival(9, last)]
    for one in arrivals[::order]:  # the last save may be the first to be seen
        run_id = register(connection, one)
    assert positions(connection, run_id) == {500: 1, 1000: 2, 1001: 9}
    register(connection, arrival(3, replace(steps[0], step=1500)))
    assert positions(connection, run_id) == {500: 1, 1000: 2, 1500: 3, 1501: 9}
    register(connection, arrival(10, last))  # trained again: the newer one counts
    assert positions(connection, run_id) == {500: 1, 1000: 2, 1500: 3, 1501: 10}


def test_a_last_save_stands_at_the_planned_end(connection: Connection) -> None:
    """Where the run's plan is known; past that end, after the others again."""
    first = register(connection, arrival(1, facts(epoch=8, planned_epochs=10)))
    register(connection, arrival(9, facts(epoch=None, step=None, is_final=True)))
    assert positions(connection, first) == {8: 1, 10: 9}
    register(connection, arrival(2, facts(epoch=12, planned_epochs=10)))
    assert positions(connection, first) == {8: 1, 12: 2, 13: 9}
