"""A real dashboard in a process of its own, and the browser that looks at it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from free_ports import free_port

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = os.environ.get("EPOCHWATCH_TEST_BROWSER") or "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    # The pages of the sign-in provider ask for a style sheet elsewhere: without a way out, a browser
    # would wait for it as long as the network lets it, and the page would not be there until then.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
]

PATIENCE_MS = 120_000  # what is waited for comes in a second, or on a slow machine in ten
SOON_MS = 15_000  # what takes no more than the browser itself, however slow it is


@contextmanager
def real_browser() -> Iterator[Any]:
    """Yield a browser; what ``expect`` looks for is waited for with patience, too."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=FLAGS, timeout=PATIENCE_MS
        )
        yield chromium
        chromium.close()


def see(tab: Any, selector: str) -> None:
    """Wait until this is on the page; while a rerun moves things, it may be there twice."""
    tab.locator(selector).filter(visible=True).first.wait_for()


def settled(tab: Any) -> None:
    """Wait until nothing of the page is being drawn anew, after something of it was seen."""
    tab.locator(".stApp[data-test-script-state=notRunning]").wait_for()


def write(box: Any, words: str) -> None:
    """Put words into a box of Streamlit's: it fills itself a moment after it can be typed into."""
    from playwright.sync_api import expect

    box.fill(words)
    try:
        expect(box).to_have_value(words, timeout=SOON_MS)
    except AssertionError:
        box.fill(words)
        expect(box).to_have_value(words)


@contextmanager
def dashboard(
    home: Path, dsn: str, *arguments: str, **environment: str
) -> Iterator[tuple[str, Path]]:
    """Yield the address and the log of a dashboard process."""
    port = free_port()
    log = home / f"dashboard-{port}.log"
    env = {**os.environ, "DATABASE_URL": dsn, "EPOCHWATCH_HOME": str(home), **environment}
    command = [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        "dashboard/app.py",
        "--server.port",
        str(port),
        *arguments,
    ]
    with (
        log.open("wb") as out,
        subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=out) as process,
    ):
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(f"{url}/healthz", process)
            yield url, log
        finally:
            process.terminate()
            process.wait(PATIENCE_MS / 1000)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait as long as the process lives and the test may last."""
    while process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=10).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the dashboard did not start")


def complaints(log: Path) -> list[str]:
    """Return the tracebacks in the log of a dashboard.

    Left out is what Streamlit's server says of a browser that goes away in the middle of a message:
    whether that happens depends on the moment at which a test closes its page.
    """
    told = log.read_text(encoding="utf-8", errors="replace").split("Traceback (most recent call")
    return [each for each in told[1:] if "_websocket_endpoint" not in each]
