"""Full models as the epochs of a run: from a watched folder to images, slots and production."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from original_layout import original_tensors
from PIL import Image
from safetensors.torch import save_file
from tiny_models import tiny_pipeline

from checkpoints_made import kohya_file
from core import production
from core.errors import Fixable
from core.formats.base_model import base_sha256, file_sha256
from core.formats.checkpoint_file import Refused
from core.formats.slot_text import read_slot
from core.nouns import Stack
from core.rules.comparing import comparison_body
from core.settings import Settings
from core.store import comparisons
from core.store.database import Database, Row, row, rows
from core.store.files import LocalStore
from daemon.actions.production_folder import RECORD
from daemon.actions.promote import promoter_of
from daemon.generator.client import Generator
from daemon.intake import Intake
from daemon.outbox import Outbox
from daemon.planner import plan
from daemon.preparation import Preparation
from daemon.sharing import sharing_of
from daemon.spool import Admitted, Blocked, Spool, spool_of
from daemon.weights import weights_of
from daemon.worker import Worker
from whole_program import drop

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
REPOSITORY = Path(__file__).resolve().parents[2]
SUITE = """name = "two"
[recipe]
sampler = "ddim"
steps = 2
guidance = 4.0
width = 32
height = 32
[[prompt]]
name = "one"
text = "a knight"
[[prompt]]
name = "other"
text = "a witch"
"""


class Made:
    """A small model as it was before the training, and two epochs of it, each one file."""

    def __init__(self, folder: Path) -> None:
        """Write all of it below ``folder``."""
        torch.set_num_threads(1)
        pipeline = tiny_pipeline("sd1")
        self.original = folder / "original"
        pipeline.save_pretrained(self.original, safe_serialization=True)
        self.configs = folder / "configs"
        without = shutil.ignore_patterns("*.safetensors", "tokenizer*")
        shutil.copytree(self.original, self.configs / "sd1", ignore=without)
        self.epochs = []
        for epoch in (1, 2):
            with torch.no_grad():
                for one in pipeline.unet.parameters():
                    one.add_(torch.randn(one.shape) * 0.02)
            path = folder / f"punk-{epoch:06d}.safetensors"
            save_file(original_tensors(pipeline, "sd1"), path, {"format": "pt"})
            self.epochs.append(path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Return the small model, made once."""
    return Made(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def generator(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Generator]:
    """Give a real child, which reads the configurations of small models instead of those shipped."""
    folder = tmp_path_factory.mktemp("startup")
    (folder / "sitecustomize.py").write_text(
        "import daemon.generator.single_file as one, pathlib\n"
        f"one.CONFIGS = pathlib.Path({str(made.configs)!r})\n"
    )
    path = f"{folder}{os.pathsep}{REPOSITORY}"
    with Generator(threads=1, environment={**os.environ, "PYTHONPATH": path}) as generator:
        yield generator


class Machine:
    """The parts of a daemon that take files in and draw, on a real database, with a real child."""

    def __init__(
        self, database: Database, generator: Generator, home: Path, **settings: Any
    ) -> None:
        """Set everything up in ``home``."""
        (home / "out").mkdir(parents=True)
        (home / "suite.toml").write_text(SUITE)
        self.settings = Settings(
            home=home, suite=home / "suite.toml", device="cpu", host_name="pod", full_models=True,
            profile="votes", **settings,
        )  # fmt: skip
        self.database, self.spool = database, spool_of(self.settings)
        self.spool.least_free = 0
        self.store = LocalStore(home / "store")
        self.intake = Intake(database=database, spool=self.spool, store=self.store, host="pod")
        self.preparation = Preparation(database=database, settings=self.settings)
        self.weights = weights_of(self.settings, database, self.store, self.spool)
        self.worker = Worker(
            database=database,
            outbox=Outbox(folder=home / "out", database=database, store=self.store, host="pod"),
            generator=generator,
            host="pod",
            bases=self.preparation.bases,
            find_weights=self.weights.find,
            weights_at_hand=self.weights.at_hand,
            full_models=self.spool.full_models,
            sharing=sharing_of(self.settings, lambda: generator.pid),
            device="cpu",
        )

    def test(self, files: list[Path]) -> Row:
        """Take files in, draw all that is asked for, and return the run with its set-up."""
        self.intake.take_files(files)
        self.preparation.prepare()
        self.draw()
        with self.database.transaction() as connection:
            found = row(connection, "runs.by_name", run_name="punk")
            assert found is not None
            about = row(connection, "runs.get", run_id=found["id"])
            assert about is not None
            return about

    def draw(self) -> None:
        """Plan and draw until nothing is left."""
        plan(self.database)
        while self.worker.work_once():
            pass

    def select(self, sql: str) -> list[Row]:
        """Return the rows of any question."""
        with self.database.transaction() as connection:
            return connection.execute(sql.encode()).fetchall()

    def slot(self, about: Row, text: str) -> Any:
        """Return the slot that a person writes so."""
        with self.database.transaction() as connection:
            return comparisons.find_slot(connection, read_slot(text), about["id"])


@pytest.fixture
def database(migrated_dsn: str) -> Iterator[Database]:
    """Give a migrated database."""
    with Database(migrated_dsn) as database:
        yield database


@pytest.fixture
def folder(made: Made, tmp_path: Path) -> list[Path]:
    """Give the two epochs in the folder that the trainer saves into."""
    (tmp_path / "output").mkdir()
    return [drop(path, tmp_path / "output") for path in made.epochs]


@pytest.mark.story
def test_two_epochs_of_a_full_model_are_drawn_beside_the_model_they_began_from(
    database: Database, generator: Generator, made: Made, folder: list[Path], tmp_path: Path
) -> None:
    """Each epoch is the base of its own images; the baseline is the original model's."""
    machine = Machine(database, generator, tmp_path / "home", base_model=str(made.original))
    about = machine.test(folder)
    assert about["base_sha256"] == base_sha256(made.original)
    drawn = machine.select(
        "SELECT s.stack, s.prompt, i.image_sha256 FROM epochwatch.images i"
        " JOIN epochwatch.samples s USING (sample_id) ORDER BY s.stack_key, s.prompt"
    )
    bases = [base_sha256(made.original), *map(file_sha256, made.epochs)]
    assert {each["stack"]["base"] for each in drawn} == set(bases)
    assert all(each["stack"]["loras"] == [] for each in drawn)
    assert len(drawn) == len({each["image_sha256"] for each in drawn}) == 6
    slots = [machine.slot(about, text) for text in ("base", "1", "2")]
    assert [slot.stack.base_sha256 for slot in slots] == bases
    assert [(slot.label, slot.position) for slot in slots[1:]] == [
        ("epoch 1", 1),
        ("epoch 2", 2),
    ]
    for text, words in (("1@0.8", "only a LoRA has a strength"), ("1+2", "merged")):
        with pytest.raises(Fixable, match=words):
            machine.slot(about, text)
    with database.transaction() as connection:
        kinds = rows(connection, "checkpoints.current", run_id=about["id"])
    assert [(each["kind"], each["family"], each["position"]) for each in kinds] == [
        ("base", "sd1", 1), ("base", "sd1", 2),
    ]  # fmt: skip


@pytest.mark.story
def test_without_the_model_it_began_from_there_is_no_baseline_and_it_is_said(
    database: Database, generator: Generator, folder: list[Path], tmp_path: Path
) -> None:
    """The epoch is drawn all the same; a copy that is gone parks a later wish with the reason."""
    machine = Machine(database, generator, tmp_path / "home")
    about = machine.test(folder[:1])
    assert (about["base_sha256"], about["blocked_reason"]) == (None, None)
    (setup,) = machine.select("SELECT doubts FROM epochwatch.run_setups")
    assert "no baseline" in setup["doubts"][0]
    drawn = machine.select("SELECT i.image_sha256 FROM epochwatch.images i WHERE defect IS NULL")
    assert len(drawn) == 2
    png = machine.store.get("images", drawn[0]["image_sha256"])
    assert np.asarray(Image.open(io.BytesIO(png))).std() > 5
    with pytest.raises(Fixable, match="no base model that is known"):
        machine.slot(about, "base")
    (sha256,) = machine.spool.full_models()
    assert machine.spool.evict(set(), 0) == [sha256]
    machine.intake.take_files(folder[1:])
    with database.transaction() as connection:
        body = comparison_body(
            title="both",
            slots=[
                comparisons.find_slot(connection, read_slot(text), about["id"])
                for text in ("1", "2")
            ],
            suite=about["suite"], profile=None, tier="full", seeds=[7],
        )  # fmt: skip
        comparisons.ask(connection, origin="a", body=body, run_id=about["id"], by_whom="me")
    machine.draw()
    (parked,) = machine.select(
        "SELECT parked_reason FROM epochwatch.jobs WHERE finished_at IS NULL"
    )
    assert "no longer on this machine" in parked["parked_reason"]


def test_without_the_flag_a_full_model_is_refused_with_its_name(
    folder: list[Path], tmp_path: Path
) -> None:
    """Nothing is copied, and the reason says what to start with."""
    spool = Spool(tmp_path / "spool", least_free=0)
    outcome = spool.admit(folder[0], root=folder[0].parent)
    assert isinstance(outcome, Refused)
    assert "--full-models" in outcome.reason
    assert not spool.entries()


def test_a_full_model_is_taken_in_as_a_lora_is(folder: list[Path], tmp_path: Path) -> None:
    """Whole and verified, within a size of its own, and only where its disk has the room."""
    size = folder[0].stat().st_size
    small = Spool(tmp_path / "small", least_free=0, largest_model=size - 1)
    refused = small.admit(folder[0], root=folder[0].parent)
    assert isinstance(refused, Refused)
    assert "full_model_gb" in refused.reason
    full = Spool(tmp_path / "full", least_free=1 << 60, largest_model=size)
    assert isinstance(full.admit(folder[0], root=folder[0].parent), Blocked)
    spool = Spool(tmp_path / "spool", least_free=0, largest=1, largest_model=size)
    assert spool.full_models() == frozenset()
    taken = spool.admit(folder[0], root=folder[0].parent)
    assert isinstance(taken, Admitted)
    assert taken.sha256 == file_sha256(folder[0]) == base_sha256(taken.spool_path)
    assert (taken.facts.kind, taken.facts.family, taken.facts.epoch) == ("base", "sd1", 1)
    assert spool.full_models() == {taken.sha256}


def test_a_part_of_a_model_is_refused_with_the_flag_too(made: Made, tmp_path: Path) -> None:
    """A UNet alone draws nothing by itself: a person is told what to save instead."""
    unet = made.original / "unet" / "diffusion_pytorch_model.safetensors"
    path = drop(unet, tmp_path)
    outcome = Spool(tmp_path / "spool", least_free=0, largest_model=1 << 40).admit(
        path, root=tmp_path
    )
    assert isinstance(outcome, Refused)
    assert "one .safetensors file" in outcome.reason


def test_production_holds_a_full_model_whole(
    database: Database, folder: list[Path], tmp_path: Path
) -> None:
    """A promoted one is copied and verified as a LoRA is; its record has no strength."""
    settings = Settings(home=tmp_path / "home", host_name="pod", full_models=True)
    spool, store = spool_of(settings), LocalStore(tmp_path / "store")
    spool.least_free = 0
    Intake(database=database, spool=spool, store=store, host="pod").take_files(folder[:1])
    with database.transaction() as connection:
        (about,) = rows(connection, "runs.all")
        seen = production.look(connection, about["id"], 1)
        number = production.promote(connection, seen, reason="a trial", by_whom="me")
    promoter = promoter_of(settings, database, weights_of(settings, database, store, spool).find)
    assert "live at" in promoter.promote(number)
    assert base_sha256(promoter.folder.pointer) == file_sha256(folder[0])
    with database.transaction() as connection:
        live = comparisons.find_slot(connection, read_slot("production"), about["id"])
    assert live.stack == Stack(base_sha256=file_sha256(folder[0]))
    record = json.loads((settings.production_folder / RECORD).read_text())
    assert (record["strength"], record["family"]) == (None, "sd1")


@pytest.mark.parametrize("run_name", [None, "punk"])
def test_loras_and_full_models_are_never_in_one_run(
    run_name: str | None, database: Database, folder: list[Path], tmp_path: Path
) -> None:
    """They are drawn in different ways: of one stem, or under one name, they are two runs."""
    lora = kohya_file(folder[0].with_name("punk-000003.safetensors"), 3)
    spool = Spool(tmp_path / "spool", least_free=0, largest_model=1 << 40)
    store = LocalStore(tmp_path / "store")
    intake = Intake(database=database, spool=spool, store=store, host="pod", run_name=run_name)
    intake.take_files([folder[0], lora, folder[1]])
    with database.transaction() as connection:
        names = {each["run_name"]: each["id"] for each in rows(connection, "runs.all")}
        kinds = {
            name: {each["kind"] for each in rows(connection, "checkpoints.current", run_id=run_id)}
            for name, run_id in names.items()
        }
    other = "punk (LoRAs)" if run_name else next(name for name in kinds if name != "punk")
    assert kinds == {"punk": {"base"}, other: {"lora"}}
