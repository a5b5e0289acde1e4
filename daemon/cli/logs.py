"""Starts the log: text for people or JSON lines for machines, never with control characters."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

from core.settings import Settings


def start_logs(settings: Settings, *, quiet: bool = False) -> None:
    """Send the log to stderr; ``quiet`` shows warnings only, beside a progress bar."""
    level = logging.WARNING if quiet else logging.INFO
    # APScheduler says at warning level that a slow tick was skipped: it was meant to be.
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr, format="%(message)s")
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), pad_event_to=24, sort_keys=False
        )
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(
                fmt="%H:%M:%S" if settings.log_format == "text" else "iso"
            ),
            structlog.processors.format_exc_info,
            _escape,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _escape(_logger: Any, _method: str, event: Any) -> Any:
    """Escape control characters of foreign text, so that a name cannot forge a line of the log."""
    return {
        key: _escaped(value, keep="\n" if key == "exception" else "")
        if isinstance(value, str)
        else value
        for key, value in event.items()
    }


def _escaped(text: str, keep: str) -> str:
    return "".join(
        sign if sign.isprintable() or sign in keep else ascii(sign)[1:-1] for sign in text
    )
