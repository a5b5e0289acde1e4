"""A comparison on the page: prompts down, slots across, what is missing in its place."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from core.nouns import BLEEDING, Slot
from core.rules.best_slot import BestSlot, best_slot, slot_names
from core.store.comparisons import Comparison, SlotPicture, Unit
from dashboard.parts import links, words
from dashboard.parts.safe import Html, fill, join, text

_FEW = 4  # slots: so many fit beside each other in large


def grid(made: Comparison) -> Html:
    """Return prompts by slots with each picture's score, and each slot's mean above its column."""
    scored = _scored(made)
    head = join(_column(slot, scored) for slot in made.slots)
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


def is_to_come(made: Comparison) -> bool:
    """Tell whether some of its images are still to be drawn."""
    pictures = [picture for unit in made.units for picture in unit.pictures.values()]
    return not made.planned or any(map(_is_to_come, pictures))


def standing(made: Comparison) -> BestSlot:
    """Return which slot scores best so far, from the units that they all have a score on."""
    names, scored = slot_names(made.slots), _scored(made)
    prompts = {unit.prompt_name for unit in made.units}
    return best_slot(
        {
            names[slot.key]: {
                unit.key: score for unit in scored if (score := _of(unit, slot)) is not None
            }
            for slot in _under_way(made)
        },
        noun="prompts" if len(prompts) == len(made.units) else "prompts and seeds",
        to_come=sum(any(map(_is_to_come, unit.pictures.values())) for unit in made.units),
    )


def best_line(made: Comparison) -> Html:
    """Return the sentence on the best slot; a quiet one where none can be named yet."""
    found = standing(made)
    return fill(
        '<p class="{tone}">{sentence}</p>',
        tone="ew-quiet" if found.paired is None else "",
        sentence=words.unbroken(found.sentence),
    )


def _under_way(made: Comparison) -> list[Slot]:
    """Return the slots with a score; one that is still to be drawn holds up none of the others."""
    return [
        slot
        for slot in made.slots
        if any(slot.key in unit.pictures and _kind(unit.pictures[slot.key]) for unit in made.units)
    ]


def _scored(made: Comparison) -> list[Unit]:
    """Return the units on which the slots are scored alike, of those that a score counts."""
    keys = [slot.key for slot in _under_way(made)]
    return [
        unit
        for unit in made.units
        if unit.category != BLEEDING
        and all(key in unit.pictures for key in keys)
        and len(kinds := {_kind(unit.pictures[key]) for key in keys}) == 1
        and kinds != {()}
    ]


def _kind(picture: SlotPicture) -> tuple[str, ...]:
    """Return which scores the one number is made of; none for a picture without."""
    if picture.composite is not None:
        return ("composite",)
    scores = {"visual": picture.visual, "style": picture.style, "prompt": picture.prompt}
    return tuple(name for name, score in scores.items() if score is not None)


def _is_to_come(picture: SlotPicture) -> bool:
    return not (picture.image_sha256 or picture.defect or picture.parked_reason)


def _of(unit: Unit, slot: Slot) -> float | None:
    return unit.pictures[slot.key].average


def _column(slot: Slot, scored: Sequence[Unit]) -> Html:
    pictures = [unit.pictures[slot.key] for unit in scored if slot.key in unit.pictures]
    scores = [each.average for each in pictures if each.average is not None]
    return fill(
        '<th scope="col"><b class="ew-wrap">{label}</b><span class="ew-num" title="{of}">{mean}'
        "</span></th>",
        label=slot.label,
        of="The mean score over what all slots with scores have a score on",
        mean=f"mean {words.score(fmean(scores))} over {len(scores)}"
        if scores
        else words.score(None),
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
