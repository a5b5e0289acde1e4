"""Textual inversions that prompts call, found by name and pinned by hash.

ComfyUI writes ``embedding:name``; A1111 takes the bare name of a file. Both become
``embedding:name@<12 hex digits>`` when a suite is read, so that the stored prompt, and with it the
key of the sample, says which file was meant.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.errors import Fixable
from core.formats.base_model import file_sha256

_SHORT = 12
_SUFFIXES = (".safetensors", ".pt", ".bin")
_PICKLED = frozenset({".pt", ".bin", ".ckpt"})
_PINNED = re.compile(rf"(?<![\\\w])(embedding:[^\s,()\[\]:@]+)@[0-9a-f]{{{_SHORT}}}\b")
_CALL = re.compile(r"(?<![\\\w])embedding:(?P<name>[^\s,()\[\]:@]+)(?:@(?P<hash>[0-9a-f]+))?")
_LARGEST = 64 * 2**20  # bytes: a thousand vectors of the widest encoder have five million


@dataclass(frozen=True, kw_only=True)
class EmbeddingFile:
    """One textual inversion on this disk."""

    name: str  # its path below the folder, without the suffix
    path: Path
    sha256: str

    @property
    def pinned(self) -> str:
        """How a stored prompt calls it."""
        return f"embedding:{self.name}@{self.sha256[:_SHORT]}"


def read_embeddings(folder: Path | None) -> dict[str, EmbeddingFile]:
    """Return the embeddings in ``folder`` and below by their name in lower case; None has none.

    Only safetensors files are opened, and only to be hashed. Raises Fixable when the folder cannot
    be read.
    """
    if folder is None:
        return {}
    if not folder.is_dir():
        raise Fixable(
            f"The setting embeddings names {folder}, which is no folder, so prompts that call an "
            "embedding cannot be drawn. Create it, or correct the setting."
        )
    files = sorted(file for file in folder.rglob("*.safetensors") if file.is_file())
    found = {}
    for file in files:
        name = file.relative_to(folder).with_suffix("").as_posix()
        if file.stat().st_size <= _LARGEST and not re.search(r"[\s,()\[\]:@\\]", name):
            found[name.lower()] = EmbeddingFile(name=name, path=file, sha256=file_sha256(file))
    return found


def pin_embeddings(
    text: str, known: Mapping[str, EmbeddingFile], folder: Path | None = None
) -> str:
    """Return ``text`` with every call of an embedding pinned to the file it means.

    A bare name counts where it stands as a word of its own and is the file's, whatever its case,
    as in A1111. Raises Fixable, in a clause without the prompt, for one that is not there, that is
    pickled, or that is pinned to other bytes.
    """
    parts, at = [], 0
    for call in _CALL.finditer(text):
        parts += [_pin_bare(text[at : call.start()], known), _pin(call, known, folder)]
        at = call.end()
    return "".join([*parts, _pin_bare(text[at:], known)])


def without_hashes(text: str) -> str:
    """Return ``text`` with its embeddings called by name alone, as other programs know them."""
    return _PINNED.sub(r"\1", text)


def _pin(call: re.Match[str], known: Mapping[str, EmbeddingFile], folder: Path | None) -> str:
    """Return one explicit call, pinned."""
    name = call["name"].replace("\\", "/")
    suffix = next((end for end in _SUFFIXES if name.lower().endswith(end)), "")
    file = known.get(name[: len(name) - len(suffix)].lower())
    if file is None or suffix in _PICKLED:
        raise Fixable(_missing(name.removesuffix(suffix), folder))
    if call["hash"] and not file.sha256.startswith(call["hash"]):
        raise Fixable(
            f"the embedding '{name}' is pinned to {call['hash']}, and the file {file.path} is now "
            f"{file.sha256[:_SHORT]}: put the old file back, or take the @{call['hash']} away"
        )
    return file.pinned


def _missing(name: str, folder: Path | None) -> str:
    """Return why an embedding cannot be used."""
    if folder is None:
        return (
            f"the embedding '{name}' cannot be found: name the folder of your embeddings in the "
            "setting embeddings, or write embedding\\: for the characters themselves"
        )
    pickled = [folder / f"{name}{end}" for end in _PICKLED if (folder / f"{name}{end}").is_file()]
    if pickled:
        return (
            f"the embedding '{name}' is there only as {pickled[0].name}, which is pickled: opening "
            "it can run code from whoever made it, so it is never opened; convert it to safetensors"
        )
    return (
        f"the embedding '{name}' is not in {folder}: put {name}.safetensors there, or write "
        "embedding\\: for the characters themselves"
    )


def _pin_bare(text: str, known: Mapping[str, EmbeddingFile]) -> str:
    """Return a stretch without explicit calls, its bare names pinned."""
    names = sorted((name for name in known if "/" not in name), key=len, reverse=True)
    if not names:
        return text
    pattern = rf"(?<![\w\\-])(?:{'|'.join(map(re.escape, names))})(?![\w-])"
    return re.sub(pattern, lambda found: known[found[0].lower()].pinned, text, flags=re.IGNORECASE)
