"""Fills a database with a history worth looking at.

A run in progress, a finished, a blocked and a parked one.
"""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import psycopg
from PIL import Image, ImageFilter
from psycopg.types.json import Jsonb

from daemon.demo.sprites import ACCESSORIES, COLORS, Look, Variation, caption, draw, rgb

HOSTILE = (
    '<script>window.pwned=1</script><img src=x onerror="window.pwned=1">'
    " [go](javascript:alert(1)) **b**"
)
AVERAGES = {1: 3.1, 2: 4.0, 3: 4.9, 4: 6.0, 5: 6.6, 6: 7.3, 7: 8.2, 8: 7.6, 9: 6.9, 10: 6.2}
_ORIGINS = ("seen", "recombined", "unseen")
_GB = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class Seeded:
    """The runs that were made."""

    live: int
    hostile: int
    blocked: int
    parked: int


def sha(text: str) -> str:
    """Return 64 hex digits made of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def verdict_of(average: float) -> str:
    """Return the band a score lies in."""
    for floor, word in ((9, "best"), (7, "good"), (5, "acceptable"), (3, "skip")):
        if average >= floor:
            return word
    return "failure"


def looks(count: int = 12) -> list[tuple[Look, Variation]]:
    """Return looks in a fixed order, every hair and background color in use."""
    colors = list(COLORS)
    cuts = ("crop", "bob", "long", "mohawk", "spikes")
    return [
        (
            Look(
                hair=colors[i % 12],
                background=colors[(i * 5 + 3) % 12 if i % 12 != (i * 5 + 3) % 12 else 0],
                skin=("light", "medium", "dark")[i % 3],
                lips=("red", "pink", "purple")[i % 3],
                expression=("smile", "neutral")[i % 2],
                accessory=ACCESSORIES[i % 4],
            ),
            Variation(haircut=cuts[i % 5], jacket="#32323c", phase=i % 7),
        )
        for i in range(count)
    ]


def sprite(look: Look, variation: Variation, quality: float, rng: random.Random) -> Image.Image:
    """Draw a look as a checkpoint of this quality (0-10) might: 96 pixels, 24 cells a side."""
    cells = draw(look, variation).astype(float)
    noise = np.random.default_rng(rng.randrange(1 << 30))
    if quality < 5.2 and rng.random() < 0.75:
        same = (cells == np.array(rgb(COLORS[look.background]))).all(axis=2)
        cells[same] = rgb(rng.choice(list(COLORS.values())))
    stray = noise.random((24, 24)) < max(0.0, (8.5 - quality) / 28)
    cells[stray] = noise.integers(0, 255, (int(stray.sum()), 3))
    cells += noise.normal(0, max(0.0, 7 - quality) * 7, cells.shape)
    image = Image.fromarray(cells.clip(0, 255).astype(np.uint8)).resize(
        (96, 96), Image.Resampling.NEAREST
    )
    return image.filter(ImageFilter.GaussianBlur(max(0.0, (5.5 - quality) * 1.3)))


class History:
    """Writes rows and image files; every write is what the daemon would have written."""

    def __init__(self, connection: psycopg.Connection[Any], store: Any) -> None:
        """``store`` takes images as ``core.store.files`` does."""
        self._connection = connection
        self._store = store
        self._rng = random.Random(7)
        self._drawn = 0

    def insert(self, table: str, **cells: Any) -> Any:
        """Insert a row and return it, or None when it was there."""
        names, marks = ", ".join(cells), ", ".join(f"%({name})s" for name in cells)
        ready = {k: Jsonb(v) if isinstance(v, dict) else v for k, v in cells.items()}
        return self._connection.execute(
            f"INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT DO NOTHING RETURNING *",  # type: ignore[arg-type]
            ready,
        ).fetchone()

    def run(self, name: str, status: str = "in_progress", **cells: Any) -> int:
        """Insert a run and return its id."""
        row = self.insert(
            "public.training_runs",
            run_name=name,
            status=status,
            run_date=cells.pop("run_date", "2026-11-20 21:00"),
            base_model="anything-v5.safetensors",
            model_type="SD15",
            position_unit="epoch",
            max_train_epochs=10,
            network_dim=32,
            network_alpha=16,
            learning_rate=1e-4,
            unet_lr=1e-4,
            text_encoder_lr=5e-5,
            resolution="512x512",
            optimizer_type="AdamW8bit",
            lr_scheduler="cosine_with_restarts",
            num_images=204,
            caption_version="v3-hex",
            gpu_type="RTX 4090",
            **cells,
        )
        return int(row[0])

    def image(self, picture: Image.Image) -> str:
        """Store a picture with its thumbnail and return its name."""
        png = io.BytesIO()
        picture.save(png, "PNG")
        return str(self._store.put_image(png.getvalue()).sha256)

    def checkpoint(self, run_id: int, position: int, **cells: Any) -> str:
        """Insert a checkpoint and its weights and return the weights' name."""
        name = sha(f"weights {run_id} {position}")
        self.insert(
            "epochwatch.weights",
            sha256=name,
            kind="lora",
            family="sd1",
            layout="kohya",
            body_sha256=name,
            size_bytes=37_900_000,
            invalid_reason=cells.pop("invalid_reason", None),
        )
        self.insert(
            "epochwatch.checkpoints",
            run_id=run_id,
            sha256=name,
            drawn_as=name,
            position=position,
            epoch=position,
            file_name=cells.pop("file_name", f"punks-{position:06d}.safetensors"),
            source_path=f"/out/punks-{position:06d}.safetensors",
            host="pod-4090",
            admitted_at="2026-11-20 21:00+00",
            **cells,
        )
        return name

    def grid(
        self, run_id: int, purpose: str, position: int | None, weights: str | None, **job: Any
    ) -> tuple[int, str]:
        """Insert a grid with its job and return the grid's id and the stack's key."""
        stack = sha(f"stack {run_id} {weights}")
        row = self.insert(
            "epochwatch.grids",
            origin=f"{purpose}/{run_id}/{position}",
            run_id=run_id,
            purpose=purpose,
            position=position,
            body={"sha256": weights} if weights else {},
            planned_at="now()",
        )
        self.insert(
            "epochwatch.jobs", grid_id=row[0], stack_key=stack, base_sha256=sha("base"), **job
        )
        return int(row[0]), stack

    def slot(self, grid: int, stack: str, ordinal: int, prompt: str, name: str) -> str:
        """Insert a sample and its place in a grid and return its id."""
        sample = sha(f"{stack} {prompt} 42")
        self.insert(
            "epochwatch.samples",
            sample_id=sample,
            stack_key=stack,
            stack={"base": sha("base"), "loras": []},
            prompt=prompt,
            seed=42,
            recipe={"sampler": "dpm++ 2m", "steps": 30, "guidance": "7.50"},
        )
        self.insert(
            "epochwatch.grid_samples",
            grid_id=grid,
            sample_id=sample,
            stack_key=stack,
            ordinal=ordinal,
            prompt_name=name,
            category="portrait",
            origin=_ORIGINS[ordinal % 3],
            expect={},
            rubric=sha("rubric"),
        )
        return sample

    def drawn(self, sample: str, picture: Image.Image, average: float, background: str) -> None:
        """Insert an image and its measurement."""
        self.insert(
            "epochwatch.images",
            sample_id=sample,
            image_sha256=self.image(picture),
            width=96,
            height=96,
            seconds=1.9,
            host="pod-4090",
            created_at=self._next_moment(),
        )
        scores = [min(10.0, max(0.0, average + self._rng.uniform(-0.6, 0.6))) for _ in range(3)]
        self.insert(
            "epochwatch.measurements",
            sample_id=sample,
            rubric=sha("rubric"),
            visual=round(scores[0], 2),
            style=round(scores[1], 2),
            prompt=round(scores[2], 2),
            body=measured(scores, average, background),
        )

    def _next_moment(self) -> datetime:
        self._drawn += 1
        return datetime(2026, 11, 20, 21, tzinfo=UTC) + timedelta(seconds=2 * self._drawn)

    def test(
        self,
        run_id: int,
        position: int | None,
        weights: str | None,
        average: float,
        *,
        draw_only: int = 12,
        **job: Any,
    ) -> None:
        """Insert an epoch's test (position None: the baseline), ``draw_only`` of 12 drawn."""
        grid, stack = self.grid(
            run_id, "epoch" if weights else "baseline", position, weights, **job
        )
        for ordinal, (look, variation) in enumerate(looks()):
            prompt = caption(look)
            name = f"{look.hair} on {look.background}" if ordinal != 11 else HOSTILE
            sample = self.slot(
                grid, stack, ordinal, prompt if ordinal != 11 else f"{prompt} {HOSTILE}", name
            )
            quality = average + self._rng.uniform(-0.7, 0.7) if weights else 1.0
            if position == 2 and ordinal == 5:
                self.insert(
                    "epochwatch.images",
                    sample_id=sample,
                    defect="not a number: the picture came out black",
                    host="pod-4090",
                    created_at=self._next_moment(),
                )
            elif ordinal < draw_only:
                self.drawn(
                    sample,
                    sprite(look, variation, quality, self._rng),
                    quality,
                    COLORS[look.background],
                )

    def result(self, run_id: int, position: int, average: float, *, picked: bool = False) -> None:
        """Insert the owner's row of an epoch."""
        issues = (
            ["wrong_backgrounds", "random_pixels"]
            if average < 5
            else ["random_pixels"]
            if average < 7
            else []
        )
        self.insert(
            "public.epoch_results",
            training_run_id=run_id,
            epoch_number=position,
            num_test_images=12,
            visual_score=average + 0.2,
            style_score=average - 0.3,
            prompt_score=average + 0.1,
            average_score=average,
            verdict=verdict_of(average),
            picked=picked,
            issues_detail=issues,
            strengths_detail=["clean outlines"] if average > 7 else [],
            color_accuracy_score=round(average * 11, 1),
            style_quality_score=round(average * 10, 1),
            background_color="#50be50",
            unique_colors=round(40 - 3 * average),
        )

    def advise(self, run_id: int, body: Mapping[str, Any]) -> None:
        """Insert advice."""
        self.insert(
            "epochwatch.advice",
            run_id=run_id,
            evidence=sha(str(body)),
            sentence=body["sentence"],
            body=dict(body),
        )

    def score(self, run_id: int, position: int, judge: str, *scores: float, note: str = "") -> None:
        """Insert a person's score."""
        visual, style, prompt = scores
        self.insert(
            "epochwatch.scores",
            run_id=run_id,
            position=position,
            judge=judge,
            visual=visual,
            style=style,
            prompt=prompt,
            note=note,
        )


def measured(scores: list[float], average: float, background: str) -> dict[str, Any]:
    """Return a measurement's body."""

    def metric(value: float | None, high: float, words: str) -> dict[str, Any]:
        return {
            "value": value,
            "range": [0, high],
            "higher_is_better": True,
            "explanation": words,
            "version": 1,
        }

    return {
        "visual_quality": scores[0],
        "style_match": scores[1],
        "prompt_adherence": scores[2],
        "reasons": {},
        "metrics": {
            "color_accuracy": metric(
                round(average * 10.5, 1), 100, "Share of promised colors that the picture shows."
            ),
            "orphan_cells": metric(
                round(0.12 - average / 100, 3),
                1,
                "Cells unlike all their neighbors; 0.017 is usual for drawn art.",
            ),
            "palette_size": metric(
                round(38 - 3 * average), 64, "Colors after merging those no eye tells apart."
            ),
            "background_match": metric(
                round(min(100, average * 12), 1),
                100,
                f"The ring against the promised {background}.",
            ),
            "accessories": metric(None, 1, "Not measurable: no detector for a crown."),
        },
        "issues": ["random_pixels"] if average < 7 else [],
        "strengths": ["crisp cells"] if average > 7 else [],
        "background_hex": background,
        "unique_colors": round(40 - 3 * average),
    }


def advice_body(tested: int, pick: int, *, planned: int = 10) -> dict[str, Any]:
    """Return the advice a judge might give after ``tested`` epochs."""
    spread = {at: max(0.0, 1 - abs(at - pick) * 0.55) ** 3 for at in range(1, tested + 1)}
    total = sum(spread.values())
    curve = [
        {
            "position": at,
            "mean": AVERAGES[at],
            "low": AVERAGES[at] - (0.35 if at <= tested else 0.5 + 0.35 * (at - tested)),
            "high": AVERAGES[at] + (0.35 if at <= tested else 0.5 + 0.35 * (at - tested)),
            "future": at > tested,
        }
        for at in range(1, planned + 1)
    ]
    return {
        "label": "degrading",
        "status": "degrading",
        "pick": pick,
        "p_best": {str(at): round(share / total, 3) for at, share in spread.items()},
        "p_later_better": 0.06,
        "stop": True,
        "sentence": f"Stop. Epoch {pick} is best with {100 * spread[pick] / total:.0f} %. "
        f"Chance that epochs {tested + 1}-{planned} beat it by 0.25: 6 %. "
        "Saves 2 epochs (about 22 min, $0.16).",
        "reasons": [
            f"The average fell from {AVERAGES[pick]} at epoch {pick} to {AVERAGES[tested]} now.",
            "Random pixels came back in 5 of 12 pictures.",
            "Held-out prompts fell faster than seen ones.",
        ],
        "basis": f"12 prompts in each of {tested} epochs, paired by prompt and seed; "
        "not yet checked against your votes",
        "epochs_saved": 2,
        "estimated_best": [pick - 1, pick],
        "oscillating": False,
        "curve": curve,
    }


def seed(connection: psycopg.Connection[Any], store: Any) -> Seeded:
    """Write the whole history in one transaction and return the runs."""
    made = History(connection, store)
    live = made.run("punk-portraits-v7")
    made.insert("epochwatch.run_setups", run_id=live, base_sha256=sha("base"), price_per_hour=0.44)
    made.test(live, None, None, 1.0, finished_at="now()")
    for position in range(1, 9):
        weights = made.checkpoint(live, position)
        made.test(live, position, weights, AVERAGES[position], finished_at="now()")
        made.result(live, position, AVERAGES[position], picked=position == 7)
    made.test(
        live,
        9,
        made.checkpoint(live, 9),
        AVERAGES[9],
        draw_only=5,
        claimed_by="pod-4090",
        claimed_until="2099-01-01+00",
    )
    made.advise(live, advice_body(8, 7))
    made.score(live, 6, "Mara", 7, 8, 7)
    made.score(live, 7, "Mara", 9, 8, 9, note=f"eyes are right at last {HOSTILE}")
    made.score(live, 8, "Ivo", 8, 7, 8)
    for ordinal in range(3):
        look, variation = looks()[ordinal]
        made.insert(
            "epochwatch.trainer_samples",
            run_id=live,
            file_name=f"punks_e000008_{ordinal:02d}.png",
            epoch=8,
            ordinal=ordinal,
            image_sha256=made.image(sprite(look, variation, 6.8, random.Random(ordinal))),
        )
    hostile = made.run(HOSTILE, "completed", run_date="2026-11-18 10:00", notes=HOSTILE)
    for position in (1, 2, 3):
        made.test(
            hostile,
            position,
            made.checkpoint(hostile, position, file_name=f"{HOSTILE}.safetensors"),
            AVERAGES[position + 3],
            finished_at="now()",
        )
        made.result(hostile, position, AVERAGES[position + 3], picked=position == 3)
    blocked = made.run("blocked-run", "failed", run_date="2026-11-17 10:00")
    made.checkpoint(blocked, 1)
    made.insert(
        "epochwatch.run_setups",
        run_id=blocked,
        blocked_reason="No base model: looked for anything-v5 in /models and in the local caches. "
        "Pass --base-model PATH.",
    )
    parked = made.run("parked-run", "failed", run_date="2026-11-16 10:00")
    made.test(
        parked,
        1,
        made.checkpoint(parked, 1),
        5.0,
        draw_only=0,
        attempts=3,
        parked_reason="Three starts ended in a crash of the drawing process (out of GPU memory).",
    )
    _around(made, live)
    connection.execute("UPDATE epochwatch.rev SET n = n + 1")
    return Seeded(live=live, hostile=hostile, blocked=blocked, parked=parked)


def _around(made: History, live: int) -> None:
    made.insert(
        "epochwatch.hosts",
        name="pod-4090",
        state="drawing",
        doing="epoch 9 of punk-portraits-v7, picture 6 of 12",
        detail={"roots": {"/workspace/output": ["live", ""]}},
    )
    for number, (path, reason) in enumerate(
        (
            (
                f"/out/{HOSTILE}.safetensors",
                "The file ends before its last tensor: it was cut off. Save it again.",
            ),
            (
                "/out/old.ckpt",
                "A pickle can run programs when it is opened. Convert it to safetensors.",
            ),
        )
    ):
        made.insert(
            "epochwatch.sightings",
            host="pod-4090",
            path=path,
            root="/out",
            size_bytes=int(1.99 * _GB),
            mtime_ns=1,
            inode=number,
            state=("quarantined", "refused")[number],
            reason=reason,
        )
    made.insert(
        "epochwatch.actions",
        key=f"alert/{live}/stop",
        kind="alert",
        run_id=live,
        state="done",
        payload={
            "title": "Stop: epoch 7 is best",
            "body": "Epoch 7 is best with 82 %. The sheet is in the dashboard.",
        },
    )
    made.insert(
        "epochwatch.actions",
        key=f"alert/{live}/gate",
        kind="alert",
        run_id=live,
        state="failed",
        error="smtp: connection refused",
        payload={
            "title": "Green background by epoch 4",
            "body": f"Reached on 10 of 12 prompts. {HOSTILE}",
        },
    )


class MemoryStore:
    """Keeps images in memory; for tests that look at none."""

    def __init__(self) -> None:
        """Start empty."""
        self.kept: dict[str, bytes] = {}

    def put_image(self, png: bytes) -> Any:
        """Keep the bytes and return their name."""
        name = hashlib.sha256(png).hexdigest()
        self.kept[name] = png
        return SimpleNamespace(sha256=name)
