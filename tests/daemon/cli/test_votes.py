"""`epochwatch votes`: facts for scripts, files for the owner, links for guests."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import psycopg
import pytest
from skimage.io import imread
from typer.testing import CliRunner

from core.errors import Fixable
from core.store import guest_links, voting
from core.store.comparisons import comparison
from core.store.database import Database
from daemon.cli.main import app
from databases import migrated_database
from seeded_comparison import Made, compare
from seeded_history import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterator

# The example script of the owner's documents, letter for letter.
_OWNERS_SCRIPT = Path(__file__).parents[2] / "data" / "the_owners_analyze_comparison.txt"


@pytest.fixture(scope="module")
def voted(server_dsn: str) -> Iterator[tuple[str, Made]]:
    """A comparison that Mara gave six votes on, five of them to epoch 7."""
    with migrated_database(server_dsn) as dsn:
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
    assert "not blind" not in said
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


def test_stats_say_what_was_not_blind_and_nothing_of_a_slot_without_votes(
    monkeypatch: pytest.MonkeyPatch, server_dsn: str
) -> None:
    """Two slots were compared by somebody who saw their names; the third has no number."""
    with migrated_database(server_dsn) as dsn:
        with psycopg.connect(dsn) as connection:
            made = compare(connection, MemoryStore(), ("base", "five", "nine"), units=1)
        with Database(dsn) as database, database.transaction() as connection:
            bo = voting.begin(connection, made.id, "Bo", "local", blind=False)
            slots = [slot.key for slot in made.slots[:2]]
            name = voting.serve(
                connection, bo, unit="u0", category="", slots=slots,
                samples=[made.samples[slot, 0] for slot in slots],
            )  # fmt: skip
            voting.answer(connection, bo, name or "", 0, "right")
        said = _run(monkeypatch, dsn, "stats", made.id)
    assert "Of these votes 1 was not blind." in said
    assert "100.0 % of 1 comparison won" in said
    (line,) = [line.split() for line in said.splitlines() if line.startswith(" nine")]
    assert line == ["nine", "-", "-", "-", "-"]


def test_the_owners_own_script_reads_the_export_unchanged(
    monkeypatch: pytest.MonkeyPatch, voted: tuple[str, Made], tmp_path: Path
) -> None:
    """It ends well, prints the product's own figures, and saves its plots."""
    dsn, made = voted
    _run(monkeypatch, dsn, "export", made.id, "-o", tmp_path / "comparison.csv", "--format", "seed")
    script = tmp_path / "analyze_comparison.py"
    shutil.copyfile(_OWNERS_SCRIPT, script)
    said = subprocess.run(
        [sys.executable, "-W", "ignore", script.name, "comparison.csv"],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "Agg", "MPLCONFIGDIR": str(tmp_path), "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    found = json.loads(_run(monkeypatch, dsn, "stats", made.id, "--json"))["result"]
    lost = 100 * found["losses"] / found["comparisons"]
    assert f"Total Comparisons: {2 * found['comparisons']}\n" in said.stdout
    assert f"Base SDXL Wins: {2 * found['losses']} ({lost:.1f}%)" in said.stdout
    assert f"Custom LoRA Wins: {2 * found['wins']} ({found['win_rate']:.1f}%)" in said.stdout
    assert f"Win Rate: {found['win_rate']:.1f}%" in said.stdout
    assert said.stdout.count("EXCELLENT") == 1
    assert found["verdict"].startswith("EXCELLENT")
    mean = re.search(r"Avg Generation Time: ([\d.]+)s", said.stdout)
    assert mean is not None
    assert float(mean[1]) == pytest.approx(_mean_seconds(dsn, made), abs=0.006)
    assert said.stdout.count("  - better colors") == 5  # it prints the first five of six
    plots = imread(tmp_path / "validation_report.png")
    assert plots.shape[:2] == (400, 1200)
    assert plots.std() > 1


def _mean_seconds(dsn: str, made: Made) -> float:
    """Return the mean time of the pictures that were voted on."""
    with Database(dsn) as database, database.transaction() as connection:
        found = comparison(connection, made.id)
        assert found is not None
        voted_on = {each.unit for each in voting.served(connection, made.id)}
    seconds = [
        picture.seconds
        for unit in found.units
        if unit.key in voted_on
        for picture in unit.pictures.values()
    ]
    return fmean(each for each in seconds if each is not None)


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
        assert guest_links.guest(connection, token) is None
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
