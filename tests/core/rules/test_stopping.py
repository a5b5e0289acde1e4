"""When a trainer may be stopped: never on one test, never twice, never unasked."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from core.rules.stopping import Situation, may_stop, way_back

TRUSTED = Situation(
    advised=True,
    ended=False,
    latest=9,
    units_in_latest=12,
    advised_before=False,
    stopped_before=False,
    is_newest=True,
    is_fresh=True,
    checked=True,
    unlocked=False,
    state_saved=True,
)


def test_a_trusted_advice_may_stop_the_trainer() -> None:
    """Checked against votes, on twelve prompts, and the state was saved."""
    ruling = may_stop(TRUSTED)
    assert (ruling.allowed, ruling.code, ruling.reversible) == (True, "advice", True)
    assert "agrees with your votes" in ruling.reason
    assert "can be resumed" in ruling.way_back


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"advised": False}, "not_advised", "No stop is advised"),
        ({"latest": None}, "not_advised", "No stop is advised"),
        ({"ended": True}, "ended", "nothing to stop"),
        ({"stopped_before": True}, "stopped_before", "once only"),
        ({"is_newest": False}, "other_run", "may not be this run's"),
        ({"is_fresh": False}, "old_news", "The next checkpoint settles it"),
        ({"first": 10}, "too_early", "none before epoch 10"),
        ({"units_in_latest": 1}, "one_test", "one test alone stops no trainer"),
        ({"checked": False}, "locked", "--stop-unlocked"),
    ],
)
def test_each_refusal_has_its_reason(change: dict[str, Any], code: str, words: str) -> None:
    """Nothing is refused without saying why."""
    ruling = may_stop(replace(TRUSTED, **change))
    assert (ruling.allowed, ruling.code) == (False, code)
    assert words in ruling.reason


def test_two_stop_verdicts_in_a_row_are_enough_with_one_image_each() -> None:
    """A thin test is believed when the one before said the same."""
    assert may_stop(replace(TRUSTED, units_in_latest=1, advised_before=True)).allowed


def test_the_user_may_unlock_it_before_any_vote() -> None:
    """Then the reason says that nothing was checked."""
    ruling = may_stop(replace(TRUSTED, checked=False, unlocked=True))
    assert ruling.allowed
    assert "before the score was checked" in ruling.reason


def test_a_spent_budget_stops_without_advice_but_never_twice_and_never_another_run() -> None:
    """Money is no matter of the score."""
    broke = replace(TRUSTED, advised=False, checked=False, latest=None, over_budget=True)
    assert may_stop(broke).code == "budget"
    assert may_stop(replace(broke, stopped_before=True)).code == "stopped_before"
    assert may_stop(replace(broke, is_newest=False)).code == "other_run"


def test_no_situation_stops_a_trainer_that_was_stopped_or_whose_advice_is_not_to() -> None:
    """Over all combinations of what can be true or false."""
    names = ("advised", "ended", "advised_before", "stopped_before", "is_newest", "is_fresh", "checked",
             "unlocked", "dry_run", "over_budget")  # fmt: skip
    for values in product((False, True), repeat=len(names)):
        now = replace(TRUSTED, units_in_latest=1, **dict(zip(names, values, strict=True)))
        ruling = may_stop(now)
        if ruling.allowed:
            assert now.is_newest
            assert now.is_fresh
            assert not now.stopped_before
            assert not now.ended
            trusted = now.advised and now.advised_before and (now.checked or now.unlocked)
            assert now.over_budget or trusted
        assert ruling.reason.endswith(".")
        assert ruling.dry_run is now.dry_run


def test_what_was_not_seen_is_not_promised() -> None:
    """Three answers: yes, no and unknown."""
    assert "not seen from here" in way_back(state_saved=None)
    assert "--save_state" in way_back(state_saved=False)
