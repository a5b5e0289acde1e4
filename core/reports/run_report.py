"""Tells the story of a run as one self-contained HTML page: nothing is fetched, foreign text is escaped."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
import vl_convert

from core.charts.progress import Progress, progress_sheet
from core.rules.scoring import floor_for_display

_TEMPLATES = Path(__file__).resolve().parent / "templates"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One image of the grid, or the reason there is none."""

    image: bytes | None  # WebP or PNG
    score: float | None  # 0-10
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class GridRow:
    """A prompt and its images: the baseline first, then one a position."""

    name: str
    text: str
    origin: str | None
    cells: Sequence[Cell]


@dataclass(frozen=True, kw_only=True)
class Story:
    """Everything the report tells."""

    run_name: str
    status: str
    unit: str  # "epoch" or "step"
    advice: Mapping[str, Any] | None
    advice_history: Sequence[tuple[datetime, str]]
    progress: Progress
    epochs: Sequence[Mapping[str, Any]]
    grid: Sequence[GridRow]
    positions: Sequence[int]
    parameters: Mapping[str, Any]
    written_at: datetime


def run_report(story: Story) -> str:
    """Return the page as HTML text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, trim_blocks=True
    )
    environment.filters["score"] = _score
    environment.filters["data_uri"] = _data_uri
    chart = _svg(story.progress) if story.progress.averages else ""
    return environment.get_template("run_report.html").render(
        story=story, chart=jinja2.utils.markupsafe.Markup(chart)
    )


def _svg(progress: Progress) -> str:
    """Return both charts as SVG; all text in them is numbers and words of our own."""
    return str(vl_convert.vegalite_to_svg(progress_sheet(progress, width=860).to_json()))


def _score(value: Any) -> str:
    return "-" if value is None else f"{floor_for_display(float(value)):.1f}"


def _data_uri(image: bytes) -> str:
    kind = "png" if image.startswith(b"\x89PNG") else "webp"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode('ascii')}"
