"""A comparison with its pictures drawn, as the daemon would have left it, ready to be voted on."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from core.nouns import Slot, Stack
from core.store.database import Database
from databases import migrated_database
from seeded_history import History, MemoryStore, looks, sha, sprite


@dataclass(frozen=True, kw_only=True)
class Made:
    """A comparison that was made."""

    id: int
    slots: tuple[Slot, ...]
    samples: dict[tuple[str, int], str]  # (slot key, unit) -> sample id


def slots_called(*labels: str) -> tuple[Slot, ...]:
    """Return slots by label: base has no LoRA, the others one each."""
    return tuple(
        Slot(
            label=label,
            stack=Stack(
                base_sha256=sha("base"),
                loras=() if label == "base" else ((sha(f"weights {label}"), "1.00"),),
            ),
        )
        for label in labels
    )


def compare(
    connection: psycopg.Connection[Any],
    store: Any,
    labels: Sequence[str] = ("base", "epoch 7"),
    *,
    units: int = 12,
    drawn: int | None = None,
    side: int = 96,
    title: str = "",
) -> Made:
    """Insert a comparison of these slots over so many prompts and seeds; ``drawn`` of them drawn."""
    made = History(connection, store)
    slots = slots_called(*labels)
    grid = made.insert(
        "epochwatch.grids",
        origin=f"compare/{sha(f'{labels} {units} {title}')}",
        purpose="compare",
        body={
            "title": title or " / ".join(labels),
            "slots": [slot.as_json() for slot in slots],
            "suite": sha("suite"),
            "tier": "full",
        },
        planned_at="now()",
        why="test",
        by_whom="Mara",
    )
    samples = {}
    for number, slot in enumerate(slots):
        for unit in range(units):
            sample = _unit(made, connection, int(grid[0]), slot, unit, title)
            samples[slot.key, unit] = sample
            if drawn is None or unit < drawn:
                _draw(made, sample, unit, quality=(2.0, 8.5, 7.0, 6.0)[number % 4], side=side)
    connection.execute("UPDATE epochwatch.rev SET n = n + 1")
    return Made(id=int(grid[0]), slots=slots, samples=samples)


def _unit(
    made: History, connection: psycopg.Connection[Any], grid: int, slot: Slot, unit: int, title: str
) -> str:
    prompt, seed = f"a punk portrait, number {unit // 5} {title}", 40 + unit % 5
    sample = sha(f"{slot.key} {prompt} {seed}")
    made.insert(
        "epochwatch.samples",
        sample_id=sample,
        stack_key=slot.key,
        stack=slot.stack.as_json(),
        prompt=prompt,
        seed=seed,
        recipe={"sampler": "dpm++ 2m", "steps": 30, "grid": 24},
    )
    made.insert(
        "epochwatch.grid_samples",
        grid_id=grid,
        sample_id=sample,
        stack_key=slot.key,
        ordinal=unit // 5,
        prompt_name=f"portrait {unit // 5}",
        category=("portrait", "item")[unit // 5 % 2],
        expect={},
        rubric=sha("rubric"),
    )
    return sample


def _draw(made: History, sample: str, unit: int, *, quality: float, side: int) -> None:
    look, variation = looks()[unit % 12]
    picture = sprite(look, variation, quality, random.Random(f"{sample}"))
    made.insert(
        "epochwatch.images",
        sample_id=sample,
        image_sha256=made.image(picture.resize((side, side), 0)),
        width=side,
        height=side,
        seconds=2.0 + quality / 10,
        host="pod-4090",
    )


@contextmanager
def compared(server_dsn: str, labels: Sequence[str]) -> Iterator[tuple[Database, Made]]:
    """Give a new database with one comparison of these slots."""
    with migrated_database(server_dsn) as dsn:
        with psycopg.connect(dsn) as connection:
            made = compare(connection, MemoryStore(), labels)
        with Database(dsn, wait_seconds=60) as database:
            yield database, made
