"""What people are told of a run's plan: each gate and each decision point once, and nothing of the past."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from house import House, open_house

from core import plans
from core.store.files import LocalStore
from daemon.actions.report import write_report

QUALITY: dict[int | None, float] = {None: 0.2, 1: 0.5, 2: 0.8, 3: 1.0, 4: 0.9}
PLAN = """
hypothesis = "it gets good"

[[gate]]
name = "anything"
metric = "average"
threshold = 0.1
by_epoch = 2
must = true

[[gate]]
name = "perfect"
metric = "average"
op = ">"
threshold = 10
by_epoch = 2
on_fail = "stop at 3"
must = true

[[gate]]
name = "a wish"
metric = "average"
threshold = 0.1
by_epoch = 3

[[decision]]
after_epoch = 2
gate = "perfect"
outcome = "failed"
do = ["Stop."]

[[decision]]
after_epoch = 3
when = "it looks tired"
do = ["Look at the learning rate."]

[[decision]]
after_epoch = 3
when = "it looks fresh"
do = ["Go on."]
"""


@pytest.fixture
def house(migrated_dsn: str, tmp_path: Path) -> Iterator[House]:
    """Give the parts on a database of their own."""
    with open_house(migrated_dsn, tmp_path) as parts:
        yield parts


def _test(house: House, *epochs: int) -> int:
    for epoch in epochs:
        run_id = house.arrive(epoch)
        house.draw(QUALITY)
        house.judge.judge()
    return run_id


def _set(house: House, run_id: int, text: str = PLAN) -> bool | None:
    with house.database.transaction() as connection:
        return plans.register(connection, run_id, plans.read_text(text, name="p"), by_whom="ann")


def _told(house: House) -> list[tuple[str, str]]:
    found = house.select(
        "SELECT payload ->> 'event' AS event, payload ->> 'title' AS title FROM epochwatch.actions"
        " WHERE kind = 'alert' ORDER BY created_at, key"
    )
    news = [(each["event"], each["title"].partition(": ")[2]) for each in found]
    return [each for each in news if each[0] in ("gate_failed", "gate_passed", "decision")]


def test_each_gate_and_each_decision_is_told_once(house: House) -> None:
    """A passed wish is no news; both cases of an epoch are one question."""
    run_id = house.arrive(1)
    assert _set(house, run_id) is False
    _test(house, 1)
    assert _told(house) == [("gate_passed", "gate passed: anything")]
    _test(house, 2)
    assert sorted(_told(house)) == [
        ("decision", "epoch 2 is reached: time to decide"),
        ("gate_failed", "gate failed: perfect"),
        ("gate_passed", "gate passed: anything"),
    ]
    _test(house, 3)
    assert ("decision", "epoch 3 is reached: time to decide") in _told(house)
    known = _told(house)
    house.judge._marks.clear()
    house.judge._seen.clear()
    house.judge.judge_run(run_id)
    assert _told(house) == known
    [failed] = house.select(
        "SELECT payload ->> 'body' AS body FROM epochwatch.actions"
        " WHERE payload ->> 'event' = 'gate_failed'"
    )
    assert "stop at epoch 3. It is a must" in failed["body"].replace("\n", " ")


def test_a_person_is_asked_to_look_when_the_epoch_is_tested(house: House) -> None:
    """With the pictures of that epoch, once, and not before there are any."""
    run_id = house.arrive(1)
    _set(house, run_id, f"look_at = [1, 2]\n{PLAN}")
    _test(house, 1)
    house.arrive(2)
    house.judge.judge()
    asked = "SELECT payload FROM epochwatch.actions WHERE payload ->> 'event' = 'look' ORDER BY key"
    [first] = house.select(asked)
    assert first["payload"]["pick"] == 1
    assert first["payload"]["title"] == "punk: epoch 1 is tested: please look"
    assert "epochwatch log 1 VISUAL STYLE PROMPT --run punk" in first["payload"]["body"]
    _test(house, 2)
    assert [each["payload"]["pick"] for each in house.select(asked)] == [1, 2]


def test_a_decision_in_words_waits_for_the_test(house: House) -> None:
    """Which case it is can be told from results only, not from a file that was saved."""
    run_id = _test(house, 1)
    _set(house, run_id, PLAN.replace("after_epoch = 3", "after_epoch = 2"))
    house.arrive(2)
    house.judge.judge()
    assert all(event != "decision" for event, _ in _told(house))


def test_nobody_is_alerted_of_what_results_said_before_the_plan_was_set(house: House) -> None:
    """The past is on the page, and what comes after is news."""
    run_id = _test(house, 1, 2)
    assert _set(house, run_id) is True
    house.judge.judge()
    assert _told(house) == []
    _test(house, 3)
    assert _told(house) == [("decision", "epoch 3 is reached: time to decide")]


def test_a_failed_gate_stops_where_the_plan_says_so(house: House) -> None:
    """The run still rises, and its plan was written beforehand: perfect by 2, else stop at 3."""
    run_id = house.arrive(1)
    _set(house, run_id)
    said = []
    for epoch in (1, 2, 3):
        _test(house, epoch)
        advice = house.select("SELECT body FROM epochwatch.advice ORDER BY id DESC")[0]["body"]
        said.append((advice["stop"], advice["sentence"]))
    assert [stop for stop, _ in said] == [False, False, True]
    assert said[2][1].startswith('Stop: the plan\'s gate "perfect" failed at 2. Epoch 3 ')


def test_the_report_of_a_run_tells_its_plan(house: House, tmp_path: Path) -> None:
    """As the page and the command line have it."""
    run_id = _test(house, 1, 2)
    _set(house, run_id, PLAN + '[[expect]]\nepochs = "1-2"\ntext = "Getting on."\n')
    with house.database.transaction() as connection:
        path = write_report(connection, LocalStore(tmp_path / "store"), run_id, tmp_path)
    page = path.read_text()
    assert "it gets good" in page
    assert "The hypothesis does not hold: perfect failed." in page
    assert "Getting on. (for a person to judge)" in page


def test_what_stands_unchanged_in_a_changed_plan_is_not_told_again(house: House) -> None:
    """Only what was moved is new, and it is new only if its results are."""
    run_id = house.arrive(1)
    _set(house, run_id)
    _test(house, 1, 2)
    known = _told(house)
    assert _set(house, run_id, PLAN.replace('"a wish"', '"another wish"')) is True
    assert _set(house, run_id, PLAN.replace('"a wish"', '"a third"')) is True
    assert _set(house, run_id, PLAN.replace('"a wish"', '"a third"')) is None
    house.judge.judge()
    assert _told(house) == known
