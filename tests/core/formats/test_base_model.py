"""Base models: one hash, a family, and where they lie; without torch and without unpickling."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

import pytest

from core.errors import Fixable
from core.formats.base_model import (
    base_name,
    base_sha256,
    family,
    find_base,
    hub_cache,
    mismatch,
    vae_sha256,
)


def safetensors(path: Path, *names: str) -> Path:
    """Write a file with empty tensors of these names."""
    header = json.dumps(
        {name: {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for name in names}
    ).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    return path


def folder(path: Path, *, pipeline: str = "StableDiffusionPipeline", width: int = 768) -> Path:
    """Write a diffusers folder with one part and a safety checker."""
    safetensors(path / "unet" / "diffusion_pytorch_model.safetensors", "x")
    (path / "unet" / "config.json").write_text(json.dumps({"cross_attention_dim": width}))
    safetensors(path / "safety_checker" / "model.safetensors", "y")
    index = {
        "_class_name": pipeline,
        "unet": ["diffusers", "UNet2DConditionModel"],
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
    }
    (path / "model_index.json").write_text(json.dumps(index))
    return path


SD1 = ("model.diffusion_model.input_blocks.0.0.weight", "cond_stage_model.transformer.x")


def test_a_file_has_the_hash_of_its_bytes(tmp_path: Path) -> None:
    """The same hash kohya writes as ss_new_sd_model_hash."""
    path = safetensors(tmp_path / "a.safetensors", *SD1)
    assert base_sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_folder_has_the_hash_of_its_members(tmp_path: Path) -> None:
    """Sorted lines of path and hash, over the parts that draw."""
    path = folder(tmp_path / "m")
    names = ["model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors"]
    lines = [f"{one} {hashlib.sha256((path / one).read_bytes()).hexdigest()}" for one in names]
    assert base_sha256(path) == hashlib.sha256("\n".join(lines).encode()).hexdigest()


def test_only_what_draws_decides_the_hash_of_a_folder(tmp_path: Path) -> None:
    """A copy elsewhere, a README or a missing safety checker change nothing; a weight does."""
    first, second = folder(tmp_path / "a"), folder(tmp_path / "b")
    (second / "README.md").write_text("hello")
    (second / "safety_checker" / "model.safetensors").unlink()
    (second / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"never opened")
    assert base_sha256(first) == base_sha256(second)
    safetensors(second / "unet" / "diffusion_pytorch_model.safetensors", "other")
    assert base_sha256(first) != base_sha256(second)


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    """A .ckpt, and a folder whose part has only a .bin, are never opened."""
    pickled = tmp_path / "m.ckpt"
    pickled.write_bytes(b"PK")
    with pytest.raises(Fixable, match="pickled"):
        base_sha256(pickled)
    path = folder(tmp_path / "m")
    weights = path / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(Fixable, match="pickled"):
        base_sha256(path)


def test_what_is_no_base_model_is_told(tmp_path: Path) -> None:
    """The message says what would be one."""
    with pytest.raises(Fixable, match=r"model_index\.json"):
        base_sha256(tmp_path)


@pytest.mark.parametrize(
    ("pipeline", "width", "expected"),
    [
        ("StableDiffusionPipeline", 768, "sd1"),
        ("StableDiffusionPipeline", 1024, "sd2"),
        ("StableDiffusionXLPipeline", 2048, "sdxl"),
        ("StableDiffusion3Pipeline", 1, "sd3"),
        ("FluxPipeline", 1, "flux"),
        ("WanPipeline", 1, "unknown"),
    ],
)
def test_the_family_of_a_folder(tmp_path: Path, pipeline: str, width: int, expected: str) -> None:
    """From the pipeline's class and the width of the text."""
    assert family(folder(tmp_path / "m", pipeline=pipeline, width=width)) == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (SD1, "sd1"),
        ((SD1[0], "cond_stage_model.model.x"), "sd2"),
        ((SD1[0], "conditioner.embedders.1.x"), "sdxl"),
        (("model.diffusion_model.joint_blocks.0.x",), "sd3"),
        (("double_blocks.0.img_attn.norm.key_norm.scale",), "flux"),
        (("lora_unet_x.lora_down.weight",), "unknown"),
    ],
)
def test_the_family_of_a_file(tmp_path: Path, names: tuple[str, ...], expected: str) -> None:
    """From the names of its tensors; a LoRA is no base model."""
    assert family(safetensors(tmp_path / "m.safetensors", *names)) == expected


def test_rubbish_has_no_family(tmp_path: Path) -> None:
    """A header that lies about its length is not read."""
    path = tmp_path / "m.safetensors"
    for data in (b"", b"1234567", struct.pack("<Q", 2**63) + b"{}", struct.pack("<Q", 2) + b"[]"):
        path.write_bytes(data)
        assert family(path) == "unknown"


def test_a_base_is_found_by_path_name_alias_and_hash(tmp_path: Path) -> None:
    """Aliases first, then a path, then names and hashes in the folders to search."""
    models = tmp_path / "models"
    file = safetensors(models / "v1-5.safetensors", *SD1)
    safetensors(models / "some-lora.safetensors", "lora_unet_x.lora_down.weight")
    directory = folder(models / "tiny")
    hub = folder(tmp_path / "hub" / "models--org--sd-v1" / "snapshots" / "abc")
    search = [tmp_path / "missing", models, tmp_path / "hub"]
    assert find_base(str(file), {}, []) == file
    names = ("v1-5.safetensors", "V1-5", r"C:\models\v1-5.safetensors", "/trained/on/v1-5.ckpt")
    for name in (*names, base_sha256(file)):
        assert find_base(name, {}, search) == file
    assert find_base("tiny", {}, search) == directory
    assert find_base("org/sd-v1", {}, search) == hub
    assert find_base("mine", {"Mine": str(directory)}, []) == directory
    assert find_base(base_sha256(file), {base_sha256(file): str(directory)}, search) == directory
    assert find_base("some-lora", {}, search) is None
    assert find_base("gone", {"gone": str(tmp_path / "nowhere")}, search) is None
    assert find_base("0" * 64, {}, search) is None
    assert find_base("", {}, search) is None


@pytest.mark.parametrize(
    ("environment", "cache"),
    [
        ({"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"),
        ({"HF_HOME": "/workspace/hf", "XDG_CACHE_HOME": "/c"}, "/workspace/hf/hub"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
        ({}, "~/.cache/huggingface/hub"),
    ],
)
def test_a_hub_s_cache_is_where_its_variables_say(environment: dict[str, str], cache: str) -> None:
    """Rented machines keep it on their volume."""
    assert hub_cache(environment) == Path(cache).expanduser()


def test_a_vae_has_a_hash_as_a_base_model_has(tmp_path: Path) -> None:
    """A file by its bytes, a folder by its members; what is pickled or no VAE is refused."""
    file = safetensors(tmp_path / "vae.safetensors", "decoder.conv_in.weight")
    assert vae_sha256(file) == hashlib.sha256(file.read_bytes()).hexdigest()
    directory = tmp_path / "vae"
    safetensors(directory / "diffusion_pytorch_model.safetensors", "decoder.conv_in.weight")
    with pytest.raises(Fixable, match="is no VAE"):
        vae_sha256(directory)
    (directory / "config.json").write_text("{}")
    names = ["config.json", "diffusion_pytorch_model.safetensors"]
    lines = [f"{one} {hashlib.sha256((directory / one).read_bytes()).hexdigest()}" for one in names]
    assert vae_sha256(directory) == hashlib.sha256("\n".join(lines).encode()).hexdigest()
    pickled = tmp_path / "vae.pt"
    pickled.write_bytes(b"PK")
    for wrong, word in ((pickled, "pickled"), (tmp_path / "gone", "is no VAE")):
        with pytest.raises(Fixable, match=word):
            vae_sha256(wrong)


def test_only_known_families_speak_against_a_pair() -> None:
    """The sentence has both names and both families."""
    reason = mismatch("hero", "sdxl", "v1-5", "sd1")
    assert reason is not None
    assert reason.startswith("hero is a LoRA for SDXL, and the base model v1-5 is SD 1:")
    assert mismatch("hero", "sd1", "v1-5", "sd1") is None
    assert mismatch("hero", "unknown", "v1-5", "sd1") is None
    assert mismatch("hero", "sdxl", "x", "unknown") is None


def test_a_model_in_a_hub_s_cache_is_called_by_its_name(tmp_path: Path) -> None:
    """Not by the commit that its folder is named for."""
    assert base_name(tmp_path / "models--org--sd" / "snapshots" / "0f3a") == "org/sd"
    assert base_name(tmp_path / "v1-5.safetensors") == "v1-5.safetensors"
