"""What a trainer's command line says: options, what may be stored of it, and its learning rate.

Trainers write most of that into their checkpoints, but not, for one, how often the rate restarts.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

_SECRET = re.compile(r"key|token|secret|passw", re.IGNORECASE)
_LARGEST_FILE = 256 * 1024  # bytes: such a file is written by hand or by a page of settings
_LONGEST = 60  # characters of a name
_MOST_CYCLES = 100_000
_MOST_STEPS = 100_000_000
_HIGHEST_RATE = 1000.0


def _whole(most: int) -> Callable[[str], int | None]:
    return lambda text: int(text) if text.isdecimal() and 0 < int(text[:12]) <= most else None


def _rate(text: str) -> float | None:
    value = float(text)
    return value if 0 < value <= _HIGHEST_RATE else None


def _name(text: str) -> str | None:
    return text if 0 < len(text) <= _LONGEST and text.isprintable() else None


# The run's columns: what sd-scripts and, where it differs, diffusers' scripts call each.
_OPTIONS: Mapping[str, tuple[tuple[str, ...], Callable[[str], Any]]] = {
    "lr_scheduler_cycles": (("lr_scheduler_num_cycles", "lr_num_cycles"), _whole(_MOST_CYCLES)),
    "lr_scheduler": (("lr_scheduler",), _name),
    "learning_rate": (("learning_rate",), _rate),
    "unet_lr": (("unet_lr",), _rate),
    "text_encoder_lr": (("text_encoder_lr",), _rate),
    "optimizer_type": (("optimizer_type",), _name),
    "max_train_epochs": (("max_train_epochs", "num_train_epochs"), _whole(_MOST_STEPS)),
}


def option(command: Sequence[str], name: str) -> str | None:
    """Return the value of ``--name VALUE`` or ``--name=VALUE``, with - for _ too; None without it."""
    for at, word in enumerate(command):
        key, equals, value = word.partition("=")
        if key.lstrip("-").replace("-", "_") == name and key.startswith("--"):
            return value if equals else next(iter(command[at + 1 : at + 2]), None)
    return None


def told_command(command: Sequence[str]) -> str:
    """Return a command line as it is stored: the values of options that hold secrets are not."""
    told: list[str] = []
    hide = False
    for word in command:
        key, equals, _ = word.partition("=")
        secret = word.startswith("--") and bool(_SECRET.search(key))
        told.append("***" if hide else f"{key}=***" if secret and equals else word)
        hide = secret and not equals
    return shlex.join(told)[:2000]


def schedule_settings(command: Sequence[str], folder: Path) -> dict[str, Any]:
    """Return the columns of ``training_runs`` that a trainer's command line tells.

    ``folder`` is where it was started. What stands on the command line wins over the TOML that
    ``--config_file`` names, as in sd-scripts; what cannot be read or is no such value is left out.
    """
    written = _config(command, folder)
    found: dict[str, Any] = {}
    for column, (names, read) in _OPTIONS.items():
        told = next((text for name in names if (text := option(command, name)) is not None), None)
        texts = (told, *(written.get(name) for name in names))
        text = next((each for each in texts if each is not None), None)
        value = None if text is None else _read(read, text)
        if value is not None:
            found[column] = value
    return found


def _read(read: Callable[[str], Any], text: str) -> Any:
    try:
        return read(text)
    except ValueError:
        return None


def _config(command: Sequence[str], folder: Path) -> dict[str, str]:
    """Return the values of the file that ``--config_file`` names as text; none without it.

    sd-scripts adds ".toml" to a name without it, and does not mind in which table a value stands.
    """
    named = option(command, "config_file")
    if not named:
        return {}
    path = folder / named
    path = path if path.suffix == ".toml" else path.with_name(f"{path.name}.toml")
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST_FILE:
            return {}
        body = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return {}
    tables = [body, *(value for value in body.values() if isinstance(value, dict))]
    return {
        name: str(value)
        for table in tables
        for name, value in table.items()
        if isinstance(value, str | int | float) and not isinstance(value, bool)
    }
