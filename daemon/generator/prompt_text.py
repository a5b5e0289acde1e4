"""Turn prompts into text embeddings, in chunks as the trainer saw them, and remember them."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import torch

from daemon.generator.job import JobError

_REMEMBERED = 256  # embeddings; 0.24 MB each for SD 1.5 in float32


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """One prompt as the UNet sees it."""

    embedding: torch.Tensor  # (1, tokens, width)
    truncated: int  # tokens at the end that did not fit and had no effect


class PromptEncoder:
    """A tokenizer and a text encoder, with a memory per (state of the encoder, prompt)."""

    def __init__(self, tokenizer: Any, text_encoder: Any) -> None:
        """Use the parts of a loaded pipeline."""
        self._tokenizer = tokenizer
        self._encoder = text_encoder
        self._memory: OrderedDict[tuple[Any, ...], Encoded] = OrderedDict()

    def encode(
        self, text: str, *, state: tuple[Any, ...], clip_skip: int, token_length: int
    ) -> Encoded:
        """Return the embedding of ``text``.

        ``state`` names the LoRAs merged into the text encoder. ``clip_skip`` counts from the last
        layer: 1 is the last, 2 the one before. ``token_length`` is 75, 150 or 225: always that
        many tokens, whatever the prompt, as kohya's max_token_length does in training.

        Raises:
            JobError: "bad_recipe", a clip skip or token length this encoder cannot do.
        """
        key = (state, clip_skip, token_length, text)
        if key not in self._memory:
            self._check(clip_skip, token_length)
            self._memory[key] = self._encode(text, clip_skip, token_length // 75)
            while len(self._memory) > _REMEMBERED:
                self._memory.popitem(last=False)
        self._memory.move_to_end(key)
        return self._memory[key]

    def _check(self, clip_skip: int, token_length: int) -> None:
        """Refuse numbers that mean nothing."""
        layers = int(self._encoder.config.num_hidden_layers)
        if not 1 <= clip_skip <= layers:
            message = f"clip_skip is {clip_skip}; this text encoder has 1 to {layers}."
            raise JobError("bad_recipe", message)
        if token_length < 75 or token_length % 75:
            message = f"token_length is {token_length}; it is 75, 150 or 225."
            raise JobError("bad_recipe", message)

    @torch.no_grad()
    def _encode(self, text: str, clip_skip: int, chunks: int) -> Encoded:
        """Encode ``chunks`` chunks, each with its own start and end, and join them."""
        ids, truncated = self._chunk(text, chunks)
        layers = self._encoder(ids.to(self._encoder.device), output_hidden_states=True)
        if clip_skip == 1:
            states = layers[0]
        else:
            norm = getattr(self._encoder, "text_model", self._encoder).final_layer_norm
            states = norm(layers.hidden_states[-clip_skip])
        # Start of the first, inside of each, end of the last: kohya-ss/sd-scripts,
        # library/train_util.py, get_hidden_states.
        middle = states[:, 1:-1].reshape(1, -1, states.shape[-1])
        embedding = torch.cat([states[:1, :1], middle, states[-1:, -1:]], dim=1)
        return Encoded(embedding=embedding, truncated=truncated)

    def _chunk(self, text: str, chunks: int) -> tuple[torch.Tensor, int]:
        """Return token ids (chunks, positions) and how many tokens did not fit."""
        tokenizer = self._tokenizer
        positions = int(tokenizer.model_max_length)
        inside = positions - 2
        ids = tokenizer(text, add_special_tokens=False).input_ids
        rows = []
        for start in range(0, inside * chunks, inside):
            row = [tokenizer.bos_token_id, *ids[start : start + inside], tokenizer.eos_token_id]
            rows.append(row + [tokenizer.pad_token_id] * (positions - len(row)))
        return torch.tensor(rows), max(0, len(ids) - inside * chunks)
