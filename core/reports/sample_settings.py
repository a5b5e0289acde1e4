"""The settings of one image: as JSON, as the line that other programs read, and inside its PNG."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

from PIL import Image, PngImagePlugin


def sample_settings(
    *,
    label: str,
    prompt: str,
    seed: int,
    recipe: Mapping[str, Any],
    stack: Mapping[str, Any],
    sample_id: str,
) -> dict[str, Any]:
    """Return everything that decided the pixels of an image."""
    return {
        "model": label,
        "prompt": prompt,
        "negative": recipe.get("negative", ""),
        "seed": seed,
        "recipe": dict(recipe),
        "stack": dict(stack),
        "sample_id": sample_id,
        "made_by": "epochwatch",
    }


def as_parameters(settings: Mapping[str, Any]) -> str:
    """Return the text that A1111 writes into its images and many programs read back."""
    recipe = settings["recipe"]
    loras = ", ".join(
        f"{sha256[:10]}: {strength}" for sha256, strength in settings["stack"]["loras"]
    )
    parts = [
        f"Steps: {recipe.get('steps')}",
        f"Sampler: {recipe.get('sampler')}",
        f"CFG scale: {recipe.get('guidance')}",
        f"Seed: {settings['seed']}",
        f"Size: {recipe.get('width')}x{recipe.get('height')}",
        f"Model hash: {settings['stack']['base'][:10]}",
        *([f"Lora hashes: {json.dumps(loras)}"] if loras else []),
    ]
    return f"{settings['prompt']}\nNegative prompt: {settings['negative']}\n{', '.join(parts)}"


def with_settings(png: bytes, settings: Mapping[str, Any]) -> bytes:
    """Return a PNG of the same pixels with its settings inside. Raises OSError for no image."""
    told = PngImagePlugin.PngInfo()
    told.add_itxt("parameters", as_parameters(settings))
    told.add_itxt("epochwatch", json.dumps(settings, ensure_ascii=False))
    out = io.BytesIO()
    with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
        image.save(out, "PNG", pnginfo=told)
    return out.getvalue()
