"""Which parts of a score say the same: a few votes cannot tell the weights of twins apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from core.rules.one_thread import Floats

MOST_PARTS = 6
ALIKE = 0.9  # correlation from which two parts are one


def merge_parts(parts: Floats, default: Floats) -> Floats:
    """Return (k, parts): how each of at most six merged parts is made of the given ones.

    ``parts`` is (votes, parts), ``default`` their default weights. Those that hardly vary are left
    to the largest one, so that they keep their share of it; each row sums to 1.
    """
    groups = [[at] for at in range(parts.shape[1])]
    varied = [group for group in groups if parts[:, group[0]].std() > 1e-9]
    still = [group[0] for group in groups if group not in varied]
    if not varied:
        return np.asarray((default / default.sum())[None])
    while len(varied) > 1:
        first, second, alike = _most_alike(parts, default, varied)
        if alike <= ALIKE and len(varied) <= MOST_PARTS:
            break
        varied[first] = [*varied[first], *varied[second]]
        del varied[second]
    rows = np.zeros((len(varied), parts.shape[1]))
    for row, group in zip(rows, varied, strict=True):
        row[group] = default[group]
    rows[int(rows.sum(axis=1).argmax()), still] = default[still]
    return np.asarray(rows / rows.sum(axis=1, keepdims=True))


def _most_alike(parts: Floats, default: Floats, groups: list[list[int]]) -> tuple[int, int, float]:
    """Return the two groups with the highest correlation."""
    means = np.stack([parts[:, group] @ default[group] for group in groups])
    alike = np.where(np.eye(len(means), dtype=bool), -np.inf, np.corrcoef(means))
    first, second = np.unravel_index(int(alike.argmax()), alike.shape)
    return min(int(first), int(second)), max(int(first), int(second)), float(alike.max())
