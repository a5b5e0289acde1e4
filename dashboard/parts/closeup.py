"""One picture, large, with everything that is known of it; pure markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.store.gallery import PictureDetail
from core.store.objections import Objection
from dashboard.parts import links, sheet, words
from dashboard.parts.safe import Html, fill, join, text


def page(
    detail: PictureDetail,
    measured: str | None = None,
    *,
    objections: Sequence[Objection] = (),
    object_to: str | None = None,
    account: str | None = None,
) -> Html:
    """Return the close-up.

    ``measured`` is the address of the picture of what was measured, ``object_to`` the one that
    takes objections to its scores, ``account`` who is signed in: the name they are made in.
    """
    return fill(
        '<div class="ew-closeup">{measured}{image}<div><h3>{name}</h3><p>{place}</p>{scores}{wrong}{issues}'
        "<p class='ew-quiet'>{prompt}</p>{doubts}{metrics}{recipe}</div></div>",
        measured=_measured(detail, measured),
        image=_image(detail),
        name=detail.prompt_name,
        place=_place(detail),
        prompt=detail.prompt_text,
        doubts=sheet.doubts(detail.doubts) if detail.doubts else text(""),
        scores=_scores(detail, object_to),
        wrong=_wrong(detail, objections, object_to, account),
        issues=_issues(detail.body or {}),
        metrics=_metrics(detail.body or {}),
        recipe=_recipe(detail),
    )


def _image(detail: PictureDetail) -> Html:
    if detail.image_sha256 is None:
        return fill('<div class="ew-none ew-bad">{why}</div>', why=detail.defect or "not drawn yet")
    return fill(
        '<img src="{address}" alt="{name}">',
        address=links.original(detail.image_sha256),
        name=detail.prompt_name,
    )


def _measured(detail: PictureDetail, address: str | None) -> Html:
    """Return what opens the picture of what was measured; a closed one fetches nothing."""
    if address is None or detail.image_sha256 is None or not detail.body:
        return text("")
    return fill(
        '<details class="ew-measured"><summary>What was measured</summary>'
        '<img loading="lazy" src="{address}" alt="the image with its grid, the cells that fail, '
        'and promised beside measured colors"></details>',
        address=address,
    )


def _place(detail: PictureDetail) -> str:
    place = "baseline, no LoRA" if detail.position is None else f"position {detail.position}"
    origin = f", {detail.origin} in training" if detail.origin else ""
    return f"{place}, seed {detail.seed}{origin}"


def _wrong(
    detail: PictureDetail,
    objections: Sequence[Objection],
    object_to: str | None,
    account: str | None,
) -> Html:
    """Return what people hold against the scores, and as whom this browser speaks."""
    if object_to is None or not detail.body:
        return text("")
    lines = join(
        fill(
            '<li data-score="{score}" data-direction="{direction}" data-judge="{judge}">'
            "{judge}: {score} is {words}{note}</li>",
            score=each.score,
            direction=each.direction,
            judge=each.judge,
            words=each.direction.replace("_", " "),
            note=f" ({each.note})" if each.note else "",
        )
        for each in objections
    )
    return fill(
        '<div class="ew-wrong" data-object="{address}"><label>A score is wrong? Say so as '
        '<input type="text" maxlength="80" value="{name}" aria-label="said by"{fixed}></label>'
        '<ul>{lines}</ul><p role="status"></p></div>',
        address=object_to,
        name=account or "somebody",
        fixed=Html(" readonly") if account else "",
        lines=lines,
    )


def _sides(name: str, value: float | None) -> Html:
    """Return the two buttons that call a score wrong; a score that is not there has none."""
    if value is None:
        return text("")
    return join(
        fill(
            '<button type="button" data-wrong="{name} {direction}" aria-pressed="false"'
            ' title="the {name} score is {words}; click again to take it back">{words}</button>',
            name=name,
            direction=direction,
            words=direction.replace("_", " "),
        )
        for direction in ("too_high", "too_low")
    )


def _scores(detail: PictureDetail, object_to: str | None) -> Html:
    reasons: Mapping[str, Any] = (detail.body or {}).get("reasons") or {}
    parts = (
        ("visual", detail.visual, reasons.get("visual_quality")),
        ("style", detail.style, reasons.get("style_match")),
        ("prompt", detail.prompt, reasons.get("prompt_adherence")),
        ("average", detail.average, None),
    )
    cells = (
        fill(
            '<div title="{why}"><b>{score}</b><span>{name}</span>{sides}</div>',
            why=why,
            score=words.score(value),
            name=name,
            sides=_sides(name, value) if object_to and name != "average" else "",
        )
        for name, value, why in parts
    )
    return fill('<div class="ew-scores">{cells}</div>', cells=join(cells))


def _issues(body: Mapping[str, Any]) -> Html:
    found = [str(issue).replace("_", " ") for issue in body.get("issues") or ()]
    good = [str(strength) for strength in body.get("strengths") or ()]
    lines = [
        *([f"Issues: {', '.join(found)}."] if found else []),
        *([f"Good: {', '.join(good)}."] if good else []),
    ]
    return join(fill("<p>{line}</p>", line=line) for line in lines)


def _metrics(body: Mapping[str, Any]) -> Html:
    metrics: Mapping[str, Any] = body.get("metrics") or {}
    if not metrics:
        return text("")
    lines: list[tuple[object, ...]] = [
        (name.replace("_", " "), _value(metric), metric.get("explanation", ""))
        for name, metric in metrics.items()
    ]
    if body.get("background_hex"):
        lines.append(
            (
                "background",
                swatch(str(body["background_hex"])),
                "The largest color around the figure.",
            )
        )
    if body.get("unique_colors") is not None:
        lines.append(("unique colors", body["unique_colors"], ""))
    return sheet.table(("metric", "value", "what it says"), lines)


def _value(metric: Mapping[str, Any]) -> str:
    value = metric.get("value")
    if value is None:
        return "not measured"
    ends = list(metric.get("range") or [])
    number = f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return f"{number} of {ends[1]:g}" if len(ends) == 2 else number


def swatch(color: str) -> Html:
    """Return a patch of a color with its code; anything but #rrggbb stays text."""
    code = color.lower()
    if len(code) != 7 or code[0] != "#" or any(each not in "0123456789abcdef" for each in code[1:]):
        return text(color)
    return fill('<i class="ew-swatch" style="background:{code}"></i>{code}', code=code)


def _recipe(detail: PictureDetail) -> Html:
    known = {
        **detail.recipe,
        "size": f"{detail.width} x {detail.height}" if detail.width else None,
        "drawn in": f"{detail.seconds:.1f} s" if detail.seconds is not None else None,
        "by": detail.host,
        "sample": detail.sample_id[:12],
    }
    parts = [
        f"{name.replace('_', ' ')} {value}"
        for name, value in known.items()
        if value not in (None, "") and name not in ("width", "height")
    ]
    return fill("<p class='ew-quiet'>{parts}</p>", parts=", ".join(parts))
