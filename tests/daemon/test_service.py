"""What the daemon tells somebody who waits at its terminal."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from core.settings import Settings
from daemon.service import Service


@pytest.mark.parametrize(("at_a_terminal", "lines"), [(True, 2), (False, 0)])
def test_how_far_a_test_is_is_told_at_a_terminal_and_in_no_log_file(
    *, at_a_terminal: bool, lines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for each change: the same words twice would say that it hangs."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: at_a_terminal, raising=False)
    worker, nothing = SimpleNamespace(doing=""), SimpleNamespace()
    here: Any = {"database": nothing, "store": nothing, "worker": worker}
    service = Service(settings=Settings(), **here)
    with capture_logs() as said:
        for done in ("", "epoch 3 of punk: 2 of 12 images"):
            worker.doing = done
            service.tell_progress()
            service.tell_progress()
        worker.doing = "epoch 3 of punk: 7 of 12 images"
        service.tell_progress()
    assert len(said) == lines
