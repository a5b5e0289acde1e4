"""Says how far a wrapped trainer is, and ends it when a stop is decided; never in the trainer's way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from core.errors import EpochwatchError, Retryable
from core.rules.alerting import notice
from core.settings import Settings
from core.store.database import Connection, Database, Row, bump, row, rows, run
from core.store.opening import open_database
from core.store.owners_tables import write_run
from daemon.actions.stop import Means, Stopper
from daemon.telling import tell
from daemon.train_command import option, schedule_settings, told_command
from daemon.train_log import LogReader, Progress

_EVERY = 5.0  # seconds between two reports
_AGAIN = 10.0  # seconds until a database that was away is tried again


@dataclass(kw_only=True)
class Reporter:
    """A thread that reports; whatever happens to it, the trainer goes on."""

    settings: Settings
    pid: int
    started_at: datetime  # aware UTC
    command: Sequence[str]
    log: LogReader
    means: Means | None = None  # how it may be stopped, if it may
    run_name: str | None = None
    folder: Path = field(default_factory=Path.cwd)  # where the trainer was started
    every: float = _EVERY
    again: float = _AGAIN
    state: str = "training"
    code: int | None = None  # how it ended
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _said: object = None
    _settled: int | None = None  # the run whose empty cells the command line has filled

    @property
    def address(self) -> str:
        """Name this trainer as the one who has to do an action."""
        return f"trainer {self.settings.host_name} {self.pid} {self.started_at.isoformat()}"

    def start(self) -> None:
        """Report from now on."""
        self._thread = threading.Thread(target=self._work, name="reporter", daemon=True)
        self._thread.start()

    def finish(self, state: str, code: int, *, patience: float = 3.0) -> None:
        """Report the end, if that is possible within ``patience`` seconds."""
        self.state, self.code = state, code
        self._ended.set()
        if self._thread is not None:
            self._thread.join(patience)

    def _work(self) -> None:
        while not self._ended.is_set():
            try:
                with open_database(self.settings) as database:
                    self._report_on(database)
            except Exception:  # noqa: BLE001 - no trouble of ours may end or disturb a training
                self._ended.wait(self.again)

    def _report_on(self, database: Database) -> None:
        stopper = Stopper(database=database, host=self.address, means=self.means)
        while True:
            ended = self._ended.is_set()
            with database.transaction() as connection:
                self._beat(connection)
                told = rows(connection, "stopping.told", host=self.address)
            if ended:
                return
            for action in told:
                self._obey(database, stopper.stop, action)
            self._ended.wait(self.every)

    def _beat(self, connection: Connection) -> None:
        known = self._run_id(connection)
        said = (self.log.progress, self.state, known)
        run(
            connection,
            "trainers.beat",
            host=self.settings.host_name,
            pid=self.pid,
            started_at=self.started_at,
            run_id=known,
            command=told_command(self.command),
            state=self.state,
            **asdict(self.log.progress),
        )
        if known is not None and self.means is not None:
            stopping = {
                **self.means.as_json(self.settings.host_name, self.started_at),
                "trainer": self.address,
            }
            run(connection, "stopping.set", run_id=known, stopping=stopping)
        if known is not None and known != self._settled:
            self._settle(connection, known)
        if self.state == "failed":
            self._tell_of_crash(connection, known)
        if said != self._said:
            bump(connection, "hosts")
            self._said = said

    def _tell_of_crash(self, connection: Connection, run_id: int | None) -> None:
        """Have people told once that it has failed, also before its first checkpoint."""
        about = row(connection, "runs.get", run_id=run_id) if run_id is not None else None
        called = self.run_name or option(self.command, "output_name")
        crash = notice(
            "failure",
            f"trainer/{self.pid}/{self.started_at.isoformat()}",
            title="the trainer has failed",
            body=f"It ended with exit code {self.code}{_how_far(self.log.progress)}. Why stands where "
            "it was started. What it has saved is tested all the same.",
            run_name=about["run_name"] if about else called or "training",
            run_id=run_id or self.settings.host_name,
        )
        tell(connection, run_id, crash)

    def _settle(self, connection: Connection, run_id: int) -> None:
        """Fill what the trainer's own files leave open of its learning rate, and nothing else."""
        about = row(connection, "runs.get", run_id=run_id)
        told = schedule_settings(self.command, self.folder)
        if about is not None:
            missing = {name: value for name, value in told.items() if about[name] is None}
            if missing:
                write_run(connection, run_id, missing)
        self._settled = run_id

    def _run_id(self, connection: Connection) -> int | None:
        if self.run_name is not None:
            named = row(connection, "runs.by_name", run_name=self.run_name)
            return int(named["id"]) if named else None
        folder = option(self.command, "output_dir")
        found = row(
            connection,
            "trainers.run_of",
            host=self.settings.host_name,
            pid=self.pid,
            started_at=self.started_at,
            output_name=option(self.command, "output_name"),
            folder=f"{Path(folder).absolute()}/" if folder else None,
        )
        return int(found["run_id"]) if found else None

    def _obey(self, database: Database, stop: Callable[[Row], str], action: Row) -> None:
        """Do a stop that was decided for this trainer, and say what came of it.

        Raises Retryable when the database is away: what was not begun is done when it is back.
        """
        try:
            note = stop(action)
        except Retryable:
            raise
        except EpochwatchError as trouble:
            with database.transaction() as connection:
                run(
                    connection,
                    "actions.again",
                    key=action["key"],
                    error=str(trouble),
                    state="failed",
                    seconds=0,
                )
            return
        with database.transaction() as connection:
            run(connection, "actions.done", key=action["key"], note=note)
            bump(connection)


def _how_far(progress: Progress) -> str:
    """Return how far it had come, as far as it said so."""
    said = [f"epoch {progress.epoch}"] if progress.epoch is not None else []
    if progress.step is not None:
        said.append(f"step {progress.step} of {progress.total_steps}")
    if progress.loss is not None:
        said.append(f"loss {progress.loss:.4g}")
    return f" at {', '.join(said)}" if said else ""
