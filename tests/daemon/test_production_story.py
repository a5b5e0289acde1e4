"""Production as it happens: a real daemon draws a try and carries out what a page decided."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import pytest

from core import production
from core.store import promotions, tries
from core.trials import ask_try
from whole_program import (
    SMALL_SUITE,
    Program,
    drop,
    judged_positions,
    select,
    some_images,
    wait_for,
)

pytestmark = [pytest.mark.story, pytest.mark.timeout(2400)]
PROMPT = "pixel art punk, red hair #d7322d, blue background #3c64e6, light skin, smile"


def test_a_tested_epoch_is_tried_and_promoted_by_the_daemon_that_has_it(
    tmp_path: Path, fresh_dsn: str, trained: list[Path]
) -> None:
    """A try comes before all else and is measured; the decision is a row, the file follows it."""
    said = tmp_path / "said"
    hook = [sys.executable, "-c", f"open({str(said)!r}, 'a').write('changed')"]
    program = Program(
        home=tmp_path / "home",
        environment={"DATABASE_URL": fresh_dsn, "EPOCHWATCH_PROMOTE_HOOK": json.dumps(hook)},
    )
    assert program.run("db", "migrate", "--yes").returncode == 0
    suite, folder = tmp_path / "suite.toml", tmp_path / "output"
    suite.write_text(SMALL_SUITE, encoding="utf-8")
    folder.mkdir()
    source, data = drop(trained[1], folder), some_images(tmp_path / "data")
    with program.database() as database, program.watching(folder, suite, data=data):
        wait_for(lambda: judged_positions(database), what="the test of the epoch")
        position = judged_positions(database)[0]
        run_id = select(database, "SELECT id FROM public.training_runs")[0]["id"]
        with database.transaction() as connection:
            number = ask_try(
                connection, run_id=run_id, slots=["base", f"{position}@0.8"], prompt=PROMPT,
                negative="grey", seed=5, by_whom="Nadia",
            )  # fmt: skip

        def finished() -> bool:
            with database.transaction() as connection:
                found = tries.one(connection, number)
            return found is not None and found.finished

        def measured() -> bool:
            drawn = select(
                database,
                "SELECT DISTINCT i.image_sha256 FROM epochwatch.grids g"
                " JOIN epochwatch.grid_samples gs ON gs.grid_id = g.id"
                " JOIN epochwatch.images i USING (sample_id) JOIN epochwatch.measurements m"
                " ON m.sample_id = gs.sample_id AND m.rubric = gs.rubric"
                " WHERE g.purpose = 'try' AND m.visual IS NOT NULL",
            )
            return len(drawn) == 2  # the LoRA draws something else than its base

        wait_for(finished, what="the try")
        wait_for(measured, what="what the try was measured")
        with database.transaction() as connection:
            seen = production.look(connection, run_id, position)
            production.promote(connection, seen, reason="a trial", by_whom="Nadia")
        pointer = program.home / "production" / "current.safetensors"

        def told() -> bool:
            with database.transaction() as connection:
                found = promotions.current(connection)
            return found is not None and found.hook_state == "done"

        wait_for(told, what="the command after the promotion")
    wanted = hashlib.sha256(source.read_bytes()).hexdigest()
    assert hashlib.sha256(pointer.read_bytes()).hexdigest() == wanted
    assert said.read_text() == "changed"
    with program.database() as database, database.transaction() as connection:
        live = promotions.current(connection)
    assert live is not None
    assert (live.sha256, live.state, live.hook_state, live.by_whom) == (
        wanted, "done", "done", "Nadia",
    )  # fmt: skip
    record = json.loads(program.run("production", "show", "--json").stdout)
    assert (record["sha256"], record["trigger"]) == (wanted, None)
    assert record["base"]["sha256"]
    assert record["recipe"]["steps"] == 8
