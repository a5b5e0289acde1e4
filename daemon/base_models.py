"""Finds the base models and the VAE that this host draws with, and remembers their hashes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.errors import Fixable
from core.formats.base_model import (
    WHY_PICKLED,
    base_sha256,
    find_base,
    find_named_base,
    hub_cache,
    is_pickled,
    vae_sha256,
)
from core.nouns import digest
from core.settings import Settings
from core.store.registration import UNKNOWN_BASE


@dataclass(frozen=True, kw_only=True)
class BaseModels:
    """What this host has; what is found is put into ``found``."""

    settings: Settings
    found: dict[str, Path]  # SHA-256 of a base or VAE -> path here

    def find(self, name: str, expected: str | None, *, is_needed: bool = True) -> str | None:
        """Return the SHA-256 of a run's base model; None where it is neither found nor needed.

        The setting ``base_model`` wins over the ``name`` that the trainer wrote, and
        a model with the ``expected`` hash over a file that only has the name. Raises Fixable when there
        is none, and it is needed or a person has named it.
        """
        named = self.settings.base_model
        path = self._look_for(named or name)
        if expected and not named and (path is None or self._is_another_file(path, expected)):
            path = self._look_for(expected) or path
        if path is None and not is_needed and not named:
            return None
        if path is None:
            raise Fixable(f"No base model: {_why_not_found(named, name)}")
        sha256 = self.hashed(path)
        self.found[sha256] = path
        return sha256

    def _look_for(self, wanted: str) -> Path | None:
        """Return where the base model with this path, name or hash lies."""
        aliases, folders = self.settings.base_models, self._search_folders()
        return find_base(wanted, aliases, folders, self.hashed)

    def find_named(self, wanted: str) -> Path | None:
        """Return the same for a name from a page, which reaches no further than those folders."""
        aliases, folders = self.settings.base_models, self._search_folders()
        return find_named_base(wanted, aliases, folders, self.hashed)

    def _is_another_file(self, path: Path, sha256: str) -> bool:
        """Say whether it is certainly not that model: trainers hash files, never folders."""
        return path.is_file() and self.hashed(path) != sha256

    def hashed(self, path: Path) -> str:
        """Return the SHA-256 of a base model; read once as long as its files do not change."""
        return self._remembered(path, base_sha256)

    def _remembered(self, path: Path, hashed: Callable[[Path], str], kind: str = "") -> str:
        """Hash a model once as long as its files do not change: they have gigabytes."""
        memory = self.settings.home / "bases.json"
        try:
            known = json.loads(memory.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            known = {}
        key = f"{kind}{path.absolute()} {_fingerprint(path)}"
        if key not in known:
            known[key] = hashed(path)
            half = memory.with_suffix(".part")
            half.write_text(json.dumps(known, indent=1), encoding="utf-8")
            half.replace(memory)
        return str(known[key])

    def find_vae(self) -> str:
        """Return the SHA-256 of the VAE that the settings name, "" when they name none."""
        if self.settings.vae is None:
            return ""
        sha256 = self._remembered(self.settings.vae, vae_sha256, "vae ")
        self.found[sha256] = self.settings.vae
        return sha256

    def _search_folders(self) -> list[Path]:
        return [self.settings.home / "models", Path.home() / "models", hub_cache(os.environ)]


def _why_not_found(named: str | None, name: str) -> str:
    """Return what was looked for and what to do, after a colon; ``named`` by a person."""
    if not named and name == UNKNOWN_BASE:
        return (
            "the checkpoints name none. Start again with --base-model PATH, the model they were "
            "trained on."
        )
    asked = f"{'you named' if named else 'the checkpoints name'} {named or name!r}"
    if is_pickled(Path(named or name)):
        return (
            f"{asked}, which is pickled: {WHY_PICKLED}. Take the .safetensors version of this "
            "model, or convert it, and start again with --base-model PATH."
        )
    return (
        f"{asked}, and it was looked for by name and by hash in the setting base_models, in the "
        "model folders of this machine and in its hub cache. Nothing is fetched from a hub: "
        "download the model, or start again with --base-model PATH, or add it to base_models in "
        "epochwatch.toml."
    )


def _fingerprint(path: Path) -> str:
    """Return what changes when a model's files do, without reading them."""
    files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
    facts = [(each.name, each.stat().st_size, each.stat().st_mtime_ns) for each in files]
    return digest(facts)
