"""The first thing on the page: the sentence, its badge and what it rests on."""

from __future__ import annotations

from dashboard.parts import badge, sheet, words
from dashboard.parts.safe import Html, fill, join, text
from dashboard.parts.standing import Standing


def markup(name: str, progress: str, stands: Standing) -> Html:
    """Return the run's name, the sentence and its evidence in words."""
    return fill(
        '<p class="ew-run"><b>{name}</b> <span class="ew-quiet">{progress}</span></p>{hindrance}'
        '<p class="ew-sentence" data-part="sentence">{sentence}</p>{rests}{reasons}',
        name=name,
        progress=progress,
        sentence=words.unbroken(stands.sentence),
        rests=_rests(stands),
        hindrance=sheet.notice(stands.hindrance) if stands.hindrance else "",
        reasons=_reasons(stands.reasons),
    )


def _rests(stands: Standing) -> Html:
    if stands.status is None:
        return text("")
    return fill(
        '<div class="ew-rests">{badge}{meter}<span class="ew-quiet">{basis}</span></div>',
        badge=badge.status(stands.status),
        meter=_meter(stands.chance),
        basis=f"Rests on {stands.basis}." if stands.basis else "",
    )


def _meter(chance: float | None) -> Html:
    if chance is None:
        return text("")
    return fill(
        '<span><span class="ew-meter"><i style="width:{width}%"></i></span> '
        "{chance} sure of the pick</span>",
        width=round(min(1.0, max(0.0, chance)) * 100),
        chance=words.percent(chance),
    )


def _reasons(reasons: tuple[str, ...]) -> Html:
    if not reasons:
        return text("")
    return fill(
        '<ul class="ew-reasons">{lines}</ul>',
        lines=join(fill("<li>{line}</li>", line=line) for line in reasons),
    )
