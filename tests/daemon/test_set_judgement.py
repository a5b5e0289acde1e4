"""Diversity, copies and the gap of whole epochs, from pictures handed in to the owner's column."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from house import PICTURES, SUITE, House, open_house

from core.formats.prompt_suite import suite_to_json
from core.metrics.set_level import learn_training_cells
from core.store import set_level
from core.store.database import bump, row
from core.store.documents import save_document
from daemon.planner import plan
from pictures import enlarged, portraits

SEEDS = (1, 2, 3)


@pytest.fixture
def house(migrated_dsn: str, tmp_path: Path) -> Iterator[House]:
    """Give the parts on a migrated database."""
    with open_house(migrated_dsn, tmp_path) as parts:
        yield parts


def _with_seeds(house: House) -> None:
    """Test the run with three seeds a prompt, three of six prompts seen in training."""
    prompts = tuple(
        replace(
            SUITE.prompts[at % 4],
            name=f"portrait_{at}",
            text=f"{'abcdef'[at]} portrait number {at % 4}",
            seeds=SEEDS,
            origin="seen" if at < 3 else "unseen",
        )
        for at in range(6)
    )
    with house.database.transaction() as connection:
        key = save_document(
            connection, "suite", "six", suite_to_json(replace(SUITE, prompts=prompts))
        )
        connection.execute("UPDATE epochwatch.run_setups SET suite = %s", (key,))


def _knows_training(house: House, run_id: int) -> None:
    cells = [each.cells() for each in portraits()[:40]]
    found = learn_training_cells(cells, [f"{at}.png" for at in range(40)], 24, of=40)
    assert found is not None
    with house.database.transaction() as connection:
        key = save_document(connection, "training_cells", "training images", found.as_json())
        set_level.set_up(connection, run_id, training_cells=key, weighting=None)
        bump(connection)


def _stirred(cells: np.ndarray, share: float, seed: int) -> np.ndarray:
    dice = np.random.default_rng(seed)
    mask = dice.random(cells.shape[:2]) < share
    cells = cells.copy()
    cells[mask] = dice.integers(0, 256, (int(mask.sum()), 3))
    return cells


def _draw(house: House, *, copying: bool) -> None:
    """Hand in what is missing: copies of training images, or pictures unlike them."""
    plan(house.database)
    wanted = house.select(
        "SELECT m.*, s.prompt, s.seed FROM epochwatch.missing m"
        " JOIN epochwatch.samples s USING (sample_id) ORDER BY m.job_id, m.ordinal"
    )
    for each in wanted:
        cells = PICTURES[int(each["prompt"].rpartition(" ")[2])].cells()
        if not copying:
            cells = _stirred(cells, 0.5, each["seed"])
        elif each["prompt"][0] in "def":
            cells = _stirred(cells, 0.3, 7)
        house.hand_in(each["sample_id"], enlarged(cells, 96))
    with house.database.transaction() as connection:
        for job in {each["job_id"] for each in wanted}:
            assert row(connection, "grids.finish", job_id=job)


def test_an_epoch_that_copies_its_training_images_is_told_from_one_that_does_not(
    house: House,
) -> None:
    """Three seeds that all give the same training image: no diversity, and copies with their name."""
    run_id = house.arrive(1)
    _with_seeds(house)
    _knows_training(house, run_id)
    _draw(house, copying=False)
    house.arrive(2)
    _draw(house, copying=True)
    house.judge.judge()

    with house.database.transaction() as connection:
        first, second = (each.body for each in set_level.of_run(connection, run_id))
    assert first["copies"]["copies"] == 0
    assert second["copies"]["rate"] >= 0.5
    assert second["copies"]["examples"][0] == ["portrait_0", "0.png"]
    assert second["diversity"]["ratio"] < 0.8
    assert second["diversity"]["value"] == pytest.approx(1 / 3, abs=0.02)
    assert second["gap"]["growth"] > 0
    assert second["training"] == {"kept": 40, "of": 40}
    flags = house.select("SELECT is_overtrained FROM public.epoch_results ORDER BY epoch_number")
    assert [each["is_overtrained"] for each in flags] == [False, second["overtrained"]]
    assert second["overtrained"] is True


def test_one_seed_and_no_training_images_are_reasons_and_no_flag(house: House) -> None:
    """The usual quick test says what it would need."""
    run_id = house.arrive(1)
    house.draw({None: 0.2, 1: 0.9})
    house.judge.judge()

    with house.database.transaction() as connection:
        (only,) = set_level.of_run(connection, run_id)
    assert (only.body["diversity"], only.body["copies"], only.body["gap"]) == (None, None, None)
    assert "one seed per prompt" in only.body["reasons"]["diversity"]
    assert "--data DIR" in only.body["reasons"]["copies"]
    assert house.select("SELECT is_overtrained FROM public.epoch_results") == [
        {"is_overtrained": None}
    ]


def test_training_images_that_come_later_are_compared_too(house: House) -> None:
    """The judge looks again once they are known, without a new checkpoint."""
    run_id = house.arrive(1)
    house.draw({None: 0.2, 1: 0.9})
    house.judge.judge()
    _knows_training(house, run_id)
    house.judge.judge()

    with house.database.transaction() as connection:
        (only,) = set_level.of_run(connection, run_id)
    assert only.body["copies"]["images"] == 4
