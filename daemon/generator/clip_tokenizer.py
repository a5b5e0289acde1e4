"""CLIP's tokenizer from the list of merges that ships with us, so that no hub is needed."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from transformers import CLIPTokenizer

_MERGES = Path(__file__).parent / "tokenizers" / "clip_merges.txt.gz"
_POSITIONS = 77  # tokens a text encoder sees at once, start and end among them
_START, _END = "<|startoftext|>", "<|endoftext|>"


def clip_tokenizer(pad: str = _END) -> Any:
    """Return CLIP's tokenizer, 49,408 entries, padding with ``pad``.

    CLIP ViT-L pads with its end token; the OpenCLIP encoders of SD 2 and SDXL were trained with
    zeros behind the end, which is the token "!".
    """
    merges = _merges()
    entries = [*_bytes(), *(f"{one}</w>" for one in _bytes())]
    entries += [pair.replace(" ", "") for pair in merges]
    entries += [_START, _END]
    with TemporaryDirectory() as folder:
        vocabulary = {entry: number for number, entry in enumerate(entries)}
        Path(folder, "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
        text = "\n".join(["#version: 0.2", *merges, ""])
        Path(folder, "merges.txt").write_text(text, encoding="utf-8")
        return CLIPTokenizer.from_pretrained(folder, model_max_length=_POSITIONS, pad_token=pad)


@cache
def _merges() -> tuple[str, ...]:
    """Return the merges, most frequent first."""
    with gzip.open(_MERGES, "rt", encoding="utf-8") as stream:
        return tuple(stream.read().splitlines())


def _bytes() -> list[str]:
    """Return the characters CLIP writes the 256 bytes with, in the order of its vocabulary.

    Printable bytes stand for themselves and come first; the others follow from U+0100 on
    (openai/CLIP, clip/simple_tokenizer.py, bytes_to_unicode).
    """
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = range(0x100, 0x100 + 256 - len(printable))
    return [chr(code) for code in (*printable, *others)]
