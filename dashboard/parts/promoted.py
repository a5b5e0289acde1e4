"""Production in words and tables: what is live, the checklist of a candidate, the history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from core.nouns import unit_of
from core.rules.criteria import Criterion
from core.rules.promotion import Checklist
from core.store.gallery import Host
from core.store.promotions import Promotion
from dashboard.parts import badge, sheet, words
from dashboard.parts.safe import Html, fill, join
from dashboard.parts.words import Said

_SHAPES = {"met": "disc", "not met": "cross", "not known": "ring"}


def name(promoted: Promotion) -> str:
    """Return what a person calls it."""
    return f"{promoted.run_name} {unit_of(promoted.record.get('unit'))} {promoted.position}"


def headline(live: Promotion, now: datetime) -> Html:
    """Return the sentence that says what is live, since when and through whom."""
    assert live.live_at is not None, "what is not live has no headline"
    back = ", after going back" if live.rolled_back_from is not None else ""
    return fill(
        '<p class="ew-sentence" data-part="live">{name} is in production.</p>'
        '<p class="ew-quiet">Since {clock} ({ago}){back}, decided by {by}, on {host}. {reason}</p>',
        name=name(live),
        clock=words.clock(live.live_at),
        ago=words.ago(live.live_at, now),
        back=back,
        by=live.by_whom,
        host=live.host or "an unknown machine",
        reason=f"Reason given: {live.reason}" if live.reason else "",
    )


def record(live: Promotion) -> Html:
    """Return the record's facts; what is not known is a dash."""
    body = live.record
    base: dict[str, Any] = dict(body.get("base") or {})
    parameters = ", ".join(
        f"{key.replace('_', ' ')} {value}" for key, value in (body.get("parameters") or {}).items()
    )
    captions = [body.get("caption_version"), body.get("caption_format")]
    lines: list[tuple[object, ...]] = [
        ("score", f"{words.score(body.get('score'))} of 10"),
        ("checked", body.get("verdict")),
        ("set aside", _set_aside(live)),
        ("strength", _strength(body)),
        ("trigger", body.get("trigger")),
        ("base model", base.get("name")),
        ("parameters", parameters),
        ("caption format", ", ".join(str(each) for each in captions if each)),
        ("issues", ", ".join(body.get("issues") or ()).replace("_", " ") or "none"),
        ("excluded", ", ".join(body.get("excluded_traits") or ()) or "nothing"),
        ("tested with", (body.get("suite") or {}).get("name")),
        ("file", body.get("original_name")),
        ("SHA-256", live.sha256),
    ]
    return sheet.table(("", ""), [(key, value or "\u2013") for key, value in lines])


def _strength(body: Mapping[str, Any]) -> str:
    span = body.get("strength_range")
    return f"tested at {body.get('strength')}" + (
        f", usable from {span[0]} to {span[1]}" if span else ""
    )


def _set_aside(promoted: Promotion) -> str:
    names = {each["key"]: each["name"] for each in promoted.checklist}
    return "; ".join(str(names.get(key, key)) for key in promoted.overridden)


def standing(newest: Promotion, hosts: Sequence[Host]) -> Said | None:
    """Return how far the newest decision has come; None when it is done and there is no news."""
    if newest.state == "pending":
        return _waiting(newest, hosts)
    if newest.state == "failed":
        return Said(
            tone="bad", words=f"{name(newest)} is not in production.", detail=newest.error or ""
        )
    if newest.hook_state == "failed":
        detail = f"{newest.hook_said or ''} The model is live all the same."
        return Said(tone="warn", words="The command after it failed.", detail=detail)
    if newest.hook_state == "pending":
        return Said(tone="busy", words="Live; its command is running.")
    return None


def _waiting(newest: Promotion, hosts: Sequence[Host]) -> Said:
    who = newest.wanted_host
    alive = [host.name for host in hosts if host.is_at_work]
    title = f"{name(newest)} is on its way to production."
    last = f" It said last: {newest.error}" if newest.error else ""
    if alive and (who is None or who in alive):
        return Said(
            tone="busy", words=title, detail=f"{who or alive[0]} is putting it in place.{last}"
        )
    missing = f"{who} has the file and is not at work" if who else "No machine is at work"
    detail = f"{missing}: it happens as soon as it is. What is live stays live.{last}"
    return Said(tone="warn", words=title, detail=detail)


def checklist(checked: Checklist) -> Html:
    """Return the sentence of a checklist and its criteria, must-haves first."""
    lines: list[tuple[object, ...]] = [
        (_state(each), each.name, "must" if each.must else "nice to have", each.found)
        for each in checked.criteria
    ]
    return fill(
        '<p class="ew-sentence" data-part="checklist">{sentence}</p>{table}',
        sentence=words.unbroken(checked.sentence),
        table=sheet.table(("", "criterion", "asked", "found"), lines, kind="ew-check"),
    )


def _state(criterion: Criterion) -> Html:
    return fill(
        '<span class="ew-badge" data-state="{state}">{shape}{state}</span>',
        state=criterion.state,
        shape=badge.shape(_SHAPES[criterion.state]),
    )


def history(known: Sequence[Promotion], live: Promotion | None) -> Html:
    """Return every decision, the newest first."""
    lines: list[tuple[object, ...]] = [
        (
            each.id,
            name(each),
            words.score(each.record.get("score")),
            _became(each, live),
            each.by_whom,
            words.clock(each.decided_at),
            _why(each),
        )
        for each in known
    ]
    return sheet.table(
        ("number", "model", "score", "", "by", "decided", "why"), lines, kind="ew-numbers"
    )


def _became(each: Promotion, live: Promotion | None) -> Html:
    if live is not None and each.id == live.id:
        return fill('<span class="ew-pick" data-badge="live">live</span>')
    return fill('<span class="ew-quiet">{word}</span>', word=each.became)


def _why(each: Promotion) -> Html:
    back = f"went back from number {each.rolled_back_from}" if each.rolled_back_from else ""
    aside = f"set aside: {_set_aside(each)}" if each.overridden else ""
    return join((fill("{p}", p=p) for p in (each.reason, back, aside) if p), "; ")
