"""Plans written back as TOML."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import Fixable
from core.formats.run_plan import Change, plan_of_text, read_plan
from core.formats.run_plan_text import STARTER, plan_to_toml
from core.rules.gate_evidence import is_metric

EXAMPLE = Path(__file__).resolve().parents[3] / "docs" / "examples" / "next_run.toml"


@pytest.mark.parametrize(
    "hostile", ['a "b" \\ c', "line\nline", '"""', "del \x7f bell \x07", "ü—🎨"]
)
def test_a_plan_written_as_toml_is_read_as_the_same_plan(hostile: str) -> None:
    """The whole example, with signs that would end a string anywhere else."""
    plan = read_plan(EXAMPLE, is_metric=is_metric)
    gate = replace(plan.gates[0], name=hostile)
    odd = replace(
        plan,
        name=hostile,
        hypothesis=hostile,
        notes=hostile,
        changes=(*plan.changes, Change(parameter="a key of words", after=True, before=hostile)),
        gates=(gate, *plan.gates[1:]),
        decisions=(replace(plan.decisions[0], gate=hostile, do=(hostile,)),),
    )
    for each in (plan, odd):
        text = plan_to_toml(each)
        assert plan_of_text(text, source="text", name="x", is_metric=is_metric) == each


def test_what_a_person_starts_from_is_a_plan() -> None:
    """Nobody begins with an error of ours."""
    assert plan_of_text(STARTER, source="text", name="mine", is_metric=is_metric).name == "mine"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = " + "[" * 9000, "not"),
        ("a = " + "9" * 9000, "not a plan that a person would write"),
        ('hypothesis = "a\\u0000b"\n[[gate]]', "NUL"),
    ],
)
def test_text_that_would_break_a_page_is_a_problem_of_the_plan(text: str, said: str) -> None:
    """Depth, length and signs that no database keeps."""
    with pytest.raises(Fixable, match=said):
        plan_of_text(text, source="text", name="x")
