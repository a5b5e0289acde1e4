"""What only several images tell together: how much they differ, and whether they copy training images.

Everything is compared cell by cell, so that neither noise nor size matters.
"""

import base64
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.errors import Fixable
from core.metrics.background import ring_mask
from core.metrics.cells import shrink_to_cells
from core.metrics.color import MATCH, Bools, Bytes, Floats, delta_e, lab, oklab

Item = TypeVar("Item")

FEWEST_TRAINING = 2  # images: a copy of one has to be far from another
ENOUGH_TRAINING = 20  # before "as close as training images are to each other" means anything
MOST_TRAINING = (
    400  # images that are kept, which takes some ten seconds; of larger sets an even choice
)
COPY_QUANTILE = 0.01  # closer than so many training images are to their nearest other one
COPY_CELLS = (
    0.15  # the most cells of a copy in another color: 2 % of sprites come so near by chance
)
COPY_RATIO = 1 / 3  # nearest to second nearest (Yoon et al. 2023; Gu et al. 2023)
_LIGHTNESS_WEIGHT = 1.75  # the most that CIEDE2000 divides a difference of lightness by


def differing(one: Floats, others: Floats) -> Bools:
    """Return (n, cells): which cells of CIELAB (cells, 3) have another color than in (n, cells, 3).

    Another color is one more than CIEDE2000 of 10 away.
    """
    first = np.broadcast_to(one, others.shape)
    far = np.abs(first[..., 0] - others[..., 0]) > _LIGHTNESS_WEIGHT * MATCH
    near = ~far
    far[near] = delta_e(first[near], others[near]) > MATCH
    return far


def cell_similarity(images: Bytes) -> Floats:
    """Return (n, n) of (n, rows, columns, 3): the share of cells that two images have alike."""
    colors = lab(images.reshape(len(images), -1, 3))
    alike = np.eye(len(images))
    for at in range(len(images) - 1):
        share = 1 - differing(colors[at], colors[at + 1 :]).mean(axis=1)
        alike[at, at + 1 :] = alike[at + 1 :, at] = share
    return alike


def color_similarity(images: Bytes) -> Floats:
    """Return (n, n) of (n, rows, columns, 3): the cosine of OKLab cells around middle gray.

    a and b count twice, as the eye has it. Unlike ``cell_similarity`` it sees small shifts.
    """
    points = (oklab(images) - np.array([0.5, 0.0, 0.0])) * np.array([1.0, 2.0, 2.0])
    flat = points.reshape(len(images), -1)
    flat = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
    return np.asarray(flat @ flat.T)


def vendi_score(similarity: Floats) -> float:
    """Return how many different images a set of n amounts to: 1 (all alike) to n.

    The exponential of the entropy of the eigenvalues of K/n (Friedman and Dieng 2023, "The Vendi
    Score"). A similarity that is no exact kernel may have negative ones; those count as 0.
    """
    values = np.linalg.eigvalsh(similarity / len(similarity))
    values = values[values > 1e-12]
    values = values / values.sum()
    return float(np.exp(-np.sum(values * np.log(values))))


@dataclass(frozen=True, kw_only=True)
class Nearest:
    """The training image most like an image; distances are shares of cells in another color."""

    name: str
    whole: float  # 0 the same, 1 nothing in common
    inside: float  # without the ring of border cells, since backgrounds dominate; its own nearest
    is_copy: bool  # far closer than training images are to each other, or than to any other


@dataclass(frozen=True, kw_only=True)
class TrainingCells:
    """The training images as cells, and how close they are to each other."""

    cells: Bytes  # (n, rows, columns, 3)
    names: tuple[str, ...]
    of: int  # images that there are; more than n when not all were kept
    whole: float  # the distance below which an image copies; 0 where they are too few to tell
    inside: float
    ratio: float = 0.0  # of nearest to second nearest, below which it copies too; 0: not used

    def nearest(self, image: Bytes) -> Nearest | None:
        """Return the training image nearest to (rows, columns, 3); None for another shape."""
        if image.shape != self.cells.shape[1:]:
            return None
        return self._nearest(differing(lab(image.reshape(-1, 3)), self._colors))

    @cached_property
    def _colors(self) -> Floats:
        """The cells as CIELAB (n, cells, 3), worked out once."""
        return lab(self.cells.reshape(len(self.cells), -1, 3))

    def _nearest(self, far: Bools) -> Nearest:
        within = ~ring_mask(*self.cells.shape[1:3]).reshape(-1)
        whole, inside = far.mean(axis=1), far[:, within].mean(axis=1)
        as_whole, as_inside = self._copies(whole, self.whole), self._copies(inside, self.inside)
        by = whole if as_whole else inside
        return Nearest(
            name=self.names[int(by.argmin())],
            whole=float(whole.min()),
            inside=float(inside.min()),
            is_copy=as_whole or as_inside,
        )

    def _copies(self, distances: Floats, limit: float) -> bool:
        """Return whether distances to all training images are those of a copy of one."""
        nearest = distances.min()
        if nearest == 0 or nearest < limit:
            return True
        if nearest >= COPY_CELLS or len(distances) < FEWEST_TRAINING:
            return False
        return bool(nearest < self.ratio * np.partition(distances, 1)[1])

    def as_json(self) -> dict[str, Any]:
        """Return the form that is stored; the cells are packed."""
        rows, columns = self.cells.shape[1:3]
        return {
            "rows": rows,
            "columns": columns,
            "names": list(self.names),
            "of": self.of,
            "whole": self.whole,
            "inside": self.inside,
            "ratio": self.ratio,
            "rgb": base64.b64encode(zlib.compress(self.cells.tobytes(), 6)).decode("ascii"),
        }

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Self:
        """Build it back from ``as_json``. Raises Fixable for a broken body."""
        try:
            raw = zlib.decompress(base64.b64decode(body["rgb"]))
            cells = np.frombuffer(raw, dtype=np.uint8)
            return cls(
                cells=cells.reshape(len(body["names"]), body["rows"], body["columns"], 3),
                names=tuple(body["names"]),
                of=int(body["of"]),
                whole=float(body["whole"]),
                inside=float(body["inside"]),
                ratio=float(body.get("ratio", 0.0)),  # kept by an earlier version: without
            )
        except (KeyError, TypeError, ValueError, zlib.error) as trouble:
            raise Fixable(
                f"The stored training images cannot be read ({trouble!r}), so copies of them "
                "cannot be found; start again with --data DIR."
            ) from trouble


def evenly(items: Sequence[Item], most: int = MOST_TRAINING) -> tuple[Item, ...]:
    """Return at most so many of the items, evenly spread over all of them."""
    chosen = np.unique(np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int))
    return tuple(items[at] for at in chosen)


def learn_training_cells(
    images: Iterable[Bytes], names: Sequence[str], columns: int, *, of: int
) -> TrainingCells | None:
    """Return training images (h, w, 3) uint8 as cells; None when fewer than two can be used.

    Images narrower than ``columns`` pixels or of another shape than most are left out. ``of`` is
    how many training images there are, of which these are a choice.

    From 20 on they tell themselves how close two of them come by chance. Fewer cannot; then a
    copy has 85 % of its cells in common with one and is three times as near to it as to any other
    (Yoon et al. 2023, "Diffusion Probabilistic Models Generalize when They Fail to Memorize"; Gu et
    al. 2023, "On Memorization in Diffusion Models"). Larger sets have that rule, too, stricter where
    their own images meet it by chance.
    """
    usable = [
        (shrink_to_cells(image, columns), name)
        for image, name in zip(images, names, strict=True)
        if min(image.shape[:2]) >= columns
    ]
    heights = [cells.shape[0] for cells, _ in usable]
    usual = max(set(heights), key=heights.count) if heights else 0
    usable = [(cells, name) for cells, name in usable if cells.shape[0] == usual]
    if len(usable) < FEWEST_TRAINING:
        return None
    cells = np.stack([cells for cells, _ in usable])
    whole, inside, ratio = 0.0, 0.0, COPY_RATIO
    if len(usable) >= ENOUGH_TRAINING:
        nearest = _to_each_other(cells)  # (whole or inside, nearest or second, n)
        whole, inside = (float(np.quantile(each[0], COPY_QUANTILE)) for each in nearest)
        shares = [each[0] / np.maximum(each[1], 1e-9) for each in nearest]
        ratio = min(COPY_RATIO, *(float(np.quantile(each, COPY_QUANTILE)) for each in shares))
    return TrainingCells(
        cells=cells,
        names=tuple(name for _, name in usable),
        of=of,
        whole=whole,
        inside=inside,
        ratio=ratio,
    )


def _to_each_other(cells: Bytes) -> Floats:
    """Return (2, 2, n): over all cells and inside the ring, each one's nearest and second nearest."""
    count = len(cells)
    within = ~ring_mask(*cells.shape[1:3]).reshape(-1)
    colors = lab(cells.reshape(count, -1, 3))
    apart: NDArray[np.float64] = np.ones((2, count, count))
    for at in range(count - 1):
        far = differing(colors[at], colors[at + 1 :])
        for kind, shares in enumerate((far.mean(axis=1), far[:, within].mean(axis=1))):
            apart[kind, at, at + 1 :] = apart[kind, at + 1 :, at] = shares
    return np.partition(apart, 1, axis=2)[..., :2].swapaxes(1, 2)
