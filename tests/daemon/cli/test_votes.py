"""`epochwatch votes`: facts for scripts, files for the owner, links for guests."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from typer.testing import CliRunner

from core.errors import Fixable
from core.store import voting
from core.store.database import Database
from core.store.migrate import migrate
from daemon.cli.main import app
from databases import new_database
from seeded_comparison import Made, compare
from seeded_history import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def voted(server_dsn: str) -> Iterator[tuple[str, Made]]:
    """A comparison that Mara gave six votes on, five of them to epoch 7."""
    with new_database(server_dsn) as dsn:
        migrate(dsn)
        with psycopg.connect(dsn) as connection:
            made = compare(connection, MemoryStore(), units=8)
        with Database(dsn) as database, database.transaction() as connection:
            mara = voting.begin(connection, made.id, "Mara", "local")
            base, pick = (slot.key for slot in made.slots)
            units = _units(connection, made)
            for number, unit in enumerate(units[:6]):
                name = voting.serve(
                    connection,
                    mara,
                    unit=unit,
                    category="portrait",
                    slots=(base, pick),
                    samples=(made.samples[base, number], made.samples[pick, number]),
                )
                choice = "left" if number == 0 else "right"
                voting.answer(connection, mara, name or "", 0, choice, note="better colors")
        yield dsn, made


def _units(connection: object, made: Made) -> list[str]:
    from core.store.comparisons import comparison

    found = comparison(connection, made.id)  # type: ignore[arg-type]
    assert found is not None
    return [unit.key for unit in found.units]


def _run(monkeypatch: pytest.MonkeyPatch, dsn: str, *arguments: object) -> str:
    monkeypatch.setenv("DATABASE_URL", dsn)
    found = CliRunner().invoke(app, ["votes", *map(str, arguments)], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.output


def test_stats_say_what_stands(monkeypatch: pytest.MonkeyPatch, voted: tuple[str, Made]) -> None:
    """A sentence for people, JSON for scripts."""
    dsn, made = voted
    said = _run(monkeypatch, dsn, "stats", made.id)
    assert "epoch 7 won 5 of 6 clear votes" in said
    assert "EXCELLENT: 83.3 % of 6 comparisons won (" in said
    told = json.loads(_run(monkeypatch, dsn, "stats", made.id, "--json"))
    assert told["comparison"] == made.id
    assert (told["result"]["wins"], told["result"]["losses"]) == (5, 1)
    assert told["themes"][0]["theme"] == "better colors"
    assert told["generation_seconds"]["base"]["images"] == 8


@pytest.mark.parametrize("format_", ["csv", "json", "seed"])
def test_votes_are_exported(
    monkeypatch: pytest.MonkeyPatch, voted: tuple[str, Made], tmp_path: Path, format_: str
) -> None:
    """In three forms."""
    dsn, made = voted
    file = tmp_path / "votes"
    _run(monkeypatch, dsn, "export", made.id, "-o", file, "--format", format_)
    text = file.read_text(encoding="utf-8")
    lines = json.loads(text) if format_ == "json" else list(csv.DictReader(text.splitlines()))
    assert len(lines) == (12 if format_ == "seed" else 6)


def test_a_guest_link_is_shown_once_listed_without_its_token_and_revoked(
    monkeypatch: pytest.MonkeyPatch, voted: tuple[str, Made]
) -> None:
    """The address is the dashboard's own."""
    dsn, made = voted
    monkeypatch.setenv("EPOCHWATCH_DASHBOARD_URL", "https://votes.example/")
    said = _run(monkeypatch, dsn, "invite", made.id, "--judge", "Nadia", "--hours", 48)
    assert said.startswith("https://votes.example/guest/")
    token = said.split()[0].rpartition("/")[2]
    listed = json.loads(_run(monkeypatch, dsn, "links", "--json"))
    assert [(each["judge"], each["state"]) for each in listed] == [("Nadia", "open")]
    assert token not in str(listed)
    assert "Nadia" in _run(monkeypatch, dsn, "revoke", listed[0]["link"])
    with Database(dsn) as database, database.transaction() as connection:
        assert voting.guest(connection, token) is None
    listed = json.loads(_run(monkeypatch, dsn, "links", "--json"))
    assert listed[0]["state"] == "revoked"


@pytest.mark.parametrize(
    "arguments",
    [
        ("stats", "999"),
        ("export", "999", "-o", "x"),
        ("export", "1", "-o", "x", "--format", "xml"),
        ("invite", "999", "--judge", "Nadia"),
        ("revoke", "00000000"),
    ],
)
def test_a_wrong_wish_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, voted: tuple[str, Made], arguments: tuple[str, ...]
) -> None:
    """And says what to do."""
    with pytest.raises(Fixable):
        _run(monkeypatch, voted[0], *arguments)
