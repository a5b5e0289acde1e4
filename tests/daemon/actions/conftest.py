"""Receivers on this machine: a real mail server and a web server that does what its script says."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psycopg
import pytest
from aiosmtpd.controller import Controller
from free_ports import free_port
from pydantic import SecretStr

from core.store.database import Database
from databases import migrated_database

SECRET = "s3cr3t-t0ken"


@dataclass(kw_only=True)
class WebReceiver:
    """Answers a request each with the next word of its script (200 when it is used up)."""

    port: int = 0
    script: list[str] = field(default_factory=list)
    asked: int = 0
    taken: list[dict[str, Any]] = field(default_factory=list)  # bodies answered with 200
    closing: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str = "hook", *, seconds: float = 120) -> SecretStr:
        """Return its address, with a secret in each part; an answer is waited for so long."""
        address = f"json://user:{SECRET}@127.0.0.1:{self.port}/{SECRET}/{path}"
        return SecretStr(f"{address}?+X-Key={SECRET}&rto={seconds}")


@dataclass(kw_only=True)
class MailReceiver:
    """Keeps the mails it takes; refuses them while ``full``."""

    port: int = 0
    full: bool = False
    taken: list[Message] = field(default_factory=list)

    def url(self, to: str = "owner@example.org") -> SecretStr:
        """Return an address that mails to somebody through this server."""
        sender = "from=epochwatch@example.org&mode=insecure"
        return SecretStr(f"mailto://127.0.0.1:{self.port}?{sender}&to={to}")

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        """Take a mail, as aiosmtpd asks."""
        if self.full:
            return "452 no room"
        self.taken.append(message_from_bytes(envelope.content))
        return "250 OK"


@pytest.fixture
def web() -> Iterator[WebReceiver]:
    """Give a web server."""
    receiver = WebReceiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.asked += 1
            word = receiver.script.pop(0) if receiver.script else "200"
            if word == "hang":
                receiver.closing.wait()
                return
            if word == "reset":
                at_once = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
                self.connection.close()
                return
            if word == "200":
                receiver.taken.append(json.loads(body))
            self.send_response(int(word))
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        receiver.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield receiver
        receiver.closing.set()
        server.shutdown()


@pytest.fixture
def mail() -> Iterator[MailReceiver]:
    """Give a mail server."""
    receiver = MailReceiver()
    receiver.port = free_port()
    controller = Controller(receiver, hostname="127.0.0.1", port=receiver.port, ready_timeout=120)
    controller.start()
    yield receiver
    controller.stop()


@pytest.fixture(scope="module")
def migrated(server_dsn: str) -> Iterator[str]:
    """Give a migrated database that the tests of a module share."""
    with migrated_database(server_dsn) as found:
        yield found


@pytest.fixture
def dsn(migrated: str) -> Iterator[str]:
    """Give a migrated empty database."""
    yield migrated
    with psycopg.connect(migrated) as connection:
        connection.execute(
            "TRUNCATE public.training_runs, epochwatch.actions, epochwatch.hosts,"
            " epochwatch.weights CASCADE"
        )


@pytest.fixture
def database(dsn: str) -> Iterator[Database]:
    """Give the database, opened."""
    with Database(dsn, wait_seconds=60) as opened:
        yield opened


@pytest.fixture
def make_due(dsn: str) -> Callable[[], None]:
    """Give what lets every pending action be due now, instead of waiting for its time."""

    def hurry() -> None:
        with psycopg.connect(dsn) as connection:
            connection.execute("UPDATE epochwatch.actions SET not_before = now() - interval '1 s'")

    return hurry
