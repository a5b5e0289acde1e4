"""SDXL: two text encoders and one vector; it draws what diffusers draws."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from tiny_models import tiny_pipeline

from core.formats.base_model import base_sha256
from daemon.generator.job import DrawJob
from daemon.generator.prompt_text import PromptEncoder, TextPart, penultimate

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import MakeLora

    from daemon.generator.studio import Studio


@pytest.fixture(scope="module")
def pipeline() -> Any:
    """A small SDXL."""
    return tiny_pipeline("sdxl")


@pytest.fixture(scope="module")
def folder(pipeline: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same on disk, with a VAE whose inside overflows in half precision, as SDXL's does."""
    with torch.no_grad():
        pipeline.vae.decoder.conv_in.weight.mul_(2e5)
    path = tmp_path_factory.mktemp("sdxl") / "tiny-xl"
    pipeline.save_pretrained(path, safe_serialization=True)
    return path


@pytest.fixture
def make_small(folder: Path, make_job: Callable[..., DrawJob]) -> Callable[..., DrawJob]:
    """Return a function that makes a job of two small images, wider than high."""

    def make(out: str, *loras: Any, **recipe: Any) -> DrawJob:
        job = make_job(*loras, count=2, base_path=folder, base_sha256=base_sha256(folder))
        small = {"width": 48, "height": 32, "steps": 2} | recipe
        changed = dataclasses.replace(job.recipe, **small)
        return dataclasses.replace(job, recipe=changed, out=job.out / out)

    return make


def drawn(job: DrawJob) -> np.ndarray:
    """Return all pixels of a finished job."""
    names = [f"{one.sample_id}.png" for one in job.samples]
    return np.stack([np.asarray(Image.open(job.out / name)).astype(int) for name in names])


def plain_diffusers(pipeline: Any, job: DrawJob) -> np.ndarray:
    """Return the pixels that the pipeline's own call gives."""
    pipeline.scheduler = diffusers.DDIMScheduler.from_config(pipeline.scheduler.config)
    images = pipeline(
        [one.prompt for one in job.samples],
        negative_prompt=[job.recipe.negative] * len(job.samples) if job.recipe.negative else None,
        width=job.recipe.width,
        height=job.recipe.height,
        num_inference_steps=job.recipe.steps,
        guidance_scale=float(job.recipe.guidance),
        generator=[torch.Generator().manual_seed(one.seed) for one in job.samples],
    ).images
    return np.stack([np.asarray(image).astype(int) for image in images])


@pytest.mark.parametrize("negative", ["", "blurry photo"])
def test_it_draws_what_diffusers_draws(
    negative: str, studio: Studio, make_small: Callable[..., DrawJob], pipeline: Any
) -> None:
    """Within one gray level, with a negative prompt and without one, which is zeros."""
    job = make_small("out", negative=negative)
    studio.draw(job)
    assert np.abs(drawn(job) - plain_diffusers(pipeline, job)).max() <= 1
    assert drawn(job).std() > 5


@pytest.mark.parametrize("names", ["diffusers", "Stability"])
def test_a_lora_is_merged_into_all_three_parts(
    names: str,
    studio: Studio,
    make_small: Callable[..., DrawJob],
    make_lora: MakeLora,
    pipeline: Any,
    stability_name: Callable[..., str],
) -> None:
    """UNet and both text encoders; the same pixels as with the products added by hand.

    kohya's trainer writes the UNet under Stability's names for SDXL, other tools under diffusers'.
    """
    by_hand = copy.deepcopy(pipeline)
    random = torch.Generator().manual_seed(3)
    tensors = {}
    for prefix, part in (
        ("lora_unet", by_hand.unet),
        ("lora_te1_text_model", by_hand.text_encoder),
        ("lora_te2_text_model", by_hand.text_encoder_2),
    ):
        for name, module in part.named_modules():
            if name.endswith(("to_k", "to_v", "v_proj", "mlp.fc1")):
                up = torch.randn((module.out_features, 2), generator=random) * 0.2
                down = torch.randn((2, module.in_features), generator=random) * 0.2
                module.weight.data += up @ down
                if names == "Stability" and prefix == "lora_unet":
                    name = stability_name(name, by_hand.unet.config.layers_per_block)  # noqa: PLW2901
                plain = name.removeprefix("text_model.").replace(".", "_")
                tensors[f"{prefix}_{plain}.lora_up.weight"] = up
                tensors[f"{prefix}_{plain}.lora_down.weight"] = down
    bare, job = make_small("bare"), make_small("lora", make_lora(tensors, f"sdxl-{names}"))
    studio.draw(bare)
    studio.draw(job)
    assert np.abs(drawn(job) - plain_diffusers(by_hand, job)).max() <= 1
    assert (np.abs(drawn(job) - drawn(bare)).max(axis=-1) > 8).mean() >= 0.2


def test_its_vae_survives_half_precision(
    studio: Studio, make_small: Callable[..., DrawJob], pipeline: Any
) -> None:
    """It overflows in fp16 and says so in its configuration; the picture is that of fp32."""
    whole, half = make_small("whole", steps=1), make_small("half", steps=1, precision="fp16")
    studio.draw(whole)
    studio.draw(half)
    assert (np.abs(drawn(whole) - drawn(half)).max(axis=-1) > 24).mean() < 0.05
    latents = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(1))
    broken = copy.deepcopy(pipeline.vae).half().decode(latents.half()).sample
    assert not torch.isfinite(broken).all()


@pytest.fixture
def encoder(pipeline: Any) -> PromptEncoder:
    """Both text encoders."""
    return PromptEncoder(
        TextPart(pipeline.tokenizer, pipeline.text_encoder, penultimate),
        TextPart(pipeline.tokenizer_2, pipeline.text_encoder_2, penultimate),
    )


def encode(encoder: PromptEncoder, text: str, **changes: Any) -> Any:
    """Encode with the usual settings."""
    return encoder.encode(text, **({"state": (), "clip_skip": 1, "token_length": 75} | changes))


def test_prompts_are_encoded_as_diffusers_does(encoder: PromptEncoder, pipeline: Any) -> None:
    """Widths side by side, the vector of the second; clip skip 3 is one layer further down."""
    for text in ("a cat", "", "pixel art, 24px, a hat with #ff69b4"):
        for skip, theirs in ((1, None), (2, None), (3, 1)):
            states, _, pooled, _ = pipeline.encode_prompt(
                text, device="cpu", do_classifier_free_guidance=False, clip_skip=theirs
            )
            found = encode(encoder, text, clip_skip=skip)
            assert torch.equal(found.embedding, states)
            assert torch.equal(found.pooled, pooled)


def test_long_prompts_keep_the_vector_of_their_first_chunk(encoder: PromptEncoder) -> None:
    """As kohya trains them; and weights act on the states, not on the vector."""
    first, second = "a cat with a hat", "a dog"
    both = encode(encoder, f"{first} BREAK {second}", token_length=150)
    alone = encode(encoder, first)
    assert both.embedding.shape == (1, 152, 48)
    assert torch.allclose(both.pooled, alone.pooled, atol=1e-6)
    assert torch.allclose(both.embedding[:, :76], alone.embedding[:, :76], atol=1e-5)
    weighted = encode(encoder, "a (cat:1.5) with a hat")
    assert torch.equal(weighted.pooled, alone.pooled)
    assert not torch.allclose(weighted.embedding, alone.embedding, atol=1e-3)


def test_an_exclamation_mark_is_no_padding(encoder: PromptEncoder) -> None:
    """The second tokenizer pads with the number of "!", and a prompt may still have one."""
    ids = encoder._parts[1]._ids("wow!")
    assert ids == encoder._parts[0]._ids("wow!")
    assert ids[-1] == 256
