"""Votes as files: the owner's script reads them, spreadsheets show them and run nothing."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from statistics import fmean

from core.nouns import Slot, Stack
from core.reports.votes_export import COLUMNS, comparison_csv, votes_csv, votes_json

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
BASE = Slot(label="base", stack=Stack(base_sha256="b" * 64))
PICK = Slot(label="epoch 7", stack=Stack(base_sha256="b" * 64, loras=(("c" * 64, "0.80"),)))
SLOTS = (BASE, PICK)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image and how long it took."""

    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A prompt with a seed."""

    key: str
    prompt_text: str = 'a "punk", portrait'
    seed: int = 42
    pictures: dict[str, Picture] = field(
        default_factory=lambda: {BASE.key: Picture(seconds=2.5), PICK.key: Picture(seconds=3.5)}
    )


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A serving with its answer."""

    id: str
    judge: str = "Mara"
    unit: str = "u0"
    category: str = "portrait"
    slots: tuple[str, ...] = (PICK.key, BASE.key)
    purpose: str = "vote"
    expected: str | None = None
    choice: str | None = "left"
    ranking: tuple[int, ...] | None = None
    note: str = ""
    milliseconds: int | None = 1200
    voted_at: datetime | None = NOON
    via: str = "local"
    blind: bool = True
    served_at: datetime = NOON
    revision: int | None = 0


UNITS = [Unit(key=f"u{n}") for n in range(5)]
GIVEN = [
    Kept(id=str(n), unit=f"u{n}", choice=choice, voted_at=NOON + timedelta(seconds=n), note=note)
    for n, (choice, note) in enumerate(
        [
            ("left", "better colors"),
            ("left", ""),
            ("right", "too blurry"),
            ("tie", ""),
            ("skip", ""),
        ]
    )
]


def test_the_owners_analysis_reads_the_file() -> None:
    """Wins by a number in ``winner``, shares of all rows, times by "Base" and "LoRA", notes."""
    text = comparison_csv(12, SLOTS, UNITS, GIVEN)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert tuple(rows[0]) == COLUMNS
    # A column of whole numbers with gaps is read as floating point; so is this.
    winners = [float(row["winner"]) if row["winner"] else None for row in rows]
    base_wins, lora_wins = winners.count(0), winners.count(1)
    assert (base_wins / len(rows), lora_wins / len(rows)) == (1 / 4, 2 / 4)
    assert fmean(float(row["generation_time_s"]) for row in rows) == 3.0
    base = [float(r["generation_time_s"]) for r in rows if "Base" in r["model_name"]]
    lora = [float(r["generation_time_s"]) for r in rows if "LoRA" in r["model_name"]]
    assert (set(base), set(lora)) == ({2.5}, {3.5})
    assert [row["notes"] for row in rows if row["notes"]] == ["better colors", "too blurry"]
    assert len({row["comparison_id"] for row in rows}) == 4


def test_of_many_slots_the_script_gets_those_against_the_first() -> None:
    """It knows two winners: a third number would count as nobody's, and lower the rate."""
    other = Slot(label="epoch 9", stack=Stack(base_sha256="b" * 64, loras=(("d" * 64, "1.00"),)))
    given = [
        Kept(id="a", unit="u0", slots=(other.key, BASE.key), choice="left"),
        Kept(id="b", unit="u1", slots=(BASE.key, other.key), choice="right"),
        Kept(id="c", unit="u2", slots=(other.key, PICK.key), choice="left"),
        Kept(id="d", unit="u3", slots=(PICK.key, BASE.key), choice="right"),
    ]
    text = comparison_csv(12, (*SLOTS, other), UNITS, given)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["winner"] for row in rows] == ["1", "1", "1", "1", "0", "0"]
    assert [row["model_name"] for row in rows[::2]] == ["Base"] * 3
    assert [row["model_name"] for row in rows[1::2]] == ["LoRA epoch 9"] * 2 + ["LoRA epoch 7"]


def test_each_row_says_what_was_drawn_by_what() -> None:
    """Prompt and seed, base, LoRA and strength."""
    row = list(csv.DictReader(io.StringIO(comparison_csv(12, SLOTS, UNITS, GIVEN))))[1]
    assert row == {
        "comparison_id": "12-1",
        "prompt": 'a "punk", portrait',
        "seed": "42",
        "model_name": "LoRA epoch 7",
        "base_model": "b" * 12,
        "lora": "c" * 12,
        "lora_strength": "0.80",
        "generation_time_s": "3.500",
        "winner": "1",
        "notes": "",
        "completed_at": "2026-11-21T12:00:00.000+00:00",
    }


def test_a_judges_words_begin_no_formula() -> None:
    """A guest may write anything."""
    hostile = [replace(GIVEN[0], note='=HYPERLINK("http://x")', judge="@sum")]
    for text in (comparison_csv(1, SLOTS, UNITS, hostile), votes_csv(SLOTS, UNITS, hostile)):
        cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
        assert not [cell for cell in cells if cell[:1] in "=@" and cell]


def test_every_standing_answer_is_in_the_full_export() -> None:
    """Golds, repeats and rankings too; unanswered servings are not."""
    given = [
        *GIVEN,
        Kept(id="g", purpose="gold", slots=(BASE.key, BASE.key), expected="tie", choice="tie"),
        Kept(id="r", choice="ranking", ranking=(1, 0)),
        Kept(id="open", choice=None, voted_at=None, revision=None),
    ]
    found = votes_json(SLOTS, UNITS, given)
    json.dumps(found)
    assert [each["serving"] for each in found] == ["0", "1", "2", "3", "4", "g", "r"]
    assert (found[0]["winner"], found[2]["winner"], found[3]["winner"]) == ("epoch 7", "base", None)
    assert found[6]["ranking"] == ["base", "epoch 7"]
    rows = list(csv.DictReader(io.StringIO(votes_csv(SLOTS, UNITS, given))))
    assert rows[6]["ranking"] == "base > epoch 7"
    assert rows[5]["expected"] == "tie"
    assert votes_csv(SLOTS, UNITS, []) == ",".join(found[0]) + "\n"
