"""Recognize base models on this disk: what they are called by (a hash), and where they lie.

Only safetensors, JSON and text are read; nothing is ever unpickled, and no torch is needed.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import Fixable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

FAMILIES = {"sd1": "SD 1", "sd2": "SD 2", "sdxl": "SDXL", "sd3": "SD 3", "flux": "Flux"}
ONE_FILE = ("sd1", "sd2", "sdxl")  # families that are drawn from one file
_MEMBERS = frozenset({".safetensors", ".json", ".txt"})
_PICKLED = frozenset({".bin", ".ckpt", ".pt", ".pth"})
WHY_PICKLED = "opening it can run code from whoever made it, so it is never opened"
_UNUSED = frozenset({"safety_checker", "feature_extractor", "image_encoder"})
_PIPELINES = (  # how the class in model_index.json begins, the more telling ones first
    ("StableDiffusionXL", "sdxl"),
    ("StableDiffusion3", "sd3"),
    ("StableDiffusion", "sd1"),  # or sd2, which has the same class
    ("Flux", "flux"),
)
_TRANSFORMERS = (("joint_blocks.", "sd3"), ("double_blocks.0.img_attn.norm.", "flux"))
_ENCODERS = {  # the text encoders in an original checkpoint with a UNet
    "conditioner.embedders.1.": "sdxl",
    "cond_stage_model.model.": "sd2",
    "cond_stage_model.transformer.": "sd1",
}
_SHA256 = re.compile(r"[0-9a-f]{64}")
_HEADER_LIMIT = 100_000_000  # bytes: safetensors' own limit
_BLOCK = 1 << 20


def base_sha256(path: Path) -> str:
    """Return the SHA-256 a base model is known by.

    A file has the hash of its bytes. A diffusers folder has the hash of its sorted lines
    "relative/path sha256", over the safetensors, JSON and text files of the parts that draw;
    safety checker and feature extractor draw nothing and do not count.

    Raises:
        Fixable: there is nothing there, or its weights are pickled.
    """
    if path.is_file():
        _refuse_pickle(path)
        return file_sha256(path)
    if not (path / "model_index.json").is_file():
        message = (
            f"{path} is no base model: neither a .safetensors file nor a folder with a "
            "model_index.json. Point the base model at one of these."
        )
        raise Fixable(message)
    lines = [f"{name} {file_sha256(path / name)}" for name in sorted(_members(path))]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def vae_sha256(path: Path) -> str:
    """Return the SHA-256 a VAE is known by: of its bytes, or of the lines of its diffusers folder.

    Raises:
        Fixable: there is nothing there, or its weights are pickled.
    """
    if path.is_file():
        _refuse_pickle(path)
        return file_sha256(path)
    names = sorted(_files_of(path, path)) if (path / "config.json").is_file() else []
    if not any(name.endswith(".safetensors") for name in names):
        message = (
            f"{path} is no VAE: neither a .safetensors file nor a folder with a config.json and "
            "safetensors. Point the VAE at one of these."
        )
        raise Fixable(message)
    lines = [f"{name} {file_sha256(path / name)}" for name in names]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def base_name(path: Path) -> str:
    """Return what a person calls the base model at ``path``."""
    if path.parent.name == "snapshots":  # a hub's cache: models--owner--name/snapshots/<commit>
        return path.parents[1].name.removeprefix("models--").replace("--", "/")
    return path.name


def mismatch(lora: str, lora_family: str, base: str, base_family: str) -> str | None:
    """Return why the LoRA named ``lora`` cannot act on the base model named ``base``, or None.

    A family that is not known speaks against nothing.
    """
    known = lora_family in FAMILIES and base_family in FAMILIES
    if not known or lora_family == base_family:
        return None
    return (
        f"{lora} is a LoRA for {FAMILIES[lora_family]}, and the base model {base} is "
        f"{FAMILIES[base_family]}: its layers do not exist there, so nothing was drawn. Name the "
        f"{FAMILIES[lora_family]} model it was trained on as the base model."
    )


def family(path: Path) -> str:
    """Return "sd1", "sd2", "sdxl", "sd3", "flux" or "unknown", from configuration or names alone."""
    index = path / "model_index.json"
    if index.is_file():
        return _folder_family(path, _read_json(index))
    if path.is_file() and path.suffix.lower() == ".safetensors":
        return family_of_names(_tensor_names(path))
    return "unknown"


def find_base(
    wanted: str,
    aliases: dict[str, str],
    search: Sequence[Path],
    hashed: Callable[[Path], str] = base_sha256,
) -> Path | None:
    """Return where the base model ``wanted`` lies, or None.

    ``wanted`` is a path, a name ("sd-v1-5", "runwayml/stable-diffusion-v1-5", with or without
    ".safetensors") or a SHA-256. ``aliases`` maps names and hashes to paths and comes first.
    ``search`` holds folders of models or Hugging Face caches. Looking for a hash calls ``hashed``
    on every model found there, which by itself reads all of it.
    """
    direct = Path(wanted).expanduser()
    if wanted and not _is_alias(wanted, aliases) and _is_base(direct):
        return direct
    return find_named_base(wanted, aliases, search, hashed)


def find_named_base(
    wanted: str,
    aliases: dict[str, str],
    search: Sequence[Path],
    hashed: Callable[[Path], str] = base_sha256,
) -> Path | None:
    """Return as ``find_base`` where a base model lies, by name or hash but never by a path of its own.

    For names that come over a network: they reach no further than the folders of models.
    """
    lowered = {name.lower(): target for name, target in aliases.items()}
    if _is_alias(wanted, aliases):
        target = Path(lowered[wanted.lower()]).expanduser()
        return target if _is_base(target) else None
    candidates = [found for folder in search for found in _candidates(folder)]
    if _SHA256.fullmatch(wanted.lower()):
        return next(
            (path for _, path in candidates if _has_hash(path, wanted.lower(), hashed)), None
        )
    names = {_plain(wanted), _plain(wanted.replace("\\", "/").rsplit("/", 1)[-1])}
    return next((path for name, path in candidates if _plain(name) in names), None)


def _is_alias(wanted: str, aliases: dict[str, str]) -> bool:
    return wanted.lower() in {name.lower() for name in aliases}


def _members(root: Path) -> Iterator[str]:
    """Yield the relative paths of the files that decide what ``root`` draws."""
    parts = [
        name
        for name, entry in _read_json(root / "model_index.json").items()
        if isinstance(entry, list) and name not in _UNUSED and (root / name).is_dir()
    ]
    yield "model_index.json"
    for part in parts:
        yield from _files_of(root / part, root)


def _files_of(part: Path, root: Path) -> Iterator[str]:
    """Yield the paths, relative to ``root``, of the files of ``part`` that decide what it does."""
    files = [file for file in part.rglob("*") if file.is_file()]
    safe = any(file.suffix == ".safetensors" for file in files)
    pickled = [file for file in files if is_pickled(file)]
    if pickled and not safe:
        _refuse_pickle(pickled[0])
    for file in files:
        relative = file.relative_to(root)
        hidden = any(piece.startswith(".") for piece in relative.parts)
        if file.suffix in _MEMBERS and not hidden:
            yield relative.as_posix()


def is_pickled(path: Path) -> bool:
    """Say whether a model is pickled, by its suffix."""
    return path.suffix.lower() in _PICKLED


def _refuse_pickle(path: Path) -> None:
    """Raise Fixable when ``path`` is a pickle by its suffix."""
    if is_pickled(path):
        message = (
            f"{path} is pickled: {WHY_PICKLED}. Use the .safetensors version of this model, or "
            "convert it."
        )
        raise Fixable(message)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of the bytes of ``path``."""
    hasher = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            hasher.update(block)
    return hasher.hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in ``path``; an empty one when it holds none."""
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return body if isinstance(body, dict) else {}


def _folder_family(path: Path, index: dict[str, Any]) -> str:
    """Return the family of a diffusers folder."""
    pipeline = str(index.get("_class_name", ""))
    kinds = (kind for start, kind in _PIPELINES if pipeline.startswith(start))
    found = next(kinds, "unknown")
    width = _read_json(path / "unet" / "config.json").get("cross_attention_dim")
    return "sd2" if found == "sd1" and width == 1024 else found


def family_of_names(names: Collection[str]) -> str:
    """Return the family of an original single-file checkpoint by the names of its tensors.

    "unknown" where UNet or text encoder is missing: such a file draws nothing by itself.
    """
    for start, found in _TRANSFORMERS:
        if any(name.startswith((start, f"model.diffusion_model.{start}")) for name in names):
            return found
    if not any(name.startswith("model.diffusion_model.input_blocks.") for name in names):
        return "unknown"
    encoders = (one for one in _ENCODERS if any(name.startswith(one) for name in names))
    return _ENCODERS.get(next(encoders, ""), "unknown")


def _tensor_names(path: Path) -> frozenset[str]:
    """Return the names in a safetensors header; none when it is not one."""
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if not 2 <= length <= min(_HEADER_LIMIT, path.stat().st_size - 8):
                return frozenset()
            header = json.loads(stream.read(length))
    except (OSError, ValueError, struct.error):
        return frozenset()
    return frozenset(header) if isinstance(header, dict) else frozenset()


def _is_base(path: Path) -> bool:
    """Say whether ``path`` looks like a base model at all."""
    if path.is_dir():
        return (path / "model_index.json").is_file()
    return path.suffix.lower() == ".safetensors" and path.is_file()


def hub_cache(environment: Mapping[str, str]) -> Path:
    """Return where Hugging Face's library keeps models, by its own variables and their order."""
    if told := environment.get("HF_HUB_CACHE") or environment.get("HUGGINGFACE_HUB_CACHE"):
        return Path(told).expanduser()
    caches = environment.get("XDG_CACHE_HOME") or "~/.cache"
    home = environment.get("HF_HOME") or f"{caches}/huggingface"
    return Path(home).expanduser() / "hub"


def _has_hash(path: Path, sha256: str, hashed: Callable[[Path], str]) -> bool:
    """Say whether ``path`` is known by ``sha256``; a model that is refused is not."""
    try:
        return hashed(path) == sha256
    except Fixable:
        return False


def _candidates(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield (name, path) of the base models in ``folder``, a models folder or a hub cache."""
    if not folder.is_dir():
        return
    if _is_base(folder):
        yield folder.name, folder
        return
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("models--"):
            name = entry.name.removeprefix("models--").replace("--", "/")
            snapshots = sorted(
                (entry / "snapshots").glob("*"), key=lambda one: one.stat().st_mtime, reverse=True
            )
            yield from ((name, snapshot) for snapshot in snapshots if _is_base(snapshot))
        elif _is_base(entry) and (entry.is_dir() or family(entry) != "unknown"):
            yield entry.name, entry


def _plain(name: str) -> str:
    """Return ``name`` as it is compared: lower case, no suffix.

    A model that a trainer read from a pickle may be here converted: its hash tells that it is
    another file.
    """
    return name.lower().strip().removesuffix(".safetensors").removesuffix(".ckpt")
