"""The named statements: every one that is called exists, every one that exists is valid and called."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg

from core.store.statements import SQL, statement

REPOSITORY = Path(__file__).resolve().parents[3]
COMPUTED = ("gallery.", "owners_tables.")  # their modules put the name together
CALL = re.compile(r'"([a-z_]+\.[a-z_]+)"')


def _named() -> set[str]:
    return {
        f"{path.stem}.{name}"
        for path in (SQL / "queries").glob("*.sql")
        for name in re.findall(r"^-- name: (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }


def _called() -> set[str]:
    groups = {path.stem for path in (SQL / "queries").glob("*.sql")}
    return {
        name
        for folder in ("core", "daemon", "dashboard", "tests")
        for path in (REPOSITORY / folder).rglob("*.py")
        for name in CALL.findall(path.read_text(encoding="utf-8"))
        if name.partition(".")[0] in groups
    }


def test_every_statement_called_exists_and_every_one_that_exists_is_called() -> None:
    """A typing mistake in a name is found here and not at night."""
    assert _called() - _named() == set()
    computed = {name for name in _named() if name.startswith(COMPUTED)}
    assert _named() - _called() - computed == set()


def test_every_statement_is_understood_by_the_server(migrated_dsn: str) -> None:
    """Each can be prepared on the migrated schema: no missing column, no wrong syntax."""
    with psycopg.connect(migrated_dsn, autocommit=True) as connection:
        for name in sorted(_named()):
            text = re.sub(r"%\((\w+)\)s", "NULL", statement(name)).replace("%%", "%")
            if "{" in text:  # completed with identifiers at run time, and tested where it is used
                continue
            connection.execute(f"EXPLAIN {text}" if _explainable(text) else text)


def _explainable(text: str) -> bool:
    code = re.sub(r"^--.*$", "", text, flags=re.MULTILINE).strip().upper()
    return code.startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH"))
