"""Comparisons: asked for as grids, looked at as units (prompt and seed) with one picture a slot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.errors import Fixable
from core.nouns import Slot, SlotPart, Stack, digest, unfound_base, unit_of
from core.store.database import Connection, Row, bump, row, rows, run

COMPARE_PRIORITY = (
    80  # a person waits: before epochs, after the baseline everything is read against
)


@dataclass(frozen=True, kw_only=True)
class ComparisonLine:
    """A comparison in one line."""

    id: int
    title: str
    run_id: int | None
    run_name: str | None
    slots: int
    wanted: int  # images; 0 until it is planned
    drawn: int
    defects: int
    votes: int
    by_whom: str
    created_at: datetime
    parked_reason: str | None
    waiting_reason: str | None


@dataclass(frozen=True, kw_only=True)
class SlotPicture:
    """What one slot made of one unit; scores are 0-10, None when not measured."""

    sample_id: str
    image_sha256: str | None  # None: not drawn yet, or a defect
    defect: str | None
    parked_reason: str | None
    seconds: float | None
    visual: float | None
    style: float | None
    prompt: float | None
    composite: float | None = None  # by adopted weights, where it was measured under some

    @property
    def average(self) -> float | None:
        """The one number: by adopted weights, else the plain mean of the scores there are."""
        present = [s for s in (self.visual, self.style, self.prompt) if s is not None]
        if self.composite is not None or not present:
            return self.composite
        return sum(present) / len(present)


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One prompt with one seed: what is compared like with like, and voted on."""

    key: str  # stable over comparisons: digest of prompt text, seed and recipe
    prompt_name: str
    prompt_text: str
    seed: int
    category: str
    grid: int | None  # cells along the width, None when it is not pixel art
    pictures: Mapping[str, SlotPicture]  # slot key -> its picture

    def is_drawn(self, slots: Sequence[str]) -> bool:
        """Tell whether every one of these slots has its picture."""
        return all(
            slot in self.pictures and self.pictures[slot].image_sha256 is not None for slot in slots
        )


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One comparison with all its pictures."""

    id: int
    purpose: str
    title: str
    run_id: int | None
    run_name: str | None
    by_whom: str
    created_at: datetime
    planned: bool
    slots: tuple[Slot, ...]
    units: tuple[Unit, ...]  # in the suite's order
    trouble: str | None = None  # why some of it is not drawn, or not yet

    @property
    def wanted(self) -> int:
        """How many images it asks for."""
        return sum(len(unit.pictures) for unit in self.units)

    @property
    def drawn(self) -> int:
        """How many of them are there."""
        return sum(
            picture.image_sha256 is not None
            for unit in self.units
            for picture in unit.pictures.values()
        )


def comparisons(connection: Connection) -> tuple[ComparisonLine, ...]:
    """Return every comparison, the newest first (at most 200)."""
    return tuple(ComparisonLine(**found) for found in rows(connection, "comparisons.all"))


def comparison(connection: Connection, grid_id: int) -> Comparison | None:
    """Return one comparison with its pictures; None when there is none of this number."""
    found = row(connection, "comparisons.get", grid_id=grid_id)
    if found is None:
        return None
    return Comparison(
        id=found["id"],
        purpose=found["purpose"],
        title=found["body"]["title"],
        run_id=found["run_id"],
        run_name=found["run_name"],
        by_whom=found["by_whom"],
        created_at=found["created_at"],
        planned=found["planned"],
        slots=tuple(Slot.from_json(slot) for slot in found["body"]["slots"]),
        units=_units(rows(connection, "comparisons.pictures", grid_id=grid_id)),
        trouble=found["trouble"],
    )


def drawn_of(connection: Connection, sample_ids: Sequence[str]) -> int:
    """Return how many of these images are drawn, or known not to be drawable."""
    found = row(connection, "comparisons.drawn_of", sample_ids=list(sample_ids))
    return int(found["drawn"]) if found else 0


def find_slot(connection: Connection, wishes: Sequence[SlotPart], run_id: int) -> Slot:
    """Return the slot that a person means, in a comparison about the run ``run_id``.

    Where it names another base model, the slot is not found yet: a host that has the model says
    which it is.

    Raises:
        Fixable: when it names what is not there, or merges LoRAs of different base models.
    """
    parts = [_Part.find(connection, wish, run_id) for wish in wishes]
    if len(parts) > 1 and (whole := next((part for part in parts if part.lora is None), None)):
        raise Fixable(f"{whole.label} is a whole model, and none is merged with anything.")
    on = wishes[0].on
    if on is None and any(part.base_sha256 != parts[0].base_sha256 for part in parts):
        named = " + ".join(part.label for part in parts)
        raise Fixable(f"{named}: these have different base models and cannot be merged together.")
    stack = Stack(
        base_sha256=parts[0].base_sha256 if on is None else unfound_base(on),
        loras=tuple(part.lora for part in parts if part.lora is not None),
    )
    first = parts[0]
    return Slot(
        label=" + ".join(part.label for part in parts) + ("" if on is None else f" on {on}"),
        stack=stack,
        run_id=None if first.position is None else first.run_id,
        position=first.position,
        on=on,
    )


def ask(
    connection: Connection,
    *,
    origin: str,
    body: dict[str, Any],
    run_id: int | None,
    by_whom: str,
    purpose: str = "compare",
    priority: int = COMPARE_PRIORITY,
) -> int:
    """Ask for a comparison and return its number; asked for twice (the same origin) it is one.

    ``body`` and ``origin`` come from ``core.rules.comparing``. What is drawn already is not drawn
    again.
    """
    run(
        connection,
        "grids.ask",
        origin=origin,
        run_id=run_id,
        purpose=purpose,
        position=None,
        body=body,
        priority=priority,
        why=body["title"],
        by_whom=by_whom,
    )
    bump(connection)
    found = row(connection, "comparisons.by_origin", origin=origin)
    assert found is not None  # it was asked for in this transaction or before
    return int(found["id"])


@dataclass(frozen=True, kw_only=True)
class _Part:
    """One LoRA of a slot, found; ``lora`` is None for a whole model, and position for the base."""

    label: str
    base_sha256: str
    lora: tuple[str, str] | None
    run_id: int
    position: int | None

    @classmethod
    def find(cls, connection: Connection, wish: SlotPart, own_run: int) -> _Part:
        if wish.what == "production":
            return cls._production(connection, wish)
        run_id = _run(connection, wish.run) if wish.run is not None else own_run
        about = row(connection, "runs.get", run_id=run_id)
        name = about["run_name"] if about else f"run {run_id}"
        if about is None:
            raise Fixable(f"{name} is no longer in the database.")
        base = about["base_sha256"] if wish.on is None else unfound_base(wish.on)
        prefix = f"{name} " if run_id != own_run else ""
        if wish.what == "base":
            if base is None:
                raise Fixable(_baseless(name))
            return cls(
                label=f"{prefix}base", base_sha256=base, lora=None, run_id=run_id, position=None
            )
        position = about["best_epoch"] if wish.what == "pick" else wish.what
        if position is None:
            raise Fixable(f"{name} has no pick yet: nothing of it is tested. Name an epoch.")
        found = _checkpoint(connection, run_id, int(position), name)
        unit = unit_of(about["position_unit"])
        return cls._of_checkpoint(found, wish, about, label=f"{prefix}{unit} {position}")

    @classmethod
    def _production(cls, connection: Connection, wish: SlotPart) -> _Part:
        live = row(connection, "comparisons.production")
        if live is None:
            raise Fixable(
                "Nothing is in production yet. Promote an epoch first: epochwatch promote."
            )
        about = (
            row(connection, "runs.get", run_id=live["run_id"])
            if live["run_id"] is not None
            else None
        )
        if about is None:
            raise Fixable(
                f"The run of the production model ({live['run_name']}) is no longer in the "
                "database, so its base model is not known. Watch its file again to compare with it."
            )
        where = {"run_id": live["run_id"], "sha256": live["sha256"]}
        found = row(connection, "comparisons.live_checkpoint", **where)
        assert found is not None  # superseded or not: a checkpoint goes with its run only
        label = f"production ({live['run_name']} {live['position']})"
        return cls._of_checkpoint(found, wish, about, label=label)

    @classmethod
    def _of_checkpoint(cls, checkpoint: Row, wish: SlotPart, about: Row, *, label: str) -> _Part:
        """Return the part for one checkpoint of the run ``about``: a LoRA, or a whole model."""
        whole = checkpoint["kind"] == "base"
        if whole and wish.strength is not None:
            raise Fixable(
                f"{label} is a whole model, and only a LoRA has a strength. Name it without one."
            )
        if whole and wish.on is not None:
            raise Fixable(
                f"{label} is a whole model and its own base: only a LoRA is drawn on another one."
            )
        if not whole and wish.on is None and about["base_sha256"] is None:
            raise Fixable(_baseless(about["run_name"]))
        own = about["strength"] or "1.00"
        strength = wish.strength or own
        return cls(
            label=label + _at(strength, own),
            base_sha256=checkpoint["drawn_as"] if whole else about["base_sha256"] or "",
            lora=None if whole else (checkpoint["drawn_as"], strength),
            run_id=about["id"],
            position=checkpoint["position"],
        )


def _baseless(name: str) -> str:
    return (
        f"{name} has no base model that is known, so it cannot be drawn without its training. "
        "Start with --base-model PATH."
    )


def _at(strength: str, usual: str) -> str:
    return "" if strength == usual else f" at {strength}"


def _run(connection: Connection, name: str) -> int:
    found = row(connection, "runs.by_name", run_name=name)
    if found is None:
        raise Fixable(f"No run is called {name!r}. See: epochwatch runs list")
    return int(found["id"])


def _checkpoint(connection: Connection, run_id: int, position: int, name: str) -> Row:
    current = rows(connection, "checkpoints.current", run_id=run_id)
    for found in current:
        if found["position"] == position:
            if found["invalid_reason"]:
                raise Fixable(f"{name} {position} cannot be drawn: {found['invalid_reason']}")
            return found
    there = ", ".join(str(found["position"]) for found in current) or "none"
    raise Fixable(f"{name} has no checkpoint {position}; it has: {there}.")


def _units(found: Sequence[Row]) -> tuple[Unit, ...]:
    grouped: dict[str, list[Row]] = {}
    for each in found:
        key = digest([each["prompt_text"], each["seed"], each["recipe"]])
        grouped.setdefault(key, []).append(each)
    return tuple(
        Unit(
            key=key,
            prompt_name=group[0]["prompt_name"],
            prompt_text=group[0]["prompt_text"],
            seed=group[0]["seed"],
            category=group[0]["category"],
            grid=group[0]["recipe"].get("grid"),
            pictures={each["stack_key"]: _picture(each) for each in group},
        )
        for key, group in grouped.items()
    )


def _picture(found: Row) -> SlotPicture:
    scores = {
        name: None if found[name] is None else float(found[name])
        for name in ("visual", "style", "prompt", "composite")
    }
    return SlotPicture(
        sample_id=found["sample_id"],
        image_sha256=found["image_sha256"],
        defect=found["defect"],
        parked_reason=found["parked_reason"],
        seconds=found["seconds"],
        **scores,
    )
