"""Serving the dashboard: it is there where it is said to be, or the command says why not."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from free_ports import free_port as port_of_nobody

from core.errors import Fixable
from core.settings import load_settings
from daemon.cli.dashboard import _end_with, dashboard_env, free_port, served
from daemon.cli.facts import _signing_in


@pytest.mark.parametrize("more", [(), ("--no-clerk",)])
def test_a_port_that_is_taken_is_told_before_anybody_is_sent_there(
    more: tuple[str, ...], epochwatch: Any
) -> None:
    """Another program would answer at the address that was printed."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = epochwatch("dashboard", "--port", port, *more)
    assert said.code == 2
    assert said.out == ""
    assert f"listens on port {port} of 127.0.0.1 already" in said.err
    assert "epochwatch dashboard --port" in said.err
    assert said.err.count("\n") == 1


def test_an_address_of_another_machine_is_told_in_one_line(epochwatch: Any) -> None:
    """What --host takes stands beside it; no traceback."""
    said = epochwatch("dashboard", "--host", "192.0.2.1")
    assert said.code == 2
    assert "cannot listen on 192.0.2.1, port 8501: Cannot assign requested address. " in said.err
    assert "0.0.0.0" in said.err
    assert said.err.count("\n") == 1


def test_a_port_whose_connections_are_just_over_is_free() -> None:
    """A dashboard that is started again gets the address that people have open."""
    port = port_of_nobody()  # none of those that the system gives to the next who asks
    with (
        socket.create_server(("127.0.0.1", port)) as server,
        socket.create_connection(("127.0.0.1", port)),
    ):
        server.accept()[0].close()  # this end closes first, so that it waits
    assert free_port("127.0.0.1", port) == port


@pytest.mark.parametrize("asked", ["", "asked to end"])
def test_a_clerk_ends_with_its_dashboard(asked: str) -> None:
    """Going on would look like a dashboard that is served; one that was asked to end is no news."""
    stopping, gone = threading.Event(), threading.Event()
    if asked:
        stopping.set()
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        _end_with(process, stopping, gone)
    assert stopping.is_set()
    assert gone.is_set() is not bool(asked)


@pytest.mark.parametrize(
    ("host", "url", "start"),
    [
        ("0.0.0.0", "", "(this link works once; from elsewhere with this machine's address for 0"),
        ("0.0.0.0", "https://epochs.example/", "(this link works once): https://epochs.example/?t"),
        ("fd00::1", "", "(this link works once): http://[fd00::1]:8501/?token="),
        ("::1", "", ": http://[::1]:8501/"),
    ],
)
def test_the_address_that_is_printed_can_be_opened(
    host: str, url: str, start: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody reaches another machine as 0.0.0.0, and an IPv6 address stands in brackets."""
    dashboard_env(load_settings(dashboard_host=host, dashboard_url=url))
    assert capsys.readouterr().err.startswith(f"Dashboard{'' if start[0] == ':' else ' '}{start}")


def test_where_people_sign_in_no_one_time_link_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would open nothing; the lists reach the dashboard wherever they were written."""
    monkeypatch.setenv("EPOCHWATCH_VOTERS", "ann@example.org @studio.example")
    env = dashboard_env(load_settings(dashboard_host="0.0.0.0"))
    assert "token" not in capsys.readouterr().err
    assert "EPOCHWATCH_DASHBOARD_TOKEN" not in env
    assert env["EPOCHWATCH_VOTERS"] == "ann@example.org,@studio.example"
    assert env["EPOCHWATCH_ADMINS"] == ""


def test_the_dashboard_has_the_settings_of_the_folder_it_was_started_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs elsewhere: their words, paths and secrets go with it, and no other database's name."""
    (tmp_path / "embeddings").mkdir()
    (tmp_path / "epochwatch.toml").write_text(
        'database_url = "postgresql://somebody@localhost/ours"\n'
        'dashboard_url = "https://epochs.example/"\nembeddings = "embeddings"\n'
        's3_access_key = "known"\n'
    )
    monkeypatch.chdir(tmp_path)
    settings = load_settings()
    monkeypatch.setenv("EPOCHWATCH_DATABASE_URL_FILE", str(tmp_path / "theirs"))
    env = dashboard_env(settings)
    monkeypatch.chdir("/")
    for name in [name for name in os.environ if name not in env]:
        monkeypatch.delenv(name)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    there = load_settings()
    assert (there.database_url, there.s3_access_key) == (
        settings.database_url,
        settings.s3_access_key,
    )
    assert (there.dashboard_url, there.embeddings) == (settings.dashboard_url, settings.embeddings)


def test_a_dashboard_that_is_served_beside_shows_the_database_that_was_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the one of an epochwatch.toml where it runs: the demo has its own, which is named nowhere."""
    theirs = (
        "from core.settings import load_settings as s; print(s().database_url.get_secret_value())"
    )
    told = tmp_path / "told"
    monkeypatch.setattr(
        "daemon.cli.dashboard.dashboard_command",
        lambda _: [
            "sh",
            "-c",
            f'exec "$@" > {shlex.quote(str(told))}',
            "",
            sys.executable,
            "-c",
            theirs,
        ],
    )
    monkeypatch.setattr(
        "daemon.cli.dashboard.open_dsn", lambda _: nullcontext("postgresql://x/ours")
    )
    monkeypatch.setenv("DATABASE_URL", "postgresql://x/other")
    with served(load_settings().model_copy(update={"database_url": None})) as process:
        assert process.wait(timeout=60) == 0
    assert told.read_text() == "postgresql://x/ours\n"


def test_doctor_knows_by_whom_people_sign_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lists without a provider are wrong; with one it is named, and its secrets are not."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert _signing_in(has_accounts=False).startswith("off")
    with pytest.raises(Fixable, match="has no section"):
        _signing_in(has_accounts=True)
    (tmp_path / ".streamlit").mkdir()
    (tmp_path / ".streamlit" / "secrets.toml").write_text(
        f"""[auth]
redirect_uri = "https://epochs.example/oauth2callback"
cookie_secret = "{"s" * 32}"
[auth.google]
client_id = "id"
client_secret = "s"
server_metadata_url = "https://accounts.google.com/.well-known/openid-configuration"
"""
    )
    assert _signing_in(has_accounts=True) == "google"
