"""`rescore`, `calibrate` and `log` as a person types them, on a run that was really measured."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from house import open_house

from core.settings import load_settings
from core.store import objections
from core.store.files import LocalStore
from core.store.opening import open_image_store
from databases import new_database


@pytest.fixture
def tested(server_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two measured epochs whose pictures lie where the settings say."""
    with new_database(server_dsn) as dsn:
        monkeypatch.setenv("DATABASE_URL", dsn)
        with open_house(dsn, tmp_path) as house:
            store = open_image_store(load_settings())
            assert isinstance(store, LocalStore)
            house.outbox.store = store
            for epoch in (1, 2):
                house.arrive(epoch)
                house.draw({None: 0.2, 1: 0.6, 2: 0.9})
            house.judge.judge()
            yield house


def test_rescoring_tells_before_and_after(epochwatch: Any, tested: Any) -> None:
    """Without news the averages are the same; JSON has the same numbers, a trial says that it was one."""
    said = epochwatch("rescore", "punk")
    trial = json.loads(epochwatch("rescore", "punk", "--dry-run", "--json").out)

    assert said.code == 0
    assert "0 of 12 images measured again, 12 measurements were current." in said.out
    assert "+0.00" in said.out
    assert (trial["run"], trial["kept"], trial["measured"]) == ("punk", False, 0)
    assert [each["position"] for each in trial["changes"]] == [1, 2]
    assert epochwatch("rescore", "nobody").code == 2


def test_rescoring_for_a_program_prints_json_and_nothing_else(epochwatch: Any, tested: Any) -> None:
    """What is logged on the way goes elsewhere."""
    epochwatch("runs", "list")  # takes away what was said while the run was made
    said = epochwatch("rescore", "punk", "--json")

    assert json.loads(said.out)["kept"] is True
    assert "rescored" not in said.out


def test_logging_tells_the_machines_score_only_afterwards(epochwatch: Any, tested: Any) -> None:
    """The machine's three and the difference to each; without a test it says so."""
    tested.arrive(6)
    said = epochwatch("log", 1, 5, 6, 7)
    early = epochwatch("log", 6, 5, 6, 7)

    assert "Epoch 1: 6.0 logged." in said.out
    assert "The machine gave it" in said.out
    assert "(you " in said.out
    assert "no score of it yet" in early.out


def test_an_epoch_that_is_not_there_is_not_logged(epochwatch: Any, tested: Any) -> None:
    """A typing mistake would otherwise be a score that nobody ever sees."""
    epochwatch("runs", "list")  # takes away what was said while the run was made
    said = epochwatch("log", 99, 5, 6, 7)

    assert (said.code, said.out) == (2, "")
    assert said.err == "epochwatch: punk has no epoch 99; it has: 1, 2.\n"
    assert tested.select("SELECT * FROM epochwatch.scores") == []


def test_the_suite_of_a_run_is_shown_as_it_is_stored(epochwatch: Any, tested: Any) -> None:
    """By the run, by its own name, by its digest, and as JSON; what is not there is told."""
    epochwatch("runs", "list")  # takes away what was said while the run was made
    by_run, in_progress = epochwatch("suite", "show", "punk"), epochwatch("suite", "show")
    told = json.loads(epochwatch("suite", "show", "punk", "--json").out)

    assert by_run.code == 0, by_run.err
    assert by_run.out == in_progress.out
    first, recipe, *prompts = by_run.out.splitlines()
    assert first == f"four ({told['digest'][:8]}), the suite of punk at strength 1.00"
    assert recipe.startswith("96 x 96 pixels, pixel art of 24 cells, dpm++ 2m, 30 steps")
    assert len(prompts) == 1 + 4
    for words in ("portrait_3", "full", "42", "hair ", "background ", "portrait number 3"):
        assert words in prompts[4]
    assert told["run"] == "punk"
    assert [each["text"] for each in told["prompts"]] == [f"portrait number {n}" for n in range(4)]
    assert told["prompts"][0]["expect"]["background"]
    by_name, by_digest = (epochwatch("suite", "show", n) for n in ("four", told["digest"][:10]))
    assert by_name.out == by_digest.out
    assert by_name.out.startswith(f"four ({told['digest'][:8]})\n")
    nobody = epochwatch("suite", "show", "nobody")
    assert nobody.code == 2
    assert "no run and no suite called 'nobody'. Runs and suites: punk, four." in nobody.err


def test_a_run_without_a_suite_says_when_it_gets_one(epochwatch: Any, add_run: Any) -> None:
    """Nothing has come in yet."""
    add_run("fresh")
    said = epochwatch("suite", "show", "fresh")
    assert said.code == 2
    assert "fresh has no test prompts yet" in said.err


def test_calibrating_without_votes_says_what_to_do(epochwatch: Any, tested: Any) -> None:
    """Nothing is known and nothing can be adopted; objections alone are counted."""
    run_id = tested.select("SELECT id FROM public.training_runs")[0]["id"]
    sample = tested.select(
        "SELECT sample_id FROM epochwatch.grid_samples gs JOIN epochwatch.grids g ON g.id = grid_id"
        " WHERE g.position = 2 LIMIT 1"
    )[0]["sample_id"]
    with tested.database.transaction() as connection:
        objections.add(connection, run_id, sample, "visual", "too_low", "ann")

    said = epochwatch("calibrate")
    machine = json.loads(epochwatch("calibrate", "--run", "punk", "--json").out)
    refused = epochwatch("calibrate", "--adopt")
    back = epochwatch("calibrate", "--default")

    assert "compare two epochs and vote" in said.out
    assert "default weights" in said.out
    assert (machine["objections"], machine["adopt"], machine["in_force"]) == (1, False, None)
    assert refused.code == 2
    assert "Nothing was adopted" in refused.err
    assert "A person chose the default." in back.out
    assert epochwatch("calibrate", "--adopt", "--default").code == 2
