"""`epochwatch compare`: asked for once, told what is missing, listed, and written as one picture."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from house import House, open_house
from PIL import Image

from core.formats.prompt_suite import read_suite
from core.rules.win_rate import CATEGORY_LEAST
from core.store import voting
from core.store.comparisons import comparison
from core.wishes import suite_of

QUALITY: dict[int | None, float] = {None: 0.2, 1: 0.5, 2: 0.8, 3: 1.0}


@pytest.fixture
def house(migrated_dsn: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """Give a run of three tested epochs, in the database and the store that the settings name."""
    monkeypatch.setenv("DATABASE_URL", migrated_dsn)
    monkeypatch.setenv("EPOCHWATCH_IMAGE_STORE", str(here / "store"))
    with open_house(migrated_dsn, here) as parts:
        for epoch in (1, 2, 3):
            parts.arrive(epoch)
            parts.draw(QUALITY)
            parts.judge.judge()
        yield parts


def test_what_is_drawn_already_costs_nothing(house: House, epochwatch: Any, here: Path) -> None:
    """Base and two epochs are all there: the picture is written at once."""
    said = epochwatch("compare", "base", "2", "pick", "--json")
    assert said.code == 0, said.err
    made = json.loads(said.out)
    assert [slot["label"] for slot in made["slots"]] == ["base", "epoch 2", "epoch 3"]
    house.draw(QUALITY)
    again = epochwatch("compare", "base", "2", "3", "-o", "sheet.png")
    assert again.code == 0, again.err
    assert f"Comparison {made['id']}:" in again.out
    assert "12 of 12 images are drawn" in again.out
    sheet = Image.open(io.BytesIO((here / "sheet.png").read_bytes()))
    assert sheet.width > 3 * 192
    assert "epoch 2 / epoch 3" in epochwatch("compare").out


def test_a_sweep_asks_for_what_is_missing_and_says_that_nothing_draws(
    house: House, epochwatch: Any
) -> None:
    """Two strengths are new; without a daemon the wait ends with what to do."""
    said = epochwatch("compare", "3", "--strengths", "0.6,1", "--prompt", "portrait_1", "--json")
    assert said.code == 0, said.err
    house.draw(QUALITY)
    listed = json.loads(epochwatch("compare", "--json").out)
    assert (listed[0]["slots"], listed[0]["wanted"], listed[0]["drawn"]) == (2, 2, 2)
    stuck = epochwatch("compare", "3@0.7", "3@0.9", "--wait")
    assert stuck.code == 2
    assert "epochwatch watch" in stuck.err


WRONG = [
    (["base"], "at least two"),
    (["3", "pick"], "same weights"),
    (["3", "9"], "it has: 1, 2, 3"),
    (["3", "production"], "Nothing is in production"),
    (["3", "nowhere:1"], "nowhere"),
    (["3", "2", "--prompt", "nobody"], "portrait_0"),
    (["3", "2", "--seeds", "one"], "whole numbers"),
    (["3", "2", "--tier", "deep"], "quick, medium or full"),
]


@pytest.mark.usefixtures("house")
def test_a_wrong_wish_says_what_there_is(epochwatch: Any) -> None:
    """One line, exit code 2, and nothing is asked for."""
    for words, told in WRONG:
        said = epochwatch("compare", *words)
        assert said.code == 2
        assert told in said.err
    assert json.loads(epochwatch("compare", "--json").out) == []


EXAMPLE = Path(__file__).resolve().parents[3] / "core" / "formats" / "categories.toml"


def test_any_suite_is_compared_as_the_run_is_drawn(
    house: House, epochwatch: Any, here: Path
) -> None:
    """Its prompts and categories, the run's recipe; the run's own tests stay what they were."""
    file = here / "kinds.toml"
    file.write_text(
        '[[prompt]]\nname = "hero"\ncategory = "characters"\ntext = "a portrait, number 1"\n'
        '[[prompt]]\nname = "wall"\ncategory = "tiles"\ntext = "a wall tile, number 2"\n',
        encoding="utf-8",
    )
    said = epochwatch("compare", "base", "3", "--suite", str(file), "--json")
    assert said.code == 0, said.err
    house.draw(QUALITY)
    with house.database.transaction() as connection:
        made = comparison(connection, json.loads(said.out)["id"])
        assert made is not None
        own = suite_of(connection, made.run_id or 0)
    assert (made.title, made.drawn) == ("base / epoch 3 on kinds", 4)
    assert [unit.category for unit in made.units] == ["characters", "tiles"]
    assert [unit.grid for unit in made.units] == [24, 24]
    assert own is not None
    assert own.name == "four"
    again = json.loads(epochwatch("compare", "base", "3", "--suite", str(file), "--json").out)
    assert again["id"] == made.id
    wrong = epochwatch("compare", "base", "3", "--suite", str(here / "none.toml"))
    assert wrong.code == 2


def test_the_example_for_category_validation_has_pairs_enough_to_pass() -> None:
    """Each of its categories can get as many clear votes as one needs."""
    pairs = Counter[str]()
    for prompt in read_suite(EXAMPLE).suite.prompts:
        pairs[prompt.category] += len(prompt.seeds)
    assert pairs.keys() == {"characters", "tiles", "icons", "weapons"}
    assert min(pairs.values()) >= CATEGORY_LEAST


def test_what_is_remembered_is_exported(house: House, epochwatch: Any, here: Path) -> None:
    """The owner's tables as CSV and JSON, and the training log with its win rate of blind votes."""
    said = epochwatch("runs", "export", "epochs", "-o", "epochs.csv")
    assert said.code == 0, said.err
    found = list(csv.DictReader((here / "epochs.csv").read_text().splitlines()))
    assert [each["epoch"] for each in found] == ["1", "2", "3"]
    assert all(float(each["average_score"]) > 0 for each in found)
    made = json.loads(epochwatch("compare", "base", "pick", "--json").out)
    house.draw(QUALITY)
    keys = [slot["key"] for slot in made["slots"]]
    with house.database.transaction() as connection:
        for judge, answers in (("ann", ("right", "right", "right", "tie")), ("bo", ("left",) * 4)):
            session = voting.begin(connection, made["id"], judge, "local", blind=judge == "ann")
            for number, choice in enumerate(answers):
                served = voting.serve(
                    connection,
                    session,
                    unit=f"unit{number}",
                    category="",
                    slots=keys,
                    samples=["a" * 64, "b" * 64],
                )
                assert served is not None
                voting.answer(connection, session, served, 0, choice)
    (line,) = csv.DictReader(epochwatch("runs", "export", "log").out.splitlines())
    assert list(line) == ["version", "date", "dataset_size", "steps", "win_rate", "notes"]
    assert (line["version"], line["win_rate"]) == ("punk", "75%")
    assert epochwatch("runs", "export", "everything").code == 2
