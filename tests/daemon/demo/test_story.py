"""The demo tells its story in a few lines."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.settings import Settings
from daemon.cli.dashboard import dashboard_env
from daemon.cli.main import app
from daemon.demo.story import MODEL, QUIET, _again, beside, demo_settings

LOAD = """
import sys
import torch
from diffusers import StableDiffusionPipeline
StableDiffusionPipeline.from_pretrained(sys.argv[1], torch_dtype=torch.float32, local_files_only=True)
"""


def test_the_trainers_libraries_are_quiet_while_they_load() -> None:
    """Warnings about what is not installed look like a fault to somebody who sees it first."""
    said = subprocess.run(
        [sys.executable, "-c", LOAD, str(MODEL)],
        env={**os.environ, **QUIET},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout + said.stderr == ""


def test_the_demo_touches_nothing_that_is_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine that is set up, nobody is alerted, nothing is promoted, and nothing costs money."""
    monkeypatch.setenv("EPOCHWATCH_HOME", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", "postgresql://somebody@localhost/real")
    monkeypatch.setenv("EPOCHWATCH_DATABASE_URL", "postgresql://somebody@localhost/real")
    monkeypatch.setenv("EPOCHWATCH_IMAGE_STORE", "s3://real/bucket?endpoint=http://localhost:1")
    monkeypatch.setenv("EPOCHWATCH_ALERT_URLS", '["json://localhost:1"]')
    monkeypatch.setenv("EPOCHWATCH_PRODUCTION", str(tmp_path / "real"))
    monkeypatch.setenv("EPOCHWATCH_PROMOTE_HOOK", '["true"]')
    monkeypatch.setenv("EPOCHWATCH_DEVICE", "cpu")
    told = demo_settings()
    assert (told.database_url, told.alert_urls, told.promote_hook) == (None, (), ())
    assert not [name for name in dashboard_env(told) if "DATABASE_URL" in name]
    assert told.store_url == str(tmp_path / "demo" / "store")
    assert told.production_folder == tmp_path / "demo" / "production"
    assert told.price_per_hour is None, "nothing is rented, so no bill is spoken of"
    assert told.device == "cpu", "how this machine draws is the machine's"


def test_the_demo_is_shown_again_whatever_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command that it ends with opens the demo's own data, and no database that is in use."""
    monkeypatch.setenv("EPOCHWATCH_HOME", str(tmp_path))
    first = demo_settings()
    set_home, _program, *words = shlex.split(_again(first))[1:]
    monkeypatch.setenv(*set_home.split("=", 1))
    monkeypatch.setenv("EPOCHWATCH_DATABASE_URL", "postgresql://somebody@localhost/real")
    (tmp_path / "epochwatch.toml").write_text('image_store = "real"\n')
    monkeypatch.chdir(tmp_path)
    shown: list[Settings] = []
    monkeypatch.setattr("daemon.demo.story.serve", shown.append)
    app(words, standalone_mode=False)
    (again,) = shown
    assert (again.home, again.store_url, again.database_url) == (first.home, first.store_url, None)


def test_a_trainer_that_fails_ends_the_demo(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing more is to come: nobody should wait for it."""
    service: Any = SimpleNamespace(stopping=threading.Event())
    failing = [sys.executable, "-c", "raise SystemExit(3)"]
    with beside(service, tmp_path, failing, end=False, is_served=False):
        assert service.stopping.wait(timeout=60)
    assert "trainer failed" in capsys.readouterr().err
