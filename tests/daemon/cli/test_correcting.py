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
    said = epochwatch("log", 1, 5, 6, 7)
    early = epochwatch("log", 6, 5, 6, 7)

    assert "Epoch 1: 6.0 logged." in said.out
    assert "The machine gave it" in said.out
    assert "(you " in said.out
    assert "no score of it yet" in early.out


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
