"""Weights learned from simulated judges whose taste is known, and a default that stays when it is right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from core.rules.calibration import PairVote, agreement_of, calibrate, human_ceiling, pair_weight
from core.rules.composite import DEFAULT_WEIGHTS
from core.rules.merging_parts import MOST_PARTS, merge_parts

NAMES = tuple(DEFAULT_WEIGHTS)


def simulated(
    taste: Mapping[str, float],
    *,
    votes: int,
    seed: int,
    sharpness: float = 1.0,
    judges: int = 1,
    ties: float = 0.1,
) -> list[PairVote]:
    """Return votes of judges who weigh the parts by ``taste``; a quality common to all parts varies."""
    rng = np.random.default_rng(seed)
    found = []
    units = votes // judges
    for number in range(units):
        common = rng.normal(0, 0.8)
        a, b = (
            dict(zip(NAMES, np.clip(6 + side * common + rng.normal(0, 1.2, 8), 0, 10), strict=True))
            for side in (0.5, -0.5)
        )
        z = sharpness * 8 * sum(w * (a[n] - b[n]) for n, w in taste.items()) / sum(taste.values())
        z /= 4
        for judge in range(judges):
            better = float(rng.random() < 1 / (1 + np.exp(-z)))
            found.append(
                PairVote(
                    prompt=f"prompt {number % 15}",
                    unit=f"prompt {number % 15} {number // 15}",
                    judge=f"judge {judge}",
                    parts_a=a,
                    parts_b=b,
                    gap=sum(w * (a[n] - b[n]) for n, w in DEFAULT_WEIGHTS.items()),
                    outcome=0.5 if rng.random() < ties else better,
                    pair="7 8",
                )
            )
    return found


def ranked(
    taste: Mapping[str, float], *, rankings: int, places: int, seed: int, sharpness: float = 1.0
) -> list[PairVote]:
    """Return the pairs of rankings by Plackett and Luce's model, drawn with Gumbel noise."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(rankings):
        common = rng.normal(0, 0.8, places)
        images = [
            dict(zip(NAMES, np.clip(6 + each + rng.normal(0, 1.2, 8), 0, 10), strict=True))
            for each in common
        ]
        worth = [
            sharpness * 2 * sum(w * image[n] for n, w in taste.items()) / sum(taste.values())
            + rng.gumbel()
            for image in images
        ]
        for a, b in combinations(range(places), 2):
            found.append(
                PairVote(
                    prompt=f"prompt {number % 15}",
                    unit=f"prompt {number % 15} {number // 15}",
                    judge="ann",
                    parts_a=images[a],
                    parts_b=images[b],
                    gap=sum(w * (images[a][n] - images[b][n]) for n, w in DEFAULT_WEIGHTS.items()),
                    outcome=float(worth[a] > worth[b]),
                    pair=f"{a} {b}",
                    weight=pair_weight(places),
                )
            )
    return found


def test_a_ranking_of_k_counts_as_k_less_one_votes() -> None:
    """Thirty rankings of four are ninety votes, not a hundred and eighty, wherever votes count."""
    votes = ranked(DEFAULT_WEIGHTS, rankings=30, places=4, seed=2)

    found = calibrate(votes)

    assert (len(votes), found.decisive, found.units) == (180, 90, 30)
    assert found.default is not None
    assert found.default.votes == pytest.approx(90)
    few = calibrate(ranked({"promises": 1.0}, rankings=26, places=4, seed=2))
    assert "78 of 80 decisive votes" in few.reason
    assert [pair_weight(k) * k * (k - 1) / 2 for k in (2, 3, 4)] == pytest.approx([1, 2, 3])


def test_two_halves_are_one_vote() -> None:
    """A weight means so much of a vote: in the fit, in the intervals, and in every share."""
    whole = simulated({"few_strays": 1.0, "purity": 0.5}, votes=120, seed=8)
    halves = [replace(vote, weight=0.5) for vote in whole for _ in range(2)]

    one, two = calibrate(whole), calibrate(halves)

    assert one.weights is not None
    assert two.weights == pytest.approx(one.weights, abs=1e-4)
    assert two.decisive == one.decisive
    for name in ("gain", "gain_low", "gain_high"):
        assert getattr(two, name) == pytest.approx(getattr(one, name))
    for a, b in ((one.default, two.default), (one.learned, two.learned)):
        assert a is not None
        assert b is not None
        assert (b.hits, b.votes) == pytest.approx((a.hits, a.votes))
        assert (b.low, b.high) == pytest.approx((a.low, a.high))


def test_a_taste_is_recovered_from_rankings_alone() -> None:
    """What is read from all pairs of rankings is what they were drawn by."""
    found = calibrate(ranked({"few_strays": 1.0}, rankings=80, places=4, seed=3))

    assert found.adopt, found.reason
    assert found.weights is not None
    assert max(found.weights, key=lambda name: found.weights[name]) == "few_strays"  # type: ignore[index]


def test_rankings_never_pass_for_more_agreement_between_judges_than_they_are() -> None:
    """A pair of answers weighs as much as the lesser of them."""
    one = simulated(DEFAULT_WEIGHTS, votes=1, seed=1, ties=0.0)[0]
    half = replace(one, judge="b", weight=0.5, outcome=1.0)
    votes = [replace(one, judge="a", outcome=1.0), half, replace(half, judge="c", outcome=0.0)]

    assert human_ceiling(votes) == (pytest.approx(1 / 3), 1)


def test_a_taste_for_one_part_is_recovered_and_adopted() -> None:
    """Judges who look at stray cells alone are agreed with far more often by the learned weights."""
    found = calibrate(simulated({"few_strays": 1.0}, votes=240, seed=3))

    assert found.adopt, found.reason
    assert found.weights is not None
    assert max(found.weights, key=lambda name: found.weights[name]) == "few_strays"  # type: ignore[index]
    assert found.weights["few_strays"] > 3 * DEFAULT_WEIGHTS["few_strays"]
    assert sum(found.weights.values()) == pytest.approx(1, abs=1e-4)
    assert found.learned is not None
    assert found.default is not None
    assert found.learned.share > found.default.share + 0.05
    assert found.gain_low is not None
    assert found.gain_low > 0


def test_the_default_stays_when_it_is_right() -> None:
    """Over ten sets of votes by judges who agree with it, it is replaced once at most."""
    adopted = [
        calibrate(simulated(DEFAULT_WEIGHTS, votes=120, seed=seed)).adopt for seed in range(10)
    ]

    assert sum(adopted) <= 1


def test_learning_costs_little_when_the_default_is_right() -> None:
    """The pull to the default keeps what is learned from chance small."""
    lost = []
    for seed in range(6):
        found = calibrate(simulated(DEFAULT_WEIGHTS, votes=120, seed=50 + seed))
        assert found.gain is not None
        lost.append(found.gain)

    assert np.mean(lost) > -0.04


def test_few_votes_change_nothing_however_clear() -> None:
    """79 decisive votes are too few; the reason counts what is missing."""
    found = calibrate(simulated({"promises": 1.0}, votes=60, seed=1, ties=0.0))

    assert not found.adopt
    assert "60 of 80 decisive votes" in found.reason
    assert found.learned is not None


def test_few_prompts_change_nothing() -> None:
    """What holds on two prompts may hold on no other."""
    votes = [
        replace(vote, prompt=f"prompt {at % 2}", unit=f"{at}")
        for at, vote in enumerate(simulated({"promises": 1.0}, votes=120, seed=1))
    ]

    found = calibrate(votes)

    assert not found.adopt
    assert "2 of 5 prompts" in found.reason


def test_no_votes_are_no_crash() -> None:
    """Nothing is known, and that is said."""
    found = calibrate([])

    assert (found.default, found.learned, found.weights, found.adopt) == (None, None, None, False)


def test_votes_on_images_without_scores_are_left_out() -> None:
    """A picture that could not be measured is no evidence for or against the score."""
    votes = [replace(vote, gap=None) for vote in simulated(DEFAULT_WEIGHTS, votes=40, seed=1)]

    assert agreement_of(votes) is None
    assert calibrate(votes).decisive == 0


def test_an_equal_score_counts_as_half() -> None:
    """It says neither."""
    votes = simulated(DEFAULT_WEIGHTS, votes=40, seed=1, ties=0.0)

    found = agreement_of([replace(vote, gap=0.0) for vote in votes])

    assert found is not None
    assert found.share == 0.5


def test_the_ceiling_is_how_often_judges_agree() -> None:
    """Two judges of three who say the same are one agreeing pair of three."""
    one = simulated(DEFAULT_WEIGHTS, votes=1, seed=1)[0]
    votes = [replace(one, judge=j, outcome=o) for j, o in (("a", 1.0), ("b", 1.0), ("c", 0.0))]

    assert human_ceiling(votes) == (pytest.approx(1 / 3), 3)
    assert human_ceiling(votes[:1]) == (None, 0)


def test_objections_move_the_weights_and_are_never_counted() -> None:
    """They are no votes: no agreement, no ceiling, and not among the decisive."""
    votes = simulated(DEFAULT_WEIGHTS, votes=100, seed=9)
    wrong = [
        replace(
            vote, is_objection=True, outcome=float(vote.parts_a["purity"] > vote.parts_b["purity"])
        )
        for vote in simulated(DEFAULT_WEIGHTS, votes=100, seed=10)
    ]

    without, found = calibrate(votes), calibrate([*votes, *wrong])

    assert (found.decisive, found.objections) == (without.decisive, 100)
    assert found.default == without.default
    assert found.weights is not None
    assert without.weights is not None
    assert found.weights["purity"] > without.weights["purity"]


def test_parts_that_say_the_same_are_merged() -> None:
    """Twins share one weight, and never more than six are told apart."""
    rng = np.random.default_rng(0)
    parts = rng.normal(0, 1, (200, 8))
    parts[:, 3] = parts[:, 1] + rng.normal(0, 0.05, 200)
    parts[:, 5] = 0.0
    default = np.array([DEFAULT_WEIGHTS[name] for name in NAMES])

    merged = merge_parts(parts, default)

    assert len(merged) <= MOST_PARTS
    assert merged.sum(axis=1) == pytest.approx(np.ones(len(merged)))
    row = next(row for row in merged if row[1] > 0)
    assert row[3] > 0
    assert (merged > 0).sum() == 8
    spread = ((merged > 0) @ default) @ merged
    assert spread == pytest.approx(default)
