"""`promote` and `production` as a person types them: checklist, override, rollback, history."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from core.nouns import Stack
from core.store import voting
from core.store.database import Database
from core.store.files import open_store


class Runs:
    """Runs with checkpoints whose files are kept in the store, and with scores of the past."""

    def __init__(self, dsn: str, home: Path) -> None:
        """Begin with nothing."""
        self.dsn, self.home = dsn, home
        self.store = open_store(home / "store")

    def run(self, name: str) -> int:
        """Add a run and return its id."""
        with psycopg.connect(self.dsn) as connection:
            found = connection.execute(
                "INSERT INTO public.training_runs (run_name, run_date, status, base_model,"
                " model_type, network_dim, network_alpha, caption_version) VALUES (%s, now(),"
                " 'completed', 'sd15', 'SD15', 32, 16, 'final_v1') RETURNING id",
                (name,),
            ).fetchone()
        assert found is not None
        return int(found[0])

    def epoch(self, run_id: int, position: int, score: float) -> str:
        """Add a scored checkpoint whose file is in the store alone; return its SHA-256."""
        content = f"{run_id} {position}".encode() * 500
        sha256 = hashlib.sha256(content).hexdigest()
        path = self.home / f"{position}.safetensors"
        path.write_bytes(content)
        uri = self.store.put_file("checkpoints", sha256, path)
        path.unlink()
        with psycopg.connect(self.dsn) as connection:
            connection.execute(
                "INSERT INTO epochwatch.weights (sha256, kind, family, layout, body_sha256,"
                " size_bytes, uri) VALUES (%s, 'lora', 'sd1', 'kohya', %s, 9, %s)"
                " ON CONFLICT DO NOTHING",
                (sha256, sha256, uri),
            )
            connection.execute(
                "INSERT INTO epochwatch.checkpoints (run_id, sha256, drawn_as, position, epoch,"
                " file_name, source_path, host, admitted_at)"
                " VALUES (%s, %s, %s, %s, %s, 'p.safetensors', '/out/p.safetensors', 'pod', now())",
                (run_id, sha256, sha256, position, position),
            )
            connection.execute(
                "INSERT INTO public.epoch_results (training_run_id, epoch_number, average_score,"
                " verdict) VALUES (%s, %s, %s, 'good')",
                (run_id, position, score),
            )
        return sha256

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Return what the database says."""
        with psycopg.connect(self.dsn) as connection:
            return connection.execute(sql.encode()).fetchall()


@pytest.fixture
def runs(dsn: str, here: Path) -> Runs:
    """Give a database without promotions."""
    (here / "home").mkdir()
    with psycopg.connect(dsn) as connection:
        connection.execute("TRUNCATE epochwatch.promotions RESTART IDENTITY")
    return Runs(dsn, here / "home")


def test_a_good_epoch_goes_to_production_and_the_owners_rows_say_so(
    epochwatch: Any, runs: Runs, here: Path
) -> None:
    """File, record, pointer, and the words of a person in both tables; fetched from the store."""
    run_id = runs.run("punks")
    sha256 = runs.epoch(run_id, 7, 8.44)
    said = epochwatch("promote", "punks", 7)
    assert said.code == 0, said.err
    assert "Ready." in said.out
    assert "punks 7 is in production (number 1), live at" in said.out
    folder = here / "home" / "production"
    assert hashlib.sha256((folder / "current.safetensors").read_bytes()).hexdigest() == sha256
    record = json.loads((folder / "current.json").read_text())
    assert record["parameters"] == {"network_dim": 32, "network_alpha": 16}
    assert runs.ask("SELECT verdict, production_ready FROM public.epoch_results") == [
        ("best", True)
    ]
    assert runs.ask(
        "SELECT best_epoch, production_ready, quality_score FROM public.training_runs"
    ) == [(7, True, 8)]


def test_what_is_not_met_needs_a_reason_which_is_kept(epochwatch: Any, runs: Runs) -> None:
    """Exit code 2 and what is in the way; with a reason it is done, and both are recorded."""
    runs.epoch(runs.run("punks"), 3, 7.6)
    said = epochwatch("promote", "punks", 3)
    assert said.code == 2
    assert "Not ready: a score of 8." in said.err
    assert "7.6 of 10" in said.out
    assert runs.ask("SELECT count(*) FROM epochwatch.promotions") == [(0,)]
    assert epochwatch("promote", "punks", 3, "--override", "the only one with lips").code == 0
    assert runs.ask("SELECT overridden, reason FROM epochwatch.promotions") == [
        (["score"], "the only one with lips")
    ]


def test_a_dry_run_shows_the_checklist_and_changes_nothing(epochwatch: Any, runs: Runs) -> None:
    """Each criterion with its state; strict asks for what is not known, too."""
    runs.epoch(runs.run("punks"), 7, 8.9)
    found = json.loads(epochwatch("promote", "punks", 7, "--dry-run", "--json").out)
    assert found["ready"] is True
    assert {each["state"] for each in found["criteria"]} == {"met", "not known"}
    assert all(each["found"] for each in found["criteria"])
    strict = json.loads(epochwatch("promote", "punks", 7, "--dry-run", "--strict", "--json").out)
    assert strict["ready"] is False
    assert "overall" in strict["blocking"]
    assert runs.ask("SELECT count(*) FROM epochwatch.promotions") == [(0,)]


def test_rollback_goes_back_and_the_history_outlives_its_runs(
    epochwatch: Any, runs: Runs, here: Path
) -> None:
    """Two promotions, the way back, and then both runs deleted as the owner's queries do it."""
    first = runs.epoch(runs.run("punks"), 7, 8.1)
    second = runs.run("punks v2")
    runs.epoch(second, 4, 9.1)
    assert "Nothing is in production" in epochwatch("production", "show").out
    assert epochwatch("production", "rollback").code == 2
    assert epochwatch("promote", "punks", 7).code == 0
    assert epochwatch("promote", "punks v2", 4).code == 0
    shown = epochwatch("production", "show").out
    assert "punks v2 Epoch 4" in shown
    assert "9.1/10" in shown
    runs.ask("WITH gone AS (DELETE FROM public.training_runs RETURNING id) SELECT id FROM gone")
    said = epochwatch("production", "rollback", "--reason", "grey skies")
    assert said.code == 0, said.err
    pointer = here / "home" / "production" / "current.safetensors"
    assert hashlib.sha256(pointer.read_bytes()).hexdigest() == first
    lines = json.loads(epochwatch("production", "history", "--json").out)
    assert [(line["model"], line["state"]) for line in lines] == [
        ("punks", "live"),
        ("punks v2", "was live"),
        ("punks", "was live"),
    ]
    assert lines[0]["why"] == "grey skies"
    assert "punks v2" in epochwatch("production", "history").out
    assert epochwatch("production", "rollback", "--to", 2).code == 0
    assert json.loads(epochwatch("production", "show", "--json").out)["model"] == "punks v2"


def test_after_a_rollback_the_owners_rows_name_what_is_live(epochwatch: Any, runs: Runs) -> None:
    """The epoch taken out has the verdict of its score again; the restored one is the best."""
    run_id = runs.run("punks")
    for position, score in ((5, 9.2), (7, 8.1), (8, 8.3)):
        runs.epoch(run_id, position, score)
    for position in (5, 7, 8):
        assert epochwatch("promote", "punks", position).code == 0
    told = (
        "SELECT epoch_number, verdict, production_ready FROM public.epoch_results"
        " ORDER BY epoch_number"
    )
    assert runs.ask(told) == [(5, "best", True), (7, "best", True), (8, "best", True)]
    assert epochwatch("production", "rollback").code == 0
    assert runs.ask(told) == [(5, "best", True), (7, "best", True), (8, "good", False)]
    columns = "SELECT best_epoch, production_ready, quality_score FROM public.training_runs"
    assert runs.ask(columns) == [(7, True, 8)]
    assert epochwatch("production", "rollback", "--to", 1).code == 0
    assert runs.ask(told) == [(5, "best", True), (7, "good", False), (8, "good", False)]
    assert runs.ask(columns) == [(5, True, 9)]


def test_a_rollback_to_another_run_leaves_the_first_to_its_advice(
    epochwatch: Any, runs: Runs
) -> None:
    """Best epoch and score are the machine's again, and no word that somebody changed since."""
    runs.epoch(runs.run("old"), 3, 8.5)
    new = runs.run("new")
    runs.epoch(new, 6, 8.9)
    with psycopg.connect(runs.dsn) as connection:
        connection.execute(
            "INSERT INTO epochwatch.advice (run_id, evidence, sentence, body)"
            " VALUES (%s, repeat('e', 64), 'Epoch 4 is best.', '{\"pick\": 4}')",
            (new,),
        )
    assert epochwatch("promote", "old", 3).code == 0
    assert epochwatch("promote", "new", 6).code == 0
    with psycopg.connect(runs.dsn) as connection:
        connection.execute(
            "UPDATE public.epoch_results SET verdict = 'skip' WHERE epoch_number = 6"
        )
        connection.execute(
            "UPDATE public.training_runs SET quality_score = 2 WHERE id = %s", (new,)
        )
    assert epochwatch("production", "rollback").code == 0
    assert runs.ask(
        "SELECT run_name, best_epoch, production_ready, quality_score"
        " FROM public.training_runs ORDER BY id"
    ) == [("old", 3, True, 8), ("new", 4, False, 2)]
    assert runs.ask(
        "SELECT epoch_number, verdict, production_ready FROM public.epoch_results"
        " ORDER BY epoch_number"
    ) == [(3, "best", True), (6, "skip", False)]


def test_a_file_on_another_machine_is_left_to_it(epochwatch: Any, runs: Runs) -> None:
    """No copy here and none kept: the daemon that has the file is asked."""
    runs.epoch(runs.run("punks"), 7, 8.5)
    runs.ask("WITH w AS (UPDATE epochwatch.weights SET uri = NULL RETURNING 1) SELECT * FROM w")
    said = epochwatch("promote", "punks", 7)
    assert said.code == 0, said.err
    assert "pod puts it in place as soon as it can" in said.out
    assert runs.ask("SELECT host, state FROM epochwatch.actions") == [("pod", "pending")]


def test_what_is_not_there_is_told_with_what_is(epochwatch: Any, runs: Runs) -> None:
    """A wrong epoch, and a pair of files that one pointer cannot name."""
    runs.epoch(runs.run("punks"), 7, 8.5)
    said = epochwatch("promote", "punks", 8)
    assert said.code == 2
    assert "punks has no checkpoint 8; it has: 7." in said.err
    runs.ask(
        "WITH w AS (UPDATE epochwatch.weights SET layout = 'peft' RETURNING 1) SELECT * FROM w"
    )
    runs.ask(
        "WITH c AS (UPDATE epochwatch.checkpoints SET source_path = '/o/c-7/adapter_model.safetensors'"
        " RETURNING 1) SELECT * FROM c"
    )
    assert "PEFT adapter of two files" in epochwatch("promote", "punks", 7).err


def _vote(
    dsn: str, better: str, worse: str, *, wins: int, losses: int, judge: str = "Nadia",
    blind: bool = True, milliseconds: int = 2000,
) -> None:  # fmt: skip
    """Let one judge answer as many servings of the two slots, on as many prompts."""
    with Database(dsn) as database, database.transaction() as connection:
        sitting = voting.begin(connection, 1, judge, "local", blind=blind)
        for number in range(wins + losses):
            serving = voting.serve(
                connection, sitting, unit=f"prompt {number}", category="characters",
                slots=[better, worse] if number % 2 else [worse, better],
                samples=[f"{number:064x}", f"{number + 1000:064x}"],
            )  # fmt: skip
            assert serving is not None
            choice = "left" if (number < wins) == bool(number % 2) else "right"
            voting.answer(connection, sitting, serving, 0, choice, milliseconds=milliseconds)


def test_votes_in_the_database_decide_against_current_production(
    epochwatch: Any, runs: Runs
) -> None:
    """What people voted on the two stacks, in whichever comparison, is what the gate reads."""
    run_id, base = runs.run("punks"), "b" * 64
    first, second = runs.epoch(run_id, 6, 8.2), runs.epoch(run_id, 7, 8.4)
    with psycopg.connect(runs.dsn) as connection:
        connection.execute(
            "INSERT INTO epochwatch.run_setups (run_id, base_sha256) VALUES (%s, %s)",
            (run_id, base),
        )
    assert epochwatch("promote", "punks", 6).code == 0

    def gate() -> dict[str, Any]:
        said = epochwatch("promote", "punks", 7, "--dry-run", "--json")
        assert said.code == 0, said.err
        criteria = json.loads(said.out)["criteria"]
        return next(each for each in criteria if each["key"] == "production")

    assert gate()["state"] == "not known"
    new, old = (Stack(base_sha256=base, loras=((each, "1.00"),)).key for each in (second, first))
    _vote(runs.dsn, new, old, wins=35, losses=0, judge="Ann", blind=False)
    assert gate()["state"] == "not known"
    assert "35 votes were given with names shown: not counted." in gate()["found"]
    _vote(runs.dsn, new, old, wins=31, losses=9)
    found = gate()
    assert found["state"] == "met"
    assert found["found"].startswith("77.5 % of 40 comparisons won (")
    _vote(runs.dsn, new, old, wins=6, losses=4, judge="Bo", milliseconds=300)
    assert "Without Bo" in gate()["found"]
    strict = json.loads(epochwatch("promote", "punks", 7, "--dry-run", "--strict", "--json").out)
    assert "production" in strict["blocking"]


def test_promoting_for_a_program_prints_json_and_nothing_else(epochwatch: Any, runs: Runs) -> None:
    """What is logged on the way goes elsewhere; a refusal names the option that overrides it."""
    run_id = runs.run("punk")
    runs.epoch(run_id, 7, 6.0)

    refused = epochwatch("promote", "punk", 7)
    said = epochwatch("promote", "punk", 7, "--override", "to try it", "--json")

    assert refused.code == 2
    assert refused.err.count("\n") == 1
    assert "--override WHY" in refused.err
    assert json.loads(said.out)["state"] == "live"
