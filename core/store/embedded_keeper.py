"""The keeper of one embedded database: `python -m core.store.embedded_keeper HOME`.

It goes to the background, keeps the server running while anybody uses it, and ends with it.
"""

import fcntl
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from core.errors import EpochwatchError, Retryable
from core.store.embedded import EXIT_FIXABLE, EXIT_RETRYABLE
from core.store.embedded_home import EXCLUSIVE, Layout, take_lock
from core.store.embedded_server import Server

CHECK_S = 1.0
# Others only touch the keeper's lock to see if it is held; a keeper on its way out takes longer.
LOCK_S = 2.0

log = logging.getLogger(__name__)


def main(home: Path) -> int:
    """Start the keeper in the background; print and return how its first attempt went."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.close(reader)
        _run(Layout.of(home), writer)
        return 0
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as news:
        code, _, text = news.read().partition(" ")
    sys.stdout.write(text)
    return int(code or "1")


def _run(layout: Layout, writer: int) -> None:
    _to_background(layout)
    if take_lock(layout.keeper_lock, EXCLUSIVE, wait_s=LOCK_S) is None:
        _say(writer, 0, "another keeper is at work")
        return
    server = _first_attempt(layout, writer)
    if server is not None:
        keep(server, layout)


def _first_attempt(layout: Layout, writer: int) -> Server | None:
    try:
        server = Server(layout)
        server.create()
        server.ensure()
    except EpochwatchError as error:
        code = EXIT_RETRYABLE if isinstance(error, Retryable) else EXIT_FIXABLE
        _say(writer, code, str(error))
        return None
    _say(writer, 0, "ready")
    return server


def keep(server: Server, layout: Layout) -> None:
    """Mend the server until its last user has left, then stop it.

    Asked to end (SIGTERM) while others use the server, leave it to the keeper they will start.
    """
    alone, over = threading.Event(), threading.Event()

    def wait_until_alone() -> None:
        users = os.open(layout.users_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(users, EXCLUSIVE)
        alone.set()
        over.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    threading.Thread(target=wait_until_alone, daemon=True).start()
    while not over.wait(CHECK_S):
        try:
            server.ensure()
        except (EpochwatchError, OSError) as error:
            log.warning("%s", error)
    if alone.wait(CHECK_S):
        server.stop()


def _to_background(layout: Layout) -> None:
    """Let go of the caller's output, so that it does not wait for us."""
    target = os.open(layout.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)
    logging.basicConfig(format="%(asctime)s keeper: %(message)s")


def _say(writer: int, code: int, text: str) -> None:
    with os.fdopen(writer, "w", encoding="utf-8") as news:
        news.write(f"{code} {text}")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
