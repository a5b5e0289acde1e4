"""CLIP models small enough for a test: one that has learned nothing, and one that learned things."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPModel

from core.formats.caption_file import CaptionedImage
from core.metrics.detector import texts_of
from daemon.generator.clip_tokenizer import clip_tokenizer
from daemon.scorers.detecting import things_in

_SIZE = 24
_STEPS, _RATE, _SHARPNESS = 80, 4e-3, 20.0


def untrained_clip(folder: Path) -> Path:
    """Save a CLIP of random weights, which can prove nothing."""
    return _saved(_random_model(), folder)


def clip_that_learned(
    things: Sequence[str], images: Sequence[CaptionedImage], folder: Path
) -> Path:
    """Save a CLIP taught for a few seconds to tell images with each thing from those without."""
    model, tokenizer = _random_model(), clip_tokenizer()
    texts = [text for thing in things for side in texts_of(thing) for text in side]
    tokens = tokenizer(texts, padding="max_length", max_length=16, return_tensors="pt")
    pixels = torch.stack([_pixels(each.path) for each in images])
    truth = torch.tensor(
        [[thing in things_in(each.caption) for thing in things] for each in images]
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=_RATE)
    for _ in range(_STEPS):
        seen = _unit(model.get_image_features(pixel_values=pixels))
        asked = _unit(model.get_text_features(**tokens)).view(len(things), 2, -1, seen.shape[-1])
        scores = torch.einsum("id,tswd->its", seen, asked) / asked.shape[2]
        margin = _SHARPNESS * (scores[..., 0] - scores[..., 1])
        loss = torch.nn.functional.binary_cross_entropy_with_logits(margin, truth.float())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return _saved(model, folder)


def _random_model() -> CLIPModel:
    torch.manual_seed(7)
    tower = {
        "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    }  # fmt: skip
    return CLIPModel(
        CLIPConfig(
            text_config={**tower, "max_position_embeddings": 16},
            vision_config={**tower, "image_size": _SIZE, "patch_size": 6},
            projection_dim=16,
        )
    )


def _saved(model: CLIPModel, folder: Path) -> Path:
    model.save_pretrained(folder)
    clip_tokenizer().save_pretrained(folder)
    return folder


def _pixels(path: Path) -> torch.Tensor:
    """Return a picture as the scorer's process shows it to a CLIP."""
    with Image.open(path) as picture:
        rgb = picture.convert("RGB").resize((_SIZE, _SIZE), Image.Resampling.NEAREST)
    pixels = np.asarray(rgb, dtype=np.float32) / 255
    mean = np.array((0.48145466, 0.4578275, 0.40821073), dtype=np.float32)
    deviation = np.array((0.26862954, 0.26130258, 0.27577711), dtype=np.float32)
    return torch.from_numpy((pixels - mean) / deviation).permute(2, 0, 1)


def _unit(output: object) -> torch.Tensor:
    vectors = output if isinstance(output, torch.Tensor) else output.pooler_output  # type: ignore[attr-defined]
    return torch.nn.functional.normalize(vectors, dim=-1)
