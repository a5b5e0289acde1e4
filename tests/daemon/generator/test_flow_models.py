"""SD 3 and Flux: drawn as diffusers draws them, with LoRAs in each layout their trainers write."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from diffusers import FluxTransformer2DModel
from PIL import Image
from tiny_flow_models import tiny_flow_pipeline

from core.formats.base_model import base_sha256, family, vae_sha256
from daemon.generator.flow_models import FlowEncoder
from daemon.generator.job import DrawJob, DrawSample, JobError
from daemon.generator.lora_file import read_lora
from daemon.generator.merging import Merger

if TYPE_CHECKING:
    from conftest import MakeLora

    from daemon.generator.studio import Studio

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
KINDS = ("sd3", "flux")


@pytest.fixture(scope="module")
def pipelines() -> dict[str, Any]:
    """A small pipeline of each."""
    torch.set_num_threads(1)
    return {kind: tiny_flow_pipeline(kind) for kind in KINDS}


@pytest.fixture(scope="module")
def folders(pipelines: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same on disk."""
    root = tmp_path_factory.mktemp("flow")
    for kind, pipeline in pipelines.items():
        pipeline.save_pretrained(root / kind, safe_serialization=True)
    return {kind: root / kind for kind in KINDS}


@pytest.fixture
def make_flow(folders: dict[str, Path], make_job: Callable[..., DrawJob]) -> Callable[..., DrawJob]:
    """Return a function that makes a job of two small images."""

    def make(kind: str, out: str, *loras: Any, **recipe: Any) -> DrawJob:
        folder = folders[kind]
        job = make_job(*loras, count=2, base_path=folder, base_sha256=base_sha256(folder))
        small = {"width": 32, "height": 16, "steps": 3, "sampler": "euler"} | recipe
        changed = dataclasses.replace(job.recipe, **small)
        return dataclasses.replace(job, recipe=changed, out=job.out / out)

    return make


def drawn(job: DrawJob) -> np.ndarray:
    """Return all pixels of a finished job."""
    names = [f"{one.sample_id}.png" for one in job.samples]
    return np.stack([np.asarray(Image.open(job.out / name)).astype(int) for name in names])


def plain(pipeline: Any, job: DrawJob) -> np.ndarray:
    """Return the pixels of the pipeline's own call."""
    negative = (
        {"negative_prompt": [""] * 2} if "StableDiffusion3" in type(pipeline).__name__ else {}
    )
    images = pipeline(
        [one.prompt for one in job.samples],
        **negative,
        width=job.recipe.width,
        height=job.recipe.height,
        num_inference_steps=job.recipe.steps,
        guidance_scale=float(job.recipe.guidance),
        generator=[torch.Generator().manual_seed(one.seed) for one in job.samples],
    ).images
    return np.stack([np.asarray(image).astype(int) for image in images])


def lora_of(modules: dict[str, torch.nn.Module], layout: str, seed: int = 5) -> dict[str, Any]:
    """Return a random LoRA for ``modules`` under its names, in kohya's or PEFT's endings."""
    random = torch.Generator().manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    for name, module in modules.items():
        out, into = module.weight.shape
        down = torch.randn((2, into), generator=random)
        up = torch.randn((out, 2), generator=random) * float(module.weight.detach().std())
        ends = ("lora_down", "lora_up") if layout == "kohya" else ("lora_A", "lora_B")
        tensors |= {f"{name}.{ends[0]}.weight": down, f"{name}.{ends[1]}.weight": up}
        if layout == "kohya":
            tensors[f"{name}.alpha"] = torch.tensor(2.0)
    return tensors


def linears(model: torch.nn.Module, part: str) -> dict[str, torch.nn.Module]:
    """Return the attention layers of ``model`` under diffusers' names."""
    return {
        f"{part}.{name}": module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and ("attn" in name or "proj_mlp" in name)
    }


@pytest.mark.parametrize("kind", KINDS)
def test_it_draws_what_diffusers_draws(
    kind: str, studio: Studio, make_flow: Callable[..., DrawJob], pipelines: dict[str, Any]
) -> None:
    """At most one grey level on 0.05 % of the pixels; its family is found from the folder alone."""
    job = make_flow(kind, "bare")
    assert family(job.base_path) == kind
    studio.draw(job)
    apart = np.abs(drawn(job) - plain(pipelines[kind], job))
    assert apart.max() <= 1
    assert (apart > 0).mean() <= 0.0005
    facts = json.loads((job.out / "s0.json").read_text())["provenance"]
    assert facts["sampler_class"] == "FlowMatchEulerDiscreteScheduler"
    assert facts["truncated_tokens"] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_lora_acts_as_diffusers_lets_it_act(
    kind: str,
    studio: Studio,
    make_flow: Callable[..., DrawJob],
    make_lora: MakeLora,
    pipelines: dict[str, Any],
    folders: dict[str, Path],
) -> None:
    """Diffusers' and ai-toolkit's names: every module of the file is merged, and it is seen."""
    tensors = lora_of(linears(pipelines[kind].transformer, "transformer"), "peft")
    lora = make_lora(tensors, f"flow-{kind}")
    job, bare = make_flow(kind, "lora", lora), make_flow(kind, "bare")
    studio.draw(job)
    studio.draw(bare)
    theirs = type(pipelines[kind]).from_pretrained(folders[kind], local_files_only=True)
    theirs.set_progress_bar_config(disable=True)
    theirs.load_lora_weights(str(lora.path))
    apart = np.abs(drawn(job) - plain(theirs, job))
    assert apart.max() <= 1
    assert (apart > 0).mean() <= 0.0005
    assert (np.abs(drawn(job) - drawn(bare)).max(axis=-1) > 8).mean() > 0.2
    facts = json.loads((job.out / "s0.json").read_text())["provenance"]
    assert facts["modules_patched"] == len(tensors) // 2
    assert facts["modules_changed"] == facts["modules_patched"]


FUSED = {
    "flux": {
        "double_blocks.0.img_attn.qkv": [f"transformer_blocks.0.attn.to_{x}" for x in "qkv"],
        "double_blocks.1.txt_attn.qkv": [f"transformer_blocks.1.attn.add_{x}_proj" for x in "qkv"],
        "double_blocks.0.img_attn.proj": ["transformer_blocks.0.attn.to_out.0"],
        "double_blocks.0.txt_mlp.2": ["transformer_blocks.0.ff_context.net.2"],
        "double_blocks.1.img_mod.lin": ["transformer_blocks.1.norm1.linear"],
        "single_blocks.1.linear1": [
            *(f"single_transformer_blocks.1.attn.to_{x}" for x in "qkv"),
            "single_transformer_blocks.1.proj_mlp",
        ],
        "single_blocks.0.linear2": ["single_transformer_blocks.0.proj_out"],
        "single_blocks.0.modulation.lin": ["single_transformer_blocks.0.norm.linear"],
    },
    "sd3": {
        "joint_blocks.0.x_block.attn.qkv": [f"transformer_blocks.0.attn.to_{x}" for x in "qkv"],
        "joint_blocks.1.context_block.attn.qkv": [
            f"transformer_blocks.1.attn.add_{x}_proj" for x in "qkv"
        ],
        "joint_blocks.0.context_block.attn.proj": ["transformer_blocks.0.attn.to_add_out"],
        "joint_blocks.1.x_block.mlp.fc1": ["transformer_blocks.1.ff.net.0.proj"],
        "joint_blocks.0.x_block.adaLN_modulation.1": ["transformer_blocks.0.norm1.linear"],
    },
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", ["kohya", "comfy"])
def test_layers_that_files_keep_as_one_are_merged_row_by_row(
    kind: str, layout: str, pipelines: dict[str, Any], make_lora: MakeLora
) -> None:
    """Kohya's and ComfyUI's names: queries, keys and values get each their own rows of it."""
    transformer = copy.deepcopy(pipelines[kind].transformer)
    modules = dict(transformer.named_modules())
    before = {name: module.weight.detach().clone() for names in FUSED[kind].values()
              for name in names for module in [modules[name]]}  # fmt: skip
    whole = {}
    for name, names in FUSED[kind].items():
        rows = sum(len(before[one]) for one in names)
        flat = (
            f"lora_unet_{name.replace('.', '_')}"
            if layout == "kohya"
            else f"diffusion_model.{name}"
        )
        whole[flat] = torch.nn.Linear(before[names[0]].shape[1], rows)
    tensors = lora_of(whole, layout)
    lora = make_lora(tensors, f"fused-{kind}-{layout}")
    merger = Merger({"transformer": transformer, "text_encoder": pipelines[kind].text_encoder})
    merged = merger.apply([(read_lora(lora.path, lora.sha256), 0.5)])
    assert merged.modules_patched == len(FUSED[kind])
    assert merged.modules_changed == sum(map(len, FUSED[kind].values()))
    ends = ("lora_up", "lora_down") if layout == "kohya" else ("lora_B", "lora_A")
    for flat, names in zip(whole, FUSED[kind].values(), strict=True):
        delta = 0.5 * tensors[f"{flat}.{ends[0]}.weight"] @ tensors[f"{flat}.{ends[1]}.weight"]
        found = torch.cat([modules[name].weight - before[name] for name in names])
        assert torch.allclose(found, delta, atol=1e-5)
    merger.restore()
    assert all(torch.equal(modules[name].weight, weight) for name, weight in before.items())


def test_text_encoders_have_kohyas_numbers(pipelines: dict[str, Any], make_lora: MakeLora) -> None:
    """CLIP is the first, T5 the third, which Flux has as its second."""
    for kind, fifth in (("flux", "text_encoder_2"), ("sd3", "text_encoder_3")):
        pipeline = pipelines[kind]
        parts = {
            name: copy.deepcopy(getattr(pipeline, name)) for name in ("transformer", fifth)
        } | {"text_encoder": copy.deepcopy(pipeline.text_encoder)}
        names = {
            "lora_te1_text_model_encoder_layers_0_self_attn_q_proj": torch.nn.Linear(16, 16),
            "lora_te3_encoder_block_1_layer_0_SelfAttention_q": torch.nn.Linear(32, 32),
        }
        lora = make_lora(lora_of(names, "kohya"), f"te-{kind}")
        merged = Merger(parts).apply([(read_lora(lora.path, lora.sha256), 1.0)])
        assert (merged.modules_patched, merged.modules_changed) == (2, 2)
        assert merged.text_state


def test_a_half_matching_or_foreign_lora_is_refused_with_counts(
    studio: Studio,
    make_flow: Callable[..., DrawJob],
    make_lora: MakeLora,
    pipelines: dict[str, Any],
) -> None:
    """Never a silent base-model image; and of another family with both names."""
    good = {"lora_unet_double_blocks_0_img_attn_proj": torch.nn.Linear(32, 32)}
    bad = {f"lora_unet_double_blocks_{n}_img_attn_proj": torch.nn.Linear(32, 32) for n in (7, 8)}
    half = make_lora(lora_of(good | bad, "kohya"), "flux-half")
    with pytest.raises(JobError, match="2 of the LoRA's 3 modules are not in this base model"):
        studio.draw(make_flow("flux", "half", half))
    joint = {"lora_unet_joint_blocks_0_x_block_attn_proj": torch.nn.Linear(32, 32)}
    other = make_lora(lora_of(joint, "kohya"), "sd3-on-flux")
    with pytest.raises(JobError, match="is a LoRA for SD 3, and the base model flux is Flux"):
        studio.draw(make_flow("flux", "other", other))


@pytest.mark.parametrize(
    ("kind", "changes", "prompt", "words"),
    [
        ("sd3", {"sampler": "ddim"}, "a cat", "sampler euler, not ddim"),
        ("flux", {"negative": "blurry"}, "a cat", "no negative prompt"),
        ("sd3", {"width": 40}, "a cat", "multiples of 16"),
        ("sd3", {"clip_skip": 3}, "a cat", "clip_skip 3 means nothing to SD 3"),
        ("flux", {"clip_skip": 2}, "a cat", "clip_skip 2 means nothing to Flux"),
        ("flux", {"token_length": 225}, "a cat", "token_length 225 .* T5 reads 512"),
        ("sd3", {}, "a (cat:1.3)", "plain sentences"),
        ("flux", {}, "a cat BREAK a dog", "plain sentences"),
    ],
)
def test_what_these_models_cannot_do_is_refused_before_it_is_drawn(
    kind: str,
    changes: dict[str, Any],
    prompt: str,
    words: str,
    studio: Studio,
    make_flow: Callable[..., DrawJob],
) -> None:
    """Each with what to write instead."""
    job = make_flow(kind, "no", **changes)
    sample = DrawSample(sample_id="s0", prompt=prompt, seed=1)
    with pytest.raises(JobError, match=words) as refused:
        studio.draw(dataclasses.replace(job, samples=(sample,)))
    assert refused.value.kind == "bad_recipe"


def test_tokens_that_no_encoder_reads_are_counted(
    studio: Studio, make_flow: Callable[..., DrawJob]
) -> None:
    """Past T5's 256 tokens in SD 3; escaped brackets are the characters themselves."""
    job = make_flow("sd3", "long")
    sample = DrawSample(sample_id="s0", prompt=r"\(a\) " + "a " * 150, seed=1)
    studio.draw(dataclasses.replace(job, samples=(sample,)))
    facts = json.loads((job.out / "s0.json").read_text())["provenance"]
    assert facts["truncated_tokens"] > 40


def test_flux_that_was_not_distilled_with_its_guidance_reads_half_as_many_tokens(
    pipelines: dict[str, Any],
) -> None:
    """Its authors train and draw schnell with 256 tokens of T5, and dev with 512."""
    encoder = FlowEncoder(pipelines["flux"], "flux")
    found = encoder.encode("a cat", state=(), clip_skip=1, token_length=75)
    assert found.embedding.shape[1] == 512
    pipeline = copy.copy(pipelines["flux"])
    config = dict(pipeline.transformer.config) | {"guidance_embeds": False}
    pipeline.transformer = FluxTransformer2DModel.from_config(config)
    schnell = FlowEncoder(pipeline, "flux")
    found = schnell.encode("a " * 150, state=(), clip_skip=1, token_length=75)
    assert found.embedding.shape[1] == 256
    assert found.truncated > 0


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("vae", "VAE is of another family, with 4 channels"),
        ("vae/diffusion_pytorch_model.safetensors", "taken from a diffusers folder"),
    ],
)
def test_another_vae_must_be_one_of_its_family_in_a_folder(
    place: str, words: str, base: Path, studio: Studio, make_flow: Callable[..., DrawJob]
) -> None:
    """It is refused before anything is drawn, and no hub is spoken of."""
    job = make_flow("flux", "vae")
    recipe = dataclasses.replace(job.recipe, vae=vae_sha256(base / place))
    with pytest.raises(JobError, match=words) as refused:
        studio.draw(dataclasses.replace(job, recipe=recipe, vae_path=base / place))
    assert refused.value.kind == "no_base"
