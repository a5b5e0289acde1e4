"""The tables of a plan in TOML, read value by value; what is wrong is noted with its line."""

import math
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from core.formats.prompt_lines import Problems
from core.formats.prompt_tables import Lines


class PlanLines(Lines):
    """Finds the line of a key where tables of several names come again."""

    def __init__(self, text: str) -> None:
        """Note each line's table and key; tables of one name are numbered from 0."""
        super().__init__("")
        seen: Counter[str] = Counter()
        table = ""
        for number, line in enumerate(text.splitlines(), start=1):
            if header := re.match(r"\s*\[+\s*([\w-]+)", line):
                table = header[1]
                seen[table] += 1
                self._where.setdefault((table, seen[table] - 1, ""), number)
            elif key := re.match(r"\s*([\w-]+)\s*[=.]", line):
                self._where.setdefault((table, max(0, seen[table] - 1), key[1]), number)


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table of the file: gives checked values, and notes what is wrong."""

    body: dict[str, Any]
    lines: PlanLines
    problems: Problems
    name: str = ""  # "" is the top of the file
    index: int = 0

    def wrong(self, key: str, what: str) -> None:
        """Note a problem on the line of a key."""
        comes_again = self.name and self.name != "changes"
        where = f"{self.name} {self.index + 1}: " if comes_again else ""
        self.problems.add(self.lines.of(key, self.name, self.index), where + what)

    def refuse_unknown(self, known: Collection[str]) -> None:
        """Note the keys that mean nothing here."""
        for key in self.body:
            if key not in known:
                self.wrong(key, f"unknown key '{key}'; known are {', '.join(sorted(known))}")

    def tables(self, key: str) -> list["Table"]:
        """Return the tables written as [[key]]."""
        found = self.body.get(key, [])
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            self.wrong(key, f"{key} is written as [[{key}]] tables")
            return []
        return [
            Table(body=each, lines=self.lines, problems=self.problems, name=key, index=index)
            for index, each in enumerate(found)
        ]

    def text(self, key: str, default: str = "", *, needed: bool = False) -> str:
        """Return a text."""
        value = self.body.get(key, default)
        if not isinstance(value, str) or (needed and not value.strip()):
            self.wrong(key, f"{key} must be text" if key in self.body else f"{key} is missing")
            return default
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of one text or more."""
        value = self.body.get(key)
        if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
            self.wrong(key, f"{key} must be a list of texts")
            return ()
        return tuple(value)

    def number(self, key: str, low: float, high: float, wanted: str) -> float | None:
        """Return a number within a range, else None."""
        value = self.body.get(key)
        if value is None:
            return None
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or not low <= value <= high:
            self.wrong(key, f"{key} must be {wanted}")
            return None
        return float(value)

    def whole(self, key: str, *, needed: bool = False) -> int | None:
        """Return an epoch (from 1), else None."""
        value = self.body.get(key)
        if value is None and not needed:
            return None
        if not _is_epoch(value):
            missing = value is None
            self.wrong(key, f"{key} {'is missing' if missing else 'must be an epoch, from 1'}")
            return None
        return int(value)  # type: ignore[arg-type]

    def epochs(self, key: str) -> tuple[int, ...]:
        """Return a list of epochs."""
        value = self.body.get(key, [])
        if not isinstance(value, list) or not all(_is_epoch(each) for each in value):
            self.wrong(key, f"{key} must be a list of epochs such as [1, 3, 5]")
            return ()
        return tuple(value)

    def flag(self, key: str) -> bool:
        """Return true or false, false when it is not there."""
        value = self.body.get(key, False)
        if not isinstance(value, bool):
            self.wrong(key, f"{key} must be true or false")
            return False
        return value


def _is_epoch(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 10**9
