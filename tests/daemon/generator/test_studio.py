"""The studio: what it draws equals plain diffusers, and what it cannot draw it refuses."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING, Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from plain_diffusers import plainly_drawn
from safetensors.torch import save_file

from core.formats.base_model import base_sha256
from daemon.generator.job import DrawSample, JobError
from daemon.generator.studio import Studio, batch_shape

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:peft")

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from conftest import Events, MakeLora

    from daemon.generator.job import DrawJob, LoraFile


def levels(path: Path) -> np.ndarray:
    """Return the 8-bit pixels of an image."""
    return np.asarray(Image.open(path)).astype(int)


def drawn(job: DrawJob) -> np.ndarray:
    """Return all pixels of a finished job."""
    return np.stack([levels(job.out / f"{one.sample_id}.png") for one in job.samples])


def plain_diffusers(pipeline: Any, job: DrawJob, loras: Sequence[tuple[LoraFile, float]]) -> Any:
    """Return the pixels a fresh pipeline gives with its own way of loading LoRAs."""
    for number, (lora, _) in enumerate(loras):
        pipeline.load_lora_weights(str(lora.path), adapter_name=f"l{number}")
    if loras:
        pipeline.set_adapters(
            [f"l{number}" for number in range(len(loras))], [strength for _, strength in loras]
        )
    return plainly_drawn(pipeline, job)


def share_different(first: np.ndarray, second: np.ndarray) -> float:
    """Return the share of values (of pixels and channels) that are not the same."""
    return float((first != second).mean())


def share_over(first: np.ndarray, second: np.ndarray, by: int) -> float:
    """Return the share of pixels in which any channel differs by more than ``by`` levels."""
    return float((np.abs(first - second).max(axis=-1) > by).mean())


@pytest.mark.parametrize(
    ("kind", "sampler"), [("lora", "ddim"), ("locon", "dpm++ 2m karras"), ("lora", "euler a")]
)
def test_a_merged_lora_draws_what_diffusers_draws(
    kind: str,
    sampler: str,
    studio: Studio,
    make_job: Callable[..., DrawJob],
    fresh: Callable[[], Any],
    request: pytest.FixtureRequest,
) -> None:
    """At most one grey level on 0.05 % of the values, while the LoRA is plain to see."""
    lora = request.getfixturevalue(kind)
    job = make_job(lora)
    job = dataclasses.replace(job, recipe=dataclasses.replace(job.recipe, sampler=sampler))
    bare = dataclasses.replace(job, loras=(), out=job.out / "bare")
    studio.draw(job)
    studio.draw(bare)
    expected = plain_diffusers(fresh(), job, [(lora, 1.0)])
    assert share_over(drawn(job), expected, 1) == 0
    assert share_different(drawn(job), expected) <= 0.0005
    assert share_over(drawn(job), drawn(bare), 8) >= 0.2


def test_a_baseline_is_the_base_model_alone(
    studio: Studio, make_job: Callable[..., DrawJob], fresh: Callable[[], Any]
) -> None:
    """No LoRA at all: the very pixels of plain diffusers."""
    job = make_job()
    studio.draw(job)
    assert share_different(drawn(job), plain_diffusers(fresh(), job, [])) == 0


def test_loras_of_a_stack_add_up_with_their_strengths(
    studio: Studio,
    make_job: Callable[..., DrawJob],
    fresh: Callable[[], Any],
    lora: LoraFile,
    locon: LoraFile,
) -> None:
    """Two LoRAs at 0.6 and 0.4 equal diffusers with two weighted adapters."""
    stack = [(lora, 0.6), (locon, 0.4)]
    job = make_job(*(dataclasses.replace(one, strength=f"{share:.2f}") for one, share in stack))
    studio.draw(job)
    assert share_over(drawn(job), plain_diffusers(fresh(), job, stack), 1) == 0


def test_a_diffusers_file_draws_what_diffusers_draws(
    studio: Studio,
    make_job: Callable[..., DrawJob],
    fresh: Callable[[], Any],
    make_lora: MakeLora,
) -> None:
    """The layout that diffusers' own training scripts write, with its alpha in the metadata."""
    random = torch.Generator().manual_seed(5)
    tensors = {}
    for name, module in fresh().unet.named_modules():
        if name.endswith(("to_q", "to_v")):
            wide, tall = module.weight.shape[1], module.weight.shape[0]
            tensors[f"unet.{name}.lora_A.weight"] = torch.randn((4, wide), generator=random)
            tensors[f"unet.{name}.lora_B.weight"] = torch.randn((tall, 4), generator=random)
    config = {"unet.r": 4, "unet.lora_alpha": 2, "unet.target_modules": ["to_q", "to_v"]}
    file = make_lora(tensors, "diffusers", {"lora_adapter_metadata": json.dumps(config)})
    job = make_job(file)
    studio.draw(job)
    expected = plain_diffusers(fresh(), job, [(file, 1.0)])
    assert share_over(drawn(job), expected, 1) == 0
    config["unet.lora_alpha"] = 8
    other = make_lora(tensors, "diffusers-8", {"lora_adapter_metadata": json.dumps(config)})
    louder = dataclasses.replace(job, loras=(other,), out=job.out / "louder")
    studio.draw(louder)
    assert share_over(drawn(louder), expected, 1) > 0.2


def test_the_same_batch_shape_gives_the_same_bytes(
    studio: Studio, make_job: Callable[..., DrawJob], lora: LoraFile, locon: LoraFile
) -> None:
    """Drawing again, with another stack in between, changes no file."""
    first = make_job(lora)
    studio.draw(first)
    studio.draw(dataclasses.replace(first, loras=(locon,), out=first.out / "between"))
    again = dataclasses.replace(first, out=first.out / "again")
    studio.draw(again)
    for one in first.samples:
        name = f"{one.sample_id}.png"
        assert (first.out / name).read_bytes() == (again.out / name).read_bytes()


def test_a_padded_batch_is_recorded_and_changes_no_picture_to_speak_of(
    studio: Studio, make_job: Callable[..., DrawJob], lora: LoraFile
) -> None:
    """Three images at two a batch are drawn as two and two, the last one twice."""
    whole = make_job(lora)
    studio.draw(whole)
    split = dataclasses.replace(whole, batch=2, out=whole.out / "split")
    studio.draw(split)
    assert share_over(drawn(whole), drawn(split), 1) == 0
    last = json.loads((split.out / "s2.json").read_text())["provenance"]
    assert (last["batch_shape"], last["batch_filled"]) == (2, 1)


def test_samples_are_spread_evenly_over_batches(make_job: Callable[..., DrawJob]) -> None:
    """Little is padded, and larger images make smaller batches."""
    large = dataclasses.replace(make_job().recipe, width=512, height=512)
    shapes = {
        count: batch_shape(make_job(count=count, recipe=large), "cpu") for count in (1, 5, 15)
    }
    assert shapes == {1: 1, 5: 3, 15: 4}
    huge = dataclasses.replace(large, width=1024, height=1024)
    assert batch_shape(make_job(count=9, recipe=huge), "cpu") == 1


def test_the_facts_beside_an_image_are_complete(
    studio: Studio, make_job: Callable[..., DrawJob], lora: LoraFile, events: Events
) -> None:
    """The JSON names the hash, the time and all that decided the pixels."""
    job = make_job(lora)
    studio.draw(job)
    body = json.loads((job.out / "s0.json").read_text())
    image = (job.out / body["image"]).read_bytes()
    assert body["image_sha256"] == hashlib.sha256(image).hexdigest()
    assert body["seconds"] > 0
    facts = body["provenance"]
    assert facts["modules_patched"] == facts["modules_changed"] == 66
    assert facts["loras"] == [[lora.sha256, "1.00"]]
    assert facts["base_sha256"] == job.base_sha256
    assert facts["sampler_class"] == "DDIMScheduler"
    assert facts["precision"] == "fp32"
    assert facts["truncated_tokens"] == 0
    assert {"torch", "diffusers", "transformers", "device"} <= facts.keys()
    assert {event["sample_id"] for event in events.of("image")} == {"s0", "s1", "s2"}
    assert events.of("loaded")[0]["modules_patched"] == 66
    assert events[-1] == {"event": "done", "images": 3, "refused": []}
    assert not list(job.out.glob(".*"))


def test_negative_guidance_and_clip_skip_change_the_image(
    studio: Studio, make_job: Callable[..., DrawJob]
) -> None:
    """Nothing of the recipe is dropped on the way."""
    job = make_job(count=1)
    studio.draw(job)
    for name, change in {
        "negative": {"negative": "blurry photo"},
        "guidance": {"guidance": "9.00"},
        "clip_skip": {"clip_skip": 2},
        "steps": {"steps": 6},
        "token_length": {"token_length": 150},
    }.items():
        recipe = dataclasses.replace(job.recipe, **change)
        other = dataclasses.replace(job, recipe=recipe, out=job.out / name)
        studio.draw(other)
        assert share_over(drawn(job), drawn(other), 0) > 0.05, name


def test_words_that_do_not_fit_are_counted(
    studio: Studio, make_job: Callable[..., DrawJob]
) -> None:
    """A prompt longer than the recipe's tokens is never cut in silence."""
    long = DrawSample(sample_id="long", prompt="x " * 100, seed=1)
    job = make_job(samples=(long,))
    studio.draw(job)
    facts = json.loads((job.out / "long.json").read_text())["provenance"]
    assert facts["truncated_tokens"] == 25


def test_a_black_or_broken_image_is_refused_and_the_others_are_kept(
    studio: Studio,
    make_job: Callable[..., DrawJob],
    events: Events,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An image that is no picture is told and not written."""
    draw_batch = Studio._draw_batch

    def spoil(self: Studio, *args: Any) -> Any:
        pixels = draw_batch(self, *args)
        pixels[0, 3, 3] = np.nan
        pixels[2] = 0.0
        return pixels

    monkeypatch.setattr(Studio, "_draw_batch", spoil)
    job = make_job()
    with pytest.raises(JobError, match="2 of 3 images") as caught:
        studio.draw(job)
    assert caught.value.kind == "not_finite"
    assert sorted(path.name for path in job.out.iterdir()) == ["s1.json", "s1.png"]
    assert [event["sample_id"] for event in events.of("refused")] == ["s0", "s2"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"width": 30}, "multiples of 8"),
        ({"steps": 0}, "steps"),
        ({"clip_skip": 9}, "clip_skip"),
        ({"token_length": 100}, "token_length"),
        ({"precision": "int3"}, "precision"),
        ({"vae": "ab" * 32}, "VAE"),
        ({"sampler": "warp 9"}, "warp 9"),
    ],
)
def test_a_recipe_that_cannot_be_drawn_is_refused_in_words(
    change: dict[str, Any], word: str, studio: Studio, make_job: Callable[..., DrawJob]
) -> None:
    """What cannot be honored is never replaced by something else."""
    job = make_job()
    with pytest.raises(JobError, match=word) as caught:
        studio.draw(dataclasses.replace(job, recipe=dataclasses.replace(job.recipe, **change)))
    assert caught.value.kind == "bad_recipe"


def test_another_base_model_under_the_same_path_is_refused(
    studio: Studio, make_job: Callable[..., DrawJob]
) -> None:
    """The base model is known by its hash, not by its place."""
    with pytest.raises(JobError, match="has changed") as caught:
        studio.draw(make_job(base_sha256="0" * 64))
    assert caught.value.kind == "no_base"


def test_a_refused_lora_leaves_nothing_behind(
    studio: Studio, make_job: Callable[..., DrawJob], lora: LoraFile
) -> None:
    """After a bad file the next baseline is the base model's own, byte for byte."""
    before = make_job()
    studio.draw(before)
    wrong = dataclasses.replace(lora, sha256="1" * 64)
    with pytest.raises(JobError, match="not the file it was"):
        studio.draw(dataclasses.replace(before, loras=(lora, wrong), out=before.out / "bad"))
    assert not (before.out / "bad").exists()
    after = dataclasses.replace(before, out=before.out / "after")
    studio.draw(after)
    assert (before.out / "s0.png").read_bytes() == (after.out / "s0.png").read_bytes()


def test_a_lora_with_zero_terminal_snr_is_drawn_with_it(
    studio: Studio,
    make_job: Callable[..., DrawJob],
    fresh: Callable[[], Any],
    good: dict[str, torch.Tensor],
    make_lora: MakeLora,
) -> None:
    """Its metadata say v-prediction from pure noise on; a sampler that cannot do it is refused."""
    told = {"modelspec.prediction_type": "v", "ss_zero_terminal_snr": "True"}
    file = make_lora(good, "zero", told)
    job = make_job(file, count=1)
    studio.draw(job)
    pipeline = fresh()
    pipeline.scheduler = diffusers.DDIMScheduler.from_config(
        pipeline.scheduler.config,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )
    expected = plain_diffusers(pipeline, job, [(file, 1.0)])
    assert share_over(drawn(job), expected, 1) == 0
    noise = json.loads((job.out / "s0.json").read_text())["provenance"]["noise"]
    assert noise["rescale_betas_zero_snr"] is True
    recipe = dataclasses.replace(job.recipe, sampler="heun")
    with pytest.raises(JobError, match="'heun' cannot begin at zero terminal SNR") as caught:
        studio.draw(dataclasses.replace(job, recipe=recipe))
    assert caught.value.kind == "bad_recipe"


def test_a_folder_for_inpainting_is_told(
    studio: Studio,
    make_job: Callable[..., DrawJob],
    fresh: Callable[[], Any],
    tmp_path: Path,
) -> None:
    """Its UNet takes nine channels; a prompt alone draws nothing with it."""
    pipeline = fresh()
    pipeline.unet = diffusers.UNet2DConditionModel.from_config(pipeline.unet.config, in_channels=9)
    pipeline.save_pretrained(tmp_path / "inpainting", safe_serialization=True)
    path = tmp_path / "inpainting"
    with pytest.raises(JobError, match="inpainting") as caught:
        studio.draw(make_job(base_path=path, base_sha256=base_sha256(path)))
    assert caught.value.kind == "no_base"


def test_a_single_file_without_its_text_encoder_is_told(
    studio: Studio, make_job: Callable[..., DrawJob], tmp_path: Path
) -> None:
    """Configuration and tokenizer ship with us; weights do not."""
    path = tmp_path / "v1-5.safetensors"
    tensors = {
        "model.diffusion_model.input_blocks.0.0.weight": torch.zeros(320, 4, 3, 3),
        "cond_stage_model.transformer.text_model.final_layer_norm.bias": torch.zeros(768),
    }
    save_file(tensors, path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(JobError, match="diffusers folder") as caught:
        studio.draw(make_job(base_path=path, base_sha256=sha256))
    assert caught.value.kind == "no_base"


def test_half_precision_is_honored_and_recorded(
    studio: Studio, make_job: Callable[..., DrawJob], lora: LoraFile
) -> None:
    """A little off float32, the same picture, and the provenance says so."""
    job = make_job(lora, count=1)
    studio.draw(job)
    recipe = dataclasses.replace(job.recipe, precision="fp16")
    half = dataclasses.replace(job, recipe=recipe, out=job.out / "half")
    studio.draw(half)
    assert json.loads((half.out / "s0.json").read_text())["provenance"]["precision"] == "fp16"
    assert share_different(drawn(job), drawn(half)) > 0
    assert share_over(drawn(job), drawn(half), 24) < 0.05
