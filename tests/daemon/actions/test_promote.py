"""What is promoted is whole whenever anybody looks, and what was decided happens once."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from core.errors import Fixable, Permanent, Retryable
from core.store import promotions
from core.store.database import Database
from core.store.files import open_store
from core.store.promotions import Decision, Promotion
from daemon.actions.actor import Actor
from daemon.actions.notify import Notifier
from daemon.actions.production_folder import POINTER, RECORD, ProductionFolder, read_live
from daemon.actions.promote import Promoter

REPOSITORY = Path(__file__).resolve().parents[3]
SCRIPT = REPOSITORY / "tests" / "helpers" / "killed_promotions.py"


class House:
    """A production folder, a database and the files that may go there."""

    def __init__(self, database: Database, home: Path) -> None:
        """Begin with nothing in production."""
        self.database, self.home = database, home
        self.folder = home / "production"

    def file(self, letter: str) -> str:
        """Make a checkpoint and return its SHA-256."""
        content = letter.encode() * 3000
        sha256 = hashlib.sha256(content).hexdigest()
        (self.home / "spool").mkdir(exist_ok=True)
        (self.home / "spool" / f"{sha256}.safetensors").write_bytes(content)
        return sha256

    def find(self, sha256: str) -> Path | None:
        """Find a checkpoint, as the spool does."""
        path = self.home / "spool" / f"{sha256}.safetensors"
        return path if path.exists() else None

    def promoter(self, **more: Any) -> Promoter:
        """Return who does it."""
        return Promoter(
            database=self.database,
            folder=ProductionFolder(folder=self.folder),
            host="pod",
            find_weights=more.pop("find", self.find),
            **more,
        )

    def actor(self, promoter: Promoter) -> Actor:
        """Return the daemon's actor."""
        return Actor(
            database=self.database, store=open_store(self.home / "store"), notifier=Notifier(),
            host="pod", find_weights=self.find, picture=lambda *_: None, promoter=promoter,
        )  # fmt: skip

    def decide(self, sha256: str, position: int = 7, **cells: Any) -> int:
        """Decide that something goes to production."""
        record = {
            "model": "punks", "unit": "epoch", "position": position, "score": 8.99,
            "sha256": sha256, "file": f"{sha256}.safetensors", "base": {"name": "sd15"},
            "parameters": {"network_dim": 32}, "trigger": "punk", "caption_version": "v1",
            "caption_format": None, "issues": ["random_pixels"], "excluded_traits": [],
            "strength": "1.00",
        }  # fmt: skip
        decision = Decision(
            **{
                "run_id": None, "run_name": "punks", "position": position, "sha256": sha256,
                "record": record, "checklist": [], "overridden": [], "reason": "",
                "by_whom": "Nadia", **cells,
            }
        )  # fmt: skip
        with self.database.transaction() as connection:
            return promotions.decide(connection, decision)

    def get(self, number: int) -> Promotion:
        """Return a decision."""
        with self.database.transaction() as connection:
            found = promotions.promotion(connection, number)
        assert found is not None
        return found

    def live(self) -> tuple[str, str]:
        """Return what record and pointer lead to."""
        record = read_live(self.folder)
        assert record is not None
        return record["sha256"], hashlib.sha256((self.folder / POINTER).read_bytes()).hexdigest()


@pytest.fixture
def house(database: Database, dsn: str, tmp_path: Path) -> House:
    """Give a house with nothing in production."""
    with psycopg.connect(dsn) as connection:
        connection.execute("TRUNCATE epochwatch.promotions RESTART IDENTITY")
    return House(database, tmp_path)


def _lines(dsn: str, home: Path, links: str) -> list[dict[str, Any]]:
    env = {**os.environ, "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{SCRIPT.parent}"}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), dsn, str(home), links],
        env=env, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line[0] == "{"]


@pytest.mark.parametrize("links", ["symlink", "link", "copy"])
def test_a_promotion_killed_at_any_step_leaves_a_valid_pointer_and_is_completed(
    migrated_dsn: str, tmp_path: Path, links: str
) -> None:
    """Steps are every file operation and both ends of every transaction, counted as they happen."""
    *tries, last = _lines(migrated_dsn, tmp_path, links)
    assert tries[-1]["ended"] == 0  # one step beyond the last: nothing left to kill at
    assert len(tries) - 1 >= 30
    assert {name.split(" ")[0] for name in last["steps"]} >= {
        "create", "write", "sync", "rename", "sync_folder", "symlink", "remove", "before", "after",
    }  # fmt: skip
    for each in tries[:-1]:
        assert each["ended"] == 9, each
        after = each["after"]
        assert after["record_is_whole"], each
        assert after["live_is_whole"], each
        assert {after["record"], after["pointer"], after["live"]} <= set(each["others"]), each
    for each in tries:
        at_last = each["at_last"]
        assert at_last["record"] == at_last["pointer"] == at_last["live"] == each["wanted"], each
        assert at_last["undone"] == 0, each
        assert not [name for name in at_last["names"] if name.endswith(".tmp")], each
    assert len((tmp_path / "hooks").read_text()) >= len(tries)


def test_the_record_says_what_is_live_and_the_owner_can_read_it(house: House) -> None:
    """JSON for programs, the owner's form for people; scores are never rounded up."""
    number = house.decide(house.file("a"), reason="looks right", overridden=["speed"])
    house.actor(house.promoter()).act()
    record = json.loads((house.folder / RECORD).read_text())
    assert (record["promotion"], record["promoted_by"]) == (number, "Nadia")
    assert (house.folder / record["file"]).exists()
    text = (house.folder / "PRODUCTION_MODEL.md").read_text()
    for words in (
        "punks Epoch 7", "**Score:** 8.9/10", "dim=32", "in spite of speed: looks right",
        "**Issues:** random pixels", "**Trigger:** punk",
    ):  # fmt: skip
        assert words in text
    assert stat.S_IMODE((house.folder / record["file"]).stat().st_mode) == 0o644
    assert house.get(number).live_at is not None
    assert house.get(number).host == "pod"


def test_a_file_that_is_not_what_was_tested_never_goes_live(house: House) -> None:
    """One changed byte is another model: what is live stays live."""
    first, second = house.file("a"), house.file("b")
    house.decide(first)
    house.actor(house.promoter()).act()
    path = house.find(second)
    assert path is not None
    path.write_bytes(b"c" + path.read_bytes()[1:])
    number = house.decide(second)
    with pytest.raises(Permanent, match="not what was tested"):
        house.promoter().promote(number)
    house.actor(house.promoter()).act()
    assert house.live() == (first, first)
    assert house.get(number).state == "failed"
    house.decide(house.file("d"))  # a failed one blocks nobody


def test_a_damaged_copy_in_the_folder_is_replaced(house: House) -> None:
    """A name proves nothing: the content in the folder is read before it is called live."""
    sha256 = house.file("a")
    house.folder.mkdir()
    (house.folder / f"{sha256}.safetensors").write_bytes(b"half")
    house.decide(sha256)
    house.actor(house.promoter()).act()
    assert house.live() == (sha256, sha256)


def test_a_missing_file_says_what_to_do(house: House) -> None:
    """Neither copied nor kept: the decision fails for good, in words."""
    number = house.decide("0" * 64)
    with pytest.raises(Fixable, match="Put it back into the watched folder"):
        house.promoter().promote(number)
    assert not (house.folder / POINTER).exists()


def test_a_pair_of_two_files_is_refused(house: House) -> None:
    """One pointer cannot name two files that mean nothing without each other."""
    weights = house.home / "pair" / "adapter_model.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"x")
    weights.with_name("adapter_config.json").write_text("{}")
    number = house.decide("1" * 64)
    with pytest.raises(Permanent, match="PEFT adapter of two files"):
        house.promoter(find=lambda _: weights).promote(number)


def test_going_back_is_one_step_and_needs_no_source(house: House) -> None:
    """The old file is kept, so a rollback works when spool and store have forgotten it."""
    first, second = house.file("a"), house.file("b")
    for sha256 in (first, second):
        house.decide(sha256)
        house.actor(house.promoter()).act()
    assert house.live() == (second, second)
    with house.database.transaction() as connection:
        number = promotions.roll_back(connection, to=None, reason="too blurry", by_whom="Sam")
    house.actor(house.promoter(find=lambda _: None)).act()
    assert house.live() == (first, first)
    back = house.get(number)
    assert (back.rolled_back_from, back.reason, back.by_whom) == (2, "too blurry", "Sam")
    assert back.wanted_host == "pod"
    with house.database.transaction() as connection:
        assert promotions.rollback_target(connection, None).sha256 == second
        with pytest.raises(Fixable, match="was never in production"):
            promotions.rollback_target(connection, 99)


def test_only_the_last_few_files_stay(house: House) -> None:
    """The folder keeps what a rollback may need and no more; the live one always stays."""
    files = [house.file(letter) for letter in "abcd"]
    for sha256 in files:
        house.decide(sha256)
        house.actor(house.promoter(keep=2)).act()
    kept = {path.stem for path in house.folder.glob("?" * 64 + ".safetensors")}
    assert kept == set(files[2:])


def test_a_late_retry_does_not_undo_what_went_live_after_it(house: House) -> None:
    """An action that was put off finds itself overtaken and leaves the pointer alone."""
    first = house.decide(house.file("a"))
    house.actor(house.promoter()).act()
    second = house.file("b")
    house.decide(second)
    house.actor(house.promoter()).act()
    assert "overtaken by number" in house.promoter().promote(first)
    assert house.live() == (second, second)
    live = house.get(first)
    assert live.became == "was live"
    assert replace(live, live_at=None).became == "overtaken"
    assert replace(live, live_at=None, state="failed").became == "failed"


def test_the_command_runs_once_and_its_end_is_recorded(house: House) -> None:
    """No shell, no secrets of ours in its environment, its last words kept."""
    script = (
        "import os; print(os.environ['EPOCHWATCH_PRODUCTION_FILE'], 'DATABASE_URL' in os.environ)"
    )
    actor = house.actor(house.promoter(hook=(sys.executable, "-c", script)))
    number = house.decide(house.file("a"))
    for _ in range(3):
        actor.act()
    found = house.get(number)
    assert found.hook_state == "done"
    assert found.hook_said is not None
    assert found.hook_said.endswith(f"{house.folder / POINTER} False")


def test_a_command_that_fails_is_told_and_production_stays(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong exit, a hang and a missing program are failures of the command alone."""
    for letter, hook, seconds, words in (
        (
            "a",
            (sys.executable, "-c", "import sys; sys.exit('no GPU')"),
            240,
            "ended with 1. no GPU",
        ),
        ("b", ("sleep", "6000"), 0.5, "took longer than"),
        ("c", ("/nowhere/reload", "it's; rm -rf /"), 240, "cannot be run"),
    ):
        monkeypatch.setattr("daemon.actions.promote._HOOK_SECONDS", seconds)
        sha256 = house.file(letter)
        number = house.decide(sha256)
        actor = house.actor(house.promoter(hook=hook))
        for _ in range(2):
            actor.act()
        found = house.get(number)
        assert (found.state, found.hook_state) == ("done", "failed")
        assert words in (found.hook_said or "")
        assert house.live() == (sha256, sha256)


def test_a_folder_that_cannot_be_used_is_told(house: House) -> None:
    """A file where the folder should be, and words for a person."""
    house.folder.write_text("in the way")
    number = house.decide(house.file("a"))
    with pytest.raises((Fixable, Retryable), match="production folder"):
        house.promoter().promote(number)


def test_a_file_that_bears_the_pointers_name_by_chance_is_never_replaced(house: House) -> None:
    """A generator's folder may hold a model of this name; once it is moved, ours goes in."""
    house.folder.mkdir()
    own = house.folder / POINTER
    own.write_bytes(b"somebody's only copy")
    number = house.decide(sha256 := house.file("a"))
    with pytest.raises(Fixable, match=r"is not ours.*Move it away"):
        house.promoter().promote(number)
    assert own.read_bytes() == b"somebody's only copy"
    own.rename(house.home / "mine.safetensors")
    house.promoter().promote(number)
    assert house.live() == (sha256, sha256)


def test_decisions_cannot_be_rewritten(house: House) -> None:
    """The history is append-only, in the database itself."""
    number = house.decide(house.file("a"))
    house.actor(house.promoter()).act()
    for statement in (
        "UPDATE epochwatch.promotions SET reason = 'never said'",
        "UPDATE epochwatch.promotions SET live_at = NULL",
        "DELETE FROM epochwatch.promotions",
    ):
        with (
            pytest.raises(Permanent, match="kept as they were decided"),
            house.database.transaction() as connection,
        ):
            connection.execute(statement.encode())
    assert house.get(number).live_at is not None


def test_what_is_live_or_on_its_way_is_not_promoted_again(house: House) -> None:
    """Both are told, with the number or the time."""
    first = house.file("a")
    house.decide(first)
    with pytest.raises(Fixable, match="on its way to production already"):
        house.decide(first)
    house.actor(house.promoter()).act()
    with pytest.raises(Fixable, match="in production already, since"):
        house.decide(first)


def test_a_decision_that_waits_for_a_lost_machine_gives_way(house: House) -> None:
    """A pod that never comes back does not keep everybody from deciding anew."""
    lost = house.decide(house.file("a"), host="a pod that is gone")
    second = house.file("b")
    house.decide(second)
    house.actor(house.promoter()).act()
    assert house.live() == (second, second)
    found = house.get(lost)
    assert (found.state, found.live_at) == ("failed", None)
    assert "withdrawn: Nadia decided for punks 7" in (found.error or "")
