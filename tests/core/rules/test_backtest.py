"""Policies replayed on runs that are already tested."""

from __future__ import annotations

import pytest

from core.errors import Fixable
from core.rules import backtest as rules
from core.rules.advice import advise
from core.rules.score_rows import OVERALL, ScoreRow

OWNERS = (5, 6, 7, 7.5, 8, 8.5, 9, 8, 6, 6)


def overall(*scores: float) -> list[ScoreRow]:
    """Build one overall score an epoch."""
    return [ScoreRow(position=e, unit=OVERALL, score=s) for e, s in enumerate(scores, start=1)]


def choice(name: str, *scores: float) -> tuple[int, int]:
    """Return after how many epochs a policy stopped, and its pick."""
    found = rules.policies()[name](rules.replay(overall(*scores)))
    return found.tested, found.pick


def test_patience_counts_tests_without_a_new_best() -> None:
    """Patience 2 stops at the second test in a row that is no better; equal is no better."""
    assert choice("patience 2", 5, 6, 6, 5, 9) == (4, 2)
    assert choice("patience 2", 5, 6, 5, 7, 6) == (5, 4)
    assert choice("patience 6", 5, 6, 5, 7, 6) == (5, 4)


def test_optunas_pruner_waits_one_more_and_for_a_clear_fall() -> None:
    """Its window holds patience + 1 tests and equal scores never prune."""
    assert choice("Optuna patient 1", 5, 7, 6, 6, 9) == (4, 2)
    assert choice("Optuna patient 1", 7, 7, 7, 7, 7) == (5, 1)


def test_the_owners_rule_stops_at_its_label() -> None:
    """7, 7, 7 is a plateau, 9, 8, 6 is degrading."""
    assert choice("plateau or degrading", 7, 7, 7, 9, 8, 6) == (3, 1)
    assert choice("degrading", 7, 7, 7, 9, 8, 6) == (6, 4)


def test_our_policy_is_what_the_advice_says() -> None:
    """The replay stops where advice, asked after each epoch, would first have said so."""
    tested, pick = choice("epochwatch normal", *OWNERS)
    for seen in range(3, tested + 1):
        advice = advise(overall(*OWNERS[:seen]), planned=10)
        assert advice.stop == (seen == tested)
    assert (tested, pick, advice.pick) == (9, 7, 7)


def test_a_stop_on_one_image_is_confirmed_by_the_next() -> None:
    """Single images stop a run one test later than pairs of them."""
    scores = (9, 8.5, 5, 4.5, 4, 4)
    single = [ScoreRow(position=e, unit="a", score=s) for e, s in enumerate(scores, start=1)]
    double = single + [ScoreRow(position=r.position, unit="b", score=r.score) for r in single]
    stops = [
        rules.by_trend(rules.replay(rows, 6), threshold=0.3).tested for rows in (single, double)
    ]
    assert stops == [4, 3]


def test_savings_are_told_in_time_and_money() -> None:
    """One epoch of 600 s at 0.6 an hour costs 0.10."""
    found = {
        each.policy: each
        for each in rules.backtest(overall(*OWNERS), seconds_per_position=600, price_per_hour=0.6)
    }
    ours = found["epochwatch normal"]
    assert (ours.positions_saved, ours.seconds_saved, ours.stopped_after) == (1, 600, 9)
    assert ours.money_saved == pytest.approx(0.10)
    assert ours.lost == 0
    assert found[rules.ALWAYS].positions_saved == 0


def test_without_a_time_neither_time_nor_money_is_invented() -> None:
    """What is not known is None."""
    for each in rules.backtest(overall(*OWNERS), price_per_hour=0.6):
        assert (each.seconds_saved, each.money_saved) == (None, None)


def test_the_loss_has_an_interval_over_shared_prompts() -> None:
    """Differences by prompt; a constant one is known exactly, one prompt bounds nothing."""
    rows = [
        ScoreRow(position=e, unit=u, score=s + e)
        for e in (1, 2)
        for u, s in (("a", 2.0), ("b", 5.0), ("c", 7.0))
    ]
    lost, interval, units = rules.difference(rows, 2, 1)
    assert (lost, units) == (pytest.approx(1), 3)
    assert interval == (pytest.approx(1), pytest.approx(1))
    assert rules.difference(rows[:1] + rows[3:4], 2, 1) == (pytest.approx(1), None, 1)
    assert rules.difference(rows[:1] + rows[4:5], 2, 1) == (pytest.approx(4), None, 0)


def test_a_run_without_scores_is_an_error_with_words() -> None:
    """There is nothing to replay."""
    with pytest.raises(Fixable):
        rules.backtest([])
