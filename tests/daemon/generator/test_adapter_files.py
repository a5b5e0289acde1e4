"""Files of every trainer, written by the real libraries, against what these libraries compute."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from diffusers.training_utils import _collate_lora_metadata
from diffusers.utils import convert_state_dict_to_diffusers
from lycoris import create_lycoris
from lycoris import kohya as lycoris_kohya
from peft import LoHaConfig, LoKrConfig, LoraConfig, get_peft_model, get_peft_model_state_dict
from PIL import Image
from plain_diffusers import plainly_drawn
from safetensors.torch import load_file, save_file

from daemon.generator.job import JobError, LoraFile
from daemon.generator.lora_file import read_lora
from daemon.generator.merging import Merger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from conftest import MakeLora
    from torch import nn

    from daemon.generator.job import DrawJob
    from daemon.generator.studio import Studio

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
ENDING = re.compile(
    r"(\.(lora_|lora\.|hada_|lokr_|lora_linear_layer)|_lora\.)[^ ]*$"
    r"|\.(alpha|dora_scale|diff|diff_b|w_norm|b_norm)$"
)
ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]


def trained(module: nn.Module, names: tuple[str, ...], size: float = 0.1) -> None:
    """Give the parameters of ``module`` with one of ``names`` what a training could have left."""
    random = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for name, one in module.named_parameters():
            if any(part in name for part in names):
                noise = torch.randn(one.shape, generator=random) * size
                whole = any(part in name for part in ("dora_scale", "magnitude"))
                one.copy_(one * (1 + noise) if whole else one + noise)


def file_at(path: Path) -> LoraFile:
    """Return the file at ``path`` with its hash."""
    return LoraFile(path=path, sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def parts_of(pipeline: Any) -> dict[str, nn.Module]:
    """Return the parts of a pipeline that LoRAs change."""
    names = ("unet", "text_encoder", "text_encoder_2")
    return {name: getattr(pipeline, name) for name in names if hasattr(pipeline, name)}


def merge(pipeline: Any, file: LoraFile) -> None:
    """Merge ``file`` into ``pipeline``; every module in it must be patched and must change."""
    merged = Merger(parts_of(pipeline)).apply([(read_lora(file.path, file.sha256), 1.0)])
    modules = {ENDING.sub("", key) for key in load_file(file.path)}
    assert merged.modules_patched == merged.modules_changed == len(modules)


@torch.no_grad()
def answers(pipeline: Any) -> list[torch.Tensor]:
    """Return what the UNet and the text encoders answer to always the same question."""
    random = torch.Generator().manual_seed(2)
    config = pipeline.unet.config
    states = torch.randn((1, 5, config.cross_attention_dim), generator=random)
    more = {}
    if config.addition_embed_type:
        more = {"text_embeds": torch.ones(1, 16), "time_ids": torch.ones(1, 6)}
    shown = torch.randn((1, 4, 16, 16), generator=random)
    picture = pipeline.unet(shown, 500, states, added_cond_kwargs=more).sample
    ids = torch.tensor([[1, 5, 2, 7, 3, 19]])
    texts = [one(ids)[0] for name, one in parts_of(pipeline).items() if name != "unet"]
    return [picture, *texts]


def same(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> bool:
    """Say whether two pipelines answer alike, as far as float32 arithmetic goes."""
    return all(
        torch.allclose(one, two, rtol=1e-3, atol=1e-4)
        for one, two in zip(ours, theirs, strict=True)
    )


def different(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> bool:
    """Say whether every part of two pipelines answers differently."""
    return all((one - two).abs().mean() > 1e-2 for one, two in zip(ours, theirs, strict=True))


LYCORIS = {
    "locon": {"algo": "locon", "use_tucker": True, "train_norm": True},
    "loha": {"algo": "loha"},
    "loha tucker": {"algo": "loha", "use_tucker": True},
    "lokr": {"algo": "lokr"},
    "lokr small": {"algo": "lokr", "decompose_both": True, "factor": 4, "use_tucker": True},
    "lokr whole": {"algo": "lokr", "full_matrix": True},
    "dora": {"algo": "locon", "dora_wd": True},
    "dora by input": {"algo": "locon", "dora_wd": True, "wd_on_output": False},
    "loha dora": {"algo": "loha", "dora_wd": True},
    "full": {"algo": "full", "train_norm": True},
}
# LyCORIS' "full" preset names the time embedding twice, which its own check refuses (4.1.3).
PRESET = """
enable_conv = true
unet_target_module = ["Transformer2DModel", "ResnetBlock2D", "Downsample2D", "Upsample2D"]
unet_target_name = ["conv_in", "conv_out", "time_embedding.linear_1", "time_embedding.linear_2"]
text_encoder_target_module = ["CLIPAttention", "CLIPMLP"]
"""
TRAINED = ("lora_", "hada_", "lokr_", "dora_scale", "w_norm", "b_norm", "loras.", "lycoris")


@pytest.fixture
def lycoris(fresh: Callable[[], Any], tmp_path: Path) -> Callable[..., tuple[LoraFile, Any]]:
    """Return a function that trains with LyCORIS in kohya's trainer: the file, and the pipeline."""

    def train(options: Mapping[str, Any]) -> tuple[LoraFile, Any]:
        pipeline, preset = fresh(), tmp_path / "preset.toml"
        preset.write_text(PRESET)
        network = lycoris_kohya.create_network(
            1.0,
            4,
            2,
            None,
            pipeline.text_encoder,
            pipeline.unet,
            conv_dim=2,
            preset=str(preset),
            **options,
        )
        network.apply_to(
            pipeline.text_encoder, pipeline.unet, apply_text_encoder=True, apply_unet=True
        )
        trained(network, TRAINED, 0.02 if options["algo"] == "full" else 0.04)
        written = tmp_path / "written.safetensors"
        network.save_weights(str(written), None, {})
        # The text encoder of kohya's trainer has one more level than that of today's transformers.
        tensors = {
            key.replace("lora_te_encoder_", "lora_te_text_model_encoder_"): one
            for key, one in load_file(written).items()
        }
        path = tmp_path / "lycoris.safetensors"
        save_file(tensors, path, {"ss_network_module": "lycoris.kohya"})
        return file_at(path), pipeline

    return train


@pytest.mark.parametrize("kind", LYCORIS)
def test_a_lycoris_file_answers_as_its_training(
    kind: str, lycoris: Callable[..., tuple[LoraFile, Any]], fresh: Callable[[], Any]
) -> None:
    """Each algorithm of kohya's trainer: the merged base equals the network it was trained as."""
    file, pipeline = lycoris(LYCORIS[kind])
    ours = fresh()
    before = answers(ours)
    merge(ours, file)
    assert same(answers(ours), answers(pipeline))
    assert different(answers(ours), before)


def assert_same_images(studio: Studio, job: DrawJob, pipeline: Any, bare: Any) -> None:
    """Within one grey level of ``pipeline`` everywhere; the LoRA plain to see against ``bare``."""
    studio.draw(job)
    ours = np.stack(
        [
            np.asarray(Image.open(job.out / f"{one.sample_id}.png")).astype(int)
            for one in job.samples
        ]
    )
    off = np.abs(ours - plainly_drawn(pipeline, job))
    assert off.max() <= 1
    assert (off > 0).mean() <= 0.0005
    seen = (np.abs(ours - plainly_drawn(bare, job)).max(axis=-1) > 8).mean()
    assert seen >= 0.2


@pytest.mark.parametrize("kind", ["locon", "loha", "lokr small", "dora"])
def test_a_lycoris_file_draws_what_its_training_draws(
    kind: str,
    lycoris: Callable[..., tuple[LoraFile, Any]],
    fresh: Callable[[], Any],
    studio: Studio,
    make_job: Callable[..., DrawJob],
) -> None:
    """The whole way from the file to the pixels."""
    file, pipeline = lycoris(LYCORIS[kind])
    assert_same_images(studio, make_job(file), pipeline, fresh())


def test_simpletuners_lycoris_file_is_merged(
    fresh: Callable[[], Any],
    studio: Studio,
    make_job: Callable[..., DrawJob],
    tmp_path: Path,
) -> None:
    """LyCORIS' own wrapper around the UNet, its prefix, and the configuration in the metadata.

    The answers are compared, and the pixels.
    """
    pipeline, ours, path = fresh(), fresh(), tmp_path / "pytorch_lora_weights.safetensors"
    config = {"algo": "lokr", "multiplier": 1.0, "linear_dim": 4, "linear_alpha": 2, "factor": 4}
    network = create_lycoris(
        pipeline.unet, 1.0, linear_dim=4, linear_alpha=2, algo="lokr", factor=4, preset="attn-mlp"
    )
    network.apply_to()
    trained(network, TRAINED)
    network.save_weights(str(path), None, {"lycoris_config": json.dumps(config)})
    assert all(key.startswith("lycoris_") for key in load_file(path))
    before = answers(ours)
    merge(ours, file_at(path))
    assert same(answers(ours), answers(pipeline))
    assert different(answers(ours)[:1], before[:1])
    assert_same_images(studio, make_job(file_at(path)), pipeline, fresh())


@pytest.mark.parametrize("dora", [False, True])
def test_a_file_that_diffusers_saves_is_merged(
    fresh: Callable[[], Any], tmp_path: Path, *, dora: bool
) -> None:
    """Its training scripts' way, with the alpha in the metadata, for the UNet and the encoder."""
    pipeline, ours = fresh(), fresh()
    pipeline.unet.add_adapter(
        LoraConfig(r=4, lora_alpha=6, target_modules=[*ATTENTION, "conv1"], use_dora=dora)
    )
    pipeline.text_encoder.add_adapter(
        LoraConfig(r=2, lora_alpha=1, target_modules=["q_proj", "fc1"], use_dora=dora)
    )
    for part in parts_of(pipeline).values():
        trained(part, ("lora_",))
    pipeline.save_lora_weights(
        tmp_path,
        unet_lora_layers=get_peft_model_state_dict(pipeline.unet),
        text_encoder_lora_layers=get_peft_model_state_dict(pipeline.text_encoder),
        **_collate_lora_metadata({"unet": pipeline.unet, "text_encoder": pipeline.text_encoder}),
    )
    before = answers(ours)
    merge(ours, file_at(tmp_path / "pytorch_lora_weights.safetensors"))
    assert same(answers(ours), answers(pipeline))
    assert different(answers(ours), before)


def test_older_files_of_diffusers_are_merged(fresh: Callable[[], Any], make_lora: MakeLora) -> None:
    """The names of train_text_to_image_lora.py, and those of the attention processors before."""
    pipeline, first, second = fresh(), fresh(), fresh()
    pipeline.unet.add_adapter(LoraConfig(r=4, lora_alpha=4, target_modules=ATTENTION))
    trained(pipeline.unet, ("lora_",))
    tensors = convert_state_dict_to_diffusers(get_peft_model_state_dict(pipeline.unet))
    assert all(".lora.up.weight" in key or ".lora.down.weight" in key for key in tensors)
    merge(first, make_lora({f"unet.{key}": one for key, one in tensors.items()}, "old"))
    processors = {
        re.sub(r"\.(to_[qkv]|to_out)(?:\.0)?\.lora\.", r".processor.\1_lora.", key): one
        for key, one in tensors.items()
    }
    merge(second, make_lora(processors, "older"))
    assert same(answers(first), answers(pipeline))
    assert same(answers(second), answers(pipeline))


PEFT_CONFIGS: dict[str, tuple[Any, float]] = {  # and how far the training went
    "lora": (LoraConfig(r=4, lora_alpha=6, rank_pattern={"to_k": 2}, use_rslora=True), 0.1),
    "dora": (LoraConfig(r=4, lora_alpha=6, use_dora=True), 0.1),
    "loha": (LoHaConfig(r=4, alpha=6), 0.3),
    "lokr": (LoKrConfig(r=4, alpha=6, decompose_both=True), 0.3),
}


def peft_adapter(pipeline: Any, kind: str, folder: Path) -> LoraFile:
    """Train an adapter on the UNet of ``pipeline`` and save it as PEFT does, in ``folder``."""
    config, size = PEFT_CONFIGS[kind]
    config.target_modules = [*ATTENTION, "conv1", "proj_in"]
    model = get_peft_model(pipeline.unet, config)
    trained(model, ("lora_", "hada_", "lokr_"), size)
    model.save_pretrained(folder)
    return file_at(folder / "adapter_model.safetensors")


@pytest.mark.parametrize("kind", PEFT_CONFIGS)
def test_a_peft_adapter_answers_as_its_training(
    kind: str, fresh: Callable[[], Any], tmp_path: Path
) -> None:
    """A folder as save_pretrained writes it: adapter_model.safetensors and its configuration."""
    pipeline, ours = fresh(), fresh()
    file = peft_adapter(pipeline, kind, tmp_path)
    before = answers(ours)
    merge(ours, file)
    assert same(answers(ours), answers(pipeline))
    assert different(answers(ours)[:1], before[:1])


@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_a_peft_adapter_draws_what_peft_draws(
    kind: str,
    fresh: Callable[[], Any],
    studio: Studio,
    make_job: Callable[..., DrawJob],
    tmp_path: Path,
) -> None:
    """The whole way from PEFT's folder to the pixels."""
    pipeline = fresh()
    file = peft_adapter(pipeline, kind, tmp_path / "adapter")
    assert_same_images(studio, make_job(file), pipeline, fresh())


@pytest.fixture
def sdxl_file(
    fresh_sdxl: Callable[[], Any], stability_name: Callable[[str], str], make_lora: MakeLora
) -> LoraFile:
    """A LoCon as kohya's trainer writes it for SDXL: Stability's names in the UNet."""
    pipeline, random = fresh_sdxl(), torch.Generator().manual_seed(4)
    tensors: dict[str, torch.Tensor] = {}
    names = {
        f"lora_unet_{stability_name(name)}": one
        for name, one in pipeline.unet.named_modules()
        if isinstance(one, torch.nn.Linear | torch.nn.Conv2d)
        and re.search(r"transformer_blocks|proj_(in|out)|conv[12]$|samplers", name)
    }
    for number, part in ((1, pipeline.text_encoder), (2, pipeline.text_encoder_2)):
        names |= {
            f"lora_te{number}_text_model.{name.removeprefix('text_model.')}": one
            for name, one in part.named_modules()
            if isinstance(one, torch.nn.Linear) and "layers" in name
        }
    for name, one in names.items():
        kernel, stem = tuple(one.weight.shape[2:]), name.replace(".", "_")
        ones = (1,) * len(kernel)
        down = torch.randn((4, one.weight.shape[1], *kernel), generator=random)
        up = torch.randn((one.weight.shape[0], 4, *ones), generator=random)
        tensors[f"{stem}.lora_down.weight"] = down * 0.2
        tensors[f"{stem}.lora_up.weight"] = up * 0.2
        tensors[f"{stem}.alpha"] = torch.tensor(2.0)
    return make_lora(tensors, "sdxl")


def test_an_sdxl_file_changes_what_diffusers_changes(
    fresh_sdxl: Callable[[], Any], sdxl_file: LoraFile
) -> None:
    """The UNet and both text encoders, by the names that kohya's trainer uses for SDXL alone."""
    ours, theirs = fresh_sdxl(), fresh_sdxl()
    before = answers(ours)
    theirs.load_lora_weights(str(sdxl_file.path))
    merge(ours, sdxl_file)
    assert same(answers(ours), answers(theirs))
    assert different(answers(ours), before)


def test_the_families_are_named_when_they_differ(
    fresh: Callable[[], Any],
    fresh_sdxl: Callable[[], Any],
    sdxl_file: LoraFile,
    lora: LoraFile,
) -> None:
    """An SDXL file on an SD 1 base and the other way around: an error with counts and both names."""
    sdxl, sd1 = (read_lora(one.path, one.sha256) for one in (sdxl_file, lora))
    assert sdxl.family == "sdxl"
    with pytest.raises(JobError, match=r"modules are not .* for SDXL, and this base is SD 1\."):
        Merger(parts_of(fresh())).apply([(sdxl, 1.0)])
    with pytest.raises(JobError, match=r"modules are not .* for SD 1, and this base is SDXL\."):
        Merger(parts_of(fresh_sdxl())).apply([(sd1, 1.0)])


ONETRAINER: dict[str, Callable[[str, str], str]] = {
    "KOHYA_LORA": lambda part, name: f"{part}_{name.replace('.', '_')}",
    "LEGACY_LORA": lambda part, name: f"{part}.{name}",
    "COMFY_LORA": lambda part, name: (
        f"diffusion_model.{name}"
        if part == "lora_unet"
        else f"text_encoders.clip_l.transformer.{name}"
    ),
}


@pytest.mark.parametrize("layout", ["DIFFUSERS_LORA", *ONETRAINER])
def test_each_layout_of_onetrainer_is_merged(
    layout: str,
    fresh: Callable[[], Any],
    make_lora: MakeLora,
    studio: Studio,
    make_job: Callable[..., DrawJob],
) -> None:
    """The same training in each of its names; in diffusers' the alpha is folded into one half.

    The answers are compared, and the pixels.
    """
    random, tensors, ours, theirs = torch.Generator().manual_seed(6), {}, fresh(), fresh()
    for part, model in (("lora_unet", theirs.unet), ("lora_te", theirs.text_encoder)):
        for name, one in model.named_modules():
            if not name.endswith(("to_q", "q_proj")):
                continue
            down = torch.randn((4, one.weight.shape[1]), generator=random) * 0.3
            up = torch.randn((one.weight.shape[0], 4), generator=random) * 0.3
            with torch.no_grad():
                one.weight += 0.5 * up @ down
            full = name if part == "lora_unet" else f"text_model.{name}"
            if layout == "DIFFUSERS_LORA":
                stem = f"{'unet' if part == 'lora_unet' else 'text_encoder'}.{full}"
                tensors |= {f"{stem}.lora_A.weight": down, f"{stem}.lora_B.weight": 0.5 * up}
                continue
            stem = ONETRAINER[layout](part, full)
            tensors |= {
                f"{stem}.lora_down.weight": down,
                f"{stem}.lora_up.weight": up,
                f"{stem}.alpha": torch.tensor(2.0),
            }
    before, file = answers(ours), make_lora(tensors, layout)
    merge(ours, file)
    assert same(answers(ours), answers(theirs))
    assert different(answers(ours), before)
    assert_same_images(studio, make_job(file), theirs, fresh())
