"""What a checkpoint's name hints at, and which files in a trainer's folder are worth a look.

A name is only a hint: what the header says wins. Nothing here opens a file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

NameKind = Literal["epoch", "step", "final", "unnumbered"]
Candidate = Literal["safetensors", "pickle"]

_DOWNLOAD_COPY = re.compile(r" ?\(\d+\)(?=\.[^.]+$)")
_MODEL = r"\.(?:safetensors|ckpt|pt|bin)$"
_KOHYA_STEP = re.compile(r"^(.+)-step(\d{8,})" + _MODEL, re.DOTALL)
_AI_TOOLKIT = re.compile(
    r"^(.+?)(_LoRA)?_(\d{9,})(_high_noise|_low_noise)?\.safetensors$", re.DOTALL
)
_ONETRAINER = re.compile(
    r"^(.*?)(\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d)-save-(\d+)-(\d+)-(\d+)\.safetensors$", re.DOTALL
)
_KOHYA_EPOCH = re.compile(r"^(.+)-(\d{6,})" + _MODEL, re.DOTALL)
_STEP_FOLDER = re.compile(r"^checkpoint[-_](\d+)(-rolling)?$")

_ADAPTER_FILES = {"pytorch_lora_weights", "adapter_model", "ema_model", "model"}
_KOHYA_DEFAULT_STEMS = {"epoch", "at", "last"}  # what kohya writes where no output name was given
_TEMPORARY_SUFFIXES = (
    ".tmp",
    ".part",
    ".partial",
    ".crdownload",
    ".download",
    ".incomplete",
    ".aria2",
)
_TRAINER_STATE = {
    "optimizer",
    "scheduler",
    "sampler",
    "scaler",
    "random_states",
    "rng_state",
    "training_args",
}
_LARGEST_NUMBER = 10**9  # nobody trains a thousand million steps: such digits are part of a name


@dataclass(frozen=True, kw_only=True)
class NameHint:
    """What a file's name and the folder it lies in suggest."""

    stem: str  # the run's name; "last" where the trainer was given none
    kind: NameKind  # "unnumbered": the last save of most trainers, or no checkpoint name at all
    epoch: int | None = None  # as written, 1-based
    step: int | None = None
    part: str = ""  # "high_noise" or "low_noise": half of a pair


def shown(text: str | PurePath) -> str:
    """Return a name as it can be stored, logged and shown: what is no plain text is escaped.

    That is bytes of a file name that are no UTF-8, control characters and direction overrides,
    written as in Python's own text; everything else stays as it is.
    """
    if isinstance(text, str) and text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in str(text))


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python carries a byte that is no UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def read_name(path: str | PurePath) -> NameHint:
    """Return what the name of ``path`` suggests; parent folders count where they are given.

    A browser's " (1)" is taken off first. The patterns are those of kohya's sd-scripts,
    ai-toolkit, OneTrainer, SimpleTuner, the diffusers examples and PEFT.
    """
    path = PurePath(path)
    name = _DOWNLOAD_COPY.sub("", path.name)
    if match := _KOHYA_STEP.match(name):
        return _numbered("step", match[1], name, step=match[2])
    if match := _AI_TOOLKIT.match(name):
        return _numbered("step", match[1], name, step=match[3], part=(match[4] or "").strip("_"))
    if match := _ONETRAINER.match(name):
        stem = match[1].strip("-_ ") or "last"
        return _numbered("step", stem, name, step=match[3])
    if match := _KOHYA_EPOCH.match(name):
        return _numbered("epoch", match[1], name, epoch=match[2])
    return _by_folder(path, PurePath(name).stem)


def telling_name(path: str | PurePath) -> str:
    """Return the file's name; with its folders where a trainer calls all its saves alike."""
    path = PurePath(path)
    if path.stem not in _ADAPTER_FILES:
        return path.name
    in_step = _STEP_FOLDER.match("".join(path.parts[-3:-2]))
    return "/".join(part for part in path.parts[-3 if in_step else -2 :] if part != "/")


def is_candidate(path: str | PurePath) -> Candidate | None:
    """Return what kind of weights file ``path`` (relative to the watched folder) claims to be.

    None for everything that must be left alone: temporary names, dotfiles, a trainer's own
    state. "pickle" is only recognized to be refused: such a file is never opened.
    """
    path = PurePath(path)
    if not all(is_watched_folder(part) for part in path.parts[:-1]) or _is_temporary(path.name):
        return None
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        return "safetensors"
    if suffix in {".ckpt", ".pt", ".bin"} and not _is_trainer_state(path.stem):
        return "pickle"
    return None


def is_watched_folder(name: str) -> bool:
    """Return whether a folder of this name may hold checkpoints that are meant for use."""
    if name.startswith(".") or name.endswith(("-state", "-tmp")):
        return False
    return re.search(r"-backup-\d+-\d+-\d+$", name) is None  # OneTrainer's, not for inference


def _numbered(
    kind: NameKind,
    stem: str,
    name: str,
    *,
    epoch: str | None = None,
    step: str | None = None,
    part: str = "",
) -> NameHint:
    number = int((epoch or step or "0")[:30])
    if number > _LARGEST_NUMBER:
        return NameHint(stem=PurePath(name).stem, kind="unnumbered")
    stem = "last" if stem in _KOHYA_DEFAULT_STEMS else stem
    return NameHint(
        stem=stem,
        kind=kind,
        epoch=number if epoch is not None else None,
        step=number if step is not None else None,
        part=part,
    )


def _by_folder(path: PurePath, stem: str) -> NameHint:
    """Read names that say nothing themselves: ``run/checkpoint-500/adapter_model.safetensors``."""
    if stem in _KOHYA_DEFAULT_STEMS:
        return NameHint(stem="last", kind="final")
    if stem not in _ADAPTER_FILES:
        return NameHint(stem=stem, kind="unnumbered")
    folders = [part for part in path.parts[:-1] if part not in {"/", ".", ".."}]
    label = "ema" if stem == "ema_model" else ""
    if folders[-1:] == ["ema"] or _STEP_FOLDER.match("".join(folders[-2:-1])):
        label = folders.pop()  # or PEFT's name of an adapter that is not the only one
    match = _STEP_FOLDER.match(folders[-1]) if folders else None
    if match:
        folders.pop()
    run = folders[-1] if folders else stem
    run = f"{run} ({label})" if label else run
    if match:
        return _numbered("step", run, path.name, step=match[1])
    # At the top of a run's folder these names are its last save: diffusers' examples and PEFT's
    # trainers write them once, when the training has ended.
    return NameHint(stem=run, kind="unnumbered" if stem == "model" else "final")


def _is_temporary(name: str) -> bool:
    lowered = name.lower()
    return lowered.startswith((".", "~")) or lowered.endswith(_TEMPORARY_SUFFIXES)


def _is_trainer_state(stem: str) -> bool:
    return re.sub(r"[_-]?\d+$", "", stem.lower()) in _TRAINER_STATE
