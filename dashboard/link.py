"""The dashboard's one way to the database.

It opens late, says since when the database is away, and mends itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime
from functools import cache

from core.errors import EpochwatchError, Fixable, Retryable
from core.settings import load_settings
from core.store import gallery
from core.store.database import Connection, Database
from core.store.opening import open_database

_FIRST_WAIT_S = 3.0  # what the first page waits for the first connection
_MEND_S = 1.0


class Away(Retryable):
    """The database cannot be reached."""


class Link:
    """A database that may be away: a question then fails at once while a thread tries again."""

    def __init__(self, opening: Callable[[], AbstractContextManager[Database]]) -> None:
        """Open nothing yet."""
        self._opening = opening
        self._stack = ExitStack()
        self._database: Database | None = None
        self._lock = threading.Lock()
        self._settled = threading.Event()  # the first attempt is over
        self._closed = threading.Event()
        self._mender: threading.Thread | None = None
        self.away_since: datetime | None = None
        self.reason = ""  # what a person can do, if anything

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Yield a connection inside one transaction. Raises Away when the database is away.

        What the caller itself raises passes through: a wrong wish says nothing of the database.
        """
        if self._database is None:
            self._mend()
            self._settled.wait(_FIRST_WAIT_S)
        database = self._database
        if database is None or self.away_since is not None:
            self._lost(self.reason)
            raise Away(self.reason)
        theirs: EpochwatchError | None = None
        try:
            with database.transaction() as connection:
                try:
                    yield connection
                except EpochwatchError as trouble:
                    theirs = trouble
                    raise
        except (Retryable, Fixable) as trouble:
            if trouble is theirs:
                raise
            self._lost(_advice_in(trouble))
            raise Away(str(trouble)) from trouble

    def revision(self) -> int:
        """Return the number that grows with every result. Raises Away."""
        with self.transaction() as connection:
            return gallery.revision(connection)

    def close(self) -> None:
        """Give everything back."""
        self._closed.set()
        if self._mender is not None:
            self._mender.join(timeout=1)
        self._stack.close()

    def _lost(self, reason: str) -> None:
        self.reason = reason
        if self.away_since is None:
            self.away_since = datetime.now(UTC)
        self._mend()

    def _mend(self) -> None:
        with self._lock:
            if self._closed.is_set() or (self._mender is not None and self._mender.is_alive()):
                return
            self._mender = threading.Thread(target=self._try_until_back, name="mend", daemon=True)
            self._mender.start()

    def _try_until_back(self) -> None:
        while not self._closed.is_set():
            try:
                self._open_anew()
            except EpochwatchError as trouble:
                self.reason = _advice_in(trouble)
                self.away_since = self.away_since or datetime.now(UTC)
                self._settled.set()
                self._closed.wait(_MEND_S)
            else:
                self.away_since, self.reason = None, ""
                self._settled.set()
                return

    def _open_anew(self) -> None:
        """Open a fresh pool: one that met an outage waits longer and longer between its tries."""
        with ExitStack() as stack:
            database = stack.enter_context(self._opening())
            with database.transaction() as connection:
                gallery.revision(connection)
            if self._closed.is_set():
                return
            before, self._stack, self._database = self._stack, stack.pop_all(), database
        before.close()


def _advice_in(trouble: EpochwatchError) -> str:
    """Return what a person can do; trouble that passes by itself is said by the page already."""
    return "" if isinstance(trouble, Retryable) else str(trouble)


@cache
def shared_link() -> Link:
    """Return the link of this process."""
    return Link(lambda: open_database(load_settings()))
