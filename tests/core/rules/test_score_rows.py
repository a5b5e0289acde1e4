"""Reading scores that a person types."""

from __future__ import annotations

import math

import pytest

from core.errors import Fixable
from core.rules.score_rows import OVERALL, ScoreRow, averages, read_scores, usable


@pytest.mark.parametrize("text", ["6,7,7", " 6, 7 ,7 \n", "6 7 7", "6;7;7", "6\n7\n7\n", "6,7,7,"])
def test_a_list_is_one_overall_score_an_epoch(text: str) -> None:
    """Commas, semicolons, spaces or lines part the scores."""
    rows = read_scores(text)
    assert [(row.position, row.unit, row.score) for row in rows] == [
        (1, OVERALL, 6),
        (2, OVERALL, 7),
        (3, OVERALL, 7),
    ]


def test_a_dash_is_an_epoch_without_a_score() -> None:
    """It keeps its place."""
    rows = read_scores("6,-,7")
    assert math.isnan(rows[1].score)
    assert rows[2].position == 3


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_has_epoch_prompt_and_score(delimiter: str) -> None:
    """Column order, other columns, a byte order mark and blank lines do not matter."""
    lines = ["\ufeffScore,note,Prompt,Epoch", '7.5,"fine",crown,2', "", "6,,blue,1"]
    text = "\r\n".join(lines).replace(",", delimiter)
    assert read_scores(text) == (
        ScoreRow(position=2, unit="crown", score=7.5),
        ScoreRow(position=1, unit="blue", score=6.0),
    )


def test_a_table_may_leave_the_prompt_out() -> None:
    """Then its scores are overall ones, and steps may stand for epochs."""
    assert read_scores("step,score\n500,6\n")[0] == ScoreRow(position=500, unit=OVERALL, score=6)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no scores"),
        ("6,x,7", "Score 2: 'x'"),
        ("6,,7", "Score 2"),
        ("6,11", "Score 2: 11 is outside"),
        ("1,6\n2,7", "epoch,prompt,score"),
        ("epoch,prompt\n1,a\n", "Line 1: the column score"),
        ("prompt,score\na,1\n", "Line 1: the column epoch"),
        ("epoch,prompt,score\n1,a,6\n2,a,high\n", "Line 3: 'high'"),
        ("epoch,prompt,score\n1,a,6\n\nx,a,6\n", "Line 4: 'x' is not an epoch"),
        ("epoch,prompt,score\n1,a,-1\n", "Line 2: -1 is outside"),
        ("epoch,prompt,score\n", "no scores below"),
        ("epoch,prompt,score\n1,a,inf\n", "Line 2: inf is outside"),
    ],
)
def test_what_is_not_understood_is_named_with_its_place(text: str, words: str) -> None:
    """A person can repair it from the message alone."""
    with pytest.raises(Fixable, match=words):
        read_scores(text)


def test_unmeasured_scores_are_left_out_with_a_note() -> None:
    """NaN, infinity and None are not zero."""
    rows = [
        ScoreRow(position=e, unit="a", score=s) for e, s in ((1, 6.0), (2, math.nan), (3, None))
    ]
    kept, notes = usable(rows)
    assert [row.position for row in kept] == [1]
    assert "at 2, 3" in notes[0]


def test_the_same_unit_twice_counts_once() -> None:
    """Two scores of one unit at one position are averaged."""
    kept, notes = usable([ScoreRow(position=1, unit="a", score=s) for s in (6.0, 8.0)])
    assert [row.score for row in kept] == [7.0]
    assert averages(kept) == {1: 7.0}
    assert len(notes) == 1
