"""The text values of a checkpoint's metadata as numbers, names and columns of a training run.

Everything in there was written by somebody else: a value that makes no sense is ignored and
named in a note, never trusted and never an error.
"""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from core.formats.checkpoint_name import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

_UNSET = {"", "none", "null"}
_LONGEST_TEXT = 500  # characters of a name or note that are kept
_LONGEST_JSON = 8_000_000  # characters of a JSON value that are parsed; tags can be many
_LONGEST_KEPT = 20_000  # characters of a value that is stored
_TAGS = "ss_tag_frequency"  # how often each tag stands in the captions of each folder
_SHA256 = re.compile(r"^(?:0x)?([0-9a-fA-F]{64})$")
_OPTIMIZER = re.compile(r"^([\w.]+)")
_MODEL_TYPES = {"sd1": "SD15", "sdxl": "SDXL"}


def clean(text: str) -> str:
    """Return ``text`` as it can be stored and shown anywhere, at most 500 characters."""
    return shown(text[:_LONGEST_TEXT])[:_LONGEST_TEXT]


def storable(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return all metadata as a database can take it: odd characters escaped, long values cut.

    At most 300 values of 20,000 characters each; a value that was cut ends in "...". Of too many
    tags the most frequent are kept, since trigger word and test prompts are found among them.
    """
    kept = {clean(key): _cut(value) for key, value in list(metadata.items())[:300]}
    tags = metadata.get(_TAGS, "")
    if _LONGEST_KEPT < len(tags) <= _LONGEST_JSON and (frequent := _most_frequent(tags)):
        kept[_TAGS] = frequent
    return kept


def _cut(value: str) -> str:
    if len(value) <= _LONGEST_KEPT:
        return shown(value)
    return shown(value[:_LONGEST_KEPT]) + "..."


def _most_frequent(text: str) -> str | None:
    """Return kohya's tag counts with as many of the most frequent tags as fit, in their order."""
    try:
        told = json.loads(text)
        counts = {
            (folder, tag): int(count)
            for folder, tags in told.items()
            for tag, count in tags.items()
        }
    except (ValueError, RecursionError, AttributeError, TypeError, OverflowError):
        return None
    kept: dict[str, dict[str, int]] = {folder: {} for folder in told}
    room = _LONGEST_KEPT - len(json.dumps(kept))
    if room < 0:
        return None
    chosen = set()
    for each in sorted(counts, key=lambda each: -counts[each]):
        room -= len(json.dumps({each[1]: counts[each]}))  # its brackets pay for ", " between two
        if room < 0:
            break
        chosen.add(each)
    for (folder, tag), count in counts.items():
        if (folder, tag) in chosen:
            kept[folder][tag] = count
    return json.dumps(kept)


class Values:
    """Reads metadata values one at a time and remembers what had to be ignored."""

    def __init__(self, metadata: Mapping[str, str]) -> None:
        """Read from ``metadata``, a map of text to text."""
        self.metadata = metadata
        self.notes: list[str] = []

    def text(self, key: str) -> str | None:
        """Return the cleaned text, or None where it is missing or the word None."""
        raw = self.metadata.get(key, "")
        if len(raw) > _LONGEST_TEXT:
            self._ignore(key, raw)
            return None
        value = clean(raw).strip()
        return None if value.lower() in _UNSET else value

    def whole(self, key: str, low: int = 0, high: int = 10**9) -> int | None:
        """Return a whole number from ``low`` to ``high``; "5.0" is one, "7.5" is not."""
        value = self.real(key, low, high)
        if value is None:
            return None
        if not value.is_integer():
            self._ignore(key, self.metadata[key])
            return None
        return int(value)

    def real(self, key: str, low: float = 0.0, high: float = 1e9) -> float | None:
        """Return a finite number from ``low`` to ``high``."""
        value = self.text(key)
        if value is None:
            return None
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not low <= number <= high:  # also false for NaN
            self._ignore(key, value)
            return None
        return number

    def sha256(self, key: str) -> str | None:
        """Return 64 lower-case hex digits."""
        raw = self.metadata.get(key, "")
        if raw.strip().lower() in _UNSET:
            return None
        match = _SHA256.match(raw) if len(raw) < 100 else None
        if match is None:
            self._ignore(key, raw)
            return None
        return match[1].lower()

    def json(self, key: str) -> Any:
        """Return a JSON value, or None where there is none or it cannot be parsed."""
        raw = self.metadata.get(key, "")
        if raw.strip().lower() in _UNSET:
            return None
        try:
            return json.loads(raw[: _LONGEST_JSON + 1])  # cut, it is no JSON any more
        except (ValueError, RecursionError):
            self._ignore(key, raw)
            return None

    def _ignore(self, key: str, raw: str) -> None:
        shown = clean(raw[:40]) + ("..." if len(raw) > 40 else "")
        note = f"The metadata value {key} = {shown!r} makes no sense and is ignored."
        if note not in self.notes:
            self.notes.append(note)


def saved_at(values: Values) -> datetime | None:
    """Return when this file was saved (aware UTC), by kohya's stamp or ModelSpec's date.

    A date without a time, as OneTrainer writes it, is too coarse and is None. A ModelSpec date
    without a zone is taken as UTC, which is what rented machines run on.
    """
    stamp = values.real("ss_training_finished_at", 1.4e9, 4.1e9)  # 2014 to 2099
    if stamp is not None:
        return datetime.fromtimestamp(stamp, tz=UTC)
    text = values.text("modelspec.date")
    if text is None or "T" not in text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment if 2014 <= moment.year <= 2099 else None


def base_model_name(values: Values) -> str | None:
    """Return the base model's name without the folders of the trainer's machine.

    A hub name such as "runwayml/stable-diffusion-v1-5" stays whole.
    """
    name = values.text("ss_sd_model_name")
    if name is None:
        return None
    if "\\" in name:
        return PureWindowsPath(name).name
    return PurePosixPath(name).name if name.startswith("/") or name.count("/") > 1 else name


def training_columns(values: Values, *, family: str, rank: int | None) -> dict[str, Any]:
    """Return the columns of the owner's ``training_runs`` that the metadata can fill.

    Columns that it does not tell are left out, never guessed.
    """
    sets, folders = _datasets(values), _folders(values)
    columns = {
        "base_model": base_model_name(values),
        "model_type": _MODEL_TYPES.get(family, "other"),
        "training_data_path": clean(", ".join(folders)) or None,
        "num_images": _images(sets, folders),
        "caption_format": _caption_format(values, sets),
        "resolution": _resolution(values, sets),
        "network_dim": values.whole("ss_network_dim", 1, 100_000) or rank,
        "network_alpha": _rounded(values.real("ss_network_alpha", 0, 1e6)),
        "learning_rate": values.real("ss_learning_rate", 0, 1000),
        "unet_lr": values.real("ss_unet_lr", 0, 1000),
        "text_encoder_lr": _first_real(values, "ss_text_encoder_lr"),
        "train_batch_size": _batch_size(values, sets),
        "gradient_accumulation_steps": values.whole("ss_gradient_accumulation_steps", 1, 10**6),
        "max_train_epochs": values.whole("ss_num_epochs", 1),
        "total_steps": values.whole("ss_max_train_steps", 1),
        "mixed_precision": values.text("ss_mixed_precision"),
        "optimizer_type": _optimizer(values),
        "lr_scheduler": values.text("ss_lr_scheduler"),
        "noise_offset": values.real("ss_noise_offset", 0, 10),
        "min_snr_gamma": _rounded(values.real("ss_min_snr_gamma", 0, 1e6)),
        "output_name": values.text("ss_output_name"),
    }
    return {name: value for name, value in columns.items() if value is not None}


def _rounded(value: float | None) -> int | None:
    """Return a whole column's value; a fraction does not fit an INT column and is left out."""
    return int(value) if value is not None and value.is_integer() else None


def _first_real(values: Values, key: str) -> float | None:
    """Return a number, or the first of a list such as "[5e-05, 5e-06]" (two text encoders)."""
    text = values.text(key)
    if text is None or not text.startswith("["):
        return values.real(key, 0, 1000)
    return Values({key: text.strip("[]").split(",")[0]}).real(key, 0, 1000)


def _optimizer(values: Values) -> str | None:
    """Return "AdamW8bit" of "bitsandbytes.optim.adamw.AdamW8bit(weight_decay=0.1)"."""
    match = _OPTIMIZER.match(values.text("ss_optimizer") or "")
    return match[1].rsplit(".", 1)[-1] if match else None


def _datasets(values: Values) -> list[dict[str, Any]]:
    sets = values.json("ss_datasets")
    return [each for each in sets if isinstance(each, dict)] if isinstance(sets, list) else []


def _subsets(sets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for each in sets:
        subsets = each.get("subsets")
        found += [s for s in subsets if isinstance(s, dict)] if isinstance(subsets, list) else []
    return [subset for subset in found if not subset.get("is_reg")]


def _folders(values: Values) -> dict[str, Any]:
    folders = values.json("ss_dataset_dirs")
    return folders if isinstance(folders, dict) else {}


def _images(sets: list[dict[str, Any]], folders: dict[str, Any]) -> int | None:
    """Return the number of different images; kohya's own total counts the repeats and is not it."""
    entries = _subsets(sets) or [entry for entry in folders.values() if isinstance(entry, dict)]
    counts = [entry.get("img_count") for entry in entries]
    if not counts or not all(type(count) is int and 0 <= count < 10**9 for count in counts):
        return None
    return sum(int(count) for count in counts if count is not None)


def _caption_format(values: Values, sets: list[dict[str, Any]]) -> str | None:
    """Return the captions' file type where the trainer tells it, else that they are tag lists."""
    kinds = {subset.get("caption_extension") for subset in _subsets(sets)}
    texts = sorted(clean(kind) for kind in kinds if isinstance(kind, str))
    if texts:
        return ", ".join(texts)
    has_tags = values.metadata.get("ss_tag_frequency", "{}") not in {"{}", "None"}
    return "comma-separated" if has_tags else None


def _resolution(values: Values, sets: list[dict[str, Any]]) -> str | None:
    """Return "512x512" of "(512, 512)", "512,512" or a dataset's [512, 512]."""
    text = values.text("ss_resolution") or values.text("modelspec.resolution") or ""
    if sets and not values.text("ss_resolution"):
        text = str(sets[0].get("resolution", text))[:100]
    numbers = re.findall(r"\d{2,5}", text)
    if len(numbers) == 1:
        numbers *= 2
    return f"{numbers[0]}x{numbers[1]}" if len(numbers) == 2 else None


def _batch_size(values: Values, sets: list[dict[str, Any]]) -> int | None:
    size: Any = values.whole("ss_batch_size_per_device", 1, 10**6)
    if size is None and sets:
        size = sets[0].get("batch_size_per_device")
    if isinstance(size, int) and 0 < size < 10**6:
        return size
    return values.whole("ss_total_batch_size", 1, 10**6)
