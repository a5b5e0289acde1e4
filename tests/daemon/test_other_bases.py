"""A slot on another base model: asked for by name, found by a host that has it, drawn or refused."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from house import BASE, House, open_house

import checkpoints_made as made
from core.settings import Settings
from core.store import comparisons
from core.store.comparisons import Comparison
from core.store.database import row, rows
from core.trials import ask_try
from core.wishes import ask_comparison
from daemon.planner import plan
from daemon.preparation import Preparation

SD1 = ("model.diffusion_model.input_blocks.0.0.weight", "cond_stage_model.transformer.x")
SDXL = ("model.diffusion_model.input_blocks.0.0.weight", "conditioner.embedders.1.x")
QUALITY: dict[int | None, float] = {None: 0.2, 1: 0.5, 2: 0.9}


class Asking:
    """A run of two tested epochs, and a host with models of its own."""

    def __init__(self, house: House, run_id: int, home: Path) -> None:
        """Keep everything for one host, whose folder of models is below ``home``."""
        self.house, self.run_id, self.home = house, run_id, home
        self.preparation = Preparation(database=house.database, settings=self._settings())

    def _settings(self) -> Settings:
        return Settings(home=self.home, host_name="pod")

    def put(self, name: str, tensors: tuple[str, ...]) -> str:
        """Put a model into the folder of models and return its SHA-256."""
        body = made.safetensors_bytes({each: ("F32", (1,), bytes(4)) for each in (*tensors, name)})
        path = self.home / "models" / f"{name}.safetensors"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(body)
        return hashlib.sha256(body).hexdigest()

    def ask(self, *slots: str) -> int:
        """Ask for a comparison of these slots."""
        with self.house.database.transaction() as connection:
            return ask_comparison(connection, run_id=self.run_id, slots=slots, by_whom="me")

    def look(self, grid_id: int, preparation: Preparation | None = None) -> Comparison:
        """Let the host look, and plan what can be; return the comparison."""
        (preparation or self.preparation).others.look()
        plan(self.house.database)
        with self.house.database.transaction() as connection:
            found = comparisons.comparison(connection, grid_id)
        assert found is not None
        return found


@pytest.fixture
def asking(migrated_dsn: str, tmp_path: Path) -> Iterator[Asking]:
    """Give two tested epochs of one run."""
    with open_house(migrated_dsn, tmp_path) as house:
        run_id = max(house.arrive(epoch) for epoch in (1, 2))
        house.draw(QUALITY)
        yield Asking(house, run_id, tmp_path)


def test_a_lora_is_drawn_on_a_base_model_that_is_found_by_name(asking: Asking) -> None:
    """Its slot has the hash of the file and a label that says so, and its jobs are this host's."""
    sha256 = asking.put("dreamshaper_8", SD1)
    asked = asking.ask("2", "2@0.8 on DreamShaper_8", "base on dreamshaper_8")
    found = asking.look(asked)
    bases = [slot.stack.base_sha256 for slot in found.slots]
    assert bases == [BASE, sha256, sha256]
    assert [slot.label for slot in found.slots] == [
        "epoch 2", "epoch 2 at 0.80 on DreamShaper_8", "base on dreamshaper_8",
    ]  # fmt: skip
    assert found.slots[1].stack.loras == ((f"{2:064x}", "0.80"),)
    assert (found.planned, found.trouble, found.wanted) == (True, None, 12)
    assert asking.ask("2", "2@0.8 on DreamShaper_8", "base on dreamshaper_8") == asked
    assert asking.preparation.bases[sha256].name == "dreamshaper_8.safetensors"
    with asking.house.database.transaction() as connection:
        job = row(connection, "grids.claim", host="pod", bases=[sha256])
    assert job is not None
    assert job["base_sha256"] == sha256


def test_a_host_that_starts_again_finds_what_is_still_to_be_drawn_with(asking: Asking) -> None:
    """By the name that was asked for, here the hash itself."""
    sha256 = asking.put("unnamed", SD1)
    assert asking.look(asking.ask("2", f"2 on {sha256}")).planned
    again = Preparation(database=asking.house.database, settings=asking.preparation.settings)
    again.others.restore()
    assert sha256 in again.bases


def test_a_base_model_that_is_not_there_is_waited_for_with_what_to_do(asking: Asking) -> None:
    """Nothing is planned, nothing keeps a host that waits for the end of its work, and then it comes."""
    asked = asking.ask("2", "2 on dreamshaper_8")
    found = asking.look(asked)
    assert not found.planned
    assert found.trouble is not None
    assert "No base model 'dreamshaper_8' on pod" in found.trouble
    assert "base_models in epochwatch.toml" in found.trouble
    with asking.house.database.transaction() as connection:
        idle = row(connection, "grids.open_work", host="pod")
        listed = comparisons.comparisons(connection)
    assert idle == {"open": 0}
    assert listed[0].waiting_reason == found.trouble
    asking.put("dreamshaper_8", SD1)
    later = Preparation(database=asking.house.database, settings=asking.preparation.settings)
    found = asking.look(asked, later)
    assert (found.planned, found.trouble) == (True, None)


def test_no_path_of_the_machine_can_be_asked_for(asking: Asking) -> None:
    """What comes from a page reaches no further than the folders of models."""
    asking.put("dreamshaper_8", SD1)
    outside = asking.home / "elsewhere.safetensors"
    (asking.home / "models" / "dreamshaper_8.safetensors").rename(outside)
    assert not asking.look(asking.ask("2", f"2 on {outside}")).planned


def test_another_family_is_refused_with_both_names(asking: Asking) -> None:
    """As for runs: nothing is drawn, and asked for again it is looked at anew."""
    asking.put("illustrious", SDXL)
    asked = asking.ask("2", "2 on illustrious")
    found = asking.look(asked)
    assert found.trouble is not None
    assert "punk is a LoRA for SD 1, and the base model illustrious" in found.trouble
    assert "SDXL" in found.trouble
    assert found.wanted == 0
    with asking.house.database.transaction() as connection:
        assert comparisons.comparisons(connection)[0].parked_reason == found.trouble
    assert asking.ask("2", "2 on illustrious") != asked


def test_the_run_s_own_base_model_under_a_name_is_the_same_slot(asking: Asking) -> None:
    """It would draw the same images twice."""
    asking.put("dreamshaper_8", SD1)
    sha256 = asking.put("other", SD1)
    found = asking.look(asking.ask("2 on other", f"2 on {sha256}"))
    assert found.trouble is not None
    assert "are the same weights at the same strength" in found.trouble


def test_a_prompt_of_one_s_own_is_tried_on_another_base_model(asking: Asking) -> None:
    """The same words for a slot everywhere."""
    sha256 = asking.put("dreamshaper_8", SD1)
    with asking.house.database.transaction() as connection:
        asked = ask_try(
            connection, run_id=asking.run_id, slots=["2 on dreamshaper_8"], prompt="a knight",
            negative="", seed=7, by_whom="me",
        )  # fmt: skip
    found = asking.look(asked)
    assert (found.wanted, found.slots[0].stack.base_sha256) == (1, sha256)


def test_strengths_are_read_from_the_run_s_own_base_model_only(asking: Asking) -> None:
    """What a strength loses on another base model says nothing of this one."""
    asking.put("dreamshaper_8", SD1)
    asking.look(asking.ask("2@0.8", "2@0.6 on dreamshaper_8"))
    asking.house.draw(QUALITY | {2: 0.9})
    with asking.house.database.transaction() as connection:
        found = rows(connection, "comparisons.sweep_of_run", run_id=asking.run_id)
    assert {each["strength"] for each in found} == {"0.80"}
