"""What a run is tested with follows what its trainer wrote; what may mislead is kept beside it."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import checkpoints_made as made
from core.errors import Fixable
from core.formats.base_model import vae_sha256
from core.formats.checkpoint_file import facts
from core.formats.checkpoint_header import Header, read_header
from core.formats.checkpoint_metadata import storable
from core.nouns import Recipe
from core.rules.beside import Decision
from core.settings import load_settings
from core.store.database import Database, Row, row, rows
from core.store.files import open_store
from core.store.registration import Arrival, register
from daemon.demo.story import DATASET, MODEL, SUITE
from daemon.generator.client import Generator
from daemon.neighbors import Neighbors
from daemon.outbox import Outbox
from daemon.preparation import Preparation
from daemon.sharing import Sharing
from daemon.suite_of_run import suite_of, suited_to
from daemon.worker import Worker

SD1 = ("model.diffusion_model.input_blocks.0.0.weight", "cond_stage_model.transformer.x")
NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)


@pytest.fixture
def database(migrated_dsn: str) -> Database:
    """Give a migrated database, not opened yet."""
    return Database(migrated_dsn)


def prepared(
    database: Database,
    folder: Path,
    *,
    suite: Path | None,
    tensors: Mapping[str, Any] | None = None,
    base: Path | None = MODEL,
    vae: Path | None = None,
    **metadata: str,
) -> Row:
    """Register one checkpoint with this metadata, prepare its run, and return the run."""
    path = folder / "punk-000001.safetensors"
    told = made.kohya_metadata(1, **metadata)
    path.write_bytes(made.safetensors_bytes(tensors or made.kohya_tensors(), told))
    header = read_header(path)
    assert isinstance(header, Header)
    data = folder / "data"
    data.mkdir()
    for file in sorted(DATASET.iterdir())[:16]:
        shutil.copy(file, data)
    settings = load_settings(
        home=folder, base_model=base and str(base), data=data, suite=suite, vae=vae, host_name="pod"
    )
    with database:
        with database.transaction() as connection:
            run_id = register(
                connection,
                Arrival(
                    sha256="1" * 64, body_sha256="2" * 64, size_bytes=path.stat().st_size,
                    facts=facts(header, path.name), facts_json=storable(header.metadata),
                    host="pod", root=str(folder), source_path=str(path), file_name=path.name,
                    closed_at=NOW, admitted_at=NOW,
                ),
            )  # fmt: skip
        Preparation(database=database, settings=settings).prepare()
        with database.transaction() as connection:
            about = row(connection, "gallery.run", run_id=run_id)
            suite_row = connection.execute(
                b"SELECT d.body, s.base_sha256 FROM epochwatch.run_setups s"
                b" JOIN epochwatch.documents d ON d.digest = s.suite"
            ).fetchone()
    assert about is not None
    found = suite_row or {"body": {"recipe": None}, "base_sha256": None}
    return about | {"recipe": found["body"]["recipe"], "base_sha256": found["base_sha256"]}


def test_a_derived_suite_draws_as_the_trainer_trained(database: Database, tmp_path: Path) -> None:
    """Size, clip skip and token length come from the metadata, so that nothing is left to doubt."""
    about = prepared(database, tmp_path, suite=None, ss_clip_skip="2", ss_max_token_length="150")
    recipe = about["recipe"]
    assert (recipe["width"], recipe["clip_skip"], recipe["token_length"]) == (512, 2, 150)
    assert not [each for each in about["doubts"] if "suite's recipe" in each]


def test_a_suite_that_differs_from_the_training_is_doubted(
    database: Database, tmp_path: Path
) -> None:
    """The demo's suite draws 96 pixels with clip skip 1; this run was trained otherwise."""
    about = prepared(database, tmp_path, suite=SUITE, ss_clip_skip="2")
    assert about["blocked_reason"] is None
    assert about["recipe"]["clip_skip"] == Recipe().clip_skip == 1
    told = " ".join(about["doubts"])
    assert "Trained at 512x512 pixels, tested at 96x96" in told
    assert "set clip_skip = 2" in told


def test_a_trainers_sample_prompts_are_drawn_as_it_draws_them(
    database: Database, tmp_path: Path
) -> None:
    """They have no word for clip skip and token length, so the training's count."""
    lines = tmp_path / "sample_prompts.txt"
    lines.write_text("punk, a cat BREAK a hat --s 20\n")
    about = prepared(database, tmp_path, suite=lines, ss_clip_skip="2", ss_max_token_length="225")
    recipe = about["recipe"]
    assert (recipe["clip_skip"], recipe["token_length"], recipe["steps"]) == (2, 225, 20)
    assert not [each for each in about["doubts"] if "clip_skip" in each or "token_length" in each]


def test_a_base_model_is_found_by_its_hash_whatever_it_is_called(
    database: Database, tmp_path: Path
) -> None:
    """A renamed file is the one it was trained on; another file of its name is not."""
    named, renamed = (
        made.safetensors_bytes({name: ("F32", (1,), bytes(4)) for name in SD1 + more})
        for more in ((), ("cond_stage_model.transformer.y",))
    )
    models = tmp_path / "models"
    models.mkdir()
    (models / "sd-v1-5.safetensors").write_bytes(named)
    (models / "renamed.safetensors").write_bytes(renamed)
    trained_on = hashlib.sha256(renamed).hexdigest()
    about = prepared(
        database, tmp_path, suite=None, base=None,
        ss_sd_model_name="sd-v1-5.safetensors", ss_new_sd_model_hash=trained_on,
    )  # fmt: skip
    assert about["blocked_reason"] is None
    assert about["base_sha256"] == trained_on
    assert not [each for each in about["doubts"] if "another file" in each]


def test_a_hub_name_that_is_not_on_this_machine_says_that_nothing_is_fetched(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person must download it: the run does not wait for a download that never comes."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    about = prepared(
        database, tmp_path, suite=None, base=None, ss_sd_model_name="owner/not-on-this-machine"
    )
    assert "'owner/not-on-this-machine'" in about["blocked_reason"]
    assert "Nothing is fetched from a hub: download the model" in about["blocked_reason"]


def test_a_blocked_run_is_told_once_by_an_alert_and_in_the_log(
    database: Database, migrated_dsn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever started it is asleep when the first checkpoint comes: the page alone tells nobody."""
    about = prepared(database, tmp_path, suite=SUITE, base=tmp_path / "mistyped.safetensors")
    assert f"you named '{tmp_path}/mistyped.safetensors'" in about["blocked_reason"]
    assert capsys.readouterr().out.count("run is blocked") == 1
    settings = load_settings(home=tmp_path, host_name="pod", base_model="mistyped")
    with Database(migrated_dsn) as again:
        for _ in range(2):
            Preparation(database=again, settings=settings).prepare()
        with again.transaction() as connection:
            told = rows(connection, "actions.recent", kind="alert", limit=9)
    assert [each["payload"]["title"] for each in told] == ["punk: nothing is tested"] * 2
    assert {"mistyped" in each["payload"]["body"] for each in told} == {True}


def test_a_base_model_that_is_gone_does_not_keep_the_daemon_from_starting(
    database: Database, migrated_dsn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An old run's model was deleted, or was named on the command line of another day."""
    about = prepared(database, tmp_path, suite=SUITE)
    assert about["blocked_reason"] is None
    settings = load_settings(home=tmp_path / "elsewhere", host_name="pod")
    with Database(migrated_dsn) as again:
        Preparation(database=again, settings=settings).restore_bases()
    assert capsys.readouterr().out.count("base model is gone") == 1


def test_the_vae_of_the_settings_stands_in_the_recipe(database: Database, tmp_path: Path) -> None:
    """By its hash, so that images drawn with it are others than those drawn without."""
    about = prepared(database, tmp_path, suite=SUITE, vae=MODEL / "vae")
    assert about["blocked_reason"] is None
    assert about["recipe"]["vae"] == vae_sha256(MODEL / "vae")
    assert about["recipe"]["width"] == 96


def test_a_vae_that_is_none_blocks_the_run_with_its_name(
    database: Database, tmp_path: Path
) -> None:
    """Nothing is drawn with the base's own in its place; a start with such a setting is refused."""
    about = prepared(database, tmp_path, suite=SUITE, vae=MODEL / "unet" / "no such folder")
    assert "no such folder is no VAE" in about["blocked_reason"]
    settings = load_settings(home=tmp_path, vae=tmp_path)
    with pytest.raises(Fixable, match="is no VAE"):
        Preparation(database=database, settings=settings).restore_bases()


@pytest.mark.parametrize(("vae", "words"), [(None, "names none"), (MODEL / "vae", "another one")])
def test_a_suite_with_a_vae_of_its_own_needs_that_one(
    database: Database, tmp_path: Path, vae: Path | None, words: str
) -> None:
    """It says by hash what it is drawn with, and the setting says where that lies."""
    suite = tmp_path / "suite.toml"
    suite.write_text(f'[recipe]\nvae = "{"5" * 64}"\n[[prompt]]\nname = "a"\ntext = "a punk"\n')
    about = prepared(database, tmp_path, suite=suite, vae=vae)
    assert f"{'5' * 12}…" in about["blocked_reason"]
    assert words in about["blocked_reason"]


@pytest.mark.parametrize("vae", [None, MODEL / "vae"])
def test_the_worker_draws_with_the_vae_of_the_recipe(
    database: Database, tmp_path: Path, vae: Path | None
) -> None:
    """It finds it, after a restart too, by the hash in the recipe; without one it takes the base's."""
    settings = load_settings(home=tmp_path, vae=MODEL / "vae", host_name="pod")
    with database, Generator() as generator:
        preparation = Preparation(database=database, settings=settings)
        preparation.restore_bases()
        preparation.bases["1" * 64] = MODEL
        store = open_store(str(tmp_path / "store"))
        worker = Worker(
            database=database,
            outbox=Outbox(folder=tmp_path, database=database, store=store, host="pod"),
            generator=generator,
            host="pod",
            bases=preparation.bases,
            find_weights=lambda _sha256: None,
            sharing=Sharing(neighbors=Neighbors(read=lambda: None, our_pid=lambda: None)),
        )
        recipe = Recipe(vae=vae_sha256(vae) if vae else "").as_json()
        sample = {"sample_id": "a", "prompt": "a", "seed": 1, "stack": {"loras": []}}
        about = {"id": 1, "base_sha256": "1" * 64}
        job = worker._draw_job(about, [sample | {"recipe": recipe}], Decision(action="draw"))
    assert job.vae_path == vae


def test_a_run_of_another_family_than_its_base_is_blocked_with_both_names(
    database: Database, tmp_path: Path
) -> None:
    """No second of a GPU is spent on an SDXL LoRA and a base model of SD 1."""
    about = prepared(database, tmp_path, suite=SUITE, tensors=made.sdxl_tensors())
    reason = about["blocked_reason"]
    assert "punk is a LoRA for SDXL" in reason
    assert f"{MODEL.name} is SD 1" in reason
    assert about["recipe"] is None


def test_a_family_that_is_only_assumed_blocks_nothing(database: Database, tmp_path: Path) -> None:
    """A LoRA of the text encoder alone looks like SD 1.5: whether it fits, the merge will tell."""
    base = tmp_path / "models" / "xl"
    base.mkdir(parents=True)
    index = {"_class_name": "StableDiffusionXLPipeline"}
    (base / "model_index.json").write_text(json.dumps(index))
    tensors = {name: one for name, one in made.kohya_tensors().items() if "lora_te_" in name}
    about = prepared(database, tmp_path, suite=SUITE, tensors=tensors, base=base)
    assert about["blocked_reason"] is None


def test_a_recipe_nobody_wrote_suits_its_base_model() -> None:
    """What follows a flow is drawn with Euler; the rest stays as it was trained."""
    recipe = Recipe(clip_skip=2, width=768)
    assert suited_to(recipe, "sdxl") == recipe
    flux = suited_to(replace(recipe, token_length=225), "flux")
    assert flux.token_length == 75
    assert (flux.sampler, flux.guidance, flux.clip_skip, flux.width) == ("euler", "3.50", 1, 768)
    odd = Recipe(width=500, height=760)  # as a trainer's buckets may be
    assert (suited_to(odd, "sd1").width, suited_to(odd, "sd3").height) == (496, 752)


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("p.txt", "a cat\n", ("euler", "3.50", 30)),
        ("p.txt", "a cat --s 9 --l 5\n", ("euler", "5.00", 9)),
        ("p.txt", "a cat --n blurry --l 1 --g 4 --w 504\n", ("euler", "4.00", 30)),
        ("p.json", '[{"prompt": "a cat", "sample_sampler": "ddim"}]', ("euler", "3.50", 30)),
        ("p.toml", '[recipe]\nsampler = "heun"\n[[prompt]]\ntext = "a cat"', ("heun", "3.50", 30)),
    ],
)
def test_what_a_suite_does_not_say_suits_its_base_model(
    name: str, text: str, found: tuple[str, str, int], tmp_path: Path
) -> None:
    """Flux knows one sampler: a suite's own is refused in words, sd-scripts passes over its own.

    So it does with a negative prompt, and rounds sizes to what Flux draws.
    """
    (tmp_path / name).write_text(text)
    settings = load_settings(home=tmp_path, suite=tmp_path / name)
    recipe = suite_of(settings, [], {}, (), "flux").suite.recipe
    assert (recipe.sampler, recipe.guidance, recipe.steps) == found
    assert (recipe.negative, recipe.width % 16) == ("", 0)


@pytest.mark.parametrize(
    ("written", "kind", "size"),
    [
        ("1024,768", "sd1", (1024, 768)),
        ("512px", "sd1", (512, 512)),
        ("768\u00d7512 (bucketed)", "sdxl", (768, 512)),
        ("1024 (buckets 256-2048)", "sdxl", (1024, 1024)),
        ("about 1,024", "sdxl", (1024, 1024)),
        ("as the images are", "sd1", (512, 512)),
        (None, "sdxl", (1024, 1024)),
    ],
)
def test_a_resolution_that_a_person_wrote_is_understood(
    written: str | None, kind: str, size: tuple[int, int], tmp_path: Path
) -> None:
    """The column is text: what holds no size is as good as nothing, and the family's own counts."""
    tags = json.dumps({"1_cat": {"a cat": 9, "a hat": 4, "a ball": 3}})
    known = [{"facts": {"ss_tag_frequency": tags}}]
    settings = load_settings(home=tmp_path)
    recipe = suite_of(settings, known, {"resolution": written}, (), kind).suite.recipe
    assert (recipe.width, recipe.height) == size


def test_tags_of_a_header_lose_what_no_database_takes(tmp_path: Path) -> None:
    """Anybody may have written the file: NUL and halves of characters would end the setting up."""
    tags = json.dumps({"1_cat": {"a \x00cat": 9, "a \ud800hat": 4, "\x00": 3}})
    known = [{"facts": {"ss_tag_frequency": tags}}]
    suite = suite_of(load_settings(home=tmp_path), known, {"resolution": None}, (), "sd1").suite
    assert {prompt.text for prompt in suite.prompts} == {"a cat", "a hat"}


@pytest.mark.parametrize("is_set", ["", '["python", "draw.py", "{prompt}"]'])
def test_a_suite_for_another_renderer_is_pinned_to_its_command(
    is_set: str, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stored recipe names the command line; without the setting the run says what to set."""
    monkeypatch.setenv("EPOCHWATCH_RENDERER_COMMAND", is_set)
    suite = tmp_path / "suite.toml"
    suite.write_text('[recipe]\nrenderer = "command"\n[[prompt]]\ntext = "pixel art, a cat"\n')
    about = prepared(database, tmp_path, suite=suite)
    if is_set:
        assert about["blocked_reason"] is None
        assert re.fullmatch("command:[0-9a-f]{12}", about["recipe"]["renderer"])
    else:
        assert "set renderer_command" in about["blocked_reason"]
