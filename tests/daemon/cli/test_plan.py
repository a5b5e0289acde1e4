"""Plans on the command line: understood, registered, and judged by what the database holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from core.formats.prompt_suite import suite_to_json
from core.formats.run_plan import read_plan
from core.nouns import CheckpointFacts, Measurement, MetricValue, Prompt, Recipe, Suite
from core.store.database import Connection, Database, row, rows, run
from core.store.documents import save_document
from core.store.registration import Arrival, register
from daemon.judge import Judge
from daemon.planner import _tier
from daemon.planner import plan as ask_for_tests

EXAMPLE = Path(__file__).resolve().parents[3] / "docs" / "examples" / "next_run.toml"
NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
PLAN = """
hypothesis = "green comes early"

[[gate]]
name = "green"
metric = "background_match"
threshold = 50
at_least = "3 of 4"
by_epoch = 2
on_fail = "stop at 3"
must = true

[[gate]]
name = "good"
metric = "average"
threshold = 8
by_epoch = 6
must = true

[[expect]]
epochs = "1-2"
text = "Getting somewhere."
metric = "average"
threshold = 5
"""
SUITE = Suite(
    name="four",
    recipe=Recipe(width=96, height=96),
    prompts=tuple(Prompt(name=f"p{n}", text=f"portrait {n}", tier="quick") for n in range(4)),
)


@pytest.fixture
def file(here: Path) -> Path:
    """Give a plan on disk."""
    (here / "plan.toml").write_text(PLAN)
    return here / "plan.toml"


@pytest.fixture
def tested_epoch(dsn: str) -> Callable[[int, int], str]:
    """Give what saves, draws and measures an epoch with so many right backgrounds; tells the run."""

    def one(epoch: int, hits: int) -> str:
        with Database(dsn) as database:
            with database.transaction() as connection:
                run_id = _arrive(connection, epoch)
            ask_for_tests(database)
            with database.transaction() as connection:
                _measure(connection, hits)
                name = row(connection, "runs.get", run_id=run_id)
        assert name is not None
        return str(name["run_name"])

    return one


def _arrive(connection: Connection, epoch: int) -> int:
    told = CheckpointFacts(
        family="sd1", kind="lora", layout="kohya", output_name="punk", session_id="1", epoch=epoch,
        step=epoch * 50, planned_epochs=6, planned_steps=300, is_final=False,
        base_model_name="demo", base_model_sha256=None, rank=8, alpha=8.0, saved_at=NOW,
        body_sha256_claimed=None, module_count=4, training={},
    )  # fmt: skip
    arrival = Arrival(
        sha256=f"{epoch:064x}", body_sha256=f"{epoch + 99:064x}", size_bytes=1, facts=told,
        facts_json={}, host="pod", root="/out", source_path=f"/out/{epoch}.safetensors",
        file_name=f"{epoch}.safetensors", closed_at=NOW, admitted_at=NOW,
    )  # fmt: skip
    run_id = register(connection, arrival)
    key = save_document(connection, "suite", "four", suite_to_json(SUITE))
    run(
        connection, "runs.save_setup", run_id=run_id, suite=key, profile=None, base_sha256="b" * 64,
        strength="1.00", tests="full", stop="normal", price_per_hour=None, blocked_reason=None,
        doubts=[],
    )  # fmt: skip
    return run_id


def _measure(connection: Connection, hits: int) -> None:
    """Write a measurement of everything that is missing, and end the jobs."""
    missing = connection.execute(
        b"SELECT m.sample_id, m.job_id, gs.rubric, gs.prompt_name FROM epochwatch.missing m"
        b" JOIN epochwatch.grid_samples gs USING (grid_id, sample_id)"
    ).fetchall()
    for each in missing:
        right = int(each["prompt_name"][1:]) < hits
        run(
            connection, "results.add_image", sample_id=each["sample_id"], image_sha256="c" * 64,
            defect=None, width=96, height=96, seconds=1.0, host="pod", provenance={},
        )  # fmt: skip
        run(
            connection, "results.add_measurement", sample_id=each["sample_id"],
            rubric=each["rubric"], visual=6, style=6, prompt=6,
            body=_measurement(90.0 if right else 3.0).as_json(),
        )  # fmt: skip
    open_jobs = connection.execute(
        b"SELECT id FROM epochwatch.jobs WHERE finished_at IS NULL"
    ).fetchall()
    for job in open_jobs:
        assert row(connection, "grids.finish", job_id=job["id"])


def _measurement(background: float) -> Measurement:
    metric = MetricValue(
        value=background, low=0, high=100, higher_is_better=True, explanation="border cells"
    )
    return Measurement(
        visual_quality=6.0,
        style_match=6.0,
        prompt_adherence=6.0,
        reasons={},
        metrics={"background_match": metric},
        issues=(),
        strengths=(),
        background_hex="#50be50",
        unique_colors=12,
    )


def test_check_shows_how_a_plan_is_understood(epochwatch: Any) -> None:
    """The shipped example in words, and as JSON."""
    said = epochwatch("plan", "check", EXAMPLE)
    assert said.code == 0
    for part in (
        "SD15_KEEP_TOKENS_3_EXPERIMENT, after SD15_FINAL_CORRECTED_CAPTIONS",
        "Hypothesis (85 % sure): keep_tokens=3",
        "keep_tokens: 1 -> 3",
        "network_dim: 32 kept",
        "A person looks at epochs 1, 3, 5, 7, 10.",
        "background match at least 50 on 12 of 15 prompts",
        "stop at 5",
        "Expected 3-4: The green background appears",
        "After epoch 4, early background failed:",
    ):
        assert part in said.out
    body = json.loads(epochwatch("plan", "check", EXAMPLE, "--json").out)
    assert len(body["gates"]) == 10


def test_check_names_the_line_of_a_mistake(epochwatch: Any, file: Path) -> None:
    """Exit code 2: a person can repair it."""
    file.write_text(PLAN.replace("background_match", "beauty"))
    said = epochwatch("plan", "check", file)
    assert said.code == 2
    assert "line 6: gate 1: nothing measures 'beauty'" in said.err


def test_a_plan_is_registered_once_and_its_change_is_remembered(
    epochwatch: Any, add_run: Any, file: Path
) -> None:
    """Before any result; the same file again changes nothing."""
    add_run("punks")
    assert "has no plan. Set one" in epochwatch("plan", "show", "punks").err
    assert (
        epochwatch("plan", "set", "punks", file).out == "plan is the plan of punks now: 2 gates.\n"
    )
    assert "stands for punks already" in epochwatch("plan", "set", "punks", file).out
    file.write_text(PLAN.replace("3 of 4", "2 of 4"))
    epochwatch("plan", "set", "punks", file)
    said = epochwatch("plan", "show", "punks")
    assert said.out.startswith("Registered 20")
    assert said.out.count("before any result") == 2
    assert "Changed 20" in said.out
    assert "must: green (background match at least 50 on 2 of 4 prompts): open" in said.out
    assert "The hypothesis is open: 0 of 2 must-have gates are passed." in said.out


def test_gates_are_judged_by_the_measurements_of_the_database(
    epochwatch: Any, tested_epoch: Any, file: Path
) -> None:
    """Open while its epoch is untested, then passed or failed; a later change is told as late."""
    name = tested_epoch(1, 1)
    said = epochwatch("plan", "set", name, file)
    assert "it is recorded that the plan was set after them" in said.out
    told = epochwatch("plan", "show", name).out
    assert "AFTER results existed" in told
    assert "open until epoch 2; epoch 1: 1 of 4 prompts." in told
    tested_epoch(2, 2)
    told = epochwatch("plan", "show", name).out
    assert "failed at epoch 2 with 2 of 4 prompts. The plan says: stop at epoch 3." in told
    assert "The hypothesis does not hold: green failed." in told
    assert "Expected 1-2: Getting somewhere. (held at 1, 2)" in told
    body = json.loads(epochwatch("plan", "show", name, "--json").out)
    assert [each["state"] for each in body["gates"]] == ["failed", "pending"]
    assert body["history"][0]["after_results"] is True


def test_the_advice_says_what_the_gates_say(
    epochwatch: Any, tested_epoch: Any, file: Path, dsn: str
) -> None:
    """A must-have gate that is open or failed is among the reasons."""
    name = tested_epoch(1, 1)
    epochwatch("plan", "set", name, file)
    tested_epoch(2, 2)
    with Database(dsn) as database:
        Judge(database=database, host="pod").judge()
        with database.transaction() as connection:
            [told] = rows(connection, "runs.all")
            advice = row(connection, "results.current_advice", run_id=told["id"])
    assert advice is not None
    reasons = " ".join(advice["body"]["reasons"])
    assert "green (background match at least 50 on 3 of 4 prompts): failed at epoch 2" in reasons
    assert "good (average at least 8): open until epoch 6; epoch 2: 6." in reasons


def test_a_plan_set_after_the_last_test_is_judged_at_once(
    epochwatch: Any, tested_epoch: Any, file: Path, dsn: str
) -> None:
    """The judge looks again because of the plan alone, without any new result."""
    name = tested_epoch(1, 1)
    tested_epoch(2, 2)
    with Database(dsn) as database:
        judge = Judge(database=database, host="pod")
        judge.judge()
        epochwatch("plan", "set", name, file)
        judge.judge()
        with database.transaction() as connection:
            [told] = rows(connection, "runs.all")
            advice = row(connection, "results.current_advice", run_id=told["id"])
    assert advice is not None
    assert "failed at epoch 2" in " ".join(advice["body"]["reasons"])


def test_an_epoch_at_which_a_gate_is_due_is_tested_in_full(file: Path) -> None:
    """However thrifty the tests are; the other epochs stay as they were."""
    thrifty: dict[str, Any] = {
        "max_train_epochs": 10,
        "position_unit": "epoch",
        "total_steps": None,
        "tests": "thrifty",
    }
    tiers = [_tier(thrifty | {"position": epoch}, read_plan(file)) for epoch in (1, 2, 3)]
    assert tiers == ["quick", "full", "quick"]
    assert _tier(thrifty | {"position": 2}, None) == "quick"


def test_a_person_s_scores_are_results(epochwatch: Any, add_run: Any, file: Path, dsn: str) -> None:
    """A plan set after somebody scored an epoch was not set before the results."""
    add_run("punks")
    epochwatch("log", 1, 5, 5, 5, "--run", "punks")
    assert "set after them" in epochwatch("plan", "set", "punks", file).out
    with psycopg.connect(dsn) as connection:
        found = connection.execute(
            "SELECT after_results, by_whom <> '' FROM epochwatch.run_plans"
        ).fetchall()
    assert found == [(True, True)]
