"""The numbers one click below the pictures, as tables; pure markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from core.store.gallery import (
    Alert,
    CheckpointLine,
    EpochResult,
    PersonScore,
    Picture,
    RefusedFile,
    RunLine,
)
from dashboard.parts import badge, sheet, words
from dashboard.parts.closeup import swatch
from dashboard.parts.safe import Html, fill, join

_WEAK_SHOWN = 5
_NOT_PARAMETERS: Final = {
    "id",
    "run_name",
    "status",
    "created_at",
    "updated_at",
    "blocked_reason",
    "doubts",
    "issues_found",
    "strengths",
    "key_findings",
    "comparison_notes",
    "notes",
}


def scores(
    results: Sequence[EpochResult], people: Sequence[PersonScore], *, unit: str, pick: int | None
) -> Html:
    """Return the scores, their average and the verdict by position, people's words beside."""
    lines: list[tuple[object, ...]] = [
        (
            fill(
                "{position} {mark}",
                position=each.position,
                mark=badge.pick() if each.position == pick else "",
            ),
            words.score(each.visual),
            words.score(each.style),
            words.score(each.prompt),
            fill("<b>{average}</b>", average=words.score(each.average)),
            badge.verdict(each.verdict),
            _people_at(each.position, people),
        )
        for each in results
    ]
    head = (unit, "visual", "style", "prompt", "average", "verdict", "people")
    return sheet.table(head, lines, kind="ew-numbers")


def _people_at(position: int, people: Sequence[PersonScore]) -> Html:
    return join(
        (
            fill(
                "<div><b>{average}</b> {judge} <span class='ew-quiet'>{three} {note}</span></div>",
                average=words.score(each.average),
                judge=each.judge,
                note=each.note,
                three=f"({each.visual:g}, {each.style:g}, {each.prompt:g})",
            )
            for each in people
            if each.position == position
        ),
    )


def metrics(results: Sequence[EpochResult], *, unit: str) -> Html:
    """Return the metrics of each position that stand behind the scores."""
    lines: list[tuple[object, ...]] = [
        (
            each.position,
            _percent(each.color_accuracy_score),
            _percent(each.style_quality_score),
            swatch(each.background_color) if each.background_color else "\u2013",
            "\u2013" if each.unique_colors is None else each.unique_colors,
            each.num_test_images or "\u2013",
            _phrase(each.issues_detail),
        )
        for each in results
    ]
    head = (
        unit,
        "color accuracy",
        "style quality",
        "background",
        "unique colors",
        "images",
        "issues",
    )
    return sheet.table(head, lines, kind="ew-numbers")


def _percent(value: float | None) -> str:
    return "\u2013" if value is None else f"{value:.0f} %"


def _phrase(many: Sequence[str] | None) -> str:
    return ", ".join(each.replace("_", " ") for each in many or ()) or "none"


def weak_spots(pictures: Sequence[Picture], pick: int | None, unit: str) -> Html:
    """Return the prompts that score lowest at the pick, else at the last tested position."""
    positions = [p.position for p in pictures if p.position is not None and p.average is not None]
    place = pick if pick in positions else max(positions, default=None)
    at = [
        p for p in pictures if p.position == place and place is not None and p.average is not None
    ]
    if not at:
        return sheet.empty("No measured images yet.")
    lowest = sorted(at, key=lambda each: each.average or 0.0)[:_WEAK_SHOWN]
    lines: list[tuple[object, ...]] = [
        (
            each.prompt_name,
            words.score(each.average),
            words.score(each.visual),
            words.score(each.style),
            words.score(each.prompt),
            each.origin or "\u2013",
            each.prompt_text,
        )
        for each in lowest
    ]
    head = (f"prompt, at {unit} {place}", "average", "visual", "style", "prompt", "origin", "text")
    return sheet.table(head, lines)


def parameters(facts: Mapping[str, Any]) -> Html:
    """Return every parameter of the run that is filled."""
    known = {name: value for name, value in facts.items() if name not in _NOT_PARAMETERS}
    lines: list[tuple[object, ...]] = [
        (name.replace("_", " "), _cell(value))
        for name, value in known.items()
        if value not in (None, "", [])
    ]
    remarks = [
        (name.replace("_", " "), _cell(facts[name]))
        for name in ("key_findings", "issues_found", "strengths", "comparison_notes", "notes")
        if facts.get(name)
    ]
    return sheet.table(("parameter", "value"), [*lines, *remarks])


def _cell(value: object) -> object:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, list):
        return ", ".join(str(each) for each in value)
    if isinstance(value, float):
        return f"{value:g}"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value


def checkpoints(lines: Sequence[CheckpointLine], now: datetime) -> Html:
    """Return the checkpoints of a run and their states, the newest first."""
    cells: list[tuple[object, ...]] = [
        (
            "\u2013" if each.position is None else each.position,
            sheet.state(words.checkpoint(each)),
            fill(
                "{name}{final} <span class='ew-quiet'>{size}, {ago}</span>",
                name=each.file_name,
                final=" (final)" if each.is_final else "",
                size=words.size(each.size_bytes),
                ago=words.ago(each.registered_at, now),
            ),
        )
        for each in lines
    ]
    return sheet.table(("at", "state", "file"), cells)


def runs(lines: Sequence[RunLine], now: datetime) -> Html:
    """Return runs beside each other: how each was made, and what came of it."""
    cells: list[tuple[object, ...]] = [
        (
            fill(
                '<a href="run?run={id}" target="_self">{name}</a> <span class="ew-quiet">{ago}</span>',
                id=each.id,
                name=each.run_name,
                ago=words.ago(each.run_date.replace(tzinfo=UTC), now),
            ),
            each.status.replace("_", " "),
            f"{each.scored} of {each.checkpoints}",
            _known(each.best_epoch),
            _known(each.quality_score),
            _known(each.convergence_status),
            _network(each),
            _known(each.caption_version),
        )
        for each in lines
    ]
    head = ("run", "status", "tested", "best", "score", "course", "network", "captions")
    return sheet.table(head, cells)


def _known(value: object) -> object:
    return "\u2013" if value is None else value


def _network(run: RunLine) -> str:
    """Return what two runs most often differ by, such as "SD15, dim 32, alpha 16"."""
    named = (("", run.model_type), ("dim ", run.network_dim), ("alpha ", run.network_alpha))
    return ", ".join(f"{name}{value}" for name, value in named if value is not None) or "\u2013"


def refused(files: Sequence[RefusedFile], now: datetime) -> Html:
    """Return the files that will not be used, and why."""
    return _list(
        fill(
            "<li><b>{state}</b> {path} <small>{size}, {host}, {ago}</small><br>{reason}</li>",
            state=each.state,
            path=each.path,
            size=words.size(each.size_bytes),
            host=each.host,
            ago=words.ago(each.seen_at, now),
            reason=each.reason,
        )
        for each in files
    )


def alerts(messages: Sequence[Alert], now: datetime) -> Html:
    """Return the newest messages, and whether they were delivered."""
    return _list(
        fill(
            "<li><b>{title}</b> <small>{run}{ago}{delivery}</small><br>{body}</li>",
            title=each.payload.get("title", "Alert"),
            body=each.payload.get("body", ""),
            run=f"{each.run_name}, " if each.run_name else "",
            ago=words.ago(each.created_at, now),
            delivery=_delivery(each),
        )
        for each in messages
    )


def _delivery(alert: Alert) -> str:
    if alert.state == "failed":
        return f", not delivered: {alert.error or 'no reason given'}"
    if alert.state == "pending":
        return ", being sent" + (f" (last try: {alert.error})" if alert.error else "")
    return f", {alert.error}" if alert.error else ""


def _list(items: Any) -> Html:
    return fill('<ul class="ew-list">{items}</ul>', items=join(items))


def legend() -> Html:
    """Return what the badges mean."""
    bands = (
        ("best", "9 to 10"),
        ("good", "7 to 9"),
        ("acceptable", "5 to 7"),
        ("skip", "3 to 5"),
        ("failure", "below 3"),
    )
    return fill(
        '<div class="ew-key">{bands}</div>',
        bands=join(
            fill("<span>{badge} {floor}</span>", badge=badge.verdict(word), floor=floor)
            for word, floor in bands
        ),
    )
