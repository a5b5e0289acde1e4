"""The owner's tables as a projection of our results, under one rule that keeps people's words safe.

The machine fills an empty cell or replaces what it wrote itself; ``epochwatch.written`` remembers
what that was. A cell somebody emptied counts as empty and is filled again.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from core.errors import Permanent, Retryable
from core.nouns import digest
from core.store.database import Connection, Row, row, rows
from core.store.statements import statement

Cells = Mapping[str, Any]

# Every cell we may ever write, besides a row's keys when it is added.
# fmt: off
COLUMNS: Mapping[str, frozenset[str]] = {
    "training_runs": frozenset({
        "status", "base_model", "model_type", "training_data_path", "num_images",
        "caption_format", "caption_version", "resolution", "network_dim", "network_alpha",
        "learning_rate", "unet_lr", "text_encoder_lr", "train_batch_size",
        "gradient_accumulation_steps", "max_train_epochs", "total_steps", "mixed_precision",
        "optimizer_type", "lr_scheduler", "lr_scheduler_cycles", "noise_offset",
        "min_snr_gamma", "output_dir", "output_name", "checkpoint_file_size_mb", "platform",
        "gpu_type", "training_duration_hours", "best_epoch", "overall_verdict", "quality_score",
        "production_ready", "key_findings", "issues_found", "strengths", "comparison_notes",
        "recommended_for", "notes", "parent_run_id", "starting_checkpoint",
        "convergence_status", "convergence_epoch", "position_unit", "model_family",
    }),
    "epoch_results": frozenset({
        "checkpoint_path", "checkpoint_file_size_mb", "test_output_dir", "num_test_images",
        "visual_quality_score", "style_match_score", "prompt_adherence_score",
        "has_wrong_backgrounds", "has_random_pixels", "has_wrong_colors", "is_photorealistic",
        "is_overtrained", "issues_detail", "strengths_detail", "verdict", "production_ready",
        "observations", "comparison_to_previous", "test_image_paths", "notes", "visual_score",
        "style_score", "prompt_score", "average_score", "color_accuracy_score",
        "style_quality_score", "background_color", "unique_colors", "convergence_status",
        "picked", "updated_at",
    }),
    "prompt_test_results": frozenset({
        "test_prompt_id", "image_path", "passed", "correct_background_color",
        "correct_hair_color", "correct_eye_color", "accessories_visible", "is_pixel_art",
        "has_random_artifacts", "observations", "score", "seed", "score_exact",
    }),
    "test_prompts": frozenset({"purpose", "expected_result"}),
}
# fmt: on


def insert_run(connection: Connection, cells: Cells) -> int | None:
    """Add a run the machine found and return its id; None when its ``run_name`` is taken.

    ``run_date`` and every other aware time is stored in UTC, as all times in these tables are.
    """
    keys = {name: value for name, value in cells.items() if name in {"run_name", "run_date"}}
    rest = {name: value for name, value in cells.items() if name not in keys}
    return _insert(connection, "training_runs", keys, rest)


def write_run(connection: Connection, run_id: int, cells: Cells) -> None:
    """Fill the run's cells under the one rule; Permanent when the run was deleted."""
    _lock(connection, "training_runs", run_id)
    _fill(connection, "training_runs", run_id, cells)


def finish_run(connection: Connection, run_id: int) -> None:
    """Mark a run completed for a person, and leave the cell the machine's: a new checkpoint opens it."""
    _type_in(connection, "training_runs", run_id, {"status": "completed"})
    _execute(connection, "own", "training_runs", id=run_id, names=["status"])


def write_epoch(connection: Connection, run_id: int, epoch_number: int, cells: Cells) -> int:
    """Fill or add the row of one position under the one rule; return its ``epoch_results.id``.

    ``updated_at`` follows by itself. Raises Permanent when the run was deleted.
    """
    _lock(connection, "training_runs", run_id)
    keys = {"training_run_id": run_id, "epoch_number": epoch_number}
    now = {"updated_at": datetime.now(UTC)}
    row_id, is_new = _found_or_added(connection, "epoch_results", keys, {**cells, **now})
    if not is_new and _fill(connection, "epoch_results", row_id, cells):
        _fill(connection, "epoch_results", row_id, now)
    return row_id


def write_prompt_result(
    connection: Connection, epoch_result_id: int, sample_id: str, test_prompt_id: int, cells: Cells
) -> int:
    """Fill or add the row of one image under the one rule; return its id.

    Raises Permanent when the epoch's row was deleted.
    """
    _lock(connection, "epoch_results", epoch_result_id)
    keys = {"epoch_result_id": epoch_result_id, "sample_id": sample_id}
    cells = {**cells, "test_prompt_id": test_prompt_id}
    row_id, is_new = _found_or_added(connection, "prompt_test_results", keys, cells)
    if not is_new:
        _fill(connection, "prompt_test_results", row_id, cells)
    return row_id


def test_prompt_id(
    connection: Connection,
    name: str,
    text: str,
    negative: str | None,
    cells: Cells = MappingProxyType({}),  # noqa: PT028 - the id of a test prompt, not a test
) -> int:
    """Return the id of the one row with this text and negative prompt, added when it is new.

    It is called ``name`` if that is free, else ``name#`` and the first 8 hex digits of the texts'
    digest. ``cells`` (purpose, expected_result) are given to a new row only.
    """
    negative = negative or ""
    texts = digest([text, negative])
    for taking_turns in (False, True):
        if taking_turns:
            rows(connection, "owners_tables.lock_prompt_text", digest=texts)
        found = row(connection, "owners_tables.prompt_by_text", text=text, negative=negative)
        if found is not None:
            return int(found["id"])
    for free in (name, f"{name}#{texts[:8]}", f"{name}#{texts}"):
        keys = {"prompt_name": free, "prompt_text": text, "negative_prompt": negative or None}
        new_id = _insert(connection, "test_prompts", keys, cells)
        if new_id is not None:
            return new_id
    raise Permanent(f"The test prompt {name!r} cannot be stored: its name is taken in every form.")


def type_run(connection: Connection, run_id: int, cells: Cells) -> None:
    """Write what a person says about a run; the machine leaves these cells alone from now on."""
    _type_in(connection, "training_runs", run_id, cells)


def type_epoch(connection: Connection, run_id: int, epoch_number: int, cells: Cells) -> int:
    """Write what a person says about a position, added when it is new; return its row's id."""
    epoch_id = write_epoch(connection, run_id, epoch_number, {})
    _type_in(connection, "epoch_results", epoch_id, cells)
    _fill(connection, "epoch_results", epoch_id, {"updated_at": datetime.now(UTC)})
    return epoch_id


def give_back_run(connection: Connection, run_id: int, said: Cells, cells: Cells) -> None:
    """Take back what was ``said`` of a run for a person.

    Where a cell still holds it, the machine's word of ``cells`` takes its place and is the
    machine's to change again; what somebody has changed since stays. Nothing for a deleted run.
    """
    if _execute(connection, "lock", "training_runs", id=run_id).fetchone() is not None:
        _give_back(connection, "training_runs", run_id, said, cells)


def give_back_epoch(
    connection: Connection, run_id: int, epoch_number: int, said: Cells, cells: Cells
) -> None:
    """Take back what was ``said`` of a position for a person, as ``give_back_run`` does."""
    if _execute(connection, "lock", "training_runs", id=run_id).fetchone() is None:
        return
    keys = {"training_run_id": run_id, "epoch_number": epoch_number}
    found = row(connection, "owners_tables.find_epoch_results", **keys)
    if found is not None and _give_back(connection, "epoch_results", found["id"], said, cells):
        _fill(connection, "epoch_results", found["id"], {"updated_at": datetime.now(UTC)})


def _give_back(connection: Connection, table: str, row_id: int, said: Cells, cells: Cells) -> bool:
    """Replace what a held row was told where it still stands; return whether anything did."""
    found = _execute(connection, "still", table, id=row_id, said=Jsonb(dict(said))).fetchall()
    names = [each["name"] for each in found if each["name"] in cells]
    _type_in(connection, table, row_id, dict.fromkeys(names))  # an empty cell is the machine's
    _fill(connection, table, row_id, {name: cells[name] for name in names})
    return bool(names)


def _lock(connection: Connection, table: str, row_id: int) -> None:
    if _execute(connection, "lock", table, id=row_id).fetchone() is None:
        raise Permanent(
            f"Row {row_id} of {table} was deleted in the database, so its results are not written "
            "there. The images and measurements are kept."
        )


def _found_or_added(
    connection: Connection, table: str, keys: Cells, cells: Cells
) -> tuple[int, bool]:
    """Hold the row with these keys; return its id and whether it was added just now.

    The caller's lock on the parent row keeps our other writers out; a person may still be faster.
    """
    for _ in range(2):
        found = row(connection, f"owners_tables.find_{table}", **keys)
        if found is not None:
            return int(found["id"]), False
        new_id = _insert(connection, table, keys, cells)
        if new_id is not None:
            return new_id, True
    raise Retryable(f"A row of {table} came and went while it was being written.")


def _fill(connection: Connection, table: str, row_id: int, cells: Cells) -> bool:
    """Write the cells of a held row that are free to write; return whether anything changed."""
    _check(table, cells)
    free = _execute(connection, "free_cells", table, id=row_id, names=list(cells)).fetchall()
    names = sorted(found["name"] for found in free)
    if not names:
        return False
    chosen = {name: cells[name] for name in names}
    return _write(connection, "fill", table, chosen, id=row_id).rowcount > 0


def _insert(connection: Connection, table: str, keys: Cells, cells: Cells) -> int | None:
    _check(table, cells)
    stored = _write(connection, "insert", table, {**keys, **cells}).fetchone()
    return None if stored is None else int(stored["id"])


def _type_in(connection: Connection, table: str, row_id: int, cells: Cells) -> None:
    _check(table, cells)
    _lock(connection, table, row_id)
    if cells:
        _write(connection, "type_in", table, cells, id=row_id)
        _execute(connection, "forget", table, id=row_id, names=list(cells))


def _check(table: str, cells: Cells) -> None:
    unknown = sorted(set(cells) - COLUMNS[table])
    if unknown:
        raise ValueError(f"not a cell we write in {table}: {', '.join(unknown)}")


def _write(
    connection: Connection, name: str, table: str, cells: Cells, **values: Any
) -> psycopg.Cursor[Row]:
    """Run a statement whose columns are the names of ``cells``, all from the fixed lists above."""
    columns = [sql.Identifier(column) for column in cells]
    holders = [sql.Placeholder(f"cell_{column}") for column in cells]
    pairs = [sql.SQL("{} = {}").format(*pair) for pair in zip(columns, holders, strict=True)]
    composed = sql.SQL(statement(f"owners_tables.{name}")).format(
        table=sql.Identifier(table),
        columns=sql.SQL(", ").join(columns),
        values=sql.SQL(", ").join(holders),
        assignments=sql.SQL(", ").join(pairs),
    )
    bound = {f"cell_{column}": _bound(column, value) for column, value in cells.items()}
    return connection.execute(composed, {**bound, **values, "table": table, "names": list(cells)})


def _execute(connection: Connection, name: str, table: str, **values: Any) -> psycopg.Cursor[Row]:
    text = sql.SQL(statement(f"owners_tables.{name}"))
    return connection.execute(text.format(table=sql.Identifier(table)), {**values, "table": table})


def _bound(column: str, value: Any) -> Any:
    """Return ``value`` as it travels: exact decimals, UTC times without zone, lists."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{column}: {value} is not a number; an unknown value is None")
        return Decimal(repr(float(value)))
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).replace(tzinfo=None)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return list(value)
    return value
