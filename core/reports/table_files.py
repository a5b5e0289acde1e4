"""Tables as files that other programs read: CSV with cells no spreadsheet runs, or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def csv_text(columns: Sequence[str], found: Sequence[Mapping[str, Any]]) -> str:
    """Return a CSV table with a line of column names; what is not known is an empty cell.

    Text that a spreadsheet would run as a formula gets an apostrophe in front: names, prompts and
    notes are foreign (OWASP, CSV injection). Lists become text with "; " between.
    """
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow(columns)
    lines.writerows([_cell(each.get(column)) for column in columns] for each in found)
    return out.getvalue()


def json_text(columns: Sequence[str], found: Sequence[Mapping[str, Any]]) -> str:
    """Return the same table as a JSON list of objects; what is not known is null."""
    body = [{column: each.get(column) for column in columns} for each in found]
    return json.dumps(body, indent=2, ensure_ascii=False, default=_plain) + "\n"


def _cell(value: Any) -> Any:
    if isinstance(value, list | tuple):
        value = "; ".join(map(str, value))
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return f"'{value}"
    if isinstance(value, date):
        return value.isoformat()
    return "" if value is None else value


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    return value.isoformat() if isinstance(value, date) else str(value)
