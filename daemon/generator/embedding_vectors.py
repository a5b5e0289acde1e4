"""The vectors of textual inversions, and how they stand in for tokens while a prompt is encoded.

Nothing is added to tokenizer or text encoder: vectors are put in place for one call, so that the
resident pipeline stays the base model's, bit for bit.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from core.errors import Fixable
from core.formats.prompt_embeddings import EmbeddingFile, read_embeddings
from core.formats.prompt_weights import Span, parse_prompt
from daemon.generator.job import JobError

Vectors = dict[tuple[int, int], torch.Tensor]  # (chunk, position) -> (width,)


class EmbeddingFolder:
    """The textual inversions that pinned prompts may call."""

    def __init__(self, folder: Path | None) -> None:
        """Look into ``folder`` when the first one is called."""
        self._folder = folder
        self._files: Mapping[str, EmbeddingFile] | None = None

    def vectors(self, call: str, encoder: str, width: int) -> torch.Tensor:
        """Return the vectors (n, ``width``) that "name@<12 hex digits>" stands for.

        ``encoder`` is "clip_l" or "clip_g", the keys of files for base models with two.

        Raises:
            JobError: "bad_recipe", it is not there any more, or not made for this encoder.
        """
        file = self._file(call)
        data = file.path.read_bytes()
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise JobError("bad_recipe", f"The embedding {file.path} changes while it is read.")
        try:
            tensors = safetensors.torch.load(data)
        except SafetensorError as error:
            message = f"The embedding {file.path} is no whole safetensors file: {error}"
            raise JobError("bad_recipe", message) from error
        return _chosen(file, tensors, encoder, width)

    def called_by(self, text: str) -> tuple[tuple[str, str], ...]:
        """Return (name, SHA-256) of the textual inversions that ``text`` calls."""
        spans = (piece for piece in parse_prompt(text) if isinstance(piece, Span))
        calls = dict.fromkeys(span.embedding for span in spans if span.embedding)
        return tuple((file.name, file.sha256) for file in map(self._file, calls))

    def _file(self, call: str) -> EmbeddingFile:
        """Return the file that a pinned call means."""
        name, _, pinned = call.partition("@")
        if self._files is None:
            try:
                self._files = read_embeddings(self._folder)
            except Fixable as error:
                raise JobError("bad_recipe", str(error)) from error
        file = self._files.get(name.lower())
        if file is None or not pinned or not file.sha256.startswith(pinned):
            found = "is not there" if file is None else f"is now {file.sha256[:12]}"
            message = (
                f"The test was planned with the embedding {name!r} {pinned}, and it {found} in "
                f"{self._folder or 'any folder: the setting embeddings names none'}. Put it back, "
                "or start a new run."
            )
            raise JobError("bad_recipe", message)
        return file


def _chosen(
    file: EmbeddingFile, tensors: Mapping[str, torch.Tensor], encoder: str, width: int
) -> torch.Tensor:
    """Return the tensor for one encoder: under its key, else the only one of its width.

    A1111 and kohya write "emb_params", diffusers the token, files for SDXL "clip_l" and "clip_g".
    """
    named = tensors.get(encoder)
    fitting = [
        tensor
        for tensor in ([named] if named is not None else tensors.values())
        if tensor.ndim in {1, 2} and tensor.shape[-1] == width and tensor.is_floating_point()
    ]
    if len(fitting) != 1:
        widths = ", ".join(f"{name} {list(one.shape)}" for name, one in sorted(tensors.items()))
        message = (
            f"The embedding {file.name!r} does not fit this base model: its text encoder "
            f"{encoder} takes vectors of {width} numbers, and the file holds {widths[:200]}. Use "
            "one that was trained for this kind of base model."
        )
        raise JobError("bad_recipe", message)
    vectors = fitting[0].reshape(-1, width)
    if not torch.isfinite(vectors.float()).all():
        raise JobError("bad_recipe", f"The embedding {file.name!r} holds NaN or infinite numbers.")
    return vectors


@contextlib.contextmanager
def standing_in(encoder: Any, vectors: Vectors) -> Iterator[None]:
    """Let ``vectors`` stand where ``encoder`` looks up tokens, for the calls made inside."""
    if not vectors:
        yield
        return

    def put(_module: Any, _arguments: Any, found: torch.Tensor) -> torch.Tensor:
        changed = found.clone()
        for (chunk, place), vector in vectors.items():
            changed[chunk, place] = vector.to(changed)
        return changed

    hook = encoder.get_input_embeddings().register_forward_hook(put)
    try:
        yield
    finally:
        hook.remove()
