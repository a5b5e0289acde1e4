"""Numbers and states in the words of a person; pure, knows no page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from core.rules import wording
from core.rules.scoring import floor_for_display
from core.store.gallery import CheckpointLine, Host

Tone = Literal["calm", "busy", "warn", "bad"]


@dataclass(frozen=True, kw_only=True)
class Said:
    """A state in words, and how loud it is."""

    tone: Tone
    words: str
    detail: str = ""


def unbroken(sentence: str) -> str:
    """Keep a number and its unit on one line."""
    return re.sub(r"(?<=\d) (?=%|s\b|min\b|h\b)", "\u00a0", sentence)


def duration(seconds: float) -> str:
    """Return a time span: 8 s, 4 min, 3 h, 2 days."""
    for size, unit in ((172_800, "days"), (7_200, "h"), (120, "min")):
        if seconds >= size:
            return f"{seconds / {'days': 86_400, 'h': 3_600, 'min': 60}[unit]:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"


def ago(moment: datetime | None, now: datetime) -> str:
    """Return how long ago a moment was; one without a zone is UTC."""
    if moment is None:
        return ""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return f"{duration((now - aware).total_seconds())} ago"


def clock(moment: datetime) -> str:
    """Return the time of day in this process's zone, with the date when it is not today."""
    local = moment.astimezone()
    today = datetime.now(UTC).astimezone().date()
    return local.strftime("%H:%M" if local.date() == today else "%Y-%m-%d %H:%M")


def score(value: float | None) -> str:
    """Return a score with one decimal, never rounded up, or a dash when it is not known."""
    return "\u2013" if value is None else f"{floor_for_display(value):.1f}"


def percent(share: float | None) -> str:
    """Return a chance as a percentage; one that is an estimate is never quite certain."""
    return "\u2013" if share is None else wording.percent(share)


def size(count: int) -> str:
    """Return a file size in decimal units."""
    for unit, name in ((1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} bytes"


def host(seen: Host) -> Said:
    """Return what a machine is doing, or for how long it has been silent."""
    if seen.state == "stopped":
        span = duration(seen.silent_seconds)
        return Said(tone="calm", words="stopped", detail=f"{span} ago; nothing is tested there.")
    if not seen.is_at_work:
        last = f"Last words: {seen.state}{', ' + seen.doing if seen.doing else ''}."
        return Said(
            tone="bad",
            words=f"silent for {duration(seen.silent_seconds)}",
            detail=f"{last} Nothing is tested meanwhile; results so far are safe.",
        )
    trouble = str(seen.detail.get("trouble") or "")
    if trouble:
        return Said(tone="warn", words=seen.state, detail=trouble)
    lost = any(said[0] == "root-missing" for said in (seen.detail.get("roots") or {}).values())
    tone: Tone = "warn" if lost else "busy" if seen.state == "drawing" else "calm"
    return Said(tone=tone, words=seen.state, detail=seen.doing or _followed(seen))


def _followed(seen: Host) -> str:
    """Return how a machine follows its folders, and what waits there to be sent."""
    roots = seen.detail.get("roots") or {}
    parts = [f"{root} ({said[1] or said[0]})" for root, said in roots.items()]
    if waiting := seen.detail.get("outbox"):
        parts.append(f"{waiting} results wait to be sent")
    return ", ".join(parts)


def checkpoint(line: CheckpointLine) -> Said:
    """Return how far a checkpoint has come, with the reason where it stands still."""
    return _stopped(line) or _moving(line)


def _stopped(line: CheckpointLine) -> Said | None:
    if line.superseded:
        return Said(tone="calm", words="superseded", detail="A newer file took its place.")
    if line.invalid_reason:
        return Said(tone="bad", words="cannot be drawn", detail=line.invalid_reason)
    if line.parked_reason:
        return Said(
            tone="bad", words=f"failed after {line.attempts} tries", detail=line.parked_reason
        )
    return None


def _moving(line: CheckpointLine) -> Said:
    if line.asked == 0:
        return Said(tone="calm", words="received", detail="Its test is not planned yet.")
    if line.drawn >= line.asked and line.measured + line.defects >= line.asked:
        lost = f"{line.defects} could not be drawn" if line.defects else ""
        return Said(tone="calm", words=f"tested, {line.asked} images", detail=lost)
    if line.drawing or (line.drawn and not line.waiting_reason):
        return Said(tone="busy", words=f"drawing, {line.drawn} of {line.asked}")
    if line.waiting_reason:
        return Said(tone="warn", words="waiting", detail=line.waiting_reason)
    return Said(tone="calm", words="in the queue", detail=f"{line.asked} images to draw.")
