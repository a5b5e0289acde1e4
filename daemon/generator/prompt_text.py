"""Turn prompts into text embeddings, in chunks as the trainer saw them, and remember them.

Attention weights are applied as A1111 does by default (modules/sd_emphasis.py, "Original") and
kohya in its samples (library/lpw_stable_diffusion.py): each token's output is multiplied by its
weight, then the whole is scaled back to the mean it had. Both do that, so that a checkpoint is
tested as it is used. Where they differ, the mean is taken per chunk, as in A1111, so that a chunk
after BREAK does not depend on its neighbors; and per prompt, as in kohya, so that an image does
not depend on the batch it is drawn in. Of two text encoders, as SDXL has them, each is weighed by
itself, and their outputs stand side by side.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from core.errors import Fixable
from core.formats.prompt_weights import CHUNK, Span, prompt_chunks
from daemon.generator.embedding_vectors import EmbeddingFolder, standing_in
from daemon.generator.job import JobError

_REMEMBERED = 256  # embeddings; 0.24 MB each for SD 1.5 in float32, 0.64 MB for SDXL
_NO_MEAN = 1e-3  # of the spread: below, a mean is rounding, and dividing by it gives anything
_PENULTIMATE = 2  # counted from the last layer, which is 1

NO_EMBEDDINGS = EmbeddingFolder(None)
_Token = tuple[int | torch.Tensor, float]  # a token's number, or a vector in its place; its weight
Layer = Callable[[Any, Any, int], torch.Tensor]  # (text encoder, its output, clip skip) -> states


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """One prompt as the UNet sees it."""

    embedding: torch.Tensor  # (1, tokens, width)
    truncated: int  # tokens at the end that did not fit and had no effect
    pooled: torch.Tensor | None = None  # (1, width): the whole prompt as one vector, where trained
    embeddings: tuple[tuple[str, str], ...] = ()  # (name, SHA-256) of its textual inversions


class PromptEncoder:
    """The text encoders of a base model, with a memory per (state of the encoders, prompt)."""

    def __init__(self, *parts: TextPart) -> None:
        """Use the parts of a loaded pipeline, in the order their outputs are joined."""
        self._parts = parts
        self.embeddings = EmbeddingFolder(None)  # where textual inversions are found now
        self._memory: OrderedDict[tuple[Any, ...], Encoded] = OrderedDict()

    def encode(
        self, text: str, *, state: tuple[Any, ...], clip_skip: int, token_length: int
    ) -> Encoded:
        """Return the embedding of ``text``.

        ``state`` names the LoRAs merged into the text encoders. ``clip_skip`` counts from the last
        layer: 1 is the last, 2 the one before. ``token_length`` is 75, 150 or 225: always that
        many tokens, whatever the prompt, as kohya's max_token_length does in training.

        Raises:
            JobError: "bad_recipe", a clip skip or token length this encoder cannot do, or a
                prompt that cannot be understood.
        """
        key = (state, clip_skip, token_length, text)
        if key not in self._memory:
            if token_length < CHUNK or token_length % CHUNK:
                message = f"token_length is {token_length}; it is 75, 150 or 225."
                raise JobError("bad_recipe", message)
            self._memory[key] = self._join(text, clip_skip, token_length // CHUNK)
            while len(self._memory) > _REMEMBERED:
                self._memory.popitem(last=False)
        self._memory.move_to_end(key)
        return self._memory[key]

    def _join(self, text: str, clip_skip: int, chunks: int) -> Encoded:
        """Encode with every part and put the widths side by side; the last part's vector counts."""
        found = [part.encode(text, clip_skip, chunks, self.embeddings) for part in self._parts]
        return Encoded(
            embedding=torch.cat([one.embedding for one in found], dim=-1),
            truncated=max(one.truncated for one in found),
            pooled=found[-1].pooled,
            embeddings=self.embeddings.called_by(text),
        )


def normalized(encoder: Any, output: Any, clip_skip: int) -> torch.Tensor:
    """Return the layer that ``clip_skip`` names, normalized as the last one is: SD 1 and SD 2."""
    if clip_skip == 1:
        return output[0]
    norm = getattr(encoder, "text_model", encoder).final_layer_norm
    return norm(output.hidden_states[-clip_skip])


def penultimate(encoder: Any, output: Any, clip_skip: int) -> torch.Tensor:  # noqa: ARG001
    """Return the layer before the last as it is, or an earlier one: SDXL was trained so.

    kohya-ss/sd-scripts, library/sdxl_train_util.py, takes it whatever the clip skip, and so do
    A1111 and ComfyUI for a clip skip of 2.
    """
    return output.hidden_states[-max(clip_skip, _PENULTIMATE)]


class TextPart:
    """A tokenizer and a text encoder."""

    def __init__(
        self, tokenizer: Any, encoder: Any, layer: Layer = normalized, name: str = "clip_l"
    ) -> None:
        """Read the states of ``encoder`` with ``layer``; ``name`` is its key in embedding files."""
        self._tokenizer = tokenizer
        self._encoder = encoder
        self._layer = layer
        self._name = name

    @torch.no_grad()
    def encode(
        self, text: str, clip_skip: int, chunks: int, embeddings: EmbeddingFolder = NO_EMBEDDINGS
    ) -> Encoded:
        """Encode ``chunks`` chunks, each with its own start and end, and join them.

        Raises:
            JobError: "bad_recipe", see PromptEncoder.
        """
        layers = int(self._encoder.config.num_hidden_layers)
        if not 1 <= clip_skip <= layers:
            message = f"clip_skip is {clip_skip}; this text encoder has 1 to {layers}."
            raise JobError("bad_recipe", message)
        ids, weights, vectors, truncated = self._chunk(text, chunks, embeddings)
        with standing_in(self._encoder, vectors):
            output = self._encoder(ids.to(self._encoder.device), output_hidden_states=True)
        states = self._layer(self._encoder, output, clip_skip)
        states = _emphasized(states, weights.to(states.device))
        # Start of the first, inside of each, end of the last: kohya-ss/sd-scripts,
        # library/train_util.py, get_hidden_states.
        middle = states[:, 1:-1].reshape(1, -1, states.shape[-1])
        embedding = torch.cat([states[:1, :1], middle, states[-1:, -1:]], dim=1)
        pooled = getattr(output, "text_embeds", None)  # of the first chunk, as kohya and A1111 do
        return Encoded(
            embedding=embedding,
            truncated=truncated,
            pooled=None if pooled is None else pooled[:1],
        )

    def _chunk(
        self, text: str, chunks: int, embeddings: EmbeddingFolder
    ) -> tuple[torch.Tensor, torch.Tensor, dict[tuple[int, int], torch.Tensor], int]:
        """Return token ids and weights, both (chunks, positions), and how many did not fit.

        With them go the vectors that stand in for tokens, by (chunk, position).
        """
        tokenizer = self._tokenizer
        positions = int(tokenizer.model_max_length)
        rows = self._rows(text, positions - 2, embeddings)
        truncated = sum(len(row) for row in rows[chunks:])
        ids, weights = [], []
        vectors: dict[tuple[int, int], torch.Tensor] = {}
        for chunk, row in enumerate((rows + [[]] * chunks)[:chunks]):
            padding = positions - 2 - len(row)
            inside = [0 if isinstance(token, torch.Tensor) else token for token, _ in row]
            vectors |= {
                (chunk, place): token
                for place, (token, _) in enumerate(row, start=1)
                if isinstance(token, torch.Tensor)
            }
            padded = [tokenizer.pad_token_id] * padding
            ids.append([tokenizer.bos_token_id, *inside, tokenizer.eos_token_id, *padded])
            weights.append([1.0, *(weight for _, weight in row), 1.0, *[1.0] * padding])
        return torch.tensor(ids), torch.tensor(weights), vectors, truncated

    def _rows(self, text: str, inside: int, embeddings: EmbeddingFolder) -> list[list[_Token]]:
        """Return tokens with weights, at most ``inside`` a row; a break begins a new one.

        The vectors of an embedding are never parted, as in A1111.
        """
        try:
            stretches = prompt_chunks(text)
        except Fixable as error:
            message = f"The prompt {text!r} cannot be drawn: {error}."
            raise JobError("bad_recipe", message) from error
        rows: list[list[_Token]] = []
        for spans in stretches:
            rows.append([])
            for group in (group for span in spans for group in self._groups(span, embeddings)):
                if len(group) > inside:
                    message = f"An embedding of {len(group)} vectors does not fit into a chunk."
                    raise JobError("bad_recipe", message)
                if len(rows[-1]) + len(group) > inside:
                    rows.append([])
                rows[-1] += group
        return rows

    def _groups(self, span: Span, embeddings: EmbeddingFolder) -> Iterator[list[_Token]]:
        """Yield the tokens of a span, those together that must stay in one chunk."""
        if span.embedding:
            width = self._encoder.get_input_embeddings().weight.shape[1]
            yield [
                (vector, span.weight)
                for vector in embeddings.vectors(span.embedding, self._name, width)
            ]
        else:
            for token in self._ids(span.text):
                yield [(token, span.weight)]

    def _ids(self, text: str) -> list[int]:
        """Return the tokens of ``text`` without start and end.

        A "!" in a prompt is that sign, also where it pads: trainers pad with its number alone.
        """
        tokens = self._tokenizer(text, add_special_tokens=False, split_special_tokens=True)
        return list(tokens.input_ids)


def _emphasized(states: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return states (chunks, positions, width) times weights (chunks, positions), means restored.

    A chunk whose weights are all 1 keeps its bits. So does the scale of one whose mean is nothing
    but rounding, as in an encoder whose last normalization was never trained: there is none to
    restore.
    """
    weighted = (weights != 1).any(dim=1)
    if not weighted.any():
        return states
    exact = states.float()
    scaled = exact * weights[..., None]
    before, after = (part.mean(dim=(1, 2), keepdim=True) for part in (exact, scaled))
    least = _NO_MEAN * exact.std(dim=(1, 2), keepdim=True)
    restorable = (before.abs() > least) & (after.abs() > least)
    restored = scaled * torch.where(restorable, before / after, 1.0)
    return torch.where(weighted[:, None, None], restored.to(states.dtype), states)
