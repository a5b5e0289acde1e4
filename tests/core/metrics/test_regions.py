"""A region is where training images have it; a small one may lie a cell beside that."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from PIL import Image

from core.formats.caption_file import read_captions
from core.formats.prompt_text import expectation_from_text
from core.metrics import TrainingProfile, learn_profile, measure
from core.metrics.color import Bytes, rgb_of_hex
from core.metrics.color_words import paint, resolve
from core.metrics.regions import RegionMap, mapped_figures, settled
from core.nouns import Expectation
from daemon.demo.story import DATASET

_PURPLE, _SKIN = (140, 70, 180), (240, 200, 170)


def _map(rows: slice, columns: slice) -> RegionMap:
    probability = np.zeros((24, 24))
    probability[rows, columns] = 0.9
    return RegionMap(
        probability=tuple(map(tuple, probability.tolist())),
        images=40, match=100, closeness=100, hue=100, purity=100, area=0.01, second_tone=0,
    )  # fmt: skip


_LIPS, _HAIR = _map(slice(15, 17), slice(10, 14)), _map(slice(2, 8), slice(6, 18))


def _score(region: RegionMap, *, down: int, color: tuple[int, int, int] = _PURPLE) -> float:
    """Return the score of a face with the region in a color, so many cells lower than learned."""
    cells = np.full((24, 24, 3), _SKIN, dtype=np.uint8)
    cells[np.roll(region.weights > 0, down, axis=0)] = color
    painted, targets = paint([cells])[0], resolve("#8c46b4")
    return mapped_figures(painted, settled(painted, region, targets), targets).score


@pytest.mark.parametrize(("down", "score"), [(0, 100), (1, 100), (-1, 100), (3, 0)])
def test_small_regions_may_lie_a_cell_off(down: int, score: float) -> None:
    """Lips a cell lower are lips; three cells lower they are not where a mouth is."""
    assert _score(_LIPS, down=down) == pytest.approx(score)


def test_another_color_is_wrong_wherever_it_lies() -> None:
    """Looking a cell around finds no promise that was not kept."""
    assert _score(_LIPS, down=0, color=(40, 90, 220)) < 40
    assert _score(_LIPS, down=1, color=(40, 90, 220)) < 40


def test_large_regions_stay_where_they_were_learned() -> None:
    """Most of the hair is still there a cell lower, and says so by itself."""
    assert 80 < _score(_HAIR, down=1) < 100


def test_no_cell_of_a_region_leaves_the_picture() -> None:
    """At the border a move would drop cells, and a region of fewer cells is easier to fill."""
    corner = _map(slice(0, 2), slice(0, 4))
    cells = np.full((24, 24, 3), _SKIN, dtype=np.uint8)
    cells[0, :4] = _PURPLE
    painted, targets = paint([cells])[0], resolve("#8c46b4")

    assert settled(painted, corner, targets).weights.sum() == corner.weights.sum()


@cache
def _sprites() -> tuple[TrainingProfile, list[tuple[Bytes, Expectation]]]:
    """Return what every second sprite of the demo teaches, and 40 of the others."""
    told = []
    for each in read_captions(DATASET):
        with Image.open(each.path) as picture:
            cells = np.asarray(picture.convert("RGB"))
        expect = replace(expectation_from_text(each.caption), accessories=(), expression=None)
        told.append((cells, expect))
    learned = told[::2]
    profile = learn_profile([cells for cells, _ in learned], [said for _, said in learned], 24)
    return profile, told[1::2][:40]


def _with_wrong_hair(cells: Bytes, color: Bytes, share: float) -> Bytes:
    """Return cells with a share of their hair, from the left on, in the opposite color."""
    hair = np.argwhere(np.abs(cells.astype(int) - color).sum(axis=-1) < 60)
    hair = hair[np.argsort(hair[:, 1], kind="stable")][: round(share * len(hair))]
    spoiled = cells.copy()
    spoiled[hair[:, 0], hair[:, 1]] = 255 - color
    return spoiled


@pytest.mark.parametrize(
    ("share", "published"), [(0, 99), (0.25, 93), (0.5, 71), (0.75, 34), (1, 10)]
)
def test_partly_wrong_hair_scores_as_the_page_says(share: float, published: int) -> None:
    """Rare shapes of hair earn full marks too, and hair of which half is wrong does not."""
    profile, others = _sprites()
    scores = []
    for cells, expect in others:
        color = rgb_of_hex(dict(expect.regions)["hair"])
        pixels = _with_wrong_hair(cells, color, share).repeat(16, axis=0).repeat(16, axis=1)
        found = measure(pixels, expect=expect, grid=24, profile=profile).metrics["region_hair"]
        assert found.value is not None
        scores.append(found.value)

    assert np.mean(scores) == pytest.approx(published, abs=1)
