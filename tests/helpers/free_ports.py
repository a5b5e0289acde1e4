"""Ports for servers that tests start in processes of their own."""

from __future__ import annotations

import os
import socket
from itertools import count

# Below what the system hands out by itself: between finding a port free and listening on it, no
# connection of another test can take it. Each test process begins somewhere else.
_FIRST, _MANY = 20_000, 12_000
_tries = count(os.getpid() * 37)


def free_port() -> int:
    """Return a port nobody listens on, never the same one twice."""
    while True:
        port = _FIRST + next(_tries) % _MANY
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
