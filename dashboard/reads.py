"""What views ask: each answer is kept until the database says that something has changed."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Any, TypeVar, cast

from core.store import gallery
from core.store.database import Connection
from dashboard.link import Away, Link, shared_link

_Answer = TypeVar("_Answer")
_KEPT = 256


class Reads:
    """Answers by question and revision; with the database away, the last answer stands."""

    def __init__(self, link: Link) -> None:
        """Remember nothing yet."""
        self._link = link
        self._kept: OrderedDict[Hashable, tuple[int, Any]] = OrderedDict()
        self._lock = threading.Lock()
        self._revision = 0

    def revision(self) -> int:
        """Return the newest revision that was seen, asking the database for a newer one."""
        with suppress(Away):
            self._revision = self._link.revision()
        return self._revision

    def ask(self, question: Callable[..., _Answer], *about: Hashable) -> _Answer:
        """Return the answer to a question of ``core.store.gallery``.

        Raises Away when the database is away and the question was never answered before.
        """
        key = (question.__name__, about)
        kept = self._kept.get(key)
        if kept is not None and kept[0] == self._revision:
            return cast("_Answer", kept[1])
        revision = self._revision
        try:
            with self._link.transaction() as connection:
                answer = question(connection, *about)
        except Away:
            if kept is None:
                raise
            return cast("_Answer", kept[1])
        self._keep(key, revision, answer)
        return answer

    def ask_anew(self, question: Callable[[Connection], _Answer]) -> _Answer:
        """Return an answer that changes without a revision, such as how long a host is silent."""
        with self._link.transaction() as connection:
            return question(connection)

    def _keep(self, key: Hashable, revision: int, answer: object) -> None:
        with self._lock:
            self._kept[key] = (revision, answer)
            self._kept.move_to_end(key)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)


_shared: dict[int, Reads] = {}


def shared_reads() -> Reads:
    """Return the answers of this process."""
    link = shared_link()
    return _shared.setdefault(id(link), Reads(link))


def current_run(runs: tuple[gallery.RunLine, ...]) -> gallery.RunLine | None:
    """Return the run to show first: the newest in progress, else the newest."""
    return runs[0] if runs else None
