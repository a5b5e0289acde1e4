"""Finished runs replayed from the database."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from seeded_history import AVERAGES, History, MemoryStore, sha

Say = Callable[..., Any]
START = datetime(2026, 11, 20, 21, tzinfo=UTC)


@pytest.fixture
def history(dsn: str) -> str:
    """Give a finished run of ten epochs, 660 s and 0.08 each, one of two epochs, and one under way."""
    with psycopg.connect(dsn) as connection:
        made = History(connection, MemoryStore())
        done = made.run("done", "completed")
        made.insert(
            "epochwatch.run_setups", run_id=done, base_sha256=sha("base"), price_per_hour=0.44
        )
        for run_id, epochs in ((done, 10), (made.run("short", "failed"), 2), (made.run("now"), 5)):
            for position in range(1, epochs + 1):
                saved = START + timedelta(seconds=660 * position)
                weights = made.checkpoint(run_id, position, saved_at=saved)
                average = AVERAGES[position]
                made.test(run_id, position, weights, average, draw_only=5, finished_at="now()")
    return dsn


@pytest.mark.usefixtures("history")
def test_a_finished_run_tells_what_each_rule_would_have_made_of_it(epochwatch: Say) -> None:
    """The peak at 7 is found, one or two epochs are saved, with their time and price."""
    said = epochwatch("backtest", "done", "--json")
    assert said.code == 0, said.err
    body = json.loads(said.out)
    (run,) = body["runs"]
    by_name = {each["policy"]: each for each in run["policies"]}
    ours = by_name["epochwatch normal"]
    assert (run["tested"], run["left_out"]) == (10, None)
    assert ours["pick"] == 7
    assert ours["positions_saved"] in (1, 2)
    assert ours["seconds_saved"] == 660 * ours["positions_saved"]
    assert ours["money_saved"] == pytest.approx(0.44 * 660 / 3600 * ours["positions_saved"])
    assert by_name["always all"]["seconds_saved"] == 0
    assert body["together"][0]["runs"] == 1


@pytest.mark.usefixtures("history")
def test_runs_that_tell_nothing_say_why(epochwatch: Say) -> None:
    """Too short, or not over; without names only those that are over are looked at."""
    said = epochwatch("backtest", "now", "short")
    assert "now: not replayed, it is still in progress" in said.out
    assert "short: not replayed, 2 of its epochs are measured and a replay needs 4" in said.out
    everything = epochwatch("backtest").out
    assert "done: 10 epochs tested" in everything
    assert "now:" not in everything
    assert "1 run is too few to choose a rule by." in everything


@pytest.mark.usefixtures("dsn")
def test_an_empty_database_has_nothing_to_replay(epochwatch: Say) -> None:
    """A sentence, not an empty table; and an unknown run is an error with the runs there are."""
    assert "nothing to replay" in epochwatch("backtest").out
    assert json.loads(epochwatch("backtest", "--json").out) == {"runs": [], "together": []}
    assert epochwatch("backtest", "nobody").code == 2
