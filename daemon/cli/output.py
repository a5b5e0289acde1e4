"""What the command line prints: one line for an error, JSON or a table for facts."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from core.errors import EpochwatchError, Fixable

EPOCH_COLUMNS = ("epoch", "visual", "style", "prompt", "average", "verdict", "picked", "issues")


def complain(trouble: EpochwatchError | OSError) -> int:
    """Print one line on stderr and return the exit code: 2 when a person can repair it."""
    print(f"epochwatch: {one_line(trouble)}", file=sys.stderr)
    return 2 if isinstance(trouble, Fixable) else 1


def one_line(trouble: Exception) -> str:
    """Return what went wrong on one line, whatever names of files or runs are in it."""
    if isinstance(trouble, OSError) and trouble.strerror:
        about = f": {trouble.filename}" if trouble.filename else ""
        return _printable(f"{trouble.strerror}{about}")
    return _printable(" ".join(str(trouble).split()) or type(trouble).__name__)


def print_json(value: Any) -> None:
    """Print a value as JSON; decimals become numbers, times ISO text."""
    print(json.dumps(value, indent=2, default=_plain, ensure_ascii=False))


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, date):
        return value.isoformat()
    return str(value)


def print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Print rows as a table; foreign text is never read as markup."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, header_style="bold")
    for row in rows:
        table.add_row(*(Text(_shown(row.get(column))) for column in columns))
    # Piped into a program, a line stays a line.
    Console(width=None if sys.stdout.isatty() else 400).print(table)


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    text = f"{value:.2f}" if isinstance(value, float | Decimal) else str(value)
    return _printable(text)


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "\ufffd" for character in text)
