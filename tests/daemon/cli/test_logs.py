"""The log: one line an event, whatever foreign text is in it, and no secret of the settings."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from core.settings import load_settings
from daemon.cli.logs import start_logs

HOSTILE = "evil\x1b[31m\n12:00:00 [info ] forged\r\u202eline\x00"


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Give the log back as it was."""
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("form", ["text", "json"])
def test_foreign_text_forges_no_line(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Names of files and runs come from outside."""
    start_logs(load_settings(log_format=form))
    structlog.get_logger().warning("refused", name=HOSTILE, path=Path(HOSTILE), names=[HOSTILE])
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    for sign in "\x1b\r\x00\u202e":
        assert sign not in said


def test_a_line_says_first_what_it_is_about(capsys: pytest.CaptureFixture[str]) -> None:
    """An alert's title stands before its long body, not behind it."""
    start_logs(load_settings())
    structlog.get_logger().info("alert", title="stop", body="Because.")
    said = capsys.readouterr().err
    assert said.index("title") < said.index("body")


def test_json_lines_are_json(capsys: pytest.CaptureFixture[str]) -> None:
    """A log collector reads them as they are."""
    start_logs(load_settings(log_format="json"))
    structlog.get_logger().info("alert", title="stop, epoch 7 \u2013 best")
    body = json.loads(capsys.readouterr().err)
    assert (body["event"], body["level"]) == ("alert", "info")
    assert body["title"] == "stop, epoch 7 \u2013 best"


def test_a_traceback_keeps_its_lines_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    """It is read by people, and holds foreign text too."""
    start_logs(load_settings())
    try:
        int(HOSTILE)
    except ValueError:
        structlog.get_logger().exception("unexpected")
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert said.count("\n") > 3
    assert "\x1b" not in said


def test_quiet_shows_warnings_only(capsys: pytest.CaptureFixture[str]) -> None:
    """Beside a progress bar."""
    start_logs(load_settings(), quiet=True)
    structlog.get_logger().info("not this")
    structlog.get_logger().warning("this")
    assert "not this" not in (said := capsys.readouterr().err)
    assert "this" in said
