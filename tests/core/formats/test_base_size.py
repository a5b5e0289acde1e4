"""Parameters are counted from headers, in folders and in single files."""

from __future__ import annotations

import json
import struct
from pathlib import Path

from core.formats.base_size import parameter_counts


def _file(path: Path, **tensors: list[int]) -> None:
    """Write a header without a body: nothing else is read."""
    entries = {name.replace("__", "."): {"shape": shape} for name, shape in tensors.items()}
    text = json.dumps({"__metadata__": {"format": "pt"}, **entries}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"\0" * 64)


def test_a_folder_counts_each_part_once(tmp_path: Path) -> None:
    """A half-precision twin is the same weights; the safety checker draws nothing."""
    _file(tmp_path / "unet" / "diffusion_pytorch_model.safetensors", a=[4, 5], b=[3])
    _file(tmp_path / "unet" / "diffusion_pytorch_model.fp16.safetensors", a=[4, 5], b=[3])
    _file(tmp_path / "text_encoder" / "model.safetensors", a=[7])
    _file(tmp_path / "text_encoder_2" / "model.fp16.safetensors", a=[11])
    _file(tmp_path / "safety_checker" / "model.safetensors", a=[1000])
    assert parameter_counts(tmp_path) == {"unet": 23, "text": 18, "vae": 0}


def test_a_single_file_is_sorted_by_name(tmp_path: Path) -> None:
    """Stability's names: the UNet, the VAE, and text encoders for the rest."""
    path = tmp_path / "model.safetensors"
    _file(
        path,
        model__diffusion_model__x=[2, 3],
        first_stage_model__y=[5],
        cond_stage_model__z=[7],
    )
    assert parameter_counts(path) == {"unet": 6, "text": 7, "vae": 5}


def test_what_cannot_be_read_is_none(tmp_path: Path) -> None:
    """A file that is no safetensors file takes no part in the estimate."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"no")
    assert parameter_counts(path) == {"unet": 0, "text": 0, "vae": 0}
    assert not any(parameter_counts(tmp_path / "nowhere.safetensors").values())
