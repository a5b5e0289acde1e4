"""The paired trend: worked numbers, invariances, exactness, speed and calibration."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import Fixable
from core.rules import curve as trend
from core.rules.advice import advise
from core.rules.curve import fit
from core.rules.score_rows import OVERALL, ScoreRow
from core.rules.timeline import lay_out

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from random import Random

    from core.rules.one_thread import Floats


def overall(*scores: float) -> list[ScoreRow]:
    """Build one overall score an epoch."""
    return [ScoreRow(position=e, unit=OVERALL, score=s) for e, s in enumerate(scores, start=1)]


def table(scores: Floats) -> list[ScoreRow]:
    """Build rows of an array [epochs, prompts]; NaN where a prompt was not tested."""
    return [
        ScoreRow(position=epoch + 1, unit=f"p{unit:02}", score=float(score))
        for epoch, row in enumerate(scores)
        for unit, score in enumerate(row)
        if not np.isnan(score)
    ]


def noisy_run(truth: Floats, depth: Sequence[int], rng: np.random.Generator) -> list[ScoreRow]:
    """Draw scores around a true curve: noise sd 1, prompts sd 1.2, ``depth[e]`` prompts each."""
    scores = truth[:, None] + rng.normal(0, 1.2, 15) + rng.normal(0, 1, (len(truth), 15))
    for epoch, prompts in enumerate(depth):
        scores[epoch, prompts:] = np.nan
    return table(np.clip(scores, 0, 10))


def test_rising_scores_are_worth_waiting_for() -> None:
    """6, 7, 7 of ten epochs: improving with about 70 %, later better with about 0.8."""
    found = fit(overall(6, 7, 7), 10)
    assert found.p_slopes[2] == pytest.approx(0.70, abs=0.03)
    assert found.p_later_better == pytest.approx(0.82, abs=0.05)


def test_a_clear_peak_ends_the_wait() -> None:
    """5 to 9, then 8 and 6: degrading with about 97 %, nothing better later, use 7."""
    found = fit(overall(5, 6, 7, 7.5, 8, 8.5, 9, 8, 6), 10)
    assert found.p_slopes[0] == pytest.approx(0.97, abs=0.02)
    assert found.p_later_better < 0.03
    assert found.pick == 7
    assert found.window == (6, 7)


def test_a_plateau_leaves_the_question_open() -> None:
    """6, 6.5, then five times 7: plateau with about 87 %, about even odds of better later."""
    found = fit(overall(6, 6.5, 7, 7, 7, 7, 7), 10)
    assert found.p_slopes[1] == pytest.approx(0.87, abs=0.03)
    assert 0.35 < found.p_later_better < 0.6


def test_the_owners_best_epoch_is_kept_in_a_near_tie() -> None:
    """Epoch 6 at 7.3 stays the pick over an epoch 7 at 7.0."""
    assert fit(overall(6, 6.3, 6.7, 7, 7, 7.3, 7.0), 10).pick == 6


def dense_posterior(rows: list[ScoreRow], planned: int) -> tuple[Floats, Floats]:
    """Compute posterior mean and sd with one row per score: the textbook form of the model."""
    line = lay_out(sorted({row.position for row in rows}), planned)
    place = {position: index for index, position in enumerate(line.positions)}
    design = np.zeros((len(rows), len(place)))
    design[np.arange(len(rows)), [place[row.position] for row in rows]] = 1
    same = np.array([[a.unit == b.unit for b in rows] for a in rows], float)
    noise = fit(rows, planned).noise
    scores = np.array([row.score for row in rows])
    mean, roots = trend._priors(line.steps)
    levels, variances, logs = [], [], []
    for root, (_, _, weight) in zip(roots, trend.SHAPES, strict=True):
        prior = root @ root.T
        total = design @ prior @ design.T + trend.PROMPT_SD**2 * same + noise**2 * np.eye(len(rows))
        gain = prior @ design.T @ np.linalg.inv(total)
        miss = scores - design @ mean
        levels.append(mean + gain @ miss)
        variances.append(np.diag(prior - gain @ design @ prior))
        quadratic = miss @ np.linalg.solve(total, miss)
        logs.append(np.log(weight) - 0.5 * (np.linalg.slogdet(total)[1] + quadratic))
    weights = np.exp(np.array(logs) - max(logs))
    weights /= weights.sum()
    center = weights @ np.array(levels)
    spread = weights @ (np.array(variances) + np.array(levels) ** 2) - center**2
    return center, np.sqrt(spread)


def test_the_small_form_equals_the_textbook_form() -> None:
    """Sums by position and unit give the posterior of the full covariance of all scores."""
    rng = np.random.default_rng(5)
    rows = noisy_run(np.linspace(5, 8, 6), (1, 4, 2, 15, 3, 1), rng)
    found = fit(rows, 9)
    mean, sd = dense_posterior(rows, 9)
    assert found.mean == pytest.approx(mean, abs=1e-6)
    assert found.sd == pytest.approx(sd, abs=1e-6)


def test_the_prior_is_the_damped_local_trend() -> None:
    """Simulating level and pace step by step gives the covariance that the model uses."""
    rng = np.random.default_rng(1)
    draws, level_sd, pace_sd = 200_000, *trend.SHAPES[5][:2]
    level = rng.normal(trend.START_MEAN, trend.START_SD, draws)
    pace = rng.normal(trend.PACE_MEAN, trend.PACE_SD, draws)
    path = [level]
    for _ in range(4):
        level = level + pace + rng.normal(0, level_sd, draws)
        pace = trend.DAMPING * pace + rng.normal(0, pace_sd, draws)
        path.append(level)
    mean, roots = trend._priors((0, 1, 2, 3, 4))
    assert mean == pytest.approx(np.mean(path, axis=1), abs=0.03)
    assert roots[5] @ roots[5].T == pytest.approx(np.cov(path), abs=0.08)


cells = st.tuples(
    st.integers(1, 6), st.sampled_from("abcd"), st.floats(0, 10, allow_nan=False, width=16)
)


@settings(max_examples=30, deadline=None)
@given(st.lists(cells, min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_nothing(
    rows: list[tuple[int, str, float]], random: Random
) -> None:
    """Epochs and prompts may arrive in any order: the same rows give the same bits."""
    given_rows = [ScoreRow(position=e, unit=u, score=s) for e, u, s in rows]
    shuffled = list(given_rows)
    random.shuffle(shuffled)
    found = fit(given_rows, 8)
    assert fit(shuffled, 8) == found
    assert sum(found.p_best.values()) == pytest.approx(1)
    assert sum(found.p_best_of_all.values()) == pytest.approx(1)
    assert all(math.isfinite(level) for level in found.mean + found.sd)
    assert found.pick in found.p_best


def test_steps_give_the_curve_of_epochs() -> None:
    """500, 1000, 1500 of 3000 is 1, 2, 3 of 6."""
    epochs = fit(overall(6, 7, 7), 6)
    rows = [ScoreRow(position=e * 500, unit=OVERALL, score=s) for e, s in ((1, 6), (2, 7), (3, 7))]
    steps = fit(rows, 3000)
    assert steps.mean == epochs.mean
    assert steps.p_later_better == epochs.p_later_better
    assert steps.positions == tuple(500 * place for place in epochs.positions)


def test_the_plan_does_not_change_what_is_known_of_the_past() -> None:
    """Chances and levels of tested epochs are the same however many are still to come."""
    rows = noisy_run(np.linspace(5, 8, 5), (4,) * 5, np.random.default_rng(2))
    short, long = fit(rows, 5, ended=True), fit(rows, 40)
    assert short.p_best == long.p_best
    assert short.mean == pytest.approx(long.mean[:5])


def test_pairing_sees_through_uneven_prompts() -> None:
    """An epoch tested on hard prompts only is not worse; its plain mean says it is."""
    easy, hard = [8.0, 8.0, 8.0], [5.0, 5.0, 5.0]
    scores = np.array([easy + hard, [8.4, 8.4, 8.4, *hard], [np.nan] * 3 + [5.9, 5.9, 5.9]])
    found = fit(table(scores), 3, ended=True)
    assert found.pick == 3
    assert found.best_observed == 2
    assert found.effects[3] - found.effects[1] == pytest.approx(0.9, abs=0.25)


def test_one_epoch_alone_with_nothing_ahead_is_fine() -> None:
    """It is all there is, wherever it lies."""
    assert fit([ScoreRow(position=4, unit="a", score=0.0)], 4).window == (4, 4)


def test_one_epoch_alone_is_the_pick_and_promises_nothing() -> None:
    """There is no slope yet and all chance lies with it."""
    found = fit(overall(6), 10)
    assert found.pick == 1
    assert found.p_best == {1: 1.0}
    assert found.p_slopes is None


def test_identical_scores_are_no_trouble() -> None:
    """No residual at all still leaves a proper posterior."""
    found = fit(table(np.full((6, 4), 7.0)), 10)
    assert all(sd > 0 for sd in found.sd)
    assert found.noise > 0


def test_epochs_without_a_common_prompt_still_compare() -> None:
    """Nothing links them but the curve itself."""
    rows = [ScoreRow(position=e, unit=f"only{e}", score=4.0 + e) for e in (1, 2, 3)]
    assert fit(rows, 3, ended=True).pick == 3


def test_a_perfect_pick_cannot_be_beaten() -> None:
    """The scale ends at 10."""
    assert fit(overall(10, 10, 10, 10, 10, 10), 12).p_later_better < 0.5
    assert fit(table(np.full((5, 15), 10.0)), 10).p_later_better == pytest.approx(0, abs=0.05)


def test_no_scores_are_named_as_such() -> None:
    """Only NaN is no score."""
    with pytest.raises(Fixable, match="No position"):
        fit(overall(float("nan")), 10)


@pytest.mark.parametrize(("epochs", "promised"), [(10, 0.020), (100, 0.100)])
def test_an_update_takes_moments(epochs: int, promised: float) -> None:
    """20 ms at 10 epochs x 15 prompts and 100 ms at 100 x 15: the whole advice, with a plan ahead.

    The benchmark holds that; here a slow and crowded machine has ten times as long, and the best
    of several counts. What grows with the square of the epochs takes longer than that.
    """
    rng = np.random.default_rng(0)
    rows = noisy_run(np.linspace(5, 8, epochs), (15,) * epochs, rng)
    took = math.inf
    for _ in range(10):
        start = time.process_time()
        advise(rows, planned=epochs + 10)
        took = min(took, time.process_time() - start)
        if took < 10 * promised:
            break
    assert took < 10 * promised


def curves(rng: np.random.Generator, number: int) -> Iterator[Floats]:
    """Yield true curves of five kinds over ten epochs."""
    epochs = np.arange(10)
    for index in range(number):
        start = rng.uniform(4, 6)
        peak = rng.integers(3, 8) - 1
        yield np.clip(
            [
                lambda s=start: (
                    s + rng.uniform(1.5, 3.5) * (1 - np.exp(-epochs / rng.uniform(0.8, 2.5)))
                ),
                lambda s=start, p=peak: (
                    s + np.where(epochs <= p, 0.6 * epochs, 0.6 * p - 0.5 * (epochs - p))
                ),
                lambda s=start: s + rng.uniform(0.2, 0.4) * epochs,
                lambda s=start, p=peak: s + 0.1 * epochs + 1.3 * (epochs > p),
                lambda s=start: s + np.where(epochs <= 2, 0.5 * epochs, 1 - 0.4 * (epochs - 2)),
            ][index % 5](),
            0,
            10,
        )


def test_the_pick_beats_the_highest_mean_and_its_chances_are_honest() -> None:
    """On 240 simulated runs with the owner's uneven tests: less regret, calibrated chances."""
    rng = np.random.default_rng(7)
    depth = (1, 1, 1, 1, 5, 1, 15, 5, 5, 5)
    ours, theirs, claimed, came_true = [], [], [], []
    for truth in curves(rng, 240):
        found = fit(noisy_run(truth, depth, rng), 10)
        ours.append(truth.max() - truth[found.pick - 1])
        theirs.append(truth.max() - truth[found.best_observed - 1])
        for position, share in found.p_best.items():
            claimed.append(share)
            came_true.append(truth[position - 1] == truth.max())
    assert np.mean(ours) < 0.7 * np.mean(theirs)
    claimed, came_true = np.array(claimed), np.array(came_true)
    for low, high in ((0.0, 0.1), (0.1, 0.4), (0.4, 1.01)):
        inside = (claimed >= low) & (claimed < high)
        excess = claimed[inside].mean() - came_true[inside].mean()
        assert -0.15 < excess < 0.07  # a little too modest is forgiven, boasting is not
