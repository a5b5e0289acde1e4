"""The process that holds a scorer: a JSON request a line on stdin, an answer a line on stdout.

Ends with its input. Loads safetensors from the folder it is given, and nothing from anywhere else.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"  # before transformers

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoConfig, AutoModel, AutoTokenizer

WITH_TEXT = ("clip", "siglip", "siglip2")
IMAGE_ONLY = ("dinov2", "dinov3_vit", "vit", "clip_vision_model", "siglip_vision_model")
_BATCH = 16
_CLIP_MEAN = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


class Model:
    """One model, loaded once."""

    def __init__(self, folder: Path) -> None:
        """Load it. Raises ValueError or OSError with the reason."""
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        if config.model_type not in (*WITH_TEXT, *IMAGE_ONLY):
            known = ", ".join((*WITH_TEXT, *IMAGE_ONLY))
            raise ValueError(f"it is a model of the kind {config.model_type!r}; known are {known}")
        self.folder = folder
        model = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        self.model = model.eval()
        self.reads_text = config.model_type in WITH_TEXT
        self.look = _Look(folder, getattr(config, "vision_config", config).image_size)
        self.sha256 = _sha256(folder)

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return vectors of length 1 of all images and texts."""
        torch.set_num_threads(request.get("threads") or 1)
        asked = request["texts"] if self.reads_text else []
        with torch.inference_mode():
            images = [
                _batch(self.model, self.look, part, reads_text=self.reads_text)
                for part in _parts(request["images"])
            ]
            texts = _texts(self.model, self.folder, asked) if asked else []
        return {
            "reads_text": self.reads_text,
            "sha256": self.sha256,
            "images": _rows(images),
            "texts": _rows(texts),
        }


def _sha256(folder: Path) -> str:
    """Return what tells these weights from any others."""
    found = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()


class _Look:
    """How the model was shown pictures in its training."""

    def __init__(self, folder: Path, size: int) -> None:
        """Read mean and deviation from the model's own file, if it has one."""
        self.size = size
        told: dict[str, Any] = {}
        file = folder / "preprocessor_config.json"
        if file.is_file():
            told = json.loads(file.read_text(encoding="utf-8"))
        mean, deviation = told.get("image_mean"), told.get("image_std")
        self.mean = torch.tensor(mean or _CLIP_MEAN[0]).view(3, 1, 1)
        self.deviation = torch.tensor(deviation or _CLIP_MEAN[1]).view(3, 1, 1)

    def at(self, path: str) -> torch.Tensor:
        """Return (3, size, size); small pictures are enlarged with hard cells."""
        with Image.open(path) as picture:
            rgb = picture.convert("RGB")
        small = max(rgb.size) < self.size
        how = Image.Resampling.NEAREST if small else Image.Resampling.BICUBIC
        pixels = np.asarray(rgb.resize((self.size, self.size), how), dtype=np.float32) / 255
        return (torch.from_numpy(pixels).permute(2, 0, 1) - self.mean) / self.deviation


def _parts(paths: list[str]) -> list[list[str]]:
    return [paths[at : at + _BATCH] for at in range(0, len(paths), _BATCH)]


def _batch(model: Any, look: _Look, paths: list[str], *, reads_text: bool) -> torch.Tensor:
    pixels = torch.stack([look.at(path) for path in paths])
    if reads_text:
        return _unit(model.get_image_features(pixel_values=pixels))
    return _unit(model(pixel_values=pixels))


def _texts(model: Any, folder: Path, texts: list[str]) -> list[torch.Tensor]:
    """Return vectors of texts; what does not fit into the model's window is cut, as it was trained."""
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    length = model.config.text_config.max_position_embeddings
    found = []
    for part in _parts(texts):
        tokens = tokenizer(
            part, padding="max_length", truncation=True, max_length=length, return_tensors="pt"
        )
        kept = {name: tokens[name] for name in ("input_ids", "attention_mask") if name in tokens}
        found.append(_unit(model.get_text_features(**kept)))
    return found


def _unit(output: Any) -> torch.Tensor:
    """Return (n, d) of length 1 from whatever a model of this kind gives back."""
    vectors = output
    if not isinstance(output, torch.Tensor):
        pooled = getattr(output, "pooler_output", None)
        vectors = pooled if pooled is not None else output.last_hidden_state[:, 0]
    return torch.nn.functional.normalize(vectors.float(), dim=-1)


def _rows(parts: list[torch.Tensor]) -> list[list[float]]:
    if not parts:
        return []
    rows: NDArray[np.float64] = torch.cat(parts).numpy().astype(np.float64)
    return [[round(float(value), 6) for value in row] for row in rows]


def main() -> None:
    """Answer until the input ends."""
    model: Model | None = None
    for line in sys.stdin:
        try:
            request = json.loads(line)
            model = model or Model(Path(request["folder"]))
            said = model.answer(request)
        except (ValueError, OSError, KeyError, RuntimeError, AttributeError, TypeError) as trouble:
            said = {"trouble": f"{type(trouble).__name__}: {trouble}"}
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
