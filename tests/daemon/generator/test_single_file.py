"""A base model in one file draws what its diffusers folder draws, and no hub is asked."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from original_layout import original_tensors, vae_tensors
from PIL import Image
from safetensors.torch import save_file
from tiny_models import tiny_pipeline, tiny_vae
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from core.formats.base_model import base_sha256, family, vae_sha256
from daemon.generator import single_file
from daemon.generator.job import DrawJob, JobError
from daemon.generator.single_file import CONFIGS, likely_prediction

if TYPE_CHECKING:
    from daemon.generator.studio import Studio

MakeJob = Callable[..., DrawJob]
SMALL = {"width": 32, "height": 32, "steps": 2}


def drawn(job: DrawJob) -> np.ndarray:
    """Return all pixels of a finished job."""
    names = [f"{one.sample_id}.png" for one in job.samples]
    return np.stack([np.asarray(Image.open(job.out / name)).astype(int) for name in names])


def hashed(path: Path, tensors: dict[str, torch.Tensor], **metadata: str) -> tuple[Path, str]:
    """Save ``tensors`` and return the path with its hash."""
    save_file(tensors, path, metadata or None)
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Made:
    """One small model in both forms."""

    folder: Path
    file: Path
    sha256: str
    tensors: dict[str, torch.Tensor]


@pytest.fixture(params=["sd1", "sd2", "sdxl"])
def kind(request: pytest.FixtureRequest) -> str:
    """Each family."""
    return str(request.param)


@pytest.fixture(scope="module")
def small_configs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folder of the small models' configurations, shipped instead of the real ones."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("configs")
        patch.setattr(single_file, "CONFIGS", folder)
        yield folder


@pytest.fixture(scope="module")
def made(small_configs: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Made]:
    """Return a function that gives the small model of a family, made once."""

    @cache
    def make(kind: str) -> Made:
        pipeline = tiny_pipeline(kind)
        folder = tmp_path_factory.mktemp("made") / kind
        pipeline.save_pretrained(folder, safe_serialization=True)
        without = shutil.ignore_patterns("*.safetensors", "tokenizer*")
        shutil.copytree(folder, small_configs / kind, ignore=without)
        tensors = original_tensors(pipeline, kind)
        path, sha256 = hashed(folder.with_suffix(".safetensors"), tensors)
        return Made(folder=folder, file=path, sha256=sha256, tensors=tensors)

    return make


def small_job(make_job: MakeJob, path: Path, sha256: str, out: str, **recipe: Any) -> DrawJob:
    """Return a job of two small images with the base model at ``path``."""
    job = make_job(count=2, base_path=path, base_sha256=sha256)
    changed = dataclasses.replace(job.recipe, **(SMALL | recipe))
    return dataclasses.replace(job, recipe=changed, out=job.out / out)


def test_one_file_draws_what_its_folder_draws(
    kind: str, made: Callable[[str], Made], studio: Studio, make_job: MakeJob
) -> None:
    """The same weights under the original names, with our configuration and tokenizer."""
    model = made(kind)
    assert family(model.file) == kind
    one = small_job(make_job, model.file, model.sha256, "one")
    many = small_job(make_job, model.folder, base_sha256(model.folder), "many")
    studio.draw(one)
    studio.draw(many)
    assert (drawn(one) == drawn(many)).all()
    assert drawn(one).std() > 5


def test_another_vae_is_put_in_its_place(
    made: Callable[[str], Made], studio: Studio, make_job: MakeJob, tmp_path: Path
) -> None:
    """A VAE file for a base model that lost its own, a VAE folder, and the wrong hash."""
    model = made("sd1")
    vae = tiny_vae(scale=3.0)
    file, sha256 = hashed(tmp_path / "vae.safetensors", vae_tensors(vae))
    vae.save_pretrained(tmp_path / "vae")
    rest = {key: one for key, one in model.tensors.items() if "first_stage_model." not in key}
    bare = small_job(make_job, *hashed(tmp_path / "no-vae.safetensors", rest), "bare")
    recipe = dataclasses.replace(bare.recipe, vae=sha256)
    by_file = dataclasses.replace(bare, recipe=recipe, vae_path=file)
    own = small_job(make_job, model.folder, base_sha256(model.folder), "own")
    recipe = dataclasses.replace(own.recipe, vae=vae_sha256(tmp_path / "vae"))
    by_folder = dataclasses.replace(
        own, recipe=recipe, vae_path=tmp_path / "vae", out=own.out / "folder"
    )
    for one in (by_file, own, by_folder):
        studio.draw(one)
    assert (drawn(by_file) == drawn(by_folder)).all()
    assert (drawn(by_file) != drawn(own)).mean() > 0.5
    assert f'"vae_sha256": "{sha256}"' in (by_file.out / "s0.json").read_text()
    with pytest.raises(JobError, match="not complete"):
        studio.draw(bare)
    with pytest.raises(JobError, match=r"VAE .* has changed"):
        studio.draw(dataclasses.replace(by_file, vae_path=tmp_path / "vae"))
    with pytest.raises(JobError, match="names none"):
        studio.draw(dataclasses.replace(by_file, vae_path=None))


@pytest.mark.parametrize(
    "gone",
    [
        "model.diffusion_model.middle_block.1.norm.weight",
        "cond_stage_model.transformer.text_model.encoder.layers.0.self_attn.q_proj.weight",
    ],
)
def test_a_file_with_a_hole_is_refused(
    gone: str, made: Callable[[str], Made], studio: Studio, make_job: MakeJob, tmp_path: Path
) -> None:
    """One tensor of hundreds is missing: it is told, never left to chance."""
    tensors = dict(made("sd1").tensors)
    del tensors[gone]
    with pytest.raises(JobError, match="not complete: tensors of its") as caught:
        studio.draw(small_job(make_job, *hashed(tmp_path / "hole.safetensors", tensors), "out"))
    assert caught.value.kind == "no_base"


def test_the_text_encoder_of_an_older_file_is_read(
    made: Callable[[str], Made], studio: Studio, make_job: MakeJob, tmp_path: Path
) -> None:
    """NovelAI's names have one level less: the same picture, and a hole is refused as ever."""
    model, start = made("sd1"), "cond_stage_model.transformer."
    older = {key.replace(f"{start}text_model.", start): one for key, one in model.tensors.items()}
    one = small_job(make_job, *hashed(tmp_path / "older.safetensors", older), "older")
    many = small_job(make_job, model.folder, base_sha256(model.folder), "many")
    studio.draw(one)
    studio.draw(many)
    assert (drawn(one) == drawn(many)).all()
    for gone in (
        "encoder.layers.0.self_attn.q_proj.weight",
        "embeddings.position_embedding.weight",
    ):
        rest = {key: one for key, one in older.items() if key != start + gone}
        with pytest.raises(JobError, match=r"not complete: .* text.encoder"):
            studio.draw(small_job(make_job, *hashed(tmp_path / "hole.safetensors", rest), "out"))


def test_a_vae_with_a_hole_is_refused(
    made: Callable[[str], Made], studio: Studio, make_job: MakeJob, tmp_path: Path
) -> None:
    """The file is named, and the base model is not blamed."""
    model, vae = made("sd1"), tiny_vae()
    tensors = vae_tensors(vae)
    del tensors["decoder.conv_out.weight"]
    file, sha256 = hashed(tmp_path / "vae.safetensors", tensors)
    job = small_job(make_job, model.file, model.sha256, "out")
    recipe = dataclasses.replace(job.recipe, vae=sha256)
    with pytest.raises(JobError, match=r"The VAE .*vae\.safetensors is not complete") as caught:
        studio.draw(dataclasses.replace(job, recipe=recipe, vae_path=file))
    assert caught.value.kind == "no_base"


def test_relatives_that_need_more_than_a_prompt_are_refused(
    studio: Studio, make_job: MakeJob, tmp_path: Path
) -> None:
    """An inpainting model and one with EDM's noise, from the header alone."""
    first = "model.diffusion_model.input_blocks.0.0.weight"
    text = {"cond_stage_model.transformer.x": torch.zeros(1)}
    inpainting = {first: torch.zeros(4, 9, 1, 1), **text}
    edm = {first: torch.zeros(4, 4, 1, 1), "edm_mean": torch.zeros(1), **text}
    for name, tensors, word in (("in", inpainting, "inpainting"), ("edm", edm, "EDM")):
        path, sha256 = hashed(tmp_path / f"{name}.safetensors", tensors)
        with pytest.raises(JobError, match=word) as caught:
            studio.draw(make_job(base_path=path, base_sha256=sha256))
        assert caught.value.kind == "no_base"


def test_the_metadata_of_a_file_decides_what_it_predicts(
    made: Callable[[str], Made], studio: Studio, make_job: MakeJob, tmp_path: Path
) -> None:
    """ModelSpec says v: the picture is the one of a folder whose scheduler says so."""
    model = made("sd2")
    told = {"modelspec.prediction_type": "v"}
    spoken = small_job(make_job, *hashed(tmp_path / "v.safetensors", model.tensors, **told), "v")
    folder = tmp_path / "folder"
    shutil.copytree(model.folder, folder)
    config = folder / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text().replace('"epsilon"', '"v_prediction"'))
    many = small_job(make_job, folder, base_sha256(folder), "many")
    plain = small_job(make_job, model.file, model.sha256, "plain")
    for job in (spoken, many, plain):
        studio.draw(job)
    assert (drawn(spoken) == drawn(many)).all()
    assert (drawn(plain) != drawn(many)).mean() > 0.3


def test_the_weights_of_a_silent_sd2_file_tell_what_it_predicts(tmp_path: Path) -> None:
    """The spread of one bias, and never for another family."""
    name = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"
    wide = hashed(tmp_path / "v.safetensors", {name: torch.tensor([-0.2, 0.2])})[0]
    narrow = hashed(tmp_path / "e.safetensors", {name: torch.tensor([-0.02, 0.02])})[0]
    bare = hashed(tmp_path / "b.safetensors", {"x": torch.zeros(1)})[0]
    assert likely_prediction(wide, "sd2") == "v_prediction"
    assert likely_prediction(narrow, "sd2") == likely_prediction(bare, "sd2") == "epsilon"
    assert likely_prediction(wide, "sd1") == "epsilon"


# Parameters of UNet, VAE and text encoders as their model cards and diffusers report them.
SIZES = {
    "sd1": (859_520_964, 83_653_863, 123_060_480),
    "sd2": (865_910_724, 83_653_863, 340_387_840),
    "sdxl": (2_567_463_684, 83_653_863, 123_060_480, 694_659_840),
}


def test_the_shipped_configurations_have_the_published_sizes(kind: str) -> None:
    """Built without memory, every part has exactly the parameters of the real model."""
    folder = str(CONFIGS / kind)
    with torch.device("meta"):
        parts = [
            UNet2DConditionModel.from_config(
                UNet2DConditionModel.load_config(folder, subfolder="unet")
            ),
            AutoencoderKL.from_config(AutoencoderKL.load_config(folder, subfolder="vae")),
            CLIPTextModel(CLIPTextConfig.from_pretrained(folder, subfolder="text_encoder")),
        ]
        if kind == "sdxl":
            second = CLIPTextConfig.from_pretrained(folder, subfolder="text_encoder_2")
            parts.append(CLIPTextModelWithProjection(second))
    sizes = tuple(sum(one.numel() for one in part.parameters()) for part in parts)
    assert sizes == SIZES[kind]
