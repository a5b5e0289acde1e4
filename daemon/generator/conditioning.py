"""What a pipeline is given instead of prompts: their embeddings under the stack merged now."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from core.nouns import Recipe
from daemon.generator.base_loading import Base
from daemon.generator.merging import Merged
from daemon.generator.prompt_text import Encoded


def encode(base: Base, merged: Merged, recipe: Recipe, text: str) -> Encoded:
    """Return the embedding of ``text`` under the stack that is merged now."""
    return base.encoder.encode(
        text,
        state=merged.text_state,
        clip_skip=recipe.clip_skip,
        token_length=recipe.token_length,
    )


def encode_negative(base: Base, merged: Merged, recipe: Recipe) -> Encoded:
    """Return the embedding of the negative prompt; zeros for an empty one where the base says so.

    SDXL's configuration does: its training dropped prompts that way, and diffusers and A1111 draw
    that way.
    """
    encoded = encode(base, merged, recipe, recipe.negative)
    if recipe.negative or not base.empty_is_zero or encoded.pooled is None:
        return encoded
    return Encoded(
        embedding=torch.zeros_like(encoded.embedding),
        pooled=torch.zeros_like(encoded.pooled),
        truncated=0,
        embeddings=encoded.embeddings,
    )


def conditions(prompts: Sequence[Encoded], negative: Encoded | None) -> dict[str, torch.Tensor]:
    """Return the arguments for a batch of ``prompts``, all with the same negative prompt, if any."""
    if negative is None:
        return _stacked("", prompts)
    return _stacked("", prompts) | _stacked("negative_", [negative] * len(prompts))


def _stacked(prefix: str, prompts: Sequence[Encoded]) -> dict[str, torch.Tensor]:
    """Return (images, tokens, width), and (images, width) where a base has the vector too."""
    found = {f"{prefix}prompt_embeds": torch.cat([one.embedding for one in prompts])}
    pooled = [one.pooled for one in prompts if one.pooled is not None]
    if pooled:
        found[f"{prefix}pooled_prompt_embeds"] = torch.cat(pooled)
    return found
