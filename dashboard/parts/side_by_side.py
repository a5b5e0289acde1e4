"""A comparison on the page: prompts down, slots across, what is missing in its place."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from core.nouns import Slot
from core.store.comparisons import Comparison, SlotPicture, Unit
from dashboard.parts import links, words
from dashboard.parts.safe import Html, fill, join, text

_FEW = 4  # slots: so many fit beside each other in large


def grid(made: Comparison) -> Html:
    """Return prompts by slots with each picture's score, and each slot's mean above its column."""
    head = join(_column(slot, made.units) for slot in made.slots)
    body = join(_row(made, unit) for unit in made.units)
    return fill(
        '<div class="ew-grid {size}"><table><thead><tr><th></th>{head}</tr></thead>'
        "<tbody>{body}</tbody></table></div>",
        size="ew-large" if len(made.slots) <= _FEW else "",
        head=head,
        body=body,
    )


def progress(made: Comparison) -> str:
    """Return in words how far the images have come."""
    if not made.units and made.trouble:
        return f"not drawn: {made.trouble}"
    if not made.planned:
        return "waiting to be planned"
    defects = sum(
        picture.defect is not None for unit in made.units for picture in unit.pictures.values()
    )
    broken = f", {defects} could not be drawn" if defects else ""
    if made.drawn + defects == made.wanted:
        return f"all {made.wanted} images are there{broken}"
    return f"{made.drawn} of {made.wanted} images drawn{broken}"


def mean_of(slot: Slot, units: Sequence[Unit]) -> float | None:
    """Return the mean score of a slot over its measured pictures."""
    scores = [
        score
        for unit in units
        if slot.key in unit.pictures and (score := unit.pictures[slot.key].average) is not None
    ]
    return fmean(scores) if scores else None


def _column(slot: Slot, units: Sequence[Unit]) -> Html:
    return fill(
        '<th scope="col"><b class="ew-wrap">{label}</b><span class="ew-num">{mean}</span></th>',
        label=slot.label,
        mean=words.score(mean_of(slot, units)),
    )


def _row(made: Comparison, unit: Unit) -> Html:
    cells = join(_cell(made, unit, unit.pictures.get(slot.key), slot) for slot in made.slots)
    return fill(
        '<tr><th scope="row"><b>{name}</b><span class="ew-text" title="{prompt}">{prompt}</span>'
        '<span class="ew-num">seed {seed}</span></th>{cells}</tr>',
        name=unit.prompt_name,
        prompt=unit.prompt_text,
        seed=unit.seed,
        cells=cells,
    )


def _cell(made: Comparison, unit: Unit, picture: SlotPicture | None, slot: Slot) -> Html:
    if picture is None:
        return fill("<td></td>")
    if picture.image_sha256 is None:
        return fill("<td>{none}</td>", none=_missing(picture))
    score = picture.average
    return fill(
        '<td><button class="ew-pic" type="button" data-key="{key}" data-open="{address}"'
        ' aria-label="{label}"><img src="{thumb}" loading="lazy" decoding="async" width="208"'
        ' height="208" alt="{label}"></button>{number}</td>',
        key=picture.sample_id,
        address=links.closeup(made.run_id or 0, picture.sample_id),
        label=f"{unit.prompt_name}, {slot.label}",
        thumb=links.thumb(picture.image_sha256),
        number=fill('<span class="ew-num">{score}</span>', score=words.score(score))
        if score is not None
        else text(""),
    )


def _missing(picture: SlotPicture) -> Html:
    why = picture.defect or picture.parked_reason
    if why:
        return fill('<div class="ew-none ew-bad" title="{why}">no picture: {why}</div>', why=why)
    return fill('<div class="ew-none">to be drawn</div>')
