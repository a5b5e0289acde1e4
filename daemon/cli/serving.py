"""The commands that stay: watch, evaluate, dashboard."""

from __future__ import annotations

import contextlib
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
from core.store.database import row, rows
from daemon.actions.stop import Means
from daemon.cli.logs import start_logs
from daemon.service import Service, opened, opened_clerk, stopped_by_signals, wait_until_idle

ROOT = Path(__file__).resolve().parent.parent.parent


def watch(
    paths: list[Path],
    *,
    base_model: str | None,
    suite: Path | None,
    data: Path | None,
    profile: str | None = None,
    run_name: str | None,
    full_models: bool = False,
    once: bool,
    stop_means: Means | None = None,
) -> None:
    """Watch folders until asked to stop, or until everything there is tested."""
    settings = load_settings(
        base_model=base_model,
        suite=suite,
        data=data,
        profile=profile,
        full_models=full_models or None,
    )
    start_logs(settings)
    folders = _folders(paths)
    if once and not any(folder.exists() for folder in folders):
        raise Fixable(f"There is no folder {folders[0]}, so nothing can be tested once.")
    with opened(settings, folders, run_name=run_name, stop_means=stop_means) as service:
        with stopped_by_signals(service):
            if once:
                _end_when_idle(service)
            service.run()
        if once:
            print_outcome(service)


def _folders(paths: list[Path]) -> list[Path]:
    files = [path for path in paths if path.is_file()]
    if files:
        raise Fixable(
            f"{files[0]} is a file. Watch its folder, or test it: epochwatch evaluate FILE"
        )
    return [path.expanduser().absolute() for path in paths]


def _end_when_idle(service: Service) -> None:
    def look() -> None:
        wait_until_idle(service)
        service.stopping.set()

    threading.Thread(target=look, name="look", daemon=True).start()


def evaluate(
    files: list[Path],
    *,
    base_model: str | None,
    suite: Path | None,
    data: Path | None,
    profile: str | None = None,
    run_name: str | None,
    full_models: bool = False,
) -> None:
    """Test files and folders at hand with a progress bar, then print what came out."""
    missing = [path for path in files if not path.exists()]
    if missing:
        raise Fixable(f"There is no file or folder {missing[0]}.")
    settings = load_settings(
        base_model=base_model,
        suite=suite,
        data=data,
        profile=profile,
        full_models=full_models or None,
    )
    start_logs(settings, quiet=True)
    folders = [path.absolute() for path in files if path.is_dir()]
    wanted = [path.absolute() for path in files if not path.is_dir()]
    with opened(settings, folders, run_name=run_name, files=wanted) as service:
        with stopped_by_signals(service), _progress(service):
            _end_when_idle(service)
            service.run()
        refused = {each.name for each in wanted} & print_outcome(service)
    if refused:
        raise Permanent(f"Not tested: {', '.join(sorted(refused))}. The reason stands above.")


@contextlib.contextmanager
def _progress(service: Service) -> Iterator[None]:
    """Show how many of the wanted images are drawn, until the daemon stops."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, disable=not sys.stdout.isatty()) as bar:
        task = bar.add_task("checking files", total=None)

        def look() -> None:
            while not service.stopping.wait(0.5):
                with contextlib.suppress(Exception), service.database.transaction() as connection:
                    found = row(connection, "grids.progress_open")
                    if found and found["wanted"]:
                        doing = service.worker.doing if service.worker else ""
                        bar.update(
                            task,
                            total=found["wanted"],
                            completed=found["measured"],
                            description=doing or "measuring",
                        )

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        yield
        thread.join(timeout=2)


def print_outcome(service: Service) -> set[str]:
    """Print the advice and the epochs of every run of this host; return files that are not tested."""
    from daemon.cli.output import print_table

    columns = ("epoch", "visual", "style", "prompt", "average", "verdict", "picked", "issues")
    refused = set()
    with service.database.transaction() as connection:
        for about in rows(connection, "runs.of_host", host=service.settings.host_name):
            advice = row(connection, "results.current_advice", run_id=about["id"])
            print(f"{about['run_name']}: ", end="")
            told = advice["sentence"] if advice else "nothing tested yet"
            print(about["blocked_reason"] or told)
            print_table(rows(connection, "runs.epochs", run_id=about["id"]), columns)
        for seen in rows(connection, "checkpoints.sightings", host=service.settings.host_name):
            if seen["state"] in ("refused", "quarantined", "blocked", "incomplete"):
                print(f"{Path(seen['path']).name}: {seen['state']}: {seen['reason']}")
                refused.add(Path(seen["path"]).name)
    return refused


def dashboard(*, host: str | None, port: int | None, clerk: bool) -> None:
    """Serve the dashboard until Ctrl-C; judge from here while no other host is alive."""
    settings = load_settings(dashboard_host=host, dashboard_port=port)
    start_logs(settings)
    if not clerk:
        sys.exit(
            subprocess.call(dashboard_command(settings), cwd=ROOT, env=dashboard_env(settings))
        )
    with opened_clerk(settings) as service, served(settings), stopped_by_signals(service):
        service.run()


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
    """Return the environment of the dashboard: our settings, and a one-time token off loopback."""
    env = {
        **os.environ,
        "EPOCHWATCH_HOME": str(settings.home),
        "EPOCHWATCH_IMAGE_STORE": settings.store_url,
        "EPOCHWATCH_DASHBOARD_HOST": settings.dashboard_host,
        "EPOCHWATCH_DASHBOARD_PORT": str(settings.dashboard_port),
    }
    for role in ("admins", "voters", "viewers"):
        env[f"EPOCHWATCH_{role.upper()}"] = ",".join(getattr(settings, role))
    env.pop("DATABASE_URL", None)
    if settings.database_url is not None:
        env["DATABASE_URL"] = settings.database_url.get_secret_value()
    address = dashboard_address(settings)
    if settings.has_accounts:
        print(f"Dashboard (people sign in): {settings.dashboard_url or address}", file=sys.stderr)
        return env
    if is_loopback(settings.dashboard_host):
        print(f"Dashboard: {address}", file=sys.stderr)
        return env
    token = secrets.token_urlsafe(24)
    print(f"Dashboard (this link works once): {address}?token={token}", file=sys.stderr)
    return {**env, "EPOCHWATCH_DASHBOARD_TOKEN": token}


def dashboard_address(settings: Settings) -> str:
    """Return the address a browser opens."""
    return f"http://{settings.dashboard_host}:{settings.dashboard_port}/"


def free_port(host: str, wanted: int) -> int:
    """Return the wanted port, or the next one that nobody listens on."""
    for port in range(wanted, wanted + 50):
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise Fixable(f"No free port from {wanted} to {wanted + 49} on {host}.")


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextlib.contextmanager
def served(settings: Settings, *, quiet: bool = True) -> Iterator[subprocess.Popen[bytes]]:
    """Serve the dashboard in a process of its own as long as this is held.

    Raises Fixable when the dashboard is not installed.
    """
    import importlib.util

    if importlib.util.find_spec("streamlit") is None:
        raise Fixable('The dashboard is not installed here: pip install "epochwatch[dashboard]"')
    process = subprocess.Popen(
        dashboard_command(settings),
        cwd=ROOT,
        env=dashboard_env(settings),
        stdout=subprocess.DEVNULL if quiet else None,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
