"""The rows that the deciding part starts from, and how they are read from what a person types."""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.errors import Fixable

if TYPE_CHECKING:
    from collections.abc import Iterable

OVERALL = "overall"  # the unit of one score given to a whole epoch
MAX_ROWS = 100_000
_POSITION_COLUMNS = ("epoch", "step", "position", "epoch_number")
_UNIT_COLUMNS = ("prompt", "unit", "prompt_name")
_NOT_SCORED = ("", "-", "na", "n/a", "nan", "none", "null")


@dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """One score: what one unit (a prompt drawn with one seed) got at one position."""

    position: int  # epoch, else step
    unit: str
    score: float  # 0-10; NaN means not measured and is left out with a note


def usable(rows: Iterable[ScoreRow]) -> tuple[tuple[ScoreRow, ...], tuple[str, ...]]:
    """Return one row per position and unit in a fixed order, and notes on what was left out.

    Scores that are None, NaN or infinite are left out. Several scores of one unit at one position
    are averaged: the same sample measured twice is not twice the evidence.
    """
    groups: dict[tuple[int, str], list[float]] = {}
    dropped: set[int] = set()
    for row in rows:
        if row.score is None or not math.isfinite(row.score):
            dropped.add(row.position)
        else:
            groups.setdefault((row.position, row.unit), []).append(float(row.score))
    notes = []
    if dropped:
        where = ", ".join(map(str, sorted(dropped)))
        notes.append(f"Scores that could not be measured were left out (at {where}).")
    if any(len(scores) > 1 for scores in groups.values()):
        notes.append("Several scores of the same unit at the same position were averaged.")
    kept = tuple(
        ScoreRow(position=position, unit=unit, score=math.fsum(sorted(scores)) / len(scores))
        for (position, unit), scores in sorted(groups.items())
    )
    return kept, tuple(notes)


def averages(rows: Iterable[ScoreRow]) -> dict[int, float]:
    """Return the plain mean score (0-10) of each position, by position; takes usable rows."""
    groups: dict[int, list[float]] = {}
    for row in rows:
        groups.setdefault(row.position, []).append(row.score)
    return {place: math.fsum(groups[place]) / len(groups[place]) for place in sorted(groups)}


def read_scores(text: str) -> tuple[ScoreRow, ...]:
    """Read "6,7,7" (epochs 1, 2, 3) or CSV text with columns epoch, prompt, score.

    In CSV the prompt column may be missing (one overall score per epoch) and other columns are
    ignored. "-" or an empty cell means not scored and gives NaN.

    Raises:
        Fixable: when a cell is not a score or an epoch, with its line.
    """
    body = text.lstrip("\ufeff").strip()
    if not body:
        raise Fixable("There are no scores to read. Give them as 6,7,7 or as a CSV file.")
    first_line = body.splitlines()[0]
    header = [cell.strip().lower() for cell in re.split(r"[,;\t]", first_line)]
    if "score" in header or any(name in header for name in _POSITION_COLUMNS):
        return _read_table(text.lstrip("\ufeff"))
    return _read_list(body)


def _read_list(body: str) -> tuple[ScoreRow, ...]:
    lines = [line for line in body.splitlines() if line.strip()]
    if len(lines) > 1 and any(re.search(r"[,;\t]", line.strip().strip(",;")) for line in lines):
        raise Fixable(
            "Line 1: this looks like a table without column names. "
            "Put a first line epoch,prompt,score above it."
        )
    cells = re.split(r"\s*[,;]\s*|\s+", body.rstrip(",; \t\n"))
    return tuple(
        ScoreRow(position=number, unit=OVERALL, score=_score(cell, f"Score {number}", strict=True))
        for number, cell in enumerate(cells, start=1)
    )


def _read_table(text: str) -> tuple[ScoreRow, ...]:
    start = next(line for line in text.splitlines() if line.strip())
    delimiter = max(",;\t", key=start.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    columns: dict[str, int] = {}
    rows: list[ScoreRow] = []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if not columns:
                columns = _columns(cells, reader.line_num)
                continue
            rows.append(_row(cells, columns, reader.line_num))
            if len(rows) > MAX_ROWS:
                raise Fixable(f"Line {reader.line_num}: more than {MAX_ROWS} scores; give fewer.")
    except csv.Error as trouble:
        raise Fixable(f"Line {reader.line_num}: this is not readable as CSV ({trouble}).") from None
    if not rows:
        raise Fixable("The table has column names but no scores below them.")
    return tuple(rows)


def _columns(cells: list[str], line: int) -> dict[str, int]:
    names = [cell.strip().lower() for cell in cells]
    found: dict[str, int] = {}
    wanted = (("position", _POSITION_COLUMNS), ("unit", _UNIT_COLUMNS), ("score", ("score",)))
    for meaning, spellings in wanted:
        for name in spellings:
            if name in names:
                found[meaning] = names.index(name)
                break
    missing = [name for name in ("position", "score") if name not in found]
    if missing:
        lacking = " and ".join("epoch" if name == "position" else name for name in missing)
        raise Fixable(f"Line {line}: the column {lacking} is missing; name epoch,prompt,score.")
    return found


def _row(cells: list[str], columns: dict[str, int], line: int) -> ScoreRow:
    def cell(meaning: str) -> str:
        place = columns.get(meaning)
        return cells[place].strip() if place is not None and place < len(cells) else ""

    if not re.fullmatch(r"[0-9]{1,12}", cell("position")):
        raise Fixable(
            f"Line {line}: {cell('position')[:40]!r} is not an epoch; write a whole number."
        )
    return ScoreRow(
        position=int(cell("position")),
        unit=cell("unit") or OVERALL,
        score=_score(cell("score"), f"Line {line}", strict=False),
    )


def _score(cell: str, where: str, *, strict: bool) -> float:
    if cell.lower() in _NOT_SCORED and not (strict and not cell):
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        raise Fixable(
            f"{where}: {cell[:40]!r} is not a score; write a number from 0 to 10, or - for none."
        ) from None
    if not 0 <= value <= 10:
        raise Fixable(f"{where}: {cell[:40]} is outside 0 to 10; scores are on that scale.")
    return value
