"""Whoever changes what an image gets raises a version, so that history can be scored anew."""

from functools import cache
from itertools import chain

import numpy as np
import pytest

from core.metrics import ISSUES, METRICS, SCORES, explained, learn_profile, measure, metric_versions
from core.metrics.tables import ISSUE_VERSIONS
from core.nouns import Measurement
from core.rules.planning import rubric_digest
from pictures import Bytes, Portrait, enlarged, portraits, with_random_cells

ONE = Portrait()
STEPS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.6, 1.0)


def _grounded(share: float) -> Bytes:
    """Return the portrait with a share of its background, from the left on, in another color."""
    cells = ONE.cells()
    ground = np.argwhere((cells == cells[0, 0]).all(axis=-1))
    ground = ground[np.argsort(ground[:, 1], kind="stable")][: round(share * len(ground))]
    cells[ground[:, 0], ground[:, 1]] = (140, 70, 180)
    return cells


def _haired(share: float) -> Bytes:
    """Return the portrait with a share of its hair, from the left on, in another color."""
    cells, other = ONE.cells(), Portrait(hair="#3c5adc").cells()
    hair = np.argwhere((cells != other).any(axis=-1))
    hair = hair[np.argsort(hair[:, 1], kind="stable")][: round(share * len(hair))]
    cells[hair[:, 0], hair[:, 1]] = other[hair[:, 0], hair[:, 1]]
    return cells


LADDERS = {
    "stray cells": lambda share: with_random_cells(ONE.cells(), share),
    "wrong background": _grounded,
    "wrong hair": _haired,
}

# What every step of every ladder gets under a version of a score ...
KNOWN_SCORES: dict[tuple[str, int], str] = {
    ("visual_quality", 2): (
        "10.0 9.31 8.52 7.03 5.56 4.85 3.68 2.95 "
        "10.0 9.75 9.36 9.11 9.04 8.96 8.96 10.0 "
        "10.0 9.97 9.91 9.81 9.59 9.31 9.19 10.0"
    ),
    ("style_match", 1): "10.0 10.0 9.69 9.3 8.94 8.66 8.41 8.22" + 16 * " 10.0",
    ("prompt_adherence", 3): (
        "10.0 9.79 9.5 9.09 8.54 6.5 3.38 0.9 "
        "10.0 9.67 9.14 8.81 8.71 8.62 8.05 6.67 "
        "10.0 9.95 9.84 9.69 9.32 8.85 8.02 6.67"
    ),
}
# ... and the steps of the three ladders that raise a flag under a version of it.
KNOWN_FLAGS: dict[tuple[str, int], tuple[str, str, str]] = {
    ("wrong_background", 3): ("7", "67", ""),
    ("noisy_background", 1): ("567", "3456", ""),
    ("wrong_colors", 3): ("67", "", "67"),
    ("misplaced_color", 3): ("7", "6", ""),
    ("two_toned_hair", 2): ("4567", "", "456"),
    ("random_pixels", 1): ("234567", "", ""),
    ("too_many_colors", 1): ("1234567", "", ""),
}


@cache
def measured() -> dict[str, tuple[Measurement, ...]]:
    """Return what each step of each ladder measures."""
    drawn = portraits()
    known = learn_profile([one.cells() for one in drawn], [one.expect for one in drawn], 24)
    return {
        name: tuple(
            measure(enlarged(spoil(step), 192), expect=ONE.expect, grid=24, profile=known)
            for step in STEPS
        )
        for name, spoil in LADDERS.items()
    }


@pytest.mark.parametrize("name", SCORES)
def test_a_score_that_changes_has_another_version(name: str) -> None:
    """If this fails on purpose: raise the version in SCORES, then note the new numbers here."""
    found = [getattr(each, name) for each in chain.from_iterable(measured().values())]
    known = [float(each) for each in KNOWN_SCORES[name, SCORES[name].version].split()]

    assert found == pytest.approx(known, abs=0.006)


@pytest.mark.parametrize("name", [name for name, _ in KNOWN_FLAGS])
def test_a_flag_that_is_raised_elsewhere_has_another_version(name: str) -> None:
    """If this fails on purpose: raise it in ISSUE_VERSIONS, then note the new steps here."""
    found = tuple(
        "".join(str(step) for step, each in enumerate(ladder) if name in each.issues)
        for ladder in measured().values()
    )

    assert found == KNOWN_FLAGS[name, ISSUE_VERSIONS[name]]


def test_every_metric_score_and_issue_has_a_version_of_its_own() -> None:
    """No name is used twice, so that no version hides another one."""
    names = [*METRICS, *SCORES, *ISSUES]

    assert len(names) == len(set(names))
    assert set(metric_versions()) == set(names)


@pytest.mark.parametrize("name", ["visual_quality", "two_toned_hair", "tones"])
def test_raising_any_version_makes_another_rubric(name: str) -> None:
    """So `epochwatch rescore` finds what was measured before it."""
    versions = metric_versions()
    newer = {**versions, name: versions[name] + 1}

    assert rubric_digest(newer, ONE.expect, "") != rubric_digest(versions, ONE.expect, "")


def test_scores_and_flags_explain_themselves() -> None:
    """Direction, range, explanation and version for a score; a score without a number says why."""
    told = explained(measured()["wrong hair"][-1])
    blank = explained(measure(np.zeros((96, 96, 3), np.uint8), expect=ONE.expect, grid=24))

    assert told["scores"]["visual_quality"] == {
        "value": 10.0,
        "range": [0.0, 10.0],
        "higher_is_better": True,
        "explanation": "few stray cells .35, solid background .25, purity .20, flat cells .20",
        "version": 2,
    }
    assert told["flags"]["wrong_colors"] == {
        "raised": True,
        "explanation": ISSUES["wrong_colors"],
        "version": 3,
    }
    assert blank["scores"]["style_match"]["value"] is None
    assert "one single color" in blank["scores"]["style_match"]["explanation"]
