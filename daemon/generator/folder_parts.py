"""Load the models of a diffusers folder one by one: each of them whole, or the folder is refused.

Left to themselves the libraries fill what a text encoder lacks with random numbers, make an empty
vocabulary where there is none, and in older versions run code that lies in the folder.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

_LIBRARIES = {"diffusers": diffusers, "transformers": transformers}
_DRAWS_NOTHING = frozenset({"safety_checker", "feature_extractor", "image_encoder"})
_VOCABULARIES = ({"tokenizer.json"}, {"vocab.json", "merges.txt"}, {"spiece.model"})
_WEIGHTS = re.compile(  # the variant stands before the number of a part, or in older files after it
    r"(?:diffusion_pytorch_)?model(?:-\d+-of-\d+)?(?:\.(\w+))?(?:-\d+-of-\d+)?\.safetensors"
)


def open_parts(folder: Path, dtype: torch.dtype, *, other_vae: bool = False) -> dict[str, Any]:
    """Return the models of ``folder`` by their names, None for those it says it has not.

    With ``other_vae`` its own is not opened. Tokenizers and scheduler are left to the pipeline.

    Raises:
        OSError, ValueError: a part cannot be loaded, is not whole, or is of a foreign kind.
    """
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    parts: dict[str, Any] = {}
    for name, entry in index.items():
        if not isinstance(entry, list) or name in _DRAWS_NOTHING:
            continue
        if entry == [None, None]:
            parts[name] = None
            continue
        kind = _kind(name, entry)
        if issubclass(kind, transformers.PreTrainedTokenizerBase):
            _check_vocabulary(folder / name)
        elif not issubclass(kind, diffusers.SchedulerMixin) and not (other_vae and name == "vae"):
            parts[name] = open_model(kind, folder / name, dtype)
    return parts


def open_model(kind: Any, folder: Path, dtype: torch.dtype) -> Any:
    """Return the model of the class ``kind`` in ``folder``, whole.

    Raises:
        OSError, ValueError: it cannot be loaded, or lacks tensors.
    """
    if not folder.is_dir():
        raise ValueError(f"its {folder.name} is not there. Fetch it again.")
    model, told = kind.from_pretrained(
        str(folder),
        variant=_variant(folder),
        torch_dtype=dtype,
        use_safetensors=True,
        local_files_only=True,
        ignore_mismatched_sizes=True,  # told below, in one way by both libraries
        output_loading_info=True,
    )
    other = [one if isinstance(one, str) else one[0] for one in told["mismatched_keys"]]
    lacking = sorted({*told["missing_keys"], *other})
    if lacking:
        raise ValueError(
            f"in its {folder.name} {len(lacking)} tensors are missing or have another shape (first: "
            f"{lacking[0]}). Fetch it again, or save it again as a whole."
        )
    return model


def _kind(name: str, entry: list[Any]) -> Any:
    """Return the class that a folder names for one of its parts.

    Raises:
        ValueError: it is no model, tokenizer or scheduler of the two libraries.
    """
    library, called = (str(one) for one in (*entry, None, None)[:2])
    kind = getattr(_LIBRARIES.get(library), called, None)
    known = (
        diffusers.ModelMixin,
        diffusers.SchedulerMixin,
        transformers.PreTrainedModel,
        transformers.PreTrainedTokenizerBase,
    )
    if not isinstance(kind, type) or not issubclass(kind, known):
        raise ValueError(  # noqa: TRY004 - of a file, not of an argument
            f"its {name} is {library}.{called}, which is none of diffusers' or transformers' models. "
            "Code of a model's own is never run: choose the plain model it was made from."
        )
    return kind


def _check_vocabulary(folder: Path) -> None:
    """Raise ValueError for a tokenizer that would read nothing."""
    found = {file.name for file in folder.iterdir()} if folder.is_dir() else set()
    if not any(needed <= found for needed in _VOCABULARIES):
        raise ValueError(
            f"its {folder.name} has no vocabulary (tokenizer.json, vocab.json with merges.txt, or "
            "spiece.model). Fetch it again."
        )


def _variant(folder: Path) -> str | None:
    """Return "fp16" or the like where the weights are there in no plain version."""
    matches = [_WEIGHTS.fullmatch(file.name) for file in folder.glob("*.safetensors")]
    found = {match[1] for match in matches if match}
    if not found or None in found:
        return None
    return "fp16" if "fp16" in found else min(found)
