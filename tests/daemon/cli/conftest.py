"""The command line in this process or in one of its own, in an empty folder, on a fresh database."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import structlog

from daemon.cli import main as program
from databases import migrated_database

REPOSITORY = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Said]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, with nothing set but a home."""
    for name in list(os.environ):
        if name.startswith(("EPOCHWATCH_", "DATABASE_URL")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("EPOCHWATCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def _logs_of_its_own() -> Iterator[None]:
    """Forget where a command sent its log: that stream ends with the test."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def epochwatch(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Give the command line, run in this process as its script would."""

    def run(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["epochwatch", *map(str, words)])
        code: object = 0
        try:
            program.main()
        except SystemExit as end:
            code = end.code or 0
        said = capsys.readouterr()
        assert isinstance(code, int)
        return Said(code=code, out=said.out, err=said.err)

    return run


@pytest.fixture(scope="module")
def migrated(server_dsn: str) -> Iterator[str]:
    """Give a migrated database that the tests of a module share."""
    with migrated_database(server_dsn) as found:
        yield found


@pytest.fixture
def dsn(migrated: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give a migrated empty database that the settings name."""
    monkeypatch.setenv("DATABASE_URL", migrated)
    yield migrated
    with psycopg.connect(migrated) as connection:
        connection.execute("TRUNCATE public.training_runs, epochwatch.actions CASCADE")


@pytest.fixture
def add_run(dsn: str) -> Callable[..., int]:
    """Give what adds a run."""

    def add(name: str, status: str = "in_progress") -> int:
        with psycopg.connect(dsn) as connection:
            found = connection.execute(
                "INSERT INTO public.training_runs (run_name, run_date, status, base_model,"
                " model_type) VALUES (%s, now(), %s, 'anything-v5', 'SD15') RETURNING id",
                (name, status),
            ).fetchone()
        assert found is not None
        return int(found[0])

    return add
