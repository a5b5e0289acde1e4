"""The plan on the run page: how it stands, what a person types, and that nothing foreign runs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from house import House, open_house
from opened_pages import words_of
from streamlit.testing.v1 import AppTest

from core import plans
from core.formats.run_plan import Change, Criterion, Decision, Expected, Gate, RunPlan
from core.nouns import EpochScore
from core.rules.gate_evidence import EpochEvidence, Evidence, PromptValues, epoch_evidence
from core.rules.gates import judge_expectations, judge_gates
from core.store.gallery import Picture
from dashboard import access
from dashboard.parts import plan

VIEW = Path(__file__).resolve().parents[2] / "dashboard" / "views" / "run.py"
QUALITY: dict[int | None, float] = {None: 0.2, 1: 0.5, 2: 0.8, 3: 1.0}
BAD = "\"'><script>x</script><img src=x onerror=y>{0}"
TEXT = """
hypothesis = "it gets good"
confidence = 0.85
look_at = [1, 5]

[[gate]]
name = "anything"
metric = "average"
threshold = 0.1
by_epoch = 2
must = true

[[gate]]
name = "steady"
metric = "no oscillation"
by_epoch = 6
"""


def _average(position: int, value: float) -> EpochEvidence:
    score = EpochScore(position=position, visual=value, style=value, prompt=value, images=0)
    return epoch_evidence(position, [], score)


def _counted(position: int, hits: int, among: int) -> EpochEvidence:
    images = tuple(
        PromptValues(prompt=f"p{n}", values={"background_match": 90.0 if n < hits else 0.0})
        for n in range(among)
    )
    return EpochEvidence(position=position, images=images)


def _gate(name: str, by_epoch: int = 4, **known: Any) -> Gate:
    criterion = {"metric": "average", "op": ">=", "threshold": 8.0, **known}
    return Gate(name=name, criterion=Criterion(**criterion), by_epoch=by_epoch, must=True)


def _plan(*gates: Gate, text: str = "h", **known: Any) -> RunPlan:
    body: dict[str, Any] = {
        "name": text, "hypothesis": text, "confidence": 0.85, "parent_run": text, "changes": (),
        "gates": gates, "expectations": (), "look_at": (), "decisions": (), "notes": text, **known,
    }  # fmt: skip
    return RunPlan(**body)


def _markup(
    made: RunPlan,
    *epochs: EpochEvidence,
    text: str = "ann",
    late: bool = False,
    ended: bool = False,
) -> str:
    evidence = Evidence(epochs=epochs, ended=ended)
    standing = plans.Standing(
        plan=made,
        evidence=evidence,
        gates=judge_gates(made, evidence),
        expectations=judge_expectations(made, evidence),
    )
    registered = plans.Registration(
        digest="d" * 64, name=text, registered_at=datetime(2026, 11, 21, tzinfo=UTC),
        after_results=late, by_whom=text,
    )  # fmt: skip
    picture = Picture(
        position=1, ordinal=0, prompt_name=text, category=text, origin=text, prompt_text=text,
        seed=1, sample_id="s", image_sha256="a" * 64, defect=None, visual=None, style=None,
        prompt=None, composite=None, parked=False,
    )  # fmt: skip
    return plan.section(standing, [registered], [picture], {1: [text]})


@pytest.fixture(autouse=True)
def key(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sign addresses without a home, where no dashboard is."""
    if "house" not in request.fixturenames:
        access.shared_key.cache_clear()
        monkeypatch.setattr(access, "read_key", lambda _: b"k" * 32)


def test_each_state_of_a_gate_has_its_shape_and_its_word() -> None:
    """Passed, failed, pending and not measurable, with how far an open one is."""
    made = _plan(
        _gate("good", 2),
        _gate("better", 2, threshold=9.0),
        _gate("green", metric="background_match", threshold=50.0, at_least=(12, 15)),
        _gate("crowned", 2, metric="accessory_crown"),
        _gate("later", 9, threshold=9.0),
        _gate("necklace", 9, metric="accessory_necklace"),
    )
    said = _markup(made, _average(2, 8.5), _counted(3, 9, 15))
    for shape, word in (("disc", "passed"), ("cross", "failed"), ("ring", "pending")):
        assert f'ew-{shape}" aria-hidden="true"></i>{word}<' in said
    assert 'ew-bar" aria-hidden="true"></i>not measurable<' in said
    assert "epoch 3: 9 of 12 so far, 3 to go" in said
    assert "epoch 2: 8.5 so far, 0.5 to go" in said
    assert "epoch 3: no prompt of the suite is measured for it" in said
    assert "by epoch 4; if it fails: only warns" in said


def test_a_plan_set_after_results_says_so() -> None:
    """It is on the page, not only in the history."""
    assert "set after results existed" in _markup(_plan(_gate("good")), late=True)
    assert "set after results existed" not in _markup(_plan(_gate("good")))


def test_phases_decisions_and_looks_say_where_they_stand() -> None:
    """Held, in part, yours to judge; decide now, does not apply; look now, to come."""
    wanted = Criterion(metric="average", op=">=", threshold=7.0)
    made = _plan(
        _gate("good", 1),
        expectations=(
            Expected(first=1, last=1, text="one", criterion=wanted),
            Expected(first=1, last=2, text="two", criterion=wanted),
            Expected(first=1, last=2, text="three"),
            Expected(first=8, last=9, text="four", criterion=wanted),
        ),
        look_at=(1, 2, 7),
        decisions=(
            Decision(after_epoch=1, do=("go",), gate="good", outcome="passed"),
            Decision(after_epoch=1, do=("stop",), gate="good", outcome="failed"),
            Decision(after_epoch=9, do=("end",), when="it is over"),
        ),
    )
    said = _markup(made, _average(1, 8.5), _average(2, 5.0))
    for word in (
        "held", "in part", "yours to judge", "decide now", "does not apply", "scored by ann",
        "look now", "to come",
    ):  # fmt: skip
        assert f"</i>{word}</span>" in said
    assert "held at 1, not at 2" in said
    assert 'href="/img/' in said


def test_when_the_run_is_over_nothing_is_to_come() -> None:
    """What was not reached is called so, and a gate nobody can tell decides nothing."""
    made = _plan(
        _gate("good", 5),
        expectations=(Expected(first=8, last=9, text="four"),),
        look_at=(7,),
        decisions=(Decision(after_epoch=5, do=("go",), gate="good", outcome="passed"),),
    )
    said = _markup(made, _average(1, 5.0), ended=True)
    assert "</i>to come</span>" not in said
    for word in ("not measurable", "not reached", "not there", "cannot be told"):
        assert f"</i>{word}</span>" in said


def test_a_hostile_plan_makes_only_our_own_tags() -> None:
    """A plan is text from anywhere."""
    made = _plan(
        _gate(BAD, 1, metric=BAD),
        text=BAD,
        changes=(Change(parameter=BAD, after=BAD, before=BAD, why=BAD),),
        expectations=(Expected(first=1, last=1, text=BAD),),
        look_at=(1,),
        decisions=(Decision(after_epoch=1, do=(BAD,), when=BAD),),
    )

    class Seen(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag != "script"
            assert not [name for name, _ in attrs if name.startswith("on")]

    for markup in (
        _markup(made, _average(1, 8.0), text=BAD, late=True),
        plan.empty(BAD),
        plan.problems(BAD, [BAD]),
        plan.understood(made.gates),
    ):
        assert "<script" not in markup
        Seen().feed(markup)


@pytest.fixture
def house(own_dsn: str, tmp_path: Path) -> Iterator[House]:
    """Give a run of two tested epochs to a dashboard of its own."""
    with open_house(own_dsn, tmp_path) as parts:
        for epoch in (1, 2):
            parts.arrive(epoch)
            parts.draw(QUALITY)
            parts.judge.judge()
        yield parts


def _area(page: AppTest) -> Any:
    return next(each for each in page.text_area if each.label == "Plan (TOML)")


def test_a_person_checks_and_sets_a_plan_on_the_page(house: House) -> None:
    """A mistake comes with its line; the plan stands for the command line too, and its state is shown."""
    page = AppTest.from_file(str(VIEW), default_timeout=240).run()
    assert not page.exception
    assert "This run has no plan" in words_of(page)
    _area(page).set_value(TEXT.replace('"average"', '"beauty"')).run()
    page.button(key="plan-check").click().run()
    assert "line 8: gate 1: nothing measures" in words_of(page)
    _area(page).set_value(TEXT).run()
    page.button(key="plan-set").click().run()
    assert "Say who you are" in page.warning[0].value
    page.text_input(key="judge-plan").set_value("ann").run()
    page.button(key="plan-set").click().run()
    assert not page.exception
    [told] = house.select("SELECT id FROM public.training_runs")
    with house.database.transaction() as connection:
        standing = plans.look(connection, told["id"])
        [registered] = plans.history(connection, told["id"])
    assert standing is not None
    assert [each.state for each in standing.gates] == ["passed", "pending"]
    assert (registered.by_whom, registered.after_results) == ("ann", True)
    again = AppTest.from_file(str(VIEW), default_timeout=240).run()
    assert not again.exception
    words = words_of(again)
    assert "This plan was set after results existed." in words
    assert "stated with 85 %" in words
    assert "threshold = 0.1" in _area(again).value
