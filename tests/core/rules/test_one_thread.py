"""The small linear algebra against the library's own."""

from __future__ import annotations

import numpy as np
import pytest

from core.rules import one_thread


@pytest.mark.parametrize("size", [1, 2, 7, 70])
def test_roots_and_solutions_are_the_librarys(size: int) -> None:
    """Roots, triangular solutions and products agree with numpy to rounding."""
    rng = np.random.default_rng(size)
    wide = rng.normal(size=(3, size, size + 2))
    matrices = one_thread.multiply(wide, wide.transpose(0, 2, 1)) + np.eye(size)
    right = rng.normal(size=(3, size, 4))
    roots = one_thread.cholesky(matrices)
    assert matrices == pytest.approx(wide @ wide.transpose(0, 2, 1) + np.eye(size))
    assert roots == pytest.approx(np.linalg.cholesky(matrices))
    assert one_thread.solve_lower(roots, right) == pytest.approx(np.linalg.solve(roots, right))


def test_nothing_times_nothing_is_zero() -> None:
    """A curve of one position has no steps to multiply."""
    assert one_thread.multiply(np.zeros((1, 0)), np.zeros((0, 1))).tolist() == [[0.0]]
