"""Makes real checkpoint files of every kind: good ones of each trainer, and a corpus of bad ones.

The bytes are put together by hand, so that the bad ones can be wrong in exactly one way.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import struct
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Entry = tuple[str, tuple[int, ...], bytes]  # dtype, shape, raw bytes
_BYTES = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8, "I64": 8}
SESSION = "3141592653"
BASE_SHA256 = "cc6cb27103417325ff94f52b7a5d2dde45a7515b25c255d8e396c90014281516"


def numbers(shape: tuple[int, ...], *, seed: int = 0, dtype: str = "F16") -> Entry:
    """Return a tensor of small normal numbers that depend on the seed alone."""
    values = np.random.default_rng(seed).normal(0, 0.05, shape).astype(np.float32)
    if dtype == "BF16":
        return dtype, shape, (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    kind = {"F16": np.float16, "F32": np.float32, "F64": np.float64}[dtype]
    return dtype, shape, values.astype(kind).tobytes()


def filled(shape: tuple[int, ...], value: float, *, dtype: str = "F16") -> Entry:
    """Return a tensor that holds one value everywhere."""
    if dtype == "BF16":
        bits = (np.full(shape, value, np.float32).view(np.uint32) >> 16).astype(np.uint16)
        return dtype, shape, bits.tobytes()
    kind = {"F16": np.float16, "F32": np.float32, "F64": np.float64}[dtype]
    return dtype, shape, np.full(shape, value, kind).tobytes()


def body_of(tensors: Mapping[str, Entry]) -> bytes:
    """Return the bytes after the header."""
    return b"".join(entry[2] for entry in tensors.values())


def safetensors_bytes(
    tensors: Mapping[str, Entry], metadata: Mapping[str, str] | None = None
) -> bytes:
    """Return a whole safetensors file."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata is not None else {}
    position = 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {
            "dtype": dtype, "shape": list(shape), "data_offsets": [position, position + len(data)]
        }  # fmt: skip
        position += len(data)
    return with_header(json.dumps(header), body_of(tensors))


def with_header(text: str | bytes, body: bytes = b"") -> bytes:
    """Return a file with exactly this header text."""
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw + body


def kohya_tensors(
    *, rank: int = 4, width: int = 768, seed: int = 0, alpha: float = 2.0
) -> dict[str, Entry]:
    """Return a small SD 1.5 LoRA as sd-scripts names it: one attention block and one text layer."""
    block = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0"
    shapes = {
        f"{block}_attn1_to_q": (320, 320),
        f"{block}_attn2_to_k": (320, width),
        "lora_te_text_model_encoder_layers_0_self_attn_q_proj": (width, width),
    }
    tensors: dict[str, Entry] = {}
    for index, (name, (out, into)) in enumerate(shapes.items()):
        tensors[f"{name}.alpha"] = filled((), alpha)
        tensors[f"{name}.lora_down.weight"] = numbers((rank, into), seed=seed * 100 + index)
        tensors[f"{name}.lora_up.weight"] = numbers((out, rank), seed=seed * 100 + index + 50)
    return tensors


def kohya_metadata(
    epoch: int | None = 1, *, planned: int = 10, steps: int = 100, **more: str
) -> dict[str, str]:
    """Return the metadata sd-scripts writes for a run with ``train_data_dir``."""
    told = {
        "ss_session_id": SESSION,
        "ss_training_started_at": "1762700000.0",
        "ss_training_finished_at": str(1762700000.5 + 600 * (epoch or 0)),
        "ss_output_name": "punk",
        "ss_epoch": str(epoch),
        "ss_steps": str(steps),
        "ss_num_epochs": str(planned),
        "ss_max_train_steps": str(planned * 100),
        "ss_num_train_images": "2030",
        "ss_num_batches_per_epoch": "100",
        "ss_learning_rate": "0.0001",
        "ss_unet_lr": "0.0001",
        "ss_text_encoder_lr": "5e-05",
        "ss_lr_scheduler": "cosine_with_restarts",
        "ss_optimizer": "bitsandbytes.optim.adamw.AdamW8bit(weight_decay=0.1)",
        "ss_network_module": "networks.lora",
        "ss_network_dim": "4",
        "ss_network_alpha": "2.0",
        "ss_mixed_precision": "fp16",
        "ss_gradient_accumulation_steps": "1",
        "ss_batch_size_per_device": "2",
        "ss_total_batch_size": "2",
        "ss_resolution": "(512, 512)",
        "ss_clip_skip": "None",
        "ss_noise_offset": "0.1",
        "ss_min_snr_gamma": "5.0",
        "ss_keep_tokens": "1",
        "ss_v2": "False",
        "ss_base_model_version": "sd_v1",
        "ss_sd_model_name": "/workspace/models/v1-5-pruned-emaonly.safetensors",
        "ss_new_sd_model_hash": BASE_SHA256,
        "ss_dataset_dirs": json.dumps({"10_punk": {"n_repeats": 10, "img_count": 203}}),
        "ss_tag_frequency": json.dumps({"10_punk": {"pixel art": 203, "green background": 40}}),
        "modelspec.architecture": "stable-diffusion-v1/lora",
        "modelspec.date": "2025-11-09T14:53:20",
    }
    return told | more


def kohya_bytes(
    epoch: int | None = 1,
    *,
    seed: int | None = None,
    proof: bool = True,
    rank: int = 4,
    **more: Any,
) -> bytes:
    """Return a tiny kohya LoRA; ``proof`` adds the checksum of its weights (sshs_model_hash)."""
    tensors = kohya_tensors(seed=(epoch or 0) if seed is None else seed, rank=rank)
    metadata = kohya_metadata(epoch, **more)
    if proof:
        metadata["sshs_model_hash"] = hashlib.sha256(body_of(tensors)).hexdigest()
    return safetensors_bytes(tensors, metadata)


def kohya_file(path: Path, epoch: int | None = 1, **more: Any) -> Path:
    """Write a tiny kohya LoRA in one go, in place, as safetensors 0.7 does."""
    path.write_bytes(kohya_bytes(epoch, **more))
    return path


def renamed_into_place(path: Path, data: bytes) -> Path:
    """Write as safetensors 0.8 does: a temporary of full size, then a rename; mode 0600."""
    temporary = path.with_name(".tmpAbC123")
    with temporary.open("wb") as file:
        file.truncate(len(data))
        file.write(data)
    temporary.chmod(0o600)
    temporary.replace(path)
    return path


def preallocated(data: bytes, there: float = 0.5) -> bytes:
    """Return the file as a transfer tool leaves it midway: full size, its end still zeros."""
    cut = int(len(data) * there)
    return data[:cut] + bytes(len(data) - cut)


def half_overwritten(old: bytes, new: bytes) -> bytes:
    """Return ``new`` halfway copied over ``old`` in place, as ``rsync --inplace`` does."""
    cut = len(new) // 2
    return new[:cut] + old[cut:]


def sdxl_tensors() -> dict[str, Entry]:
    """Return the names of kohya's SDXL LoRAs."""
    return _pairs(
        {
            "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k": (640, 2048),
            "lora_te1_text_model_encoder_layers_0_self_attn_q_proj": (768, 768),
            "lora_te2_text_model_encoder_layers_0_self_attn_q_proj": (1280, 1280),
        }
    )


def sd2_tensors() -> dict[str, Entry]:
    """Return a LoRA whose text states are 1024 wide."""
    return kohya_tensors(width=1024)


def flux_tensors() -> dict[str, Entry]:
    """Return the names of kohya's Flux LoRAs."""
    return _pairs({"lora_unet_double_blocks_0_img_attn_qkv": (96, 32)})


def locon_tensors() -> dict[str, Entry]:
    """Return a LoRA with a patched convolution."""
    conv = "lora_unet_down_blocks_0_resnets_0_conv1"
    return kohya_tensors() | {
        f"{conv}.alpha": filled((), 1.0),
        f"{conv}.lora_down.weight": numbers((2, 32, 3, 3)),
        f"{conv}.lora_up.weight": numbers((32, 2, 1, 1)),
    }


def loha_tensors() -> dict[str, Entry]:
    """Return a LyCORIS LoHa."""
    name = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
    return {
        f"{name}.alpha": filled((), 1.0),
        f"{name}.hada_w1_a": numbers((32, 4)),
        f"{name}.hada_w1_b": numbers((4, 768)),
        f"{name}.hada_w2_a": numbers((32, 4)),
        f"{name}.hada_w2_b": numbers((4, 768)),
    }


def dora_tensors() -> dict[str, Entry]:
    """Return a kohya LoRA with DoRA scales."""
    name = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    return kohya_tensors() | {f"{name}.dora_scale": numbers((320, 1))}


def peft_tensors() -> dict[str, Entry]:
    """Return the names of a PEFT adapter file."""
    name = "base_model.model.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
    return {
        f"{name}.lora_A.weight": numbers((8, 768)),
        f"{name}.lora_B.weight": numbers((32, 8)),
    }


def diffusers_tensors() -> dict[str, Entry]:
    """Return the names diffusers saves LoRAs under."""
    name = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
    return {
        f"{name}.lora_A.weight": numbers((8, 768)),
        f"{name}.lora_B.weight": numbers((32, 8)),
    }


def ai_toolkit_tensors() -> dict[str, Entry]:
    """Return the names ai-toolkit saves transformers' LoRAs under."""
    name = "diffusion_model.double_blocks.0.img_attn.qkv"
    return {f"{name}.lora_A.weight": numbers((8, 32)), f"{name}.lora_B.weight": numbers((96, 8))}


def base_tensors() -> dict[str, Entry]:
    """Return the beginning of a full SD checkpoint."""
    return {
        "model.diffusion_model.input_blocks.0.0.weight": numbers((32, 4, 3, 3)),
        "first_stage_model.encoder.conv_in.weight": numbers((16, 3, 3, 3)),
        "cond_stage_model.transformer.text_model.final_layer_norm.weight": numbers((768,)),
    }


def embedding_tensors() -> dict[str, Entry]:
    """Return a textual inversion."""
    return {"emb_params": numbers((4, 768))}


def vae_tensors() -> dict[str, Entry]:
    """Return the beginning of a VAE."""
    return {
        "encoder.down.0.block.0.conv1.weight": numbers((16, 16, 3, 3)),
        "decoder.up.0.block.0.conv1.weight": numbers((16, 16, 3, 3)),
    }


def _pairs(shapes: Mapping[str, tuple[int, int]], rank: int = 4) -> dict[str, Entry]:
    tensors: dict[str, Entry] = {}
    for index, (name, (out, into)) in enumerate(shapes.items()):
        tensors[f"{name}.alpha"] = filled((), 1.0)
        tensors[f"{name}.lora_down.weight"] = numbers((rank, into), seed=index)
        tensors[f"{name}.lora_up.weight"] = numbers((out, rank), seed=index + 50)
    return tensors


class _Payload:
    """Would create a file if anybody unpickled it."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.marker),)


def pickle_bomb(marker: Path) -> bytes:
    """Return a pickle that creates the folder ``marker`` when it is loaded."""
    return pickle.dumps({"state_dict": _Payload(marker), "padding": "x" * 400}, protocol=4)


def zip_bytes() -> bytes:
    """Return a zip archive, as ``torch.save`` writes one."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
    return buffer.getvalue()


def _entry(
    begin: int, end: int, shape: list[Any] | None = None, dtype: str = "F16"
) -> dict[str, Any]:
    return {
        "dtype": dtype,
        "shape": [(end - begin) // 2] if shape is None else shape,
        "data_offsets": [begin, end],
    }


def bad_corpus(marker: Path) -> dict[str, tuple[bytes, str, str]]:
    """Return name -> (bytes, state that the watcher ends in, words its reason must hold)."""
    groups = {
        "quarantined": _cut_or_mixed() | _broken_headers(),
        "refused": _strangers(marker),
        "admitted": _odd_but_whole(),
    }
    return {
        name: (data, state, words)
        for state, group in groups.items()
        for name, (data, words) in group.items()
    }


def _cut_or_mixed() -> dict[str, tuple[bytes, str]]:
    good = kohya_bytes(1)
    older = kohya_bytes(1, seed=7)
    return {
        "empty": (b"", "0 bytes"),
        "seven bytes": (b"1234567", "7 bytes"),
        "zeros": (bytes(4096), "zeros"),
        "header cut": (good[:200], "header itself"),
        "header half zeros": (good[:200] + bytes(len(good) - 200), "still zeros"),
        "body cut": (good[:-100], "end is still missing"),
        "trailing junk": (good + b"junk", "longer"),
        "zero tail": (preallocated(good), "sshs_model_hash"),
        "half overwritten": (half_overwritten(older, good), "sshs_model_hash"),
        "checksum of others": (
            kohya_bytes(1, proof=False, sshs_model_hash="0" * 64),
            "sshs_model_hash",
        ),
    }


def _broken_headers() -> dict[str, tuple[bytes, str]]:
    unreadable = {
        "no JSON": b"{nonsense",
        "bad UTF-8": b'{"\xff": 1}',
        "byte order mark": b"\xef\xbb\xbf{}",
        "NaN in the header": b'{"a": NaN}',
        "deep nesting": b'{"a":' + b"[" * 100_000,
        "a list for a header": b"[1, 2]",
    }
    wrong: dict[str, tuple[dict[str, Any], int, str]] = {
        "overlap": ({"a": _entry(0, 8), "b": _entry(4, 12)}, 12, "overlap"),
        "hole": ({"a": _entry(0, 8), "b": _entry(12, 16)}, 16, "hole"),
        "shape mismatch": ({"a": _entry(0, 8, [5])}, 8, "shape"),
        "shape overflow": ({"a": _entry(0, 8, [1 << 40, 1 << 40])}, 8, "larger"),
        "negative extent": ({"a": _entry(0, 8, [-4])}, 8, "whole number"),
        "true as an extent": ({"a": _entry(0, 2, [True])}, 2, "whole number"),
        "no tensor entry": ({"a": 5}, 0, "no tensor"),
        "metadata not text": ({"__metadata__": {"a": 1}}, 0, "metadata"),
        "NUL in a name": ({"a\0b": _entry(0, 8)}, 8, "name"),
        "path in a name": ({"../../etc/x": _entry(0, 8)}, 8, "name"),
        "header bomb": ({f"t{i}": _entry(0, 0, [0]) for i in range(25_000)}, 0, "20,000"),
    }
    return (
        {name: (with_header(text), "cannot be read") for name, text in unreadable.items()}
        | {
            name: (with_header(json.dumps(header), bytes(size)), words)
            for name, (header, size, words) in wrong.items()
        }
        | {
            "header of 2^63 bytes": (struct.pack("<Q", 1 << 63) + b"{}", "header of"),
            "header of 200 MB": (struct.pack("<Q", 200_000_000) + b"{}", "header of"),
            "duplicate keys": (with_header(b'{"a": 1, "a": 2}'), "twice"),
        }
    )


def _strangers(marker: Path) -> dict[str, tuple[bytes, str]]:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n"
    new_type = json.dumps({"a": _entry(0, 8, [8], "F8_NEW")})
    return {
        "unknown type": (with_header(new_type, bytes(8)), "F8_NEW"),
        "no tensors": (safetensors_bytes({}, {"format": "pt"}), "no tensors"),
        "full base model": (safetensors_bytes(base_tensors()), "full base model"),
        "textual inversion": (safetensors_bytes(embedding_tensors()), "textual inversion"),
        "VAE": (safetensors_bytes(vae_tensors()), "VAE"),
        "pickle renamed": (pickle_bomb(marker), "pickle"),
        "zip renamed": (zip_bytes(), "zip"),
        "git-LFS pointer": (pointer, "git-LFS"),
        "HTML error page": (b"<!DOCTYPE html><html>404</html>", "web page"),
    }


def _odd_but_whole() -> dict[str, tuple[bytes, str]]:
    return {
        "checksum of a megabyte": (
            kohya_bytes(1, seed=11, proof=False, sshs_model_hash="a" * 1_000_000),
            "verified",
        ),
        "epoch that is no number": (kohya_bytes(1, seed=12, ss_epoch="7.5"), "verified"),
        "epoch below zero": (kohya_bytes(1, seed=13, ss_epoch="-1"), "verified"),
        "epoch of 10^20": (kohya_bytes(1, seed=14, ss_epoch="1" + "0" * 20), "verified"),
        "lone surrogate": (kohya_bytes(1, seed=15, ss_output_name="a\ud800\0b"), "verified"),
    }
