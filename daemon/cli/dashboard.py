"""The command that serves the dashboard, and where it can listen."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from core.errors import Fixable, Permanent
from core.settings import Settings, load_settings
from core.store.opening import open_dsn
from daemon.cli.logs import start_logs
from daemon.commands import end_program
from daemon.service import opened_clerk, stopped_by_signals

ROOT = Path(__file__).resolve().parent.parent.parent
_EVERY = ("0.0.0.0", "::")  # noqa: S104 - named, not listened on
_DATABASE = {  # what says where it is, some of it more strongly than what we say
    f"{prefix}DATABASE_URL{suffix}" for prefix in ("", "EPOCHWATCH_") for suffix in ("", "_FILE")
}


def dashboard(*, host: str | None, port: int | None, clerk: bool) -> None:
    """Serve the dashboard until Ctrl-C; judge from here while no other host is alive.

    Raises Fixable where it cannot listen, and Permanent when it has ended by itself.
    """
    settings = load_settings(dashboard_host=host, dashboard_port=port)
    _check_installed()
    _check_address(settings)
    if not clerk:
        command, environment = dashboard_command(settings), dashboard_env(settings)
        os.chdir(ROOT)
        os.execve(command[0], command, environment)  # noqa: S606 - no shell is wanted
    serve(settings)


def serve(settings: Settings) -> None:
    """Serve the dashboard until Ctrl-C, and judge from here while no other host is alive.

    Raises Permanent when it has ended by itself.
    """
    start_logs(settings)
    gone = threading.Event()
    with opened_clerk(settings) as service, served(settings) as process:
        words = (process, service.stopping, gone)
        threading.Thread(target=_end_with, args=words, daemon=True).start()
        with stopped_by_signals(service):
            service.run()
    if gone.is_set():
        raise Permanent("The dashboard has ended by itself; its last words stand above.")


def _end_with(
    process: subprocess.Popen[bytes], stopping: threading.Event, gone: threading.Event
) -> None:
    """End a clerk whose dashboard has ended: nobody would notice that there is none."""
    process.wait()
    if not stopping.is_set():
        gone.set()
        stopping.set()


def _check_address(settings: Settings) -> None:
    """Raise Fixable where the dashboard cannot listen, before anybody is sent there."""
    host, port = settings.dashboard_host, settings.dashboard_port
    trouble = _refusal(host, port)
    if trouble is None:
        return
    if trouble.errno == errno.EADDRINUSE:
        raise Fixable(
            f"Something listens on port {port} of {host} already, perhaps a dashboard: "
            f"{settings.dashboard_address}. For another port: epochwatch dashboard --port "
            f"{free_port(host, port)}"
        )
    reason = str(trouble.strerror).partition(" (while")[0]
    raise Fixable(
        f"The dashboard cannot listen on {host}, port {port}: {reason}. --host takes an "
        "address of this machine: 127.0.0.1 for yourself, 0.0.0.0 for everybody who reaches it."
    )


def _check_installed() -> None:
    import importlib.util

    if importlib.util.find_spec("streamlit") is None:
        raise Fixable('The dashboard is not installed here: pip install "epochwatch[dashboard]"')


def dashboard_command(settings: Settings) -> list[str]:
    """Return the command that serves the dashboard; `python -m` so that the checkout is importable."""
    return [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        str(ROOT / "dashboard" / "app.py"),
        "--server.address",
        settings.dashboard_host,
        "--server.port",
        str(settings.dashboard_port),
        "--server.headless",
        "true",
    ]


def dashboard_env(settings: Settings) -> dict[str, str]:
    """Return the environment of the dashboard: our settings, and a one-time token off loopback.

    It runs in another folder, where it finds neither the epochwatch.toml nor the paths of this one.
    """
    env = {
        **{name: value for name, value in os.environ.items() if name.upper() not in _DATABASE},
        "EPOCHWATCH_HOME": str(settings.home),
        "EPOCHWATCH_IMAGE_STORE": settings.store_url,
        "EPOCHWATCH_EMBEDDINGS": str(settings.embeddings or ""),
        "EPOCHWATCH_DASHBOARD_HOST": settings.dashboard_host,
        "EPOCHWATCH_DASHBOARD_PORT": str(settings.dashboard_port),
        "EPOCHWATCH_DASHBOARD_URL": settings.dashboard_url,
    }
    for role in ("admins", "voters", "viewers"):
        env[f"EPOCHWATCH_{role.upper()}"] = ",".join(getattr(settings, role))
    for name in ("database_url", "s3_access_key", "s3_secret_key"):
        if (secret := getattr(settings, name)) is not None:
            env[f"EPOCHWATCH_{name.upper()}"] = secret.get_secret_value()
    if token := _announced(settings):
        env["EPOCHWATCH_DASHBOARD_TOKEN"] = token
    return env


def _announced(settings: Settings) -> str | None:
    """Say where the dashboard is opened, and return the one-time token that this takes, if any."""
    if settings.has_accounts:
        print(f"Dashboard (people sign in): {settings.dashboard_home}", file=sys.stderr)
        return None
    if is_loopback(settings.dashboard_host):
        print(f"Dashboard: {settings.dashboard_address}", file=sys.stderr)
        return None
    token, told = secrets.token_urlsafe(24), "this link works once"
    if not settings.dashboard_url and settings.dashboard_host in _EVERY:
        told += f"; from elsewhere with this machine's address for {settings.dashboard_host}"
    print(f"Dashboard ({told}): {settings.dashboard_home}?token={token}", file=sys.stderr)
    return token


def free_port(host: str, wanted: int) -> int:
    """Return the wanted port, or the next one that nobody listens on."""
    for port in range(wanted, min(wanted + 50, 65536)):
        if _refusal(host, port) is None:
            return port
    raise Fixable(f"No free port from {wanted} to {wanted + 49} on {host}.")


def _refusal(host: str, port: int) -> OSError | None:
    """Return why nobody could listen there; connections that are just over do not count."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as trouble:
        return trouble
    return None


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextlib.contextmanager
def served(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """Serve the dashboard in a process of its own as long as this is held.

    Raises Fixable when the dashboard is not installed.
    """
    _check_installed()
    with open_dsn(settings) as dsn:
        process = subprocess.Popen(
            dashboard_command(settings),
            cwd=ROOT,
            # Ours, whatever an epochwatch.toml that it finds there says.
            env={**dashboard_env(settings), "EPOCHWATCH_DATABASE_URL": dsn},
            stdout=subprocess.DEVNULL,
        )
        try:
            yield process
        finally:
            end_program(process)
