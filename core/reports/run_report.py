"""Tells the story of a run as one self-contained HTML page.

Nothing is fetched and no script runs in it; foreign text is escaped.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
import vl_convert

from core.charts.progress import Progress, Theme, progress_sheet
from core.rules.gates import ExpectationState, GateState
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
class Planned:
    """A run's plan, and how far it came."""

    sentence: str  # how the hypothesis stands
    hypothesis: str
    gates: Sequence[GateState]
    expectations: Sequence[ExpectationState]
    is_late: bool  # it was set or changed when results existed


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
    planned: Planned | None = None
    doubts: Sequence[str] = ()  # what may make the test mislead
    bleeding: str = ""  # how to read the row without the trigger word


def run_report(story: Story) -> str:
    """Return the page as HTML text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(score=_score, whole=_whole, data_uri=_data_uri, is_hex=_is_hex)
    themes: tuple[Theme, ...] = ("light", "dark") if story.progress.averages else ()
    return environment.get_template("run_report.html").render(
        story=story, charts={theme: _charts(story.progress, theme) for theme in themes}
    )


def _charts(progress: Progress, theme: Theme) -> dict[str, bytes]:
    """Return the charts as SVG images; inside ``<img>`` nothing of them can run or load."""
    widths = {"wide": 860, "narrow": 290}  # pixels between the axes
    return {name: _svg(progress, theme, width) for name, width in widths.items()}


def _svg(progress: Progress, theme: Theme, width: int) -> bytes:
    sheet = progress_sheet(progress, theme=theme, width=width)
    return str(vl_convert.vegalite_to_svg(sheet.to_json())).encode()


def _score(value: Any) -> str:
    return "-" if value is None else f"{floor_for_display(float(value)):.1f}"


def _whole(value: Any) -> str:
    return "-" if value is None else f"{float(value):.0f}"


def _is_hex(color: Any) -> bool:
    """Tell whether a color may stand in a style: the owner's table takes any text."""
    return isinstance(color, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", color) is not None


def _data_uri(image: bytes) -> str:
    kind = "webp"
    if image.startswith(b"\x89PNG"):
        kind = "png"
    elif image.startswith(b"<svg"):
        kind = "svg+xml"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode('ascii')}"
