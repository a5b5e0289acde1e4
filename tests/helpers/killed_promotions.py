"""Promotes again and again, killed at each step in turn; run as a program, it prints what was left.

The steps are not listed anywhere: every call through the door to files, and both ends of every
transaction, is one. Each try is a process of its own that ends itself with SIGKILL.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from core.store import promotions
from core.store.database import Connection, Database
from core.store.files import open_store
from core.store.promotions import Decision
from daemon.actions.actor import Actor
from daemon.actions.notify import Notifier
from daemon.actions.production_folder import Files, ProductionFolder
from daemon.actions.promote import Promoter

SIZE = 2_500_000  # bytes: several writes


@dataclass
class Steps:
    """Counts steps, and ends the process at one of them."""

    deadly: int = 0  # 0: at none
    taken: list[str] = field(default_factory=list)

    def take(self, name: str) -> bool:
        """Note a step; return whether it is the one to die in."""
        self.taken.append(name)
        return len(self.taken) == self.deadly


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DeadlyFiles(Files):
    """The real door; a step dies before it happens, a write in its middle."""

    def __init__(self, steps: Steps, links: str) -> None:
        """Count in ``steps``; ``links`` is what the file system has."""
        self._steps, self._links = steps, links

    def __getattribute__(self, name: str) -> Any:
        """Return the real call with a step before it."""
        if name.startswith("_"):
            return object.__getattribute__(self, name)
        real, steps, links = getattr(super(), name), self._steps, self._links

        def step(*arguments: Any) -> Any:
            is_last = steps.take(f"{name} {_named(arguments)}")
            if is_last and name == "write":
                real(arguments[0], arguments[1][: len(arguments[1]) // 2])
            if is_last:
                _die()
            if (name, links) in {("symlink", "link"), ("symlink", "copy"), ("link", "copy")}:
                raise OSError(errno.EPERM, "no such links here")
            return real(*arguments)

        return step


def _named(arguments: tuple[Any, ...]) -> str:
    return " ".join(each.name for each in arguments if isinstance(each, Path))


class DeadlyDatabase(Database):
    """The real database; both ends of a transaction are steps."""

    steps = Steps()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Yield a connection; the moment before and the one after its commit are steps."""
        with super().transaction() as connection:
            yield connection
            if self.steps.take("before commit"):
                _die()
        if self.steps.take("after commit"):
            _die()


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Where it happens."""

    dsn: str
    home: Path
    links: str  # symlink, link, copy: what the file system has

    @property
    def folder(self) -> Path:
        """The production folder."""
        return self.home / "production"

    def weights(self, sha256: str) -> Path | None:
        """Find a checkpoint."""
        found = self.home / sha256 / "weights.safetensors"
        return found if found.exists() else None

    def make_weights(self, letter: bytes) -> str:
        """Make a checkpoint and return its SHA-256."""
        content = letter * SIZE
        sha256 = hashlib.sha256(content).hexdigest()
        path = self.home / sha256 / "weights.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return sha256

    def act(self, steps: Steps) -> None:
        """Do what is due, as the daemon's actor does."""
        DeadlyDatabase.steps = Steps()  # connecting is no step
        with DeadlyDatabase(self.dsn, max_size=1) as database:
            promoter = Promoter(
                database=database,
                folder=ProductionFolder(folder=self.folder, files=DeadlyFiles(steps, self.links)),
                host="pod",
                find_weights=self.weights,
                keep=1,
                hook=(sys.executable, "-c", f"open({str(self.home / 'hooks')!r}, 'a').write('x')"),
            )
            actor = Actor(
                database=database, store=open_store(self.home / "store"), notifier=Notifier(),
                host="pod", find_weights=self.weights, picture=lambda *_: None, promoter=promoter,
            )  # fmt: skip
            DeadlyDatabase.steps = steps
            actor.act()
            DeadlyDatabase.steps = Steps()

    def decide(self, sha256: str, position: int) -> int:
        """Decide that a checkpoint goes to production."""
        record = {
            "model": "punks", "unit": "epoch", "position": position, "score": 8.2,
            "sha256": sha256, "file": f"{sha256}.safetensors", "base": {"name": "sd15"},
            "parameters": {"network_dim": 32}, "trigger": None, "caption_version": "v1",
            "caption_format": None, "issues": [], "excluded_traits": [], "strength": "1.00",
        }  # fmt: skip
        with Database(self.dsn, max_size=1) as database, database.transaction() as connection:
            return promotions.decide(
                connection,
                Decision(
                    run_id=None, run_name="punks", position=position, sha256=sha256,
                    record=record, checklist=[], overridden=[], reason="", by_whom="Nadia",
                ),
            )  # fmt: skip

    def hurry(self) -> None:
        """Let what is put off be due now."""
        with psycopg.connect(self.dsn) as connection:
            connection.execute(
                "UPDATE epochwatch.actions SET not_before = now() WHERE state = 'pending'"
            )

    def left(self) -> dict[str, Any]:
        """Return what a reader of the folder finds, and what the database says is live."""
        record = json.loads((self.folder / "current.json").read_text())
        pointer = self.folder / "current.safetensors"
        with psycopg.connect(self.dsn) as connection:
            live = connection.execute(
                "SELECT sha256 FROM epochwatch.promotions WHERE live_at IS NOT NULL"
                " ORDER BY id DESC LIMIT 1"
            ).fetchone()
            waiting = connection.execute(
                "SELECT count(*) FROM epochwatch.actions WHERE state <> 'done'"
            ).fetchone()
        return {
            "record": record["sha256"],
            "record_is_whole": _hash(self.folder / record["file"]) == record["sha256"],
            "pointer": _hash(pointer),
            "live": live[0] if live else None,
            "live_is_whole": live is not None
            and _hash(self.folder / f"{live[0]}.safetensors") == live[0],
            "undone": waiting[0] if waiting else 0,
            "names": sorted(each.name for each in self.folder.iterdir()),
        }


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def in_child(stage: Stage, steps: Steps) -> int:
    """Act in a process of its own; return the signal that ended it, 0 for none."""
    child = os.fork()
    if child == 0:
        try:
            stage.act(steps)
            if steps.deadly:
                (stage.home / "steps.json").write_text(json.dumps(steps.taken))
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 - a child must never go on as its parent
            print(repr(error), file=sys.stderr)
            os._exit(1)
    _, status = os.waitpid(child, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else -os.WEXITSTATUS(status)


def settle(stage: Stage) -> None:
    """Act like a daemon that was started again, until nothing is due."""
    for _ in range(2):  # the promotion, then the command that it asks for
        stage.hurry()
        in_child(stage, Steps())


def main(dsn: str, home: str, links: str) -> None:
    """Kill at each step in turn, and print a line of JSON for each."""
    stage = Stage(dsn=dsn, home=Path(home), links=links)
    first, second = stage.make_weights(b"a"), stage.make_weights(b"b")
    stage.decide(first, 1)
    settle(stage)
    stage.decide(second, 2)
    settle(stage)
    deadly, ended = 1, signal.SIGKILL.value
    while ended:
        wanted = first if deadly % 2 else second
        stage.decide(wanted, deadly)
        ended = in_child(stage, Steps(deadly=deadly))
        after = stage.left() if ended else {}
        settle(stage)
        told = {"step": deadly, "ended": ended, "wanted": wanted, "after": after}
        told["at_last"] = stage.left()
        told["others"] = [first, second]
        print(json.dumps(told), flush=True)
        deadly += 1
    print(json.dumps({"steps": json.loads((stage.home / "steps.json").read_text())}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
