"""Seeing things such as a crown: a logistic probe on the cells, learned from captioned images.

A probe says how well it does on images it was not fitted to, and is used only where that is well.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from scipy import ndimage, optimize, special

from core.metrics.color import Bools, Bytes, Floats, oklab
from core.metrics.proof import GOOD_ENOUGH, Proof, prove, youden_threshold

FEWEST_EXAMPLES = 15  # with the thing, and as many without it
_FOLDS = 5
_RIDGE = 1e-3  # for features whose mean square is 1
_LEAST_SPREAD = 0.02  # in OKLab: a cell that hardly ever changes must not shout when it does
_PATCH = 3  # cells a side: what sits a cell off is still seen
_REACHED = 0.9  # of the training images are seen for certain
_STEP = 1e-9  # a score lies on one side of the threshold, where the two kinds of images overlap


@dataclass(frozen=True, kw_only=True)
class Seer:
    """What any means to see one thing knows of it: its proof, and the scale of its scores."""

    positives: int  # training images whose caption names the thing
    negatives: int
    proof: Proof | None = None  # on images nothing was fitted to; None with too few examples
    nothing: float = 0.0  # scores: nine in ten images without the thing stay below
    threshold: float = 0.0
    surely: float = 0.0  # nine in ten images with the thing reach it

    def points_of(self, score: float) -> float:
        """Return 0-100 for a score, 50 at the threshold. Meaningless when not proven."""
        ends = [
            min(self.nothing, self.threshold - _STEP),
            self.threshold,
            max(self.surely, self.threshold + _STEP),
        ]
        return float(np.interp(score, ends, [0.0, 50.0, 100.0]))

    def as_json(self) -> dict[str, Any]:
        """Return the form that is stored and digested."""
        body = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return body | {"proof": self.proof.as_json() if self.proof else None}

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Self:
        """Build it back from ``as_json``. Raises KeyError or TypeError for another body."""
        proof = Proof.from_json(body["proof"]) if body["proof"] else None
        return cls(**{**body, "proof": proof})


@dataclass(frozen=True, kw_only=True)
class Probe(Seer):
    """Weights for the cells, learned from images with the thing and without it."""

    weights: str = ""  # (rows, columns, 3) float16 for OKLab cells, base64; "" when not proven
    bias: float = 0.0

    @property
    def why_not(self) -> str | None:
        """Why this thing is not measurable, or None when it is."""
        if self.proof is None:
            return (
                f"{self.positives} training captions name it and {self.negatives} do not; "
                f"{FEWEST_EXAMPLES} of each are needed to learn to see it"
            )
        if not self.proof.holds:
            return (
                f"what was learned from {self.positives} training images with it cannot tell them "
                f"from the others ({self.proof.said}; {GOOD_ENOUGH} is needed)"
            )
        return None

    def points(self, cells: Bytes) -> float | None:
        """Return 0-100 for (rows, columns, 3) cells, or None when another shape was learned.

        100 is what nine in ten training images with the thing reach, 0 what nine in ten without
        it stay below, 50 the threshold. Meaningless when not proven.
        """
        weights = np.frombuffer(base64.b64decode(self.weights), dtype="<f2").astype(np.float64)
        if weights.size != cells.size:
            return None
        score = float(weights @ oklab(cells).reshape(-1)) + self.bias
        return self.points_of(score)

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Self:
        """Build it back from ``as_json``. Raises KeyError, TypeError or ValueError for another."""
        base64.b64decode(body["weights"], validate=True)
        return super().from_json(body)


def learn_probe(cells: Sequence[Bytes], labels: Sequence[bool]) -> Probe:
    """Learn from (rows, columns, 3) cells of one shape which of them show a thing.

    Five folds give the scores that the proof and the threshold rest on; the probe that is kept is
    fitted to all images. Deterministic.
    """
    truth = np.asarray(labels, dtype=bool)
    found = Probe(positives=int(truth.sum()), negatives=int((~truth).sum()))
    if min(found.positives, found.negatives) < FEWEST_EXAMPLES:
        return found
    seen = oklab(np.stack(cells))
    scores = _scores_left_out(seen, truth)
    found = replace(found, proof=prove(scores[truth], scores[~truth]))
    if found.why_not:
        return found
    weights, bias = _fit(seen, truth)
    nothing, threshold, surely = (round(mark, 4) for mark in scale_of(scores, truth))
    return replace(
        found,
        weights=base64.b64encode(weights.astype("<f2").tobytes()).decode("ascii"),
        bias=round(bias, 4),
        nothing=nothing,
        threshold=threshold,
        surely=surely,
    )


def scale_of(scores: Floats, truth: Bools) -> tuple[float, float, float]:
    """Return the scores that become 0, 50 and 100 points, from (n,) images with known truth.

    Nine in ten without the thing stay below the first, nine in ten with it reach the last.
    """
    return (
        float(np.quantile(scores[~truth], _REACHED)),
        youden_threshold(scores, truth),
        float(np.quantile(scores[truth], 1 - _REACHED)),
    )


def _scores_left_out(seen: Floats, truth: Bools) -> Floats:
    """Return (n,) scores, each by a probe that was not fitted to that image."""
    dice = np.random.default_rng(0)
    fold = np.empty(len(truth), dtype=int)
    for side in (truth, ~truth):  # as many positives in every fold
        fold[side] = dice.permutation(int(side.sum())) % _FOLDS
    scores = np.empty(len(truth))
    for out in range(_FOLDS):
        weights, bias = _fit(seen[fold != out], truth[fold != out])
        scores[fold == out] = seen[fold == out].reshape(-1, weights.size) @ weights + bias
    return scores


def _fit(seen: Floats, truth: Bools) -> tuple[Floats, float]:
    """Return the weights (rows * columns * 3,) and the bias of a ridge logistic regression.

    Both classes weigh the same. Features are the standardized cells and their 3x3 patches; as
    patches are sums of cells, their weights fold back into those of the cells.
    """
    center, patches = seen.mean(axis=0), _patches(seen)
    spread = seen.std(axis=0) + _LEAST_SPREAD
    wide = patches.std(axis=0) + _LEAST_SPREAD
    blocks = [(seen - center) / spread, (patches - patches.mean(axis=0)) / wide]
    kernel = np.zeros((len(seen), len(seen)))
    scales = []
    for block in blocks:
        gram = np.einsum("iyxc,jyxc->ij", block, block, optimize=True)
        scales.append(max(float(np.trace(gram)) / len(seen), 1e-12))
        kernel += gram / scales[-1] / 2
    parts, bias = _solve(kernel, truth)
    of_cells = np.tensordot(parts, blocks[0], axes=1) / scales[0] / 2 / spread
    of_patches = np.tensordot(parts, blocks[1], axes=1) / scales[1] / 2 / wide
    weights = of_cells + _patches_transposed(of_patches)
    return weights.reshape(-1), bias - float((weights * center).sum())


def _patches(seen: Floats) -> Floats:
    """Return the mean of the 3x3 cells around each; beyond the border lies nothing."""
    return ndimage.uniform_filter(seen, (0, _PATCH, _PATCH, 0), mode="constant")


def _patches_transposed(weights: Floats) -> Floats:
    """Return weights of patches as weights of cells: with nothing beyond the border, the same sum."""
    return ndimage.uniform_filter(weights, (_PATCH, _PATCH, 0), mode="constant")


def _solve(kernel: Floats, truth: Bools) -> tuple[Floats, float]:
    """Return what each of n images adds, and the bias, for an (n, n) kernel: ridge by L-BFGS."""
    sign = np.where(truth, 1.0, -1.0)
    weight = np.where(truth, 0.5 / truth.sum(), 0.5 / (~truth).sum())

    def loss(parameters: Floats) -> tuple[float, Floats]:
        parts, bias = parameters[:-1], parameters[-1]
        moved = kernel @ parts
        margin = sign * (moved + bias)
        pull = -sign * weight * special.expit(-margin)
        value = weight @ np.logaddexp(0, -margin) + _RIDGE / 2 * parts @ moved
        return float(value), np.append(kernel @ (pull + _RIDGE * parts), pull.sum())

    start = np.zeros(len(truth) + 1)
    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 300})
    return found.x[:-1], float(found.x[-1])
