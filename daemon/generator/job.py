"""What is said between the client and the child: the job, one line of JSON; and why it failed.

It must not import torch: the client reads it too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from core.nouns import Recipe
from core.rules.beside import SQUEEZES, Squeeze

Kind = Literal[
    "bad_lora",
    "bad_recipe",
    "no_base",
    "no_libraries",
    "not_finite",
    "oom",
    "cuda",
    "internal",
    "stopped",
]
EXIT_CODES: dict[str, int] = {"internal": 1, "oom": 10, "cuda": 11}  # the child is of no use after
_LARGEST_BATCH = {"cuda": 8, "mps": 2, "cpu": 4}  # at 512 x 512; larger images, smaller batches
SAMPLE_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,127}")  # it becomes a file name


class JobError(Exception):
    """A job that cannot be finished: the kind decides what the client does next."""

    def __init__(self, kind: Kind, message: str) -> None:
        """Keep the kind beside the message for a person."""
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, kw_only=True)
class LoraFile:
    """One LoRA of the stack, as a file that nobody else writes to."""

    path: Path
    sha256: str
    strength: str = "1.00"  # decimal text


@dataclass(frozen=True, kw_only=True)
class DrawSample:
    """One image to draw."""

    sample_id: str
    prompt: str
    seed: int


@dataclass(frozen=True, kw_only=True)
class DrawJob:
    """One stack and all the images to draw with it."""

    job: str
    base_path: Path
    base_sha256: str
    loras: tuple[LoraFile, ...]
    recipe: Recipe
    samples: tuple[DrawSample, ...]
    out: Path  # folder for <sample_id>.png and <sample_id>.json
    batch: int | None = None  # images drawn at once; None: chosen from device, size and count
    most: int | None = None  # never more at once than this, whatever ``batch`` says
    squeeze: Squeeze = "none"  # how sparing with memory: see daemon.generator.memory
    limit: int | None = None  # bytes the process may hold of the memory it draws in
    device: str = "auto"  # "auto", "cpu", "cuda", "cuda:1", "mps"
    vae_path: Path | None = (
        None  # where the VAE with the hash recipe.vae lies; None: the base's own
    )

    embeddings: Path | None = None  # folder of the textual inversions that prompts may call

    def __post_init__(self) -> None:
        """Refuse what could not become a file name or a batch."""
        for sample in self.samples:
            if not SAMPLE_ID.fullmatch(sample.sample_id):
                message = f"{sample.sample_id!r} is no sample id"
                raise ValueError(message)
        for size in (self.batch, self.most):
            if size is not None and size < 1:
                message = f"a batch of {size} holds no image"
                raise ValueError(message)
        if self.squeeze not in SQUEEZES:
            message = f"{self.squeeze!r} is no way to save memory"
            raise ValueError(message)
        if self.vae_path is not None and not self.recipe.vae:
            message = f"the recipe does not know the VAE {self.vae_path}"
            raise ValueError(message)

    def as_json(self) -> dict[str, Any]:
        """Return the line the child reads."""
        return {
            "job": self.job,
            "base": {"path": str(self.base_path), "sha256": self.base_sha256},
            "loras": [
                {"path": str(lora.path), "sha256": lora.sha256, "strength": lora.strength}
                for lora in self.loras
            ],
            "recipe": self.recipe.as_json(),
            "samples": [
                {"sample_id": one.sample_id, "prompt": one.prompt, "seed": one.seed}
                for one in self.samples
            ],
            "out": str(self.out),
            "batch": self.batch,
            "most": self.most,
            "squeeze": self.squeeze,
            "limit": self.limit,
            "device": self.device,
            "vae": None if self.vae_path is None else str(self.vae_path),
            "embeddings": None if self.embeddings is None else str(self.embeddings),
        }

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> DrawJob:
        """Build it back from ``as_json``."""
        return cls(
            job=body["job"],
            base_path=Path(body["base"]["path"]),
            base_sha256=body["base"]["sha256"],
            loras=tuple(
                LoraFile(path=Path(one["path"]), sha256=one["sha256"], strength=one["strength"])
                for one in body["loras"]
            ),
            recipe=Recipe(**body["recipe"]),
            samples=tuple(DrawSample(**one) for one in body["samples"]),
            out=Path(body["out"]),
            batch=body.get("batch"),
            most=body.get("most"),
            squeeze=body.get("squeeze") or "none",
            limit=body.get("limit"),
            device=body.get("device") or "auto",
            vae_path=Path(body["vae"]) if body.get("vae") else None,
            embeddings=Path(body["embeddings"]) if body.get("embeddings") else None,
        )


def largest_batch(recipe: Recipe, device: str) -> int:
    """Return how many images at once are worth it on "cuda", "mps" or "cpu"."""
    return max(1, min(16, _LARGEST_BATCH[device] * 512 * 512 // (recipe.width * recipe.height)))
