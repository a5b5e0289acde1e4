"""The finished picture: what is shipped is what is scored, and the other reading stays beside it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from core.errors import Fixable
from core.metrics import finish, measure
from core.nouns import Expectation


def noisy(seed: int = 1) -> np.ndarray:
    """Return 24 cells on 512 pixels in shades of green and red, with a noisy center each."""
    random = np.random.default_rng(seed)
    cells = np.full((24, 24, 3), (60, 190, 70), dtype=np.uint8)
    cells[8:16, 8:16] = (200, 40, 40)
    cells = np.clip(cells + random.integers(-6, 7, cells.shape), 0, 255).astype(np.uint8)
    image = Image.fromarray(cells).resize((512, 512), Image.Resampling.NEAREST)
    pixels = np.array(image)
    centers = ((np.arange(24) + 0.5) * 512 / 24).astype(int)
    pixels[np.ix_(centers, centers)] = random.integers(0, 256, (24, 24, 3))
    return pixels


def test_nearest_is_exactly_what_resizing_gives() -> None:
    """Pillow's own nearest neighbor on square and oblong pictures of odd sizes."""
    random = np.random.default_rng(2)
    for height, width, columns in ((512, 512, 24), (768, 512, 24), (333, 500, 31)):
        pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        small = finish(pixels, columns, "nearest")
        theirs = Image.fromarray(pixels).resize(small.shape[1::-1], Image.Resampling.NEAREST)
        assert np.array_equal(small, np.asarray(theirs))


def test_a_palette_holds_no_other_colors() -> None:
    """Given colors are the only ones; of its own there are at most as many as asked for."""
    small = finish(noisy(), 24, "cells, palette:#3cbe46 #c82828 #0000ff")
    assert {tuple(color) for color in small.reshape(-1, 3)} == {(60, 190, 70), (200, 40, 40)}
    own = finish(noisy(), 24, "palette:4")
    assert 2 <= len(np.unique(own.reshape(-1, 3), axis=0)) <= 4


def test_an_upscale_makes_squares_of_cells() -> None:
    """Every cell becomes a square of one color."""
    small, large = finish(noisy(), 24), finish(noisy(), 24, "cells, upscale:3")
    assert large.shape == (72, 72, 3)
    assert np.array_equal(large[1::3, 1::3], small)


def test_the_shipped_reading_is_scored_and_the_other_is_kept() -> None:
    """Noise at the centers spoils what nearest ships, and a palette mends it; both are told."""
    expect = Expectation(background="#3cbe46")
    plain = measure(noisy(), expect=expect, grid=24)
    nearest = measure(noisy(), expect=expect, grid=24, finishing="nearest")
    mended = measure(noisy(), expect=expect, grid=24, finishing="palette:#3cbe46 #c82828")
    assert plain.prompt_adherence == 10
    assert "unfinished_colors" not in plain.metrics
    assert nearest.prompt_adherence is not None
    assert nearest.prompt_adherence < 5
    assert nearest.metrics["finishing_shift"].value > 10
    assert nearest.metrics["unfinished_accuracy"].value == plain.metrics["color_accuracy"].value
    assert nearest.metrics["unfinished_colors"].value == plain.unique_colors
    assert nearest.metrics["grid_alignment"] == plain.metrics["grid_alignment"]
    assert mended.unique_colors == 2
    assert mended.metrics["background_closeness"].value == 100


def test_enlarging_changes_no_number() -> None:
    """The same cells, each a square: the same measurement."""
    expect = Expectation(background="#3cbe46")
    plain = measure(noisy(), expect=expect, grid=24)
    assert measure(noisy(), expect=expect, grid=24, finishing="cells, upscale:8") == plain


def test_without_a_grid_nothing_is_finished() -> None:
    """A photograph is measured as it is."""
    expect = Expectation(background="green")
    bare = measure(noisy(), expect=expect, grid=None)
    assert measure(noisy(), expect=expect, grid=None, finishing="palette:2") == bare


def test_a_finishing_that_is_not_understood_is_an_error() -> None:
    """Never a silent default."""
    with pytest.raises(Fixable, match="lanczos"):
        measure(noisy(), expect=Expectation(), grid=24, finishing="lanczos")
