"""What all images of each position say together, and which scores people call wrong; pure markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.store.objections import Objection
from core.store.set_level import SetLevelLine
from dashboard.parts import sheet
from dashboard.parts.safe import Html, fill, join

_NONE = "\u2013"


def table(lines: Sequence[SetLevelLine], unit: str) -> Html:
    """Return diversity, copies and the gap by position, one at least, with what is missing."""
    rows: list[tuple[object, ...]] = [
        (
            line.position,
            _diversity(line.body.get("diversity")),
            _copies(line.body.get("copies")),
            _gap(line.body.get("gap")),
            _overtrained(line.body),
        )
        for line in lines
    ]
    head = (unit, "diversity", "copies of training images", "seen over held-out", "over-trained")
    return join(
        (
            sheet.heading("Whole sets", "what several images tell together"),
            sheet.table(head, rows, kind="ew-numbers"),
            _missing(lines[-1].body),
        )
    )


def _diversity(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return _NONE
    said = f"{found['value']:.2f} of 1"
    if found.get("ratio") is not None:
        said += f", {_percent(found['ratio'])} of the first"
    if found.get("low") is not None:
        said += f" ({_percent(found['low'])} to {_percent(found['high'])})"
    return said + ("; mode collapse" if found.get("collapsed") else "")


def _copies(found: Mapping[str, Any] | None) -> Html | str:
    if found is None:
        return _NONE
    said = (
        f"{found['copies']} of {found['images']} ({_percent(found['low'])} to "
        f"{_percent(found['high'])})"
    )
    like = "; ".join(f"{prompt} is like {image}" for prompt, image in found.get("examples") or ())
    return fill('<span title="{like}">{said}</span>', like=like, said=said)


def _gap(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return _NONE
    said = f"{found['points']:+.1f} points"
    if found.get("growth") is not None:
        said += f", {found['growth']:+.1f} since the first"
    return said


def _overtrained(body: Mapping[str, Any]) -> Html:
    word = {True: "yes", False: "no"}.get(body.get("overtrained"), "not known")  # type: ignore[arg-type]
    return fill('<span title="{why}">{word}</span>', why=body.get("said", ""), word=word)


def _missing(body: Mapping[str, Any]) -> Html:
    reasons = dict(body.get("reasons") or {})
    training = body.get("training")
    if training and training["kept"] < training["of"]:
        reasons["copies"] = (
            f"compared with {training['kept']} of {training['of']} training images, evenly chosen"
        )
    lines = (fill("<li>{part}: {why}.</li>", part=part, why=why) for part, why in reasons.items())
    return fill('<ul class="ew-list ew-quiet">{lines}</ul>', lines=join(lines))


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def called_wrong(found: Sequence[Objection], unit: str) -> Html:
    """Return the scores of a run that people call wrong."""
    rows: list[tuple[object, ...]] = [
        (
            _NONE if each.position is None else each.position,
            f"{each.prompt_name}, seed {each.seed}",
            f"{each.score} is {each.direction.replace('_', ' ')}",
            each.judge,
            each.note,
        )
        for each in found
    ]
    head = (unit, "picture", "score", "by", "note")
    return join(
        (
            sheet.heading("Called wrong", "said in the close-up of a picture"),
            sheet.table(head, rows),
        )
    )
