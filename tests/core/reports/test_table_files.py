"""Tables for other programs: what is unknown stays empty, and nothing is run by a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from datetime import date
from decimal import Decimal

from core.reports.table_files import csv_text, json_text

ROWS = [
    {
        "version": "v1",
        "date": date(2026, 11, 1),
        "steps": -3,
        "rate": Decimal("0.5"),
        "notes": None,
    },
    {
        "version": '=HYPERLINK("http://x")',
        "date": None,
        "steps": 0,
        "rate": None,
        "notes": ["a", "b,c"],
    },
]
COLUMNS = ("version", "date", "steps", "rate", "notes")


def test_csv_comes_back_as_it_was_written() -> None:
    """Commas, quotes and lists survive; unknown is empty, and zero is zero."""
    first, second = csv.DictReader(io.StringIO(csv_text(COLUMNS, ROWS)))
    assert first == {
        "version": "v1",
        "date": "2026-11-01",
        "steps": "-3",
        "rate": "0.5",
        "notes": "",
    }
    assert second["notes"] == "a; b,c"
    assert second["steps"] == "0"


def test_no_cell_is_a_formula() -> None:
    """Names and notes are foreign."""
    for start in "=+-@\t\r":
        (line,) = csv.reader(io.StringIO(csv_text(("n",), [{"n": f"{start}cmd"}]).splitlines()[1]))
        assert line[0].startswith("'")


def test_json_keeps_kinds() -> None:
    """Numbers are numbers, lists are lists, unknown is null."""
    body = json.loads(json_text(COLUMNS, ROWS))
    assert body[0]["rate"] == 0.5
    assert body[1] == {
        "version": ROWS[1]["version"],
        "date": None,
        "steps": 0,
        "rate": None,
        "notes": ["a", "b,c"],
    }
