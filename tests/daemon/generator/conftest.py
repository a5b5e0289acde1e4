"""A base model made from nothing, LoRA files as kohya writes them, and one child for all tests."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    PNDMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from torch import nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from core.formats.base_model import base_sha256
from core.nouns import Recipe
from daemon.generator.client import DrawJob, DrawSample, Generator, LoraFile
from daemon.generator.studio import Studio

if TYPE_CHECKING:
    from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
torch.set_num_threads(1)  # two cores are shared with the child
RECIPE = Recipe(sampler="ddim", steps=4, guidance="4.00", width=64, height=64, grid=None)


def build_base(folder: Path) -> None:
    """Save a small pipeline of the shape of Stable Diffusion 1.5, with random weights."""
    torch.manual_seed(7)
    words = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    tokens = [*words, *(f"{word}</w>" for word in words), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(
        vocab={token: number for number, token in enumerate(tokens)}, merges=[], model_max_length=77
    )
    encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokens),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=3,
            num_attention_heads=2,
            bos_token_id=len(tokens) - 2,
            eos_token_id=len(tokens) - 1,
            pad_token_id=len(tokens) - 1,
        )
    )
    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=8,
        norm_num_groups=8,
    )
    vae = AutoencoderKL(
        block_out_channels=(16, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        norm_num_groups=8,
        latent_channels=4,
        sample_size=64,
    )
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=PNDMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            skip_prk_steps=True,
            steps_offset=1,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the small base model."""
    folder = tmp_path_factory.mktemp("base") / "tiny"
    build_base(folder)
    return folder


@pytest.fixture(scope="session")
def fresh(base: Path) -> Callable[[], StableDiffusionPipeline]:
    """Return a function that loads the base model anew with plain diffusers."""

    def load() -> StableDiffusionPipeline:
        pipeline = StableDiffusionPipeline.from_pretrained(base, local_files_only=True)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    return load


def layers_of(pipeline: Any, *, conv: bool) -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers kohya trains, under kohya's names."""
    blocks = ("Transformer2DModel",) + (
        ("ResnetBlock2D", "Downsample2D", "Upsample2D") if conv else ()
    )
    for block_name, block in pipeline.unet.named_modules():
        if type(block).__name__ in blocks:
            for name, module in block.named_modules():
                if isinstance(module, (nn.Linear, nn.Conv2d)):
                    yield f"lora_unet_{block_name}.{name}".replace(".", "_"), module
    for name, module in pipeline.text_encoder.named_modules():
        if isinstance(module, nn.Linear):
            plain = name.removeprefix("text_model.")
            yield f"lora_te_text_model_{plain}".replace(".", "_"), module


def kohya_tensors(
    pipeline: Any, *, seed: int, conv: bool = False, rank: int = 4, strength: float = 0.2
) -> dict[str, torch.Tensor]:
    """Return a random LoRA (or LoCon) in kohya's layout, strong enough to be seen."""
    random = torch.Generator().manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    for name, module in layers_of(pipeline, conv=conv):
        weight = module.weight.detach()
        kernel = tuple(weight.shape[2:])
        down = torch.randn((rank, weight.shape[1], *kernel), generator=random)
        up = torch.randn((weight.shape[0], rank, *(1 for _ in kernel)), generator=random)
        size = strength * float(weight.std()) / rank**0.5
        tensors[f"{name}.lora_down.weight"] = down.half()
        tensors[f"{name}.lora_up.weight"] = (up * size * 2).half()
        tensors[f"{name}.alpha"] = torch.tensor(rank / 2).half()
    return tensors


MakeLora = Callable[..., LoraFile]


@pytest.fixture(scope="session")
def make_lora(tmp_path_factory: pytest.TempPathFactory) -> MakeLora:
    """Return a function that saves tensors and names the file with its hash."""
    folder = tmp_path_factory.mktemp("loras")

    def make(
        tensors: dict[str, torch.Tensor], name: str, metadata: dict[str, str] | None = None
    ) -> LoraFile:
        path = folder / f"{name}.safetensors"
        save_file({key: one.contiguous() for key, one in tensors.items()}, path, metadata)
        return LoraFile(path=path, sha256=hashlib.sha256(path.read_bytes()).hexdigest())

    return make


@pytest.fixture(scope="session")
def good(fresh: Callable[[], Any]) -> dict[str, torch.Tensor]:
    """The tensors of a kohya LoRA: 48 modules of the UNet and 18 of the text encoder."""
    return kohya_tensors(fresh(), seed=1)


@pytest.fixture(scope="session")
def lora(good: dict[str, torch.Tensor], make_lora: MakeLora) -> LoraFile:
    """The same, as a file."""
    return make_lora(good, "lora")


@pytest.fixture(scope="session")
def locon(fresh: Callable[[], Any], make_lora: MakeLora) -> LoraFile:
    """A kohya LoCon: convolutions too, 1x1 and 3x3."""
    return make_lora(kohya_tensors(fresh(), seed=2, conv=True, strength=0.15), "locon")


class Events(list[dict[str, Any]]):
    """What a studio or a child has said."""

    def say(self, event: str, **facts: Any) -> None:
        """Hear it from a studio."""
        self.append({"event": event, **facts})

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the events of one kind."""
        return [event for event in self if event["event"] == kind]


@pytest.fixture(scope="session")
def shared_events() -> Events:
    """What the studio in this process says, over the whole session."""
    return Events()


@pytest.fixture(scope="session")
def shared_studio(shared_events: Events) -> Studio:
    """A studio in this process: the same code as in the child, without its start."""
    return Studio(shared_events.say, lambda: False)


@pytest.fixture
def events(shared_events: Events) -> Events:
    """What the studio says in this test."""
    shared_events.clear()
    return shared_events


@pytest.fixture
def studio(shared_studio: Studio, events: Events) -> Studio:
    """The studio, its past events forgotten."""
    return shared_studio


@pytest.fixture(scope="session")
def generator() -> Iterator[Generator]:
    """The one child that the tests share; its parent has secrets."""
    secrets = {"DATABASE_URL": "postgresql://canary", "EPOCHWATCH_ALERT_URLS": "json://canary"}
    with Generator(threads=1, environment={**os.environ, **secrets}) as one:
        yield one


@pytest.fixture
def make_job(base: Path, tmp_path: Path) -> Callable[..., DrawJob]:
    """Return a function that makes a job of some prompts, all else as in RECIPE."""
    sha256 = base_sha256(base)
    prompts = ("a cat", "a dog with a hat", "pixel art, crown")

    def make(*loras: LoraFile, count: int = 3, **changes: Any) -> DrawJob:
        samples = tuple(
            DrawSample(sample_id=f"s{number}", prompt=prompts[number % 3], seed=42 + number)
            for number in range(count)
        )
        facts: dict[str, Any] = {
            "job": "job",
            "base_path": base,
            "base_sha256": sha256,
            "loras": loras,
            "recipe": RECIPE,
            "samples": samples,
            "out": tmp_path / "out",
            "device": "cpu",
        }
        return DrawJob(**(facts | changes))

    return make


@pytest.fixture(scope="session")
def fresh_sdxl() -> Callable[[], StableDiffusionXLPipeline]:
    """Return a function that builds a small pipeline of the shape of SDXL, always the same."""

    def build() -> StableDiffusionXLPipeline:
        torch.manual_seed(9)
        unet = UNet2DConditionModel(
            sample_size=16,
            block_out_channels=(16, 32, 32),
            layers_per_block=2,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            transformer_layers_per_block=(1, 1, 2),
            cross_attention_dim=48,
            attention_head_dim=(2, 4, 4),
            norm_num_groups=8,
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=64,
        )
        config = {"vocab_size": 20, "num_hidden_layers": 2, "num_attention_heads": 2}
        ends = {"bos_token_id": 18, "eos_token_id": 19, "projection_dim": 16}
        return StableDiffusionXLPipeline(
            vae=None,
            text_encoder=CLIPTextModel(
                CLIPTextConfig(hidden_size=16, intermediate_size=32, **config, **ends)
            ),
            text_encoder_2=CLIPTextModelWithProjection(
                CLIPTextConfig(hidden_size=32, intermediate_size=64, **config, **ends)
            ),
            tokenizer=None,
            tokenizer_2=None,
            unet=unet,
            scheduler=None,
        )

    return build


_OUTSIDE = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_INSIDE = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}


def _stability_name(name: str, layers: int = 2) -> str:
    """Return Stability's name of a module of a UNet with so many layers in each block."""
    step = layers + 1
    if name in _OUTSIDE:
        return _OUTSIDE[name]
    side, rest = name.split(".", 1)
    if side == "mid_block":
        kind, number, rest = rest.split(".", 2)
        place = 1 if kind == "attentions" else 2 * int(number)
        return f"middle_block.{place}.{_inside(kind, rest)}"
    block, kind, number, rest = rest.split(".", 3)
    if side == "down_blocks":
        if kind == "downsamplers":
            return f"input_blocks.{step * int(block) + step}.0.op"
        head = f"input_blocks.{step * int(block) + int(number) + 1}"
    else:
        if kind == "upsamplers":
            return f"output_blocks.{step * int(block) + layers}.2.conv"
        head = f"output_blocks.{step * int(block) + int(number)}"
    return f"{head}.{int(kind == 'attentions')}.{_inside(kind, rest)}"


def _inside(kind: str, rest: str) -> str:
    """Return Stability's name inside a residual block or a transformer."""
    return _INSIDE[rest] if kind == "resnets" else rest


@pytest.fixture(scope="session")
def stability_name() -> Callable[..., str]:
    """Return a function from diffusers' name of a module in the small SDXL UNet to Stability's.

    Its second argument says how many layers each block has, if not two.
    """
    return _stability_name
