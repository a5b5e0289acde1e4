"""Checkpoints that are folders, written by the trainers' own libraries: from watched folder to image."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from diffusers.training_utils import _collate_lora_metadata
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from PIL import Image
from safetensors.torch import save_file
from tiny_models import tiny_pipeline

from core.formats.base_model import base_sha256
from core.formats.checkpoint_file import Incomplete
from core.nouns import Recipe
from core.store.database import Database, rows
from core.store.files import open_store
from daemon.generator.job import DrawJob, DrawSample, LoraFile
from daemon.generator.lora_file import read_lora
from daemon.generator.merging import Merger
from daemon.generator.studio import Studio
from daemon.intake import Intake
from daemon.spool import Admitted, Spool
from daemon.watcher import Patience, Sighting, Watcher

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
CONFIG = {"r": 4, "lora_alpha": 6, "target_modules": ["to_q", "to_k"]}
LAYOUTS = ("diffusers", "peft", "peft named", "simpletuner ema")


@pytest.fixture(scope="module")
def pipeline() -> Any:
    """A small base model."""
    torch.set_num_threads(1)
    return tiny_pipeline("sd1")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """The folder of a run that a trainer saves into."""
    folder = tmp_path / "output" / "punk"
    folder.mkdir(parents=True)
    return folder


def trained(model: Any, seed: int = 1) -> Any:
    """Give the LoRA in ``model`` what a training could have left."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, one in model.named_parameters():
            if "lora_" in name:
                one.copy_(torch.randn(one.shape, generator=random) * 0.2)
    return model


def with_adapter(pipeline: Any) -> Any:
    """Return a UNet that diffusers' own training scripts could have trained."""
    unet = copy.deepcopy(pipeline.unet)
    unet.add_adapter(LoraConfig(**CONFIG))
    return trained(unet)


def save_diffusers(pipeline: Any, folder: Path) -> Any:
    """Save as the training scripts of diffusers do; return the UNet that was trained."""
    unet = with_adapter(pipeline)
    StableDiffusionPipeline.save_lora_weights(
        folder,
        unet_lora_layers=get_peft_model_state_dict(unet),
        **_collate_lora_metadata({"unet": unet}),
    )
    return unet


def save_peft(pipeline: Any, folder: Path, adapter: str = "default", **config: Any) -> PeftModel:
    """Save as PEFT does: weights, then the configuration."""
    model = get_peft_model(
        copy.deepcopy(pipeline.unet), LoraConfig(**(CONFIG | config)), adapter_name=adapter
    )
    trained(model).save_pretrained(folder)
    return model


@pytest.fixture(scope="module")
def adapter(pipeline: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What PEFT saved, to be copied."""
    folder = tmp_path_factory.mktemp("peft") / "adapter"
    save_peft(pipeline, folder)
    return folder


def put(adapter: Path, folder: Path, **changes: Any) -> Path:
    """Copy a PEFT folder, its configuration changed; return the weights."""
    shutil.copytree(adapter, folder)
    config = folder / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | changes))
    return folder / "adapter_model.safetensors"


def save(layout: str, pipeline: Any, output: Path) -> Any:
    """Save step 500 in the layout of a trainer; return the UNet as it was trained."""
    folder = output / "checkpoint-500"
    if layout == "diffusers":
        unet = save_diffusers(pipeline, folder)
        for name in ("optimizer.bin", "scheduler.bin", "random_states_0.pkl"):
            (folder / name).write_bytes(b"no pickle is opened")
        save_file(unet.state_dict(), folder / "model.safetensors")  # as accelerate's save_state
        return unet
    if layout == "peft":
        return save_peft(pipeline, folder)
    if layout == "peft named":
        more = {"use_rslora": True, "alpha_pattern": {"to_k": 2}}
        return save_peft(pipeline, folder, adapter="style", **more)
    unfinished = output / "checkpoint-500-tmp"
    unet = save_diffusers(pipeline, unfinished / "ema")
    (unfinished / "training_state.json").write_text('{"global_step": 500}')
    unfinished.rename(folder)
    (folder / ".guard").touch()
    return unet


class Watching:
    """A watcher on the folder above the run, with all it has told and a clock of its own."""

    def __init__(self, output: Path) -> None:
        """Watch, with a spool beside."""
        self.spool = Spool(output.parents[1] / "spool", least_free=0)
        patience = Patience(second_look=0.02, deadline=5.0, recheck=0.05)
        self.now = 1000.0
        self.watcher = Watcher(
            [output.parent],
            self.spool,
            quiet_seconds=0.1,
            patience=patience,
            clock=lambda: self.now,
        )
        self.admitted: list[Admitted] = []
        self.last: dict[str, Sighting] = {}

    def look(self, seconds: float = 0.4) -> None:
        """Scan until nothing is left to decide, or so long by its clock."""
        end = self.now + seconds
        while self.now < end:
            result = self.watcher.scan()
            self.admitted += result.admitted
            self.last |= {Path(each.path).name: each for each in result.sightings}
            if self.admitted and not self.watcher.unsettled():
                return
            self.now += 0.02


def everything_below(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return what writing, linking or touching would change."""
    return {
        str(path): (s.st_mode, s.st_size, s.st_ino, s.st_nlink, s.st_mtime_ns, s.st_ctime_ns)
        for path in [folder, *folder.rglob("*")]
        for s in [path.lstat()]
    }


@torch.no_grad()
def answer(unet: Any) -> torch.Tensor:
    """Return what a UNet answers to always the same question."""
    random = torch.Generator().manual_seed(2)
    states, shown = torch.randn((1, 5, 32), generator=random), torch.ones(1, 4, 8, 8)
    return unet(shown, 500, states).sample


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_folder_is_taken_in_once_and_merges_as_it_was_trained(
    layout: str, pipeline: Any, output: Path
) -> None:
    """Step and run come from the folders; what the copy does is what the trainer's own model does."""
    unet = save(layout, pipeline, output)
    before = everything_below(output.parent)
    story = Watching(output)
    story.look()
    (admitted,) = story.admitted
    assert everything_below(output.parent) == before
    label = {"simpletuner ema": " (ema)", "peft named": " (style)"}.get(layout, "")
    facts = admitted.facts
    assert (facts.output_name, facts.step, facts.epoch) == (f"punk{label}", 500, None)
    assert (facts.rank, facts.alpha) == (4, 6.0)
    path = story.spool.path(admitted.sha256)
    assert path == admitted.spool_path
    mine = copy.deepcopy(pipeline.unet)
    merged = Merger({"unet": mine}).apply([(read_lora(path, admitted.sha256), 1.0)])
    assert merged.modules_changed == merged.modules_patched == facts.module_count
    assert torch.allclose(answer(mine), answer(unet), rtol=1e-3, atol=1e-4)
    assert (answer(mine) - answer(pipeline.unet)).abs().mean() > 1e-3


def test_what_accelerate_saves_beside_the_lora_is_no_second_checkpoint(
    pipeline: Any, output: Path
) -> None:
    """The whole model with the LoRA inside is told from a LoRA by its keys."""
    save("diffusers", pipeline, output)
    story = Watching(output)
    story.look()
    assert story.last["model.safetensors"].state == "refused"
    assert "trainer's own state" in story.last["model.safetensors"].reason
    assert len(story.last) == 2


def test_weights_wait_for_the_configuration_that_peft_writes_last(
    adapter: Path, output: Path
) -> None:
    """Without it, or with half of it, they cannot be scaled; with it they are proven whole at once."""
    config = put(adapter, output / "checkpoint-500").with_name("adapter_config.json")
    whole = config.read_text()
    config.unlink()
    story = Watching(output)
    story.look(seconds=0.2)
    assert story.last["adapter_model.safetensors"].state == "incomplete"
    assert "adapter_config.json" in story.last["adapter_model.safetensors"].reason
    config.write_text(whole[: len(whole) // 2])
    story.look(seconds=0.2)
    assert not story.admitted
    config.write_text(whole)
    story.look(seconds=5.0)
    assert len(story.admitted) == 1


def test_a_pair_is_known_by_both_of_its_files(adapter: Path, output: Path, tmp_path: Path) -> None:
    """The same weights with another scale are another checkpoint, and draw another image."""
    spool = Spool(tmp_path / "spool", least_free=0)
    taken = []
    for alpha in (6, 12):
        weights = put(adapter, output / f"checkpoint-{alpha}", lora_alpha=alpha)
        outcome = spool.admit(weights, root=output)
        assert isinstance(outcome, Admitted)
        taken.append(outcome)
    parts = [
        f"{name} {hashlib.sha256((output / 'checkpoint-6' / name).read_bytes()).hexdigest()}"
        for name in ("adapter_config.json", "adapter_model.safetensors")
    ]
    assert taken[0].sha256 == hashlib.sha256("\n".join(parts).encode()).hexdigest()
    assert len({one.sha256 for one in taken}) == len({one.body_sha256 for one in taken}) == 2
    scales = [read_lora(one.spool_path, one.sha256).changes[0].scale for one in taken]
    assert scales == [1.5, 3.0]


def test_the_spool_keeps_restores_and_frees_both_files_together(
    adapter: Path, output: Path, tmp_path: Path
) -> None:
    """A restart keeps what is journaled and removes what is not; eviction leaves no half behind."""
    spool = Spool(tmp_path / "spool", least_free=0)
    weights = put(adapter, output / "checkpoint-500")
    admitted = spool.admit(weights, root=output)
    assert isinstance(admitted, Admitted)
    half = spool.folder / ("0" * 64)
    half.mkdir()
    (half / "adapter_config.json").write_text("{}")
    again = Spool(spool.folder, least_free=0)
    assert not half.exists()
    assert again.entries() == [admitted]
    pair = sorted(each.name for each in admitted.spool_path.parent.iterdir())
    assert pair == ["adapter_config.json", "adapter_model.safetensors"]
    again.mark_registered(admitted.sha256)
    assert again.evict(set(), cap_bytes=0) == [admitted.sha256]
    assert again.path(admitted.sha256) is None
    assert not admitted.spool_path.parent.exists()
    back = again.admit(weights, root=output)
    assert isinstance(back, Admitted)
    assert not back.fresh
    assert again.path(admitted.sha256) == back.spool_path


def test_a_configuration_that_changes_while_weights_are_copied_is_no_pair(
    adapter: Path, output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trainer saves the same folder again: what was read first does not belong to it."""
    weights = put(adapter, output / "checkpoint-500")
    config = weights.with_name("adapter_config.json")
    read, reads = os.pread, []

    def pread(fd: int, size: int, offset: int) -> bytes:
        data = read(fd, size, offset)
        if b'"peft_type"' in data and not reads:
            reads.append(json.loads(data))
            config.write_text(json.dumps(reads[0] | {"lora_alpha": 99}))
        return data

    monkeypatch.setattr(os, "pread", pread)
    spool = Spool(tmp_path / "spool", least_free=0)
    outcome = spool.admit(weights, root=output)
    assert isinstance(outcome, Incomplete), outcome
    assert not spool.entries()


@pytest.fixture
def database(migrated_dsn: str) -> Iterator[Database]:
    """Give an open, migrated database."""
    with Database(migrated_dsn) as database:
        yield database


def test_each_folder_becomes_a_position_of_one_run(
    adapter: Path, output: Path, tmp_path: Path, database: Database
) -> None:
    """Files that are all called alike are told apart by their folders, in the database too."""
    for step in (500, 1000):
        put(adapter, output / f"checkpoint-{step}", lora_alpha=step)
    story = Watching(output)
    intake = Intake(
        database=database, spool=story.spool, store=open_store(str(tmp_path / "store")), host="pod"
    )
    for _ in range(20):
        intake.take(story.watcher.scan())
        if not story.watcher.unsettled():
            break
        story.now += 0.05
    with database.transaction() as connection:
        (run,) = rows(connection, "runs.all")
        found = rows(connection, "checkpoints.current", run_id=run["id"])
    assert run["run_name"] == "punk"
    name = "adapter_model.safetensors"
    assert [(each["position"], each["file_name"]) for each in found] == [
        (500, f"checkpoint-500/{name}"),
        (1000, f"checkpoint-1000/{name}"),
    ]
    assert '"lora_alpha": 1000' in found[1]["facts"]["lora_adapter_metadata"]


def test_the_private_copy_of_a_pair_is_drawn(
    pipeline: Any, adapter: Path, output: Path, tmp_path: Path
) -> None:
    """The image is another one than the base model's, and says by its hash what it was drawn with."""
    put(adapter, output / "checkpoint-500")
    story = Watching(output)
    story.look()
    (admitted,) = story.admitted
    base = tmp_path / "base"
    pipeline.save_pretrained(base, safe_serialization=True)
    recipe = Recipe(sampler="ddim", steps=2, width=32, height=32, grid=None)
    studio = Studio(lambda *_, **__: None, lambda: False)
    pictures = []
    for loras in ((), (LoraFile(path=admitted.spool_path, sha256=admitted.sha256),)):
        job = DrawJob(
            job="1", base_path=base, base_sha256=base_sha256(base), loras=loras, recipe=recipe,
            samples=(DrawSample(sample_id=f"s{len(loras)}", prompt="a punk", seed=1),),
            out=tmp_path / "out", device="cpu",
        )  # fmt: skip
        studio.draw(job)
        told = json.loads((job.out / f"s{len(loras)}.json").read_text())
        assert [each[0] for each in told["provenance"]["loras"]] == [each.sha256 for each in loras]
        pictures.append(np.asarray(Image.open(job.out / f"s{len(loras)}.png")).astype(int))
    assert (pictures[0] != pictures[1]).mean() > 0.1
