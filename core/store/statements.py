"""Reads the named statements of sql/queries: a file a table group, `-- name: what_it_does` above each."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

SQL = Path(__file__).resolve().parent.parent.parent / "sql"
_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


@cache
def _group(name: str) -> dict[str, str]:
    parts = _NAME.split((SQL / "queries" / f"{name}.sql").read_text(encoding="utf-8"))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def statement(name: str) -> str:
    """Return the SQL called ``group.name``; KeyError when there is none."""
    group, _, key = name.partition(".")
    return _group(group)[key].strip().rstrip(";")
