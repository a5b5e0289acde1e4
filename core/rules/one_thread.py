"""Linear algebra for stacks of small matrices that never leaves the calling thread.

The threads of a BLAS wait for each other in turn. On a busy machine that made one curve of 100
epochs take a second instead of 30 ms, and the order of its sums may change the last bits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_ALONE = 200_000  # multiplications; OpenBLAS starts threads above 262,144


def multiply(left: Floats, right: Floats) -> Floats:
    """Return left @ right for [..., n, m] and [..., m, k], in slices of rows."""
    rows = max(1, _ALONE // max(1, left.shape[-1] * right.shape[-1]))
    slices = [
        left[..., start : start + rows, :] @ right for start in range(0, left.shape[-2], rows)
    ]
    return np.concatenate(slices, axis=-2)


def cholesky(matrices: Floats) -> Floats:
    """Return the lower triangular roots of positive definite matrices [count, n, n]."""
    roots = np.zeros_like(matrices)
    for column in range(matrices.shape[-1]):
        known = roots[:, column:, :column]
        rest = matrices[:, column:, column] - np.einsum("kij,kj->ki", known, known[:, 0])
        roots[:, column:, column] = rest / np.sqrt(rest[:, :1])
    return roots


def solve_lower(roots: Floats, right: Floats) -> Floats:
    """Return roots^-1 @ right for lower triangular [count, n, n] and [count, n, m]."""
    found = np.empty_like(right)
    for row in range(right.shape[-2]):
        known = np.einsum("kj,kjm->km", roots[:, row, :row], found[:, :row])
        found[:, row] = (right[:, row] - known) / roots[:, row, row, None]
    return found
