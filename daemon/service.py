"""The only wiring: opens what the daemon needs, runs its parts side by side, closes everything again."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from apscheduler.schedulers.background import BackgroundScheduler

from core.errors import EpochwatchError, Fixable, Retryable
from core.settings import Settings
from core.store import gallery
from core.store.database import Database, bump, row, run
from core.store.files import ImageStore
from core.store.opening import open_database, open_image_store
from daemon.actions.actor import Actor
from daemon.actions.notify import Notifier
from daemon.actions.picture import contact_sheet_of
from daemon.actions.promote import promoter_of
from daemon.actions.stop import Means, Stopper
from daemon.bookkeeper import Bookkeeper
from daemon.generator.client import Generator
from daemon.generator.renderers import Renderers
from daemon.intake import Intake
from daemon.judge import Judge
from daemon.outbox import Outbox
from daemon.planner import plan
from daemon.preparation import Preparation
from daemon.proving import Proving
from daemon.scorers.detecting import Detecting
from daemon.sharing import sharing_of, threads_of
from daemon.spool import Spool, spool_of
from daemon.watcher import Watcher
from daemon.weights import Weights, weights_of
from daemon.worker import Worker

log = structlog.get_logger()

_SCAN_SECONDS = 2.0
_REST_SECONDS = 0.3
_TOLD_EVERY = 20.0  # seconds between two words on a long test to somebody at a terminal


@dataclass(kw_only=True)
class Service:
    """The parts of one daemon. A clerk has no watcher and no worker."""

    settings: Settings
    database: Database
    store: ImageStore
    stopping: threading.Event = field(default_factory=threading.Event)
    watcher: Watcher | None = None
    files: Sequence[Path] = ()  # given by hand: taken in once, without watching
    is_clerk: bool = False  # stands in for hosts that are gone
    intake: Intake | None = None
    preparation: Preparation | None = None
    proving: Proving | None = None
    worker: Worker | None = None
    weights: Weights | None = None
    judge: Judge | None = None
    actor: Actor | None = None
    stopper: Stopper | None = None
    bookkeeper: Bookkeeper | None = None
    _looked: bool = False  # the folders were scanned at least once
    _trouble: str = ""
    _said: tuple[str, str] = ("", "")
    _told: str = ""

    def run(self) -> None:
        """Work until asked to stop."""
        scheduler = BackgroundScheduler(
            timezone="UTC", job_defaults={"coalesce": True, "misfire_grace_time": None}
        )
        for part, seconds in ((self._heartbeat, 2.0), (self._clerk, 0.5), (self._act, 1.0)):
            scheduler.add_job(part, "interval", seconds=seconds, max_instances=1)
        scheduler.add_job(self._look_around, "interval", seconds=3.0, max_instances=1)
        scheduler.add_job(self.tell_progress, "interval", seconds=_TOLD_EVERY, max_instances=1)
        scheduler.add_job(self._tidy, "interval", seconds=60.0, max_instances=1)
        scheduler.add_job(self._keep_books, "interval", seconds=30.0, max_instances=1)
        threads = [
            threading.Thread(target=loop, name=loop.__name__, daemon=True)
            for loop in (self._watch, self._work)
        ]
        self._heartbeat()
        scheduler.start()
        for thread in threads:
            thread.start()
        self.stopping.wait()
        scheduler.shutdown(wait=True)
        for thread in threads:
            thread.join(timeout=4)
        self._say("stopped", "")

    def _watch(self) -> None:
        watcher, intake = self.watcher, self.intake
        if watcher is None or intake is None:
            return
        self._guarded(lambda: intake.take_files(self.files))
        self.files = ()
        with contextlib.closing(_Started(watcher)):
            while not self.stopping.is_set():
                self._guarded(lambda: intake.take(watcher.scan()))
                if self.preparation is not None:
                    self._guarded(self.preparation.prepare)
                if self.proving is not None:
                    self._guarded(self.proving.prove)
                self._looked = True
                watcher.wait(_SCAN_SECONDS)

    def _work(self) -> None:
        worker = self.worker
        if worker is None:
            return
        while not self.stopping.is_set():
            if not self._guarded(worker.work_once):
                self.stopping.wait(_REST_SECONDS)

    def _look_around(self) -> None:
        """See what others hold of the device, so that a trainer's peak is known when it matters."""
        if self.worker is not None:
            self._guarded(self.worker.sharing.neighbors.look)

    def _clerk(self) -> None:
        """Plan and judge: rows in, rows out."""
        if self._is_needless():
            return
        self._guarded(lambda: plan(self.database))
        if self.judge is not None:
            self._guarded(self.judge.judge)
        if self.stopper is not None:
            self._guarded(self.stopper.decide)

    def _keep_books(self) -> None:
        if self.bookkeeper is not None and not self._is_needless():
            self._guarded(self.bookkeeper.look)

    def _act(self) -> None:
        if self.actor is not None and not self._is_needless():
            self._guarded(self.actor.act)

    def _tidy(self) -> None:
        """Make room in the spool; a clerk owns no copies."""
        if self.weights is not None and not self.is_clerk:
            self._guarded(self.weights.tidy)

    def _is_needless(self) -> bool:
        """Tell whether this is a clerk and a real daemon is alive."""
        if not self.is_clerk:
            return False
        alive = self._guarded(self._daemon_is_alive)
        return alive is None or bool(alive)

    def _daemon_is_alive(self) -> bool:
        with self.database.transaction() as connection:
            hosts = gallery.hosts(connection)
        return any(host.is_at_work and host.name != self.settings.host_name for host in hosts)

    def _guarded(self, part: Callable[[], Any]) -> Any:
        """Run one unit of work; no single failure ends the daemon."""
        try:
            result = part()
        except Retryable as trouble:
            self._note(str(trouble))
            self.stopping.wait(2.0)
            return None
        except EpochwatchError as trouble:
            self._note(str(trouble))
            return None
        except Exception:
            log.exception("unexpected")
            self._trouble = "Something unexpected went wrong; the daemon's log has the details."
            self.stopping.wait(2.0)
            return None
        return result

    def _note(self, trouble: str) -> None:
        if trouble != self._trouble:
            log.warning("trouble", reason=trouble)
        self._trouble = trouble

    def _heartbeat(self) -> None:
        if self._is_needless():
            return
        if self.worker is not None and self.worker.doing:
            self._say("drawing", self.worker.doing)
        elif self.watcher is not None:
            self._say("watching", "")
        else:
            self._say("deciding", "")

    def tell_progress(self) -> None:
        """Show at a terminal how far a long test is; a log file has where it begins and what it scored."""
        doing = self.worker.doing if self.worker is not None else ""
        if doing and doing != self._told and sys.stderr.isatty():
            log.info("drawn", so_far=doing)
        self._told = doing

    def _say(self, state: str, doing: str) -> None:
        detail: dict[str, Any] = {"trouble": self._trouble, "pid": os.getpid()}
        if self.watcher is not None:
            detail["roots"] = {
                str(root): list(said) for root, said in self.watcher.states().items()
            }
        if self.worker is not None:
            detail["outbox"] = len(self.worker.outbox.waiting())
            detail["bases"] = sorted(self.worker.bases)  # what it can draw with
        try:
            with self.database.transaction() as connection:
                run(
                    connection,
                    "actions.beat",
                    name=self.settings.host_name,
                    state=state,
                    doing=doing,
                    detail=detail,
                )
                if doing:
                    run(connection, "grids.renew_host", host=self.settings.host_name)
                if (state, doing) != self._said:
                    bump(connection, "hosts")
            self._said, self._trouble = (state, doing), ""
        except EpochwatchError as trouble:
            self._note(str(trouble))

    def is_idle(self) -> bool:
        """Tell whether nothing is left to do now: no file settling, no open job, no undone judgement."""
        if self.watcher is not None and (not self._looked or self.watcher.unsettled()):
            return False
        if self.judge is not None and not self.judge.is_current():
            return False
        with self.database.transaction() as connection:
            found = row(connection, "grids.open_work", host=self.settings.host_name)
        return found is not None and not found["open"]


class _Started:
    """Starts a watcher, and stops it when closed."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        watcher.start()

    def close(self) -> None:
        self._watcher.stop()


@contextlib.contextmanager
def alone_in(home: Path) -> Iterator[None]:
    """Hold the daemon's lock of this home; a second daemon is refused instead of fighting over the GPU.

    Raises Fixable when another daemon holds it, and where nothing can be written.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        held = (home / "daemon.lock").open("a")
    except OSError as trouble:
        raise Fixable(
            f"The home folder {home} cannot be written ({trouble.strerror}), so nothing was started. "
            "Set EPOCHWATCH_HOME to a folder of your own."
        ) from trouble
    with held as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Fixable(
                f"Another Epochwatch daemon is already at work in {home}. Stop it first, or set "
                "EPOCHWATCH_HOME to another folder for a second one."
            ) from None
        yield


@contextlib.contextmanager
def opened(
    settings: Settings,
    roots: Sequence[Path],
    *,
    run_name: str | None = None,
    files: Sequence[Path] = (),
    stop_means: Means | None = None,
) -> Iterator[Service]:
    """Yield a daemon that watches ``roots`` and draws on this machine's device."""
    with ExitStack() as stack:
        stack.enter_context(alone_in(settings.home))
        database = stack.enter_context(open_database(settings))
        store = open_image_store(settings)
        spool = spool_of(settings)
        intake = Intake(
            database=database, spool=spool, store=store, host=settings.host_name, run_name=run_name
        )
        watcher = Watcher(
            roots,
            spool,
            quiet_seconds=settings.quiet_seconds,
            known=intake.known_sightings(),
        )
        service = _clerk_of(settings, database, store, spool, stop_means)
        service.watcher, service.intake, service.files = watcher, intake, files
        intake.remember()
        service.preparation = Preparation(database=database, settings=settings)
        service.preparation.restore_bases()
        service.proving = Proving(database=database, store=store, settings=settings)
        service.worker = _worker_of(service, stack)
        with database.transaction() as connection:
            run(connection, "grids.release_host", host=settings.host_name)
        yield service


@contextlib.contextmanager
def opened_clerk(settings: Settings) -> Iterator[Service]:
    """Yield a daemon without folder and GPU: it plans, judges and acts for hosts that are gone."""
    mine = settings.model_copy(update={"host_name": f"{settings.host_name} (clerk)"})
    with open_database(mine) as database:
        service = _clerk_of(mine, database, open_image_store(mine), Spool(mine.home / "spool"))
        service.is_clerk = True
        yield service


def _clerk_of(
    settings: Settings,
    database: Database,
    store: ImageStore,
    spool: Spool,
    stop_means: Means | None = None,
) -> Service:
    service = Service(settings=settings, database=database, store=store)
    service.bookkeeper = Bookkeeper(database=database, settings=settings)
    service.stopper = Stopper(database=database, host=settings.host_name, means=stop_means)
    weights = service.weights = weights_of(settings, database, store, spool)
    service.judge = Judge(database=database, host=settings.host_name)
    notifier = Notifier(urls=settings.alert_urls)
    notifier.check()
    service.actor = Actor(
        database=database,
        store=store,
        notifier=notifier,
        dashboard_url=settings.dashboard_url,
        host=settings.host_name,
        find_weights=weights.find,
        picture=lambda connection, action: contact_sheet_of(connection, store, action),
        stop=service.stopper.stop,
        promoter=promoter_of(settings, database, weights.find),
    )
    return service


def _worker_of(service: Service, stack: ExitStack) -> Worker:
    settings = service.settings
    assert service.weights is not None, "every service has them"
    assert service.preparation is not None, "the worker draws with the bases that preparation finds"
    out = settings.home / "out"
    out.mkdir(parents=True, exist_ok=True)
    generator = Generator(threads=threads_of(settings))
    return Worker(
        database=service.database,
        outbox=Outbox(
            folder=out,
            database=service.database,
            store=service.store,
            host=settings.host_name,
            detecting=stack.enter_context(Detecting(scorers=settings.scorers)),
        ),
        generator=stack.enter_context(Renderers(generator, settings)),
        host=settings.host_name,
        bases=service.preparation.bases,
        find_weights=service.weights.find,
        full_models=service.weights.spool.full_models,
        weights_at_hand=service.weights.at_hand,
        sharing=sharing_of(settings, lambda: generator.pid),
        image_timeout=settings.image_timeout,
        batch=settings.batch,
        device="cpu" if settings.beside == "cpu" else settings.device,
        embeddings=settings.embeddings,
        stopping=service.stopping,
    )


@contextlib.contextmanager
def stopped_by_signals(service: Service) -> Iterator[None]:
    """Let SIGINT and SIGTERM ask the daemon to stop; a second one ends it at once."""

    def ask(number: int, _frame: object) -> None:
        if service.stopping.is_set():
            os._exit(128 + number)
        service.stopping.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def wait_until_idle(service: Service, *, rest: float = 0.5, calm: int = 3) -> None:
    """Return when there was nothing to do for a few looks in a row, or when asked to stop."""
    quiet = 0
    while quiet < calm and not service.stopping.is_set():
        time.sleep(rest)
        try:
            quiet = quiet + 1 if service.is_idle() else 0
        except EpochwatchError:
            quiet = 0
