"""What a person is told, once, in words that ping nobody."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import pytest

from core.rules import alerting
from core.rules.advice import Advice, advise, read_scores


def judged(scores: str, planned: int = 10, **arguments: Any) -> Advice:
    """Advise on overall scores."""
    return advise(read_scores(scores), planned=planned, **arguments)


def told(previous: Advice | None, current: Advice, **arguments: Any) -> list[str]:
    """Return the kinds of the events of a change."""
    found = alerting.events(previous, current, run_name="punks", run_id=4, **arguments)
    return [event.kind for event in found]


def test_the_story_of_a_run_is_told_in_few_words() -> None:
    """Each change gives at most one event, and nothing new gives none."""
    scores = ["6", "6,7", "6,7,8", "6,7,8,8.9", "6,7,8,8.9,7", "6,7,8,8.9,7,5"]
    stages = [judged(text) for text in scores]
    assert told(None, stages[0]) == []
    assert told(stages[0], stages[1]) == ["new_best"]
    assert told(stages[4], stages[5]) == ["stop_advised"]
    assert told(stages[5], stages[5]) == []
    assert all(len(told(a, b)) <= 1 for a, b in pairwise(stages))


def test_the_most_important_news_wins() -> None:
    """A failure comes before the stop, the stop before the falling scores."""
    before, after = judged("9,8"), judged("9,8,6")
    assert after.status == "degrading"
    assert told(before, after) == ["stop_advised"]
    assert told(before, after, failure="Epoch 3 turned into photographs.") == ["failure"]


def test_a_plateau_is_told_when_it_begins() -> None:
    """And not again while it lasts."""
    assert told(judged("6,7"), judged("7,7,7")) == ["plateau"]
    assert told(judged("7,7,7"), judged("7,7,7,7")) != ["plateau"]


def test_a_finished_run_is_told_once_and_again_after_it_was_reopened() -> None:
    """The key holds the last position."""
    first = alerting.events(None, judged("6,7,7", 3), run_name="r", run_id=1)
    assert [event.kind for event in first] == ["run_finished"]
    assert told(judged("6,7,7", 3), judged("6,7,7", 3)) == []
    later = alerting.events(None, judged("6,7,7,5", 4), run_name="r", run_id=1)
    assert later[0].key != first[0].key


def test_an_unscored_run_that_ends_has_words_too() -> None:
    """There is no pick to name."""
    (event,) = alerting.events(None, advise([], planned=10, ended=True), run_name="r", run_id=1)
    assert event.title == "r: finished"


def test_keys_say_run_kind_and_subject() -> None:
    """The same news of the same run has the same key."""
    (event,) = alerting.events(judged("9,8"), judged("9,8,6"), run_name="punks", run_id=4)
    assert event.key == "alert/4/stop_advised/1"
    assert event.title == "punks: stop, epoch 1 is best"
    assert event.body.startswith("Stop. Epoch 1 is best")


@pytest.mark.parametrize(
    "name",
    [
        "@everyone",
        "<!channel>",
        "<@42>",
        "<@&7>",
        "a @here b",
        "<!subteam^S1|x>",
        "@\u200beveryone",
    ],
)
def test_a_run_name_pings_nobody(name: str) -> None:
    """No mention of a chat survives, in title or body."""
    for text in (alerting.safe_title(name), alerting.safe_text(name, 100)):
        assert not re.search(r"@(everyone|here|\d)|<[!@#]", text)


def test_control_characters_and_direction_overrides_are_dropped() -> None:
    """A name cannot color a terminal, break a title or read backwards."""
    assert alerting.safe_title("a\x1b[31m\nb\u202ec\x00") == "a[31m bc"
    assert "](" not in alerting.safe_text("[x](javascript:1)", 100)


def test_long_words_are_clipped() -> None:
    """Ten thousand characters in a name leave the news readable."""
    (event,) = alerting.events(judged("9,8"), judged("9,8,6"), run_name="x" * 10_000, run_id=4)
    assert len(event.title) <= alerting.TITLE_LENGTH
    assert event.title.endswith("epoch 1 is best")
    (event,) = alerting.events(None, judged("6"), run_name="r", run_id=4, failure="boom " * 9999)
    assert len(event.body) <= alerting.BODY_LENGTH
