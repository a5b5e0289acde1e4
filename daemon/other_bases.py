"""Finds the base models that slots name: "7 on dreamshaper_8" is drawn by a host that has it.

What is asked for on a page or a command line is a name; only a host can say which file that is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from core.errors import Fixable
from core.formats.base_model import base_name, family, mismatch
from core.formats.checkpoint_layout import is_family_certain
from core.nouns import Slot
from core.rules.comparing import check_different, wanted_bases
from core.store.database import Connection, Database, bump, row, rows, run

_LOOK_AGAIN = 20.0  # seconds until a name that was not found is looked for again


@dataclass(kw_only=True)
class OtherBases:
    """Gives slots whose base model was named the hash of that model, where this host has it."""

    database: Database
    host: str
    find: Callable[[str], Path | None]  # a base model of this host by its name or hash
    hashed: Callable[[Path], str]
    bases: dict[str, Path]  # what this host can draw with: SHA-256 -> path; added to
    _tried: dict[int, float] = field(default_factory=dict)  # grid -> when it was last looked at

    def look(self) -> None:
        """Look for what grids wait for, each of them now and then."""
        with self.database.transaction() as connection:
            waiting = rows(connection, "grids.wanting_bases")
        for grid in waiting:
            now = time.monotonic()
            if now - self._tried.get(grid["id"], -_LOOK_AGAIN) >= _LOOK_AGAIN:
                self._tried[grid["id"]] = now
                # A model has gigabytes: it is read before the grid is locked.
                found = {name: self._found(name) for name in grid["body"]["wants"]}
                with self.database.transaction() as connection:
                    self._settle(connection, grid["id"], found)

    def restore(self) -> None:
        """Find again, after a restart, what is still to be drawn with."""
        with self.database.transaction() as connection:
            named = rows(connection, "grids.named_bases")
        for each in named:
            if each["base_sha256"] not in self.bases:
                self._found(each["name"])

    def _found(self, name: str) -> tuple[str, Path] | None:
        """Return the hash and the place of the base model with this name; None where there is none."""
        path = self.find(name)
        if path is None:
            return None
        try:
            sha256 = self.hashed(path)
        except Fixable:  # pickled: it is never opened
            return None
        self.bases[sha256] = path
        return sha256, path

    def _settle(
        self, connection: Connection, grid_id: int, found: Mapping[str, tuple[str, Path] | None]
    ) -> None:
        grid = row(connection, "grids.lock_wanting", grid_id=grid_id)
        if grid is None:  # another host was faster
            return
        slots = [Slot.from_json(each) for each in grid["body"]["slots"]]
        placed = [_placed(slot, found.get(slot.on or "")) for slot in slots]
        try:
            _refuse_renderer(connection, grid["body"])
            for slot in placed:
                base = found.get(slot.on or "")
                if base is not None:
                    _refuse_misfit(connection, slot, base[1])
            check_different(placed)
        except Fixable as trouble:
            self._refuse(connection, grid_id, placed, str(trouble))
            return
        body = _body_with(grid["body"], placed, self.host)
        if body != grid["body"]:
            run(connection, "grids.save_body", grid_id=grid_id, body=body)
            bump(connection)

    def _refuse(
        self, connection: Connection, grid_id: int, placed: list[Slot], reason: str
    ) -> None:
        settled = next((slot for slot in placed if slot.is_found), None)
        run(
            connection,
            "grids.refuse",
            grid_id=grid_id,
            stack_key=(settled or placed[0]).key,
            base_sha256=settled.stack.base_sha256 if settled else "0" * 64,
            reason=reason,
        )
        bump(connection)


def _placed(slot: Slot, base: tuple[str, Path] | None) -> Slot:
    """Return the slot with the hash of its base model, where it was named and is found."""
    if slot.is_found or base is None:
        return slot
    return replace(slot, stack=replace(slot.stack, base_sha256=base[0]))


def _body_with(body: Mapping[str, Any], placed: list[Slot], host: str) -> dict[str, Any]:
    """Return a grid's body with these slots, and with why it waits where something is missing."""
    others = {name: what for name, what in body.items() if name not in {"wants", "waiting"}}
    left = wanted_bases(placed)
    why = {"waiting": _not_found(left["wants"], host)} if left else {}
    return {**others, "slots": [slot.as_json() for slot in placed], **left, **why}


def _not_found(names: list[str], host: str) -> str:
    named = " and ".join(f"base model {name!r}" for name in names)
    return (
        f"No {named} on {host}: looked for by name and by hash in the setting base_models and in the "
        "model folders of that machine. Nothing is fetched from a hub: put it there or add it to "
        "base_models in epochwatch.toml, and it is found by itself."
    )


def _refuse_misfit(connection: Connection, slot: Slot, base: Path) -> None:
    """Raise Fixable when a LoRA of the slot is certainly for another family than this base model."""
    loras = [sha256 for sha256, _ in slot.stack.loras]
    for lora in rows(connection, "checkpoints.drawn_as", loras=loras):
        if is_family_certain(lora["notes"]):
            reason = mismatch(lora["run_name"], lora["family"], base_name(base), family(base))
            if reason is not None:
                raise Fixable(reason)


def _refuse_renderer(connection: Connection, body: Mapping[str, Any]) -> None:
    """Raise Fixable where the workflow that draws names a base model of its own."""
    suite = body
    if "suite" in body:
        document = row(connection, "results.document", digest=body["suite"])
        suite = document["body"] if document else {}
    if str(suite.get("recipe", {}).get("renderer", "")).startswith("comfyui"):
        raise Fixable(
            "ComfyUI draws with the base model that its workflow names, so a slot cannot name "
            'another one. Set renderer = "diffusers" in the suite\'s recipe.'
        )
