"""What several images tell together, on sets whose answers are known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from core.errors import Fixable
from core.metrics.color import MATCH, delta_e, lab
from core.metrics.set_level import (
    COPY_RATIO,
    TrainingCells,
    cell_similarity,
    color_similarity,
    differing,
    evenly,
    learn_training_cells,
    vendi_score,
)
from pictures import enlarged, portraits, with_random_cells


def _cells(count: int = 24) -> list[np.ndarray]:
    return [each.cells() for each in portraits()[:count]]


def _training(count: int = 24) -> TrainingCells:
    cells = _cells(count)
    found = learn_training_cells(cells, [f"{at}.png" for at in range(count)], 24, of=count)
    assert found is not None
    return found


def test_the_vendi_score_counts_different_images() -> None:
    """All alike are one, all different are n, two groups of three are two."""
    groups = np.kron(np.eye(2), np.ones((3, 3)))

    assert vendi_score(np.ones((8, 8))) == pytest.approx(1)
    assert vendi_score(np.eye(8)) == pytest.approx(8)
    assert vendi_score(groups) == pytest.approx(2)


def test_a_similarity_that_is_no_kernel_still_has_a_score() -> None:
    """Color tolerance is not transitive, so a small negative eigenvalue counts as nothing."""
    odd = np.array([[1, 1, 0], [1, 1, 1], [0, 1, 1]], dtype=float)

    assert np.linalg.eigvalsh(odd).min() < 0
    assert 1 <= vendi_score(odd) <= 3


def test_images_drawn_alike_are_less_diverse() -> None:
    """The same portrait with a little noise is about one image, twelve portraits are many."""
    rng = np.random.default_rng(1)
    one = _cells(1)[0].astype(int)
    alike = np.stack([(one + rng.integers(-4, 5, one.shape)).clip(0, 255) for _ in range(8)])
    many = np.stack(_cells(8))

    for similarity in (cell_similarity, color_similarity):
        few = vendi_score(similarity(alike.astype(np.uint8)))
        assert few < 1.1
        assert vendi_score(similarity(many)) > 2 * few


def test_the_short_cut_over_lightness_changes_no_answer() -> None:
    """Colors far apart in lightness are skipped, never misjudged."""
    rng = np.random.default_rng(2)
    first, others = (
        lab(rng.integers(0, 256, size, dtype=np.uint8)) for size in ((500, 3), (6, 500, 3))
    )

    assert (differing(first, others) == (delta_e(first, others) > MATCH)).all()


def test_a_training_image_is_its_own_copy() -> None:
    """Also after noise that no eye sees; its name is told."""
    training = _training()
    noisy = (training.cells[5].astype(int) + 2).clip(0, 255).astype(np.uint8)

    found = training.nearest(noisy)

    assert found is not None
    assert (found.name, found.is_copy) == ("5.png", True)
    assert found.whole == pytest.approx(0, abs=0.01)


def test_the_figure_on_another_background_is_a_copy_too() -> None:
    """Backgrounds dominate the distance, so the cells inside the border count by themselves."""
    training = _training()
    copy = training.cells[7].copy()
    ring = copy[0, 0].copy()
    copy[0, :], copy[:, 0], copy[:, -1] = (255 - ring,) * 3

    found = training.nearest(copy)

    assert found is not None
    assert found.whole > training.whole
    assert found.inside == 0
    assert found.is_copy


def test_an_image_of_its_own_is_no_copy() -> None:
    """Half of its cells are new."""
    training = _training()

    found = training.nearest(with_random_cells(training.cells[0], 0.5))

    assert found is not None
    assert not found.is_copy
    assert training.nearest(training.cells[0][:12]) is None


def test_training_images_seldom_copy_each_other() -> None:
    """By its definition, about one in a hundred lies below the limit."""
    cells = _cells(60)
    training = _training(60)
    flagged = 0
    for at in range(60):
        rest = [cell for other, cell in enumerate(cells) if other != at]
        less = TrainingCells(
            cells=np.stack(rest), names=("x",) * 59, of=59, whole=training.whole, inside=0.0
        )
        found = less.nearest(cells[at])
        flagged += found is not None and found.is_copy

    assert flagged <= 3


def test_one_training_image_tells_nothing() -> None:
    """What is near to it is not known to be farther from anything else."""
    one = _cells(1)

    assert learn_training_cells(one, ["x"], 24, of=1) is None
    assert learn_training_cells([], [], 24, of=0) is None


def test_a_handful_of_training_images_is_enough_to_find_copies() -> None:
    """A copy is far nearer to one than to any other, also with a tenth of its cells off."""
    training = _training(6)

    copy = training.nearest(with_random_cells(training.cells[2], 0.1))
    own = training.nearest(with_random_cells(training.cells[2], 0.5))

    assert training.ratio == COPY_RATIO
    assert copy is not None
    assert (copy.name, copy.is_copy) == ("2.png", True)
    assert own is not None
    assert not own.is_copy


def test_large_training_images_are_read_as_cells() -> None:
    """A set at 96 pixels gives the cells it was made from; one of another shape is left out."""
    cells = _cells(21)
    large = [enlarged(each, 96) for each in cells]

    names = [str(at) for at in range(22)]
    found = learn_training_cells([*large, large[0][:48]], names, 24, of=22)

    assert found is not None
    assert (found.cells == np.stack(cells)).all()
    assert found.of == 22


def test_they_survive_being_stored() -> None:
    """As JSON, packed; a broken body says what to do."""
    training = _training()

    again = TrainingCells.from_json(json.loads(json.dumps(training.as_json())))

    assert (again.cells == training.cells).all()
    assert (again.whole, again.inside, again.ratio, again.names) == (
        training.whole,
        training.inside,
        training.ratio,
        training.names,
    )
    earlier = {name: value for name, value in training.as_json().items() if name != "ratio"}
    assert TrainingCells.from_json(earlier).ratio == 0
    with pytest.raises(Fixable, match="--data"):
        TrainingCells.from_json({**training.as_json(), "rgb": "eA=="})


def test_a_large_set_is_thinned_evenly() -> None:
    """First and last stay, and what is small enough stays whole."""
    assert evenly(range(10), 4) == (0, 3, 6, 9)
    assert evenly("abc", 4) == ("a", "b", "c")
    assert evenly((), 4) == ()
