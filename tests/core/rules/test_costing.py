"""Money is reckoned from times that are known; what is not known is said and never counted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.rules.costing import (
    LIST_PRICES,
    NO_PRICE,
    Price,
    RunCost,
    account,
    budget_news,
    failed_cost,
    hours,
    idle_news,
    list_price,
    money,
    price_of,
    sentences,
    training_spans,
)

START = datetime(2026, 11, 21, 1, 0, tzinfo=UTC)
ABOUT = {
    "position_unit": "epoch",
    "price_per_hour": 0.6,
    "gpu_name": None,
    "budget": None,
    "kept_bytes": None,
    "first_stop": None,
    "tests": "full",
}


def _saves(*minutes: float | None, began: bool = True) -> list[dict[str, Any]]:
    return [
        {
            "position": number,
            "saved_at": None if at is None else START + timedelta(minutes=at),
            "began": str(START.timestamp()) if began else None,
        }
        for number, at in enumerate(minutes, start=1)
    ]


def _drawn(position: int | None, seconds: float, beside: float = 0, unknown: int = 0) -> Any:
    return {"position": position, "seconds": seconds, "beside": beside, "unknown": unknown}


def _cost(*minutes: float | None, drawn: Any = (), **about: Any) -> RunCost:
    return account({**ABOUT, **about}, _saves(*minutes), drawn)


def test_epochs_cost_their_time_and_drawing_that_is_not_beside_the_training() -> None:
    """Three epochs of ten minutes at 60 cents; the baseline took two minutes after the training."""
    cost = _cost(10, 20, 30, drawn=[_drawn(3, 60, beside=60), _drawn(2, 30), _drawn(None, 120)])
    assert [each.training for each in cost.epochs] == [600, 600, 600]
    assert [each.drawing for each in cost.epochs] == [0, 30, 0]
    assert cost.seconds == 1800 + 150
    assert cost.cost == pytest.approx(1950 / 3600 * 0.6)
    assert cost.epochs[1].cost == pytest.approx(630 / 3600 * 0.6)


def test_a_gap_that_is_far_too_long_is_unknown_and_no_cost() -> None:
    """A night's pause between two epochs is not training."""
    cost = _cost(10, 20, 30, 500, 510)
    assert [each.training for each in cost.epochs] == [600, 600, 600, None, 600]
    assert cost.unknown == 470 * 60
    assert cost.training == 2400
    assert cost.epochs[3].cost is None
    assert any("a pause, not training" in note for note in cost.notes)
    assert "unknown, not counted" in sentences(cost)[0]


def test_missing_stamps_set_back_clocks_and_an_unknown_start_are_unknown() -> None:
    """None with a reason, for each of the three."""
    spans = training_spans(
        {each["position"]: each["saved_at"] for each in _saves(10, 20, None, 40, 35, 50)}, None
    )
    assert [spans[place][0] for place in sorted(spans)] == [None, 600, None, 1200, None, 900]
    assert "began" in spans[1][2]
    assert "does not say" in spans[3][2]
    assert "went back" in spans[5][2]
    assert training_spans({}, START) == {}
    assert training_spans({4: START}, None)[4][0] is None


def test_without_a_price_times_are_told_and_money_is_not() -> None:
    """The empty state says how to set one."""
    cost = _cost(10, 20, price_per_hour=None)
    assert (cost.cost, cost.saved, cost.share) == (None, None, None)
    assert NO_PRICE in sentences(cost)
    assert "20 min" in sentences(cost)[0]


def test_your_price_comes_before_a_list_price_and_a_list_price_says_what_it_is() -> None:
    """Names as drivers and providers write them are found; unknown ones have no price."""
    assert price_of(0.5, "RTX 4090") == Price(per_hour=0.5, source="your price")
    listed = price_of(None, "NVIDIA GeForce RTX 4090")
    assert listed is not None
    assert listed.per_hour == LIST_PRICES["RTX 4090"]
    assert "check yours" in listed.source
    assert list_price("H100-SXM") == LIST_PRICES["H100 SXM"]
    assert list_price("nvidia l40s") == LIST_PRICES["L40S"]
    assert price_of(None, "Quadro 600") is None
    assert price_of(None, None) is None


def test_what_the_first_advice_to_stop_would_have_saved() -> None:
    """All that was trained and drawn after it."""
    cost = _cost(10, 20, 30, 40, 50, drawn=[_drawn(5, 120)], first_stop=3)
    assert cost.after_stop == 1320
    assert cost.saved == pytest.approx(0.22)
    assert "after epoch 3, would have saved 22 min, $0.22" in " ".join(sentences(cost))
    assert _cost(10, 20, first_stop=2).after_stop is None


def test_the_budget_is_told_at_eighty_and_at_hundred_percent() -> None:
    """And not without a price."""
    assert budget_news(_cost(10, 20, 30, budget=10)) is None
    assert budget_news(_cost(10, 20, 30, budget=10, price_per_hour=None)) is None
    warned, spent = (budget_news(_cost(10, 20, 30, budget=each)) for each in (0.35, 0.3))
    assert warned is not None
    assert spent is not None
    assert warned[0] == "80"
    assert (spent[0], "$0.30 of $0.30" in spent[1]) == ("100", True)


def test_a_machine_that_idles_says_what_an_hour_costs() -> None:
    """Half an hour, or three times as long as a save usually takes; never without a price."""
    price, later = Price(per_hour=0.44, source=""), START + timedelta(minutes=45)
    words = idle_news(START, later, price, usual=600)
    assert words is not None
    assert "45 min" in words
    assert "$0.44 an hour" in words
    assert idle_news(START, later, price, usual=1000) is None
    assert idle_news(START, START + timedelta(minutes=20), price, usual=None) is None
    assert idle_news(START, later, None, usual=None) is None
    assert idle_news(None, later, price, usual=None) is None


def test_failed_runs_and_storage_are_summed() -> None:
    """Failed experiments are a sum of their own; storage is for a month."""
    good, bad = _cost(30, 60), _cost(30)
    failed, everything = failed_cost([(False, good), (True, bad)])
    assert (round(failed, 2), round(everything, 2)) == (0.3, 0.9)
    cost = account({**ABOUT, "kept_bytes": 2_000_000_000}, _saves(10), [], storage_price=0.07)
    assert cost.storage_per_month == pytest.approx(0.14)
    assert "2.00 GB, $0.14 a month" in sentences(cost)[-1]


def test_hints_say_what_makes_early_epochs_cheaper() -> None:
    """Thinner tests, a cheaper GPU; and nothing where nothing is to be had."""
    cost = _cost(10, 20, 30, drawn=[_drawn(1, 900)], price_per_hour=2.69)
    assert any("thrifty" in hint for hint in cost.hints)
    assert any("less than 12.2 times slower" in hint for hint in cost.hints)
    assert _cost(10, 20, 30, price_per_hour=0.3).hints == ()
    [single] = _cost(10, 20, 30, 40, 50, price_per_hour=0.5).hints
    assert single.startswith("For first tries such as epoch 1, an RTX 3090")


def test_amounts_and_times_are_readable() -> None:
    """Small amounts are not zero."""
    assert [money(each) for each in (0, 0.001, 0.44, 12)] == [
        "$0.00",
        "under $0.01",
        "$0.44",
        "$12.00",
    ]
    assert [hours(each) for each in (40, 1320, 12_600)] == ["40 s", "22 min", "3.5 h"]
