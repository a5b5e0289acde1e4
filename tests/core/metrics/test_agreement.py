"""The automatic score against blind votes on images that the demo drew while it trained."""

from __future__ import annotations

import pytest

from core.rules.calibration import agreement_of
from tests.bench.agreement import pair_votes, read_votes, separation


def test_the_score_sides_with_blind_votes() -> None:
    """At least sixty decided votes on pictures that are here to be looked at again."""
    votes = pair_votes(read_votes(), profile=None)
    found = agreement_of(votes)
    assert found is not None
    assert found.votes >= 60
    assert found.low >= 0.8


@pytest.mark.parametrize("worse", ["base", "early", "over-trained"])
def test_the_best_epoch_is_told_from_what_is_worse(worse: str) -> None:
    """On the same prompt it scores higher at least three times in four."""
    assert separation(read_votes(), profile=None)["best", worse] >= 0.75
