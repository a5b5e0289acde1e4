"""Plans: what is written is what is understood, and every mistake has its line."""

import json
from pathlib import Path

import pytest

from core.errors import Fixable
from core.formats.run_plan import (
    Change,
    Criterion,
    Decision,
    Gate,
    RunPlan,
    plan_from_json,
    plan_to_json,
    read_plan,
)
from core.rules.gate_evidence import is_metric

EXAMPLE = Path(__file__).resolve().parents[3] / "docs" / "examples" / "next_run.toml"
SMALL = """
hypothesis = "more epochs help"

[changes]
keep_tokens = { from = 1, to = 3, why = "color words stay" }
max_train_epochs = 20

[[gate]]
name = "green"
metric = "background_match"
threshold = 50
at_least = "12 of 15"
by_epoch = 4
on_fail = "stop at 5"
must = true

[[gate]]
name = "steady"
metric = "no oscillation"
by_epoch = 10

[[decision]]
after_epoch = 4
gate = "green"
outcome = "failed"
do = ["Stop."]
"""


def read(folder: Path, text: str) -> RunPlan:
    """Write a plan and read it."""
    (folder / "plan.toml").write_text(text, encoding="utf-8")
    return read_plan(folder / "plan.toml", is_metric=is_metric)


def complaint(folder: Path, text: str) -> str:
    """Return what a person is told about a broken plan."""
    with pytest.raises(Fixable) as told:
        read(folder, text)
    return str(told.value)


def test_a_plan_is_read_with_its_defaults(tmp_path: Path) -> None:
    """What is not written has the value that asks for least."""
    plan = read(tmp_path, SMALL)

    assert (plan.name, plan.confidence, plan.parent_run) == ("plan", None, None)
    assert plan.changes == (
        Change(parameter="keep_tokens", before=1, after=3, why="color words stay"),
        Change(parameter="max_train_epochs", after=20),
    )
    green, steady = plan.gates
    assert green == Gate(
        name="green",
        criterion=Criterion(metric="background_match", op=">=", threshold=50.0, at_least=(12, 15)),
        by_epoch=4,
        stop_at=5,
        must=True,
    )
    assert steady.criterion == Criterion(metric="average", op="no oscillation", threshold=None)
    assert (steady.stop_at, steady.must, steady.from_epoch) == (None, False, 1)
    assert plan.decisions == (
        Decision(after_epoch=4, do=("Stop.",), gate="green", outcome="failed"),
    )


def test_the_owners_next_run_is_a_plan() -> None:
    """The shipped example holds all that the owner's document plans."""
    plan = read_plan(EXAMPLE, is_metric=is_metric)

    assert (plan.name, plan.confidence) == ("SD15_KEEP_TOKENS_3_EXPERIMENT", 0.85)
    assert plan.parent_run == "SD15_FINAL_CORRECTED_CAPTIONS"
    assert plan.look_at == (1, 3, 5, 7, 10)
    changed = {each.parameter: each.after for each in plan.changes if each.before != each.after}
    assert changed == {"keep_tokens": 3, "caption_dropout_rate": 0.05}
    assert {each.parameter for each in plan.changes} - changed.keys() == {
        "network_dim",
        "network_alpha",
        "learning_rate",
        "max_train_epochs",
    }
    assert [each.name for each in plan.gates if each.must] == [
        "early background",
        "stable background",
        "quality by epoch 7",
        "smooth convergence",
    ]
    first = plan.gates[0]
    assert (first.criterion.at_least, first.by_epoch, first.stop_at) == ((12, 15), 4, 5)
    assert {(each.first, each.last) for each in plan.expectations} == {
        (1, 2),
        (3, 4),
        (5, 7),
        (8, 10),
    }
    assert [each.after_epoch for each in plan.decisions] == [4, 4, 10, 10, 10, 10]


def test_a_plan_survives_json() -> None:
    """The stored form gives back the same plan."""
    plan = read_plan(EXAMPLE)
    assert plan_from_json(json.loads(json.dumps(plan_to_json(plan)))) == plan


@pytest.mark.parametrize("body", [{}, {"gates": 3}, {"name": "x", "unknown": 1}])
def test_a_stored_body_that_is_no_plan_is_told(body: dict[str, object]) -> None:
    """A person is asked to set the file again."""
    with pytest.raises(Fixable, match="set the plan's file again"):
        plan_from_json(body)


def test_every_problem_is_told_with_its_line(tmp_path: Path) -> None:
    """All at once, in the second of two gates as well as in the first."""
    told = complaint(
        tmp_path,
        """hypothesis = ""
confidence = 85
sped = 1
[[gate]]
name = "a"
metric = "beauty"
op = "=>"
by_epoch = 4
[[gate]]
name = "a"
metric = "average"
threshold = 11
at_least = "16 of 15"
by_epoch = 4
on_fail = "stop at 3"
must = "yes"
[[expect]]
epochs = "4-3"
text = "x"
[[decision]]
after_epoch = 4
gate = "b"
""",
    )
    for part in (
        "plan.toml was not loaded, so no gate is set by it",
        "line 1: hypothesis must be text",
        "line 2: confidence must be a share from 0 to 1, such as 0.85 for 85 %",
        "line 3: unknown key 'sped'",
        "line 6: gate 1: nothing measures 'beauty'",
        "line 7: gate 1: op '=>' is none of >=, >, <=, <, no oscillation",
        "line 4: gate 1: threshold is missing",
        "line 10: a gate 'a' stands above already",
        "line 12: gate 2: threshold must be a number, 0 to 10",
        "line 13: gate 2: at_least '16 of 15' is not a count",
        "line 15: gate 2: stops at 3, before the gate is due at 4",
        "line 16: gate 2: must must be true or false",
        "line 18: expect 1: epochs '4-3' is neither an epoch nor a range",
        "line 22: decision 1: there is no gate 'b'",
        "line 20: decision 1: a decision on a gate has an outcome",
        "line 20: decision 1: do must be a list of texts",
    ):
        assert part in told


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("by_epoch = 10", "by_epoch = 2"), "needs three epochs"),
        (("by_epoch = 10", "by_epoch = 10\nfrom_epoch = 11"), "from_epoch 11 is after"),
        (("by_epoch = 10", "by_epoch = 0"), "by_epoch must be an epoch, from 1"),
        (("max_train_epochs = 20", "max_train_epochs = [1]"), "line 6: max_train_epochs must be"),
        (("max_train_epochs = 20", "x = { to = inf }"), "line 6: x must be a value"),
        (("[changes]", "[[changes]]"), "written as a [changes] table"),
        (('metric = "no oscillation"', 'metric = "region_hair"\nop = "no oscillation"'),
         "threshold is missing"),
        (("threshold = 50", "threshold = nan"), "threshold must be a number"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told(tmp_path: Path, change: tuple[str, str], told: str) -> None:
    """One mistake at a time in a plan that is right otherwise."""
    assert told in complaint(tmp_path, SMALL.replace(*change))


def test_a_file_that_is_no_plan_at_all_is_told(tmp_path: Path) -> None:
    """Missing, broken, and without a gate."""
    with pytest.raises(Fixable, match="cannot be read"):
        read_plan(tmp_path / "none.toml")
    assert "not valid TOML" in complaint(tmp_path, "hypothesis = ")
    assert "it sets no [[gate]]" in complaint(tmp_path, 'hypothesis = "x"')
