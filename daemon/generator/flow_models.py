"""SD 3 and Flux: transformers that follow a flow, drawn by diffusers' own pipelines.

Prompts go through the pipeline's own encoders, which read plain sentences: there is no attention
weight, break or textual inversion to them.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import diffusers
import torch

from core.errors import Fixable
from core.formats.base_model import FAMILIES
from core.formats.prompt_weights import CHUNK, Break, parse_prompt
from core.formats.sampler_names import Sampler
from core.nouns import Recipe
from daemon.generator.embedding_vectors import EmbeddingFolder
from daemon.generator.folder_parts import open_parts
from daemon.generator.job import JobError
from daemon.generator.prompt_text import Encoded
from daemon.generator.suitability import FLOW

_REMEMBERED = 64  # embeddings; 4 MB each for Flux in half precision
_CLASSES = {"sd3": "StableDiffusion3Pipeline", "flux": "FluxPipeline"}
_SCHNELL = 256  # of Flux where it was not distilled with its guidance (black-forest-labs/flux)


def open_flow(path: Path, kind: str, dtype: torch.dtype, **parts: Any) -> Any:
    """Return the pipeline of a diffusers folder of "sd3" or "flux".

    Raises:
        JobError: "no_base", it is a relative that needs more than a prompt.
        OSError, ValueError: it cannot be loaded.
    """
    named = diffusers.DiffusionPipeline.load_config(str(path), local_files_only=True)
    if named.get("_class_name") != _CLASSES[kind]:
        message = (
            f"The base model {path} is a {named.get('_class_name')}, which is not drawn here."
            f" Choose the plain {FAMILIES[kind]} model it was made from."
        )
        raise JobError("no_base", message)
    pipeline_class = getattr(diffusers, _CLASSES[kind])
    unused = dict.fromkeys(("feature_extractor", "image_encoder"))
    own = open_parts(path, dtype, other_vae="vae" in parts)
    return pipeline_class.from_pretrained(
        str(path), local_files_only=True, **(own | unused | parts)
    )


def flow_sampler(recipe: Recipe, kind: str) -> Sampler:
    """Return the sampler of a model that follows a flow.

    Raises:
        JobError: "bad_recipe", another one than Euler, or a recipe that means nothing to it.
    """
    name = FAMILIES[kind]
    troubles = {
        f"{name} is drawn with the sampler euler, not {recipe.sampler}": recipe.sampler != "euler",
        f"{recipe.width}x{recipe.height} pixels: {name} needs multiples of 16": recipe.width % 16
        or recipe.height % 16,
        "Flux was distilled with its guidance and reads no negative prompt": kind == "flux"
        and recipe.negative,
        f"clip_skip {recipe.clip_skip} means nothing to {name}": recipe.clip_skip
        > (2 if kind == "sd3" else 1),  # SD 3 reads the layer before the last, as SDXL does
        f"token_length {recipe.token_length} means nothing to {name}, whose T5 reads {FLOW[kind]}"
        " tokens or fewer": recipe.token_length != CHUNK,
    }
    found = [trouble for trouble, present in troubles.items() if present]
    if found:
        raise JobError("bad_recipe", f"The recipe cannot be drawn: {'; '.join(found)}.")
    return Sampler(name="euler", scheduler="FlowMatchEulerDiscreteScheduler")


class FlowEncoder:
    """Encodes prompts by the pipeline's own encode_prompt, with a memory as PromptEncoder has."""

    def __init__(self, pipeline: Any, kind: str) -> None:
        """Use the text encoders of ``pipeline``."""
        self._pipeline = pipeline
        self._kind = kind
        schnell = kind == "flux" and not pipeline.transformer.config.guidance_embeds
        self._length = _SCHNELL if schnell else FLOW[kind]
        self.embeddings = EmbeddingFolder(None)  # never asked: calls of one are refused
        self._memory: OrderedDict[tuple[Any, ...], Encoded] = OrderedDict()

    def encode(
        self,
        text: str,
        *,
        state: tuple[Any, ...],
        clip_skip: int,  # noqa: ARG002 - of the contract; these families have their own layer
        token_length: int,  # noqa: ARG002 - of the contract; T5 has its own length
    ) -> Encoded:
        """Return the embedding of ``text`` under the LoRAs that ``state`` names.

        Raises:
            JobError: "bad_recipe", a prompt with syntax that these encoders do not read.
        """
        key = (state, text)
        if key not in self._memory:
            self._memory[key] = self._encode(_plain(text, FAMILIES[self._kind]))
            while len(self._memory) > _REMEMBERED:
                self._memory.popitem(last=False)
        self._memory.move_to_end(key)
        return self._memory[key]

    @torch.no_grad()
    def _encode(self, words: str) -> Encoded:
        options: dict[str, Any] = {"max_sequence_length": self._length}
        options["device"] = self._pipeline._execution_device  # noqa: SLF001 - also when offloaded
        if self._kind == "flux":
            states, pooled, _ = self._pipeline.encode_prompt(words, words, **options)
        else:
            states, _, pooled, _ = self._pipeline.encode_prompt(
                words, words, words, do_classifier_free_guidance=False, **options
            )
        return Encoded(embedding=states, truncated=self._cut(words), pooled=pooled)

    def _cut(self, words: str) -> int:
        """Return how many tokens at the end none of the encoders has read."""
        length = self._length
        tokenizer = (
            self._pipeline.tokenizer_2 if self._kind == "flux" else self._pipeline.tokenizer_3
        )
        if tokenizer is None:  # SD 3 without T5: CLIP's length is all there is
            tokenizer, length = self._pipeline.tokenizer, self._pipeline.tokenizer_max_length
        return max(0, len(tokenizer(words).input_ids) - length)


def _plain(text: str, name: str) -> str:
    """Return the words of a prompt, or raise for what cannot be drawn with them."""
    try:
        pieces = parse_prompt(text)
    except Fixable as error:
        message = f"The prompt {text!r} cannot be drawn: {error}."
        raise JobError("bad_recipe", message) from error
    for piece in pieces:
        if isinstance(piece, Break) or piece.weight != 1 or piece.embedding:
            message = (
                f"The prompt {text!r} has a weight, a BREAK or an embedding, and {name} reads plain "
                "sentences: take it out, or write \\( and \\) for the characters themselves."
            )
            raise JobError("bad_recipe", message)
    return "".join(piece.text for piece in pieces if not isinstance(piece, Break))
