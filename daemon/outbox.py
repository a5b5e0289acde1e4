"""Brings drawn images home: files first, then rows, then the files go.

`out/<sample id>.png` with its `.json` is the journal of the generator. The same function runs after each
image, after a restart, and when a database that was away is back.
"""

from __future__ import annotations

import io
import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from core.errors import Fixable
from core.metrics import TrainingProfile, measure, shrink_to_cells
from core.metrics.look import COLOR_CELLS
from core.nouns import Expectation, Measurement
from core.rules.composite import with_weights
from core.store import set_level, weightings
from core.store.database import Connection, Database, Row, bump, row, rows, run
from core.store.files import ImageStore
from core.store.image_bytes import on_white
from daemon.scorers.detecting import Detecting


@dataclass(kw_only=True)
class Outbox:
    """Where finished images wait, and where they go."""

    folder: Path
    database: Database
    store: ImageStore
    host: str
    detecting: Detecting = field(default_factory=Detecting)
    _profiles: dict[str, TrainingProfile] = field(default_factory=dict)

    def waiting(self) -> list[Path]:
        """Return the finished images that are not in the database yet, oldest first."""
        return sorted(self.folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)

    def put_defect(self, sample_id: str, reason: str) -> None:
        """Note that a sample has no picture, and why, as if it were one."""
        manifest = self.folder / f"{sample_id}.json"
        half = manifest.with_suffix(".part")
        half.write_text(json.dumps({"sample_id": sample_id, "defect": reason}), encoding="utf-8")
        half.replace(manifest)

    def bring_home(self, manifest: Path) -> None:
        """Store one image, its row and its measurements, then remove the pair.

        Raises Retryable when database or store is away: the pair stays and nothing is lost.
        """
        facts = json.loads(manifest.read_text(encoding="utf-8"))
        picture = manifest.with_suffix(".png")
        defect = facts.get("defect")
        png = None if defect else picture.read_bytes()
        stored = self.store.put_image(png) if png else None
        pixels = pixels_of(png) if png else None
        with self.database.transaction() as connection:
            run(
                connection,
                "results.add_image",
                sample_id=facts["sample_id"],
                image_sha256=stored.sha256 if stored else None,
                defect=defect,
                width=pixels.shape[1] if pixels is not None else None,
                height=pixels.shape[0] if pixels is not None else None,
                seconds=facts.get("seconds"),
                host=self.host,
                provenance=facts.get("provenance", {}),
            )
            if pixels is not None:
                self._measure_wishes(connection, facts["sample_id"], pixels)
            bump(connection)
        manifest.unlink(missing_ok=True)
        picture.unlink(missing_ok=True)

    def measure_again(self, connection: Connection, sample: Row) -> None:
        """Measure an image that is drawn and lacks a measurement under some rubric."""
        pixels = pixels_of(self.store.get("images", sample["image_sha256"]))
        self._measure_wishes(connection, sample["sample_id"], pixels)

    def _measure_wishes(
        self, connection: Connection, sample_id: str, pixels: np.ndarray[Any, Any]
    ) -> None:
        wishes = rows(connection, "grids.wishes_for_sample", sample_id=sample_id)
        for wish in wishes:
            self.measure_under(connection, sample_id, wish, pixels)
        if wishes:
            keep_cells(connection, sample_id, pixels, wishes[0]["recipe"].get("grid"))

    def measure_under(
        self,
        connection: Connection,
        sample_id: str,
        wish: Row,
        pixels: np.ndarray[Any, Any],
        *,
        keep: bool = True,
    ) -> Measurement:
        """Measure an image under one rubric, return it, and store it unless it is a trial.

        ``wish`` has the rubric with its expectation, profile and weighting, and the recipe.
        """
        expect = Expectation.from_json(wish["expect"])
        profile = self.profile(connection, wish["profile"])
        measured = measure(
            pixels,
            expect=expect,
            grid=wish["recipe"].get("grid"),
            profile=profile,
            finishing=wish["recipe"].get("finishing", "cells"),
            detected=self.detecting.see(profile, pixels),
        )
        weights = weightings.weights_called(connection, wish["weighting"])
        measured = with_weights(measured, weights, expect)
        if keep:
            _save(connection, sample_id, wish["rubric"], measured)
        return measured

    def profile(self, connection: Connection, key: str | None) -> TrainingProfile | None:
        """Return a stored profile, or None where there is none."""
        if key is None:
            return None
        if key not in self._profiles:
            found = row(connection, "results.document", digest=key)
            if found is None:
                return None
            self._profiles[key] = TrainingProfile.from_json(found["body"])
        return self._profiles[key]


def keep_cells(
    connection: Connection, sample_id: str, pixels: np.ndarray[Any, Any], grid: int | None
) -> None:
    """Keep the cells of an image, for what only several images tell together."""
    columns = grid or COLOR_CELLS
    if min(pixels.shape[:2]) >= columns:
        set_level.keep_cells(connection, sample_id, shrink_to_cells(pixels, columns))


def pixels_of(png: bytes) -> np.ndarray[Any, Any]:
    """Return (H, W, 3) uint8 pixels of PNG bytes, transparency laid on white."""
    with Image.open(io.BytesIO(png), formats=["PNG"]) as picture:
        return np.asarray(on_white(picture))


def pixels_of_file(path: Path) -> np.ndarray[Any, Any]:
    """Return (H, W, 3) uint8 pixels of a still image, turned as its EXIF says and viewers show it.

    Raises Fixable when the file is missing or no image that can be read.
    """
    try:
        with Image.open(path, formats=["PNG", "JPEG", "WEBP", "GIF", "BMP"]) as picture:
            return np.asarray(on_white(_upright(picture)))
    except (OSError, ValueError, Image.DecompressionBombError) as trouble:
        raise Fixable(f"{path} cannot be read as an image: {trouble}") from trouble


def _upright(picture: Image.Image) -> Image.Image:
    """Return a picture turned by its EXIF; as it is stored where that cannot be read."""
    try:
        return ImageOps.exif_transpose(picture)
    except (SyntaxError, ValueError, TypeError, KeyError, struct.error):
        return picture


def _save(connection: Connection, sample_id: str, rubric: str, measured: Measurement) -> None:
    run(
        connection,
        "results.add_measurement",
        sample_id=sample_id,
        rubric=rubric,
        visual=measured.visual_quality,
        style=measured.style_match,
        prompt=measured.prompt_adherence,
        body=measured.as_json(),
    )
