"""States are said in words a tired person understands."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from core.store.gallery import Advice, CheckpointLine, EpochResult, Host, Work
from dashboard.parts import headline, standing, words

NOW = datetime(2026, 11, 21, 2, 0, tzinfo=UTC)
IDLE = Work(open=0, drawing=0, parked=0, finished=0, waiting_reason=None, parked_reason=None)
LINE = CheckpointLine(
    sha256="a" * 64,
    position=3,
    epoch=3,
    step=None,
    is_final=False,
    superseded=False,
    file_name="x.safetensors",
    host="pod",
    notes=[],
    registered_at=NOW,
    size_bytes=1,
    invalid_reason=None,
    asked=12,
    drawn=5,
    measured=5,
    defects=0,
    parked_reason=None,
    waiting_reason=None,
    drawing=True,
    attempts=1,
)


def _host(**changes: Any) -> Host:
    known = Host(
        name="pod", state="watching", doing="", detail={}, last_seen=NOW, silent_seconds=1.0
    )
    return replace(known, **changes)


def test_a_silent_machine_is_loud() -> None:
    """After thirty seconds the page says for how long, in red."""
    assert words.host(_host(silent_seconds=30.0)).tone == "calm"
    said = words.host(_host(silent_seconds=200.0, state="drawing", doing="epoch 3"))
    assert (said.tone, said.words) == ("bad", "silent for 3 min")
    assert "drawing, epoch 3" in said.detail


def test_a_machine_that_was_stopped_is_not_an_alarm() -> None:
    """It said good-bye."""
    assert words.host(_host(silent_seconds=9000.0, state="stopped")).tone == "calm"


def test_a_machine_says_its_trouble_and_its_lost_folder() -> None:
    """Trouble comes before the daily business."""
    assert words.host(_host(detail={"trouble": "disk full"})).detail == "disk full"
    said = words.host(_host(detail={"roots": {"/out": ["root-missing", "The folder is gone."]}}))
    assert (said.tone, said.detail) == ("warn", "/out (The folder is gone.)")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "drawing, 5 of 12"),
        ({"drawn": 12, "measured": 12}, "tested, 12 images"),
        ({"drawn": 12, "measured": 11, "defects": 1}, "tested, 12 images"),
        ({"drawn": 0, "measured": 0, "drawing": False}, "in the queue"),
        ({"asked": 0, "drawn": 0, "drawing": False}, "received"),
        ({"drawing": False, "waiting_reason": "no GPU"}, "waiting"),
        ({"parked_reason": "crashed"}, "failed after 1 tries"),
        ({"invalid_reason": "not a number"}, "cannot be drawn"),
        ({"superseded": True}, "superseded"),
    ],
)
def test_each_checkpoint_has_one_state(changes: dict[str, Any], expected: str) -> None:
    """What stands still comes before what moves."""
    assert words.checkpoint(replace(LINE, **changes)).words == expected


@pytest.mark.parametrize(
    ("facts", "work", "lines", "expected"),
    [
        ({"status": "in_progress"}, IDLE, [], "Waiting for the first checkpoint."),
        ({"status": "failed"}, IDLE, [], "No checkpoint came in."),
        ({"blocked_reason": "no base"}, IDLE, [LINE], "Nothing can be tested yet."),
        ({}, IDLE, [LINE], "Drawing the test of epoch 3: 5 of 12 images."),
        ({}, replace(IDLE, parked=1), [LINE], "The tests failed: there is no advice."),
        ({}, IDLE, [replace(LINE, asked=0, drawn=0, measured=0)], "1 checkpoint is here;"),
        ({}, IDLE, [replace(LINE, drawn=12, measured=12)], "Measured; the advice follows"),
    ],
)
def test_there_is_a_sentence_before_there_is_advice(
    facts: dict[str, Any], work: Work, lines: list[CheckpointLine], expected: str
) -> None:
    """Every state of a run has words."""
    assert standing.of_run(facts, None, work, lines).sentence.startswith(expected)


def test_an_old_run_without_advice_is_told_by_its_scores() -> None:
    """History that was scored by hand has a best epoch, too."""
    results = [_result(position, average) for position, average in ((1, 5.0), (2, 7.5), (3, 7.5))]
    said = standing.of_run({"status": "completed"}, None, IDLE, [], results)
    assert said.sentence == "Epoch 2 has the best score on record, 7.5."
    chosen = standing.of_run({"status": "completed", "best_epoch": 3}, None, IDLE, [], results)
    assert chosen.sentence == "Epoch 3 was chosen as the best, 7.5."


def _result(position: int, average: float) -> EpochResult:
    empty: dict[str, Any] = dict.fromkeys(each.name for each in fields(EpochResult))
    return EpochResult(**{**empty, "position": position, "average": average})


def test_what_hinders_is_said_beside_the_advice() -> None:
    """A parked test does not hide behind an old sentence."""
    advice = Advice(sentence="Continue.", body={"pick": 2, "p_best": {"2": 0.4}}, created_at=NOW)
    stands = standing.of_run({}, advice, replace(IDLE, parked=2, parked_reason="no memory"), [])
    assert stands.chance == 0.4
    assert stands.hindrance is not None
    assert stands.hindrance.words == "2 tests failed"


def test_the_headline_escapes_what_the_machine_says() -> None:
    """Sentence, basis, reasons and name are foreign text, too."""
    bad = "<script>x</script>"
    body = {"status": bad, "basis": bad, "reasons": [bad], "pick": 1, "p_best": {"1": 7.0}}
    advice = Advice(sentence=bad, body=body, created_at=NOW)
    markup = headline.markup(bad, bad, standing.of_run({}, advice, IDLE, []))
    assert "<script" not in markup
    assert "width:100%" in markup


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(8, "8 s"), (119, "119 s"), (240, "4 min"), (7200, "2 h"), (200_000, "2 days"), (-3, "0 s")],
)
def test_a_time_span_has_the_unit_a_person_would_use(seconds: float, expected: str) -> None:
    """No decimals, no composites."""
    assert words.duration(seconds) == expected


def test_an_unknown_score_is_a_dash_never_a_zero() -> None:
    """Not measured is not bad."""
    assert words.score(None) == "\u2013"
    assert words.score(0.0) == "0.0"
    assert words.score(8.99) == "8.9"


def test_a_number_and_its_unit_stay_on_one_line() -> None:
    """The sentence wraps anywhere else."""
    assert words.unbroken("about 63 s, 25 % in 9 min of 10 samples") == (
        "about 63\u00a0s, 25\u00a0% in 9\u00a0min of 10 samples"
    )


def test_an_ended_run_says_when_a_stop_was_advised() -> None:
    """What going on has brought is seen beside what was advised."""
    body = {"pick": 4, "p_best": {"4": 0.6}, "ended": True, "latest": 10, "unit": "epoch"}
    advice = Advice(
        sentence="Ended.", body=body, created_at=NOW, first_stop={"latest": 6, "pick": 4}
    )
    told = standing.of_run({}, advice, IDLE, ())
    assert told.reasons[-1] == (
        "A stop was advised after epoch 6, naming epoch 4; 4 more epochs were trained."
    )
    going = replace(advice, body=body | {"ended": False})
    assert not standing.of_run({}, going, IDLE, ()).reasons


@pytest.mark.parametrize(
    ("share", "said"),
    [(None, "\u2013"), (0.0, "under 1 %"), (0.5, "50 %"), (0.996, "over 99 %"), (1.0, "over 99 %")],
)
def test_a_chance_is_never_none_and_never_certain(share: float | None, said: str) -> None:
    """What is estimated has no 0 % and no 100 %."""
    assert words.percent(share) == said
