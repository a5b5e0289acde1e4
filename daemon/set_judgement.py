"""What all images of each position say together: diversity, copies of training images, the gap.

Reads kept cells and measurements; writes what came of them. Pictures are compared once a process.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog

from core.errors import Fixable
from core.metrics.set_level import (
    FEWEST_TRAINING,
    Nearest,
    TrainingCells,
    cell_similarity,
    color_similarity,
    vendi_score,
)
from core.rules.overfitting import FEWEST_SEEDS, EpochSet, SetImage, SetLevel, Spread, set_levels
from core.rules.scoring import average_of
from core.store import set_level
from core.store.database import Connection

if TYPE_CHECKING:
    from core.metrics.color import Bytes
    from core.tested import TestedEpoch

log = structlog.get_logger()

NO_TRAINING = (
    f"not measurable: no training images are known, or fewer than {FEWEST_TRAINING}; give the "
    "folder with --data DIR"
)


@dataclass(kw_only=True)
class SetJudge:
    """Judges whole positions; remembers what two pictures had in common."""

    _training: dict[str, TrainingCells | None] = field(default_factory=dict)
    _nearest: dict[tuple[str, str], Nearest | None] = field(default_factory=dict)
    _spreads: dict[tuple[str, ...], Spread] = field(default_factory=dict)

    def judge(
        self, connection: Connection, run_id: int, epochs: Mapping[int, TestedEpoch]
    ) -> dict[int, SetLevel]:
        """Return what each tested position of a run says as a whole, and store it."""
        key, training = self._training_of(connection, run_id)
        samples = [found["sample_id"] for epoch in epochs.values() for found, _ in epoch.measured]
        cells = set_level.cells_of(connection, samples)
        sets = [
            EpochSet(
                position=position,
                images=tuple(self._images(epoch, cells, key, training)),
                spreads=tuple(self._spreads_of(epoch, cells)),
            )
            for position, epoch in epochs.items()
        ]
        levels = set_levels(sets, no_training=NO_TRAINING)
        compared = {"kept": len(training.cells), "of": training.of} if training else None
        for position, level in levels.items():
            set_level.save(connection, run_id, position, {**level.as_json(), "training": compared})
        return levels

    def _training_of(self, connection: Connection, run_id: int) -> tuple[str, TrainingCells | None]:
        found = set_level.training_of(connection, run_id)
        if found is None:
            return "", None
        key, body = found
        if key not in self._training:
            try:
                self._training[key] = TrainingCells.from_json(dict(body))
            except Fixable as trouble:
                log.warning("training images", reason=str(trouble))
                self._training[key] = None
        return key, self._training[key]

    def _images(
        self,
        epoch: TestedEpoch,
        cells: Mapping[str, Bytes],
        key: str,
        training: TrainingCells | None,
    ) -> list[SetImage]:
        images = []
        for found, measurement in epoch.measured:
            near = self._near(found["sample_id"], cells, key, training)
            images.append(
                SetImage(
                    prompt=found["prompt_name"],
                    origin=found["origin"],
                    score=average_of(measurement),
                    is_copy=near.is_copy if near else None,
                    like=near.name if near and near.is_copy else "",
                )
            )
        return images

    def _near(
        self,
        sample_id: str,
        cells: Mapping[str, Bytes],
        key: str,
        training: TrainingCells | None,
    ) -> Nearest | None:
        if training is None or sample_id not in cells:
            return None
        if (key, sample_id) not in self._nearest:
            self._nearest[key, sample_id] = training.nearest(cells[sample_id])
        return self._nearest[key, sample_id]

    def _spreads_of(self, epoch: TestedEpoch, cells: Mapping[str, Bytes]) -> list[Spread]:
        by_prompt: dict[str, list[str]] = defaultdict(list)
        for found, _ in epoch.measured:
            if found["sample_id"] in cells:
                by_prompt[found["prompt_name"]].append(found["sample_id"])
        spreads = []
        for prompt, samples in by_prompt.items():
            shapes = {cells[sample].shape for sample in samples}
            if len(samples) >= FEWEST_SEEDS and len(shapes) == 1:
                spreads.append(self._spread(prompt, samples, cells))
        return spreads

    def _spread(self, prompt: str, samples: Sequence[str], cells: Mapping[str, Bytes]) -> Spread:
        key = (prompt, *sorted(samples))
        if key not in self._spreads:
            images: Any = np.stack([cells[sample] for sample in sorted(samples)])
            count = len(samples)
            self._spreads[key] = Spread(
                prompt=prompt,
                seeds=count,
                cells=vendi_score(cell_similarity(images)) / count,
                color=vendi_score(color_similarity(images)) / count,
            )
        return self._spreads[key]
