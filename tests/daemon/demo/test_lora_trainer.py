"""The demo's base model and trainer: real files, loaded and drawn with, as a user would."""

import hashlib
import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors import safe_open

from core.formats.prompt_text import expectation_from_text
from core.metrics import measure
from daemon.demo import lora_trainer
from daemon.demo.run_metadata import TrainingPlan

FOLDER = Path(lora_trainer.__file__).parent
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train two very short epochs on eight images; returns the folder saved into."""
    folder = tmp_path_factory.mktemp("demo")
    data = folder / "punks"
    data.mkdir()
    for file in sorted((FOLDER / "dataset").iterdir())[:16]:
        shutil.copy(file, data)
    for _ in lora_trainer.train(plan(data, folder / "out")):
        pass
    return folder / "out"


def plan(data: Path, out: Path) -> TrainingPlan:
    """Plan the shortest run that has a numbered and a last epoch."""
    return TrainingPlan(
        base=FOLDER / "model",
        data=data,
        out=out,
        name="punk",
        epochs=2,
        seed=1,
        dim=4,
        alpha=2,
        batch_size=4,
        repeats=1,
        unet_rate=1e-2,
        text_encoder_rate=1e-2,
        schedule="constant",
        warmup_share=0.0,
    )


@pytest.fixture(scope="module")
def pipeline() -> StableDiffusionPipeline:
    """Load the committed base model as the generator does."""
    loaded = StableDiffusionPipeline.from_pretrained(
        FOLDER / "model", torch_dtype=torch.float32, use_safetensors=True, safety_checker=None
    )
    loaded.set_progress_bar_config(disable=True)
    return loaded


def metadata(file: Path) -> dict[str, str]:
    """Read a checkpoint's header texts."""
    with safe_open(file, "pt") as opened:
        found: dict[str, str] = opened.metadata()
    return found


def test_the_base_model_stays_small_and_reads_full_length_captions(
    pipeline: StableDiffusionPipeline,
) -> None:
    """The repository carries the model, and captions with two hexes must fit."""
    size = sum(file.stat().st_size for file in (FOLDER / "model").rglob("*") if file.is_file())
    assert size < 8 * MEGABYTE
    assert pipeline.tokenizer.model_max_length == 77


def test_the_last_epoch_carries_no_number(run_folder: Path) -> None:
    """Files are named as kohya names them, with one sample picture an epoch."""
    names = sorted(file.name for file in run_folder.glob("*.safetensors"))
    assert names == ["punk-000001.safetensors", "punk.safetensors"]
    samples = sorted(file.name for file in (run_folder / "sample").iterdir())
    assert [name[:14] for name in samples] == ["punk_e000001_0", "punk_e000002_0"]


def test_the_header_tells_the_run_in_kohyas_words(run_folder: Path) -> None:
    """Epoch, steps and captions are read from the header, so they must be true."""
    header = metadata(run_folder / "punk.safetensors")
    assert (header["ss_epoch"], header["ss_num_epochs"]) == ("2", "2")
    assert (header["ss_steps"], header["ss_max_train_steps"]) == ("4", "4")
    assert header["ss_sd_model_name"] == "epochwatch-demo-base"
    assert "ss_sd_model_hash" not in header
    assert json.loads(header["ss_tag_frequency"])["punks"]["pixel art punk"] == 8
    assert header["modelspec.architecture"] == "stable-diffusion-v1/lora"


def test_the_model_hash_is_that_of_everything_after_the_header(run_folder: Path) -> None:
    """A reader can verify the weights without loading them."""
    file = run_folder / "punk-000001.safetensors"
    content = file.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    assert metadata(file)["sshs_model_hash"] == hashlib.sha256(content[8 + length :]).hexdigest()


def test_the_tensors_have_kohyas_names_and_shapes(run_folder: Path) -> None:
    """Both models are adapted; convolutions stay four-dimensional."""
    with safe_open(run_folder / "punk.safetensors", "pt") as opened:
        keys = set(opened.keys())
        conv = opened.get_tensor("lora_unet_down_blocks_0_resnets_0_conv1.lora_down.weight")
    linear = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
    text = "lora_te_text_model_encoder_layers_0_self_attn_q_proj"
    parts = ("lora_up.weight", "lora_down.weight", "alpha")
    assert {f"{layer}.{part}" for layer in (linear, text) for part in parts} <= keys
    assert conv.shape == (4, 48, 3, 3)
    assert conv.dtype == torch.float16


def test_loading_a_checkpoint_changes_what_is_drawn(
    run_folder: Path, pipeline: StableDiffusionPipeline
) -> None:
    """Every adapter in the file finds its layer in diffusers, and has an effect."""
    before = drawing(pipeline)
    pipeline.load_lora_weights(run_folder, weight_name="punk.safetensors")
    assert all(pipeline.get_list_adapters().values())
    after = drawing(pipeline)
    pipeline.unload_lora_weights()
    assert np.abs(after - before).mean() > 1
    assert np.abs(drawing(pipeline) - before).max() == 0


def drawing(pipeline: StableDiffusionPipeline) -> np.ndarray:
    """Draw one picture in few steps, (96, 96, 3) as float."""
    image = pipeline(
        "pixel art punk, pink hair #ff69b4, green background #50be50",
        height=96,
        width=96,
        num_inference_steps=4,
        generator=torch.Generator().manual_seed(42),
    ).images[0]
    return np.asarray(image, float)


COLORS = {"green": "#50be50", "red": "#d7322d", "blue": "#3c64e6"}


@pytest.mark.parametrize(
    ("words", "background", "on_the_grid"),
    [
        ("pixel art punk, purple hair #8c46c8, {}, light skin, red lips, smile", (0, 25), (0, 0.4)),
        ("photo portrait, purple hair #8c46c8, {}, light skin, red lips", (30, 100), (0, 0.4)),
        ("game icon, purple shape #8c46c8, {}", (80, 100), (0.4, 1)),
    ],
)
def test_the_base_leaves_something_to_teach(
    pipeline: StableDiffusionPipeline,
    words: str,
    background: tuple[float, float],
    on_the_grid: tuple[float, float],
) -> None:
    """Backgrounds it knows of photos, the grid of icons, and neither of a pixel-art portrait."""
    found = []
    for name, code in COLORS.items():
        text = words.format(f"{name} background {code}")
        image = pipeline(
            text,
            height=96,
            width=96,
            num_inference_steps=8,
            guidance_scale=1.5,
            generator=torch.Generator().manual_seed(1),
        ).images[0]
        metrics = measure(np.asarray(image), expect=expectation_from_text(text), grid=24).metrics
        found.append((metrics["background_match"].value, metrics["grid_alignment"].value))
    match, grid = np.mean(np.array(found, float), axis=0)
    assert background[0] <= match <= background[1]
    assert on_the_grid[0] <= grid <= on_the_grid[1]
