"""A try on the page: its pictures side by side with their numbers, and how far it has come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.nouns import Slot
from core.store.comparisons import SlotPicture
from core.store.gallery import Host
from core.store.tries import Try
from dashboard.parts import links, words
from dashboard.parts.safe import Html, fill, text
from dashboard.parts.words import Said


def hindrance(hosts: Sequence[Host], base_sha256: str | None) -> Said | None:
    """Return why nothing can be drawn now; None when a machine at work can."""
    drawing = [host for host in hosts if host.can_draw]
    if not drawing:
        return Said(
            tone="warn",
            words="No machine that draws is at work.",
            detail="What you ask for waits until one is: epochwatch watch PATH",
        )
    if base_sha256 is not None and not any(_has(host, base_sha256) for host in drawing):
        names = ", ".join(host.name for host in drawing)
        return Said(
            tone="warn",
            words="No machine at work has this base model.",
            detail=f"{names} could draw, with another one. What you ask for waits.",
        )
    return None


def _has(host: Host, base_sha256: str) -> bool:
    """Tell whether a machine has a base model; one that does not say may have it."""
    return base_sha256 in host.detail.get("bases", [base_sha256])


def progress(tried: Try) -> Said:
    """Return how far a try has come."""
    if tried.parked_reason:
        return Said(tone="bad", words="Not drawn.", detail=tried.parked_reason)
    if tried.wanted and tried.drawn >= tried.wanted:
        lost = f"{tried.defects} could not be drawn." if tried.defects else ""
        return Said(tone="calm", words="Drawn.", detail=lost)
    count = f"{tried.drawn} of {tried.wanted or len(tried.body['slots'])} images"
    if tried.drawing:
        return Said(tone="busy", words=f"Drawing, {count}.")
    if tried.waiting_reason:
        return Said(tone="warn", words=f"Waiting, {count}.", detail=tried.waiting_reason)
    return Said(tone="calm", words=f"Asked for, {count}.", detail="It is drawn before all else.")


def figure(run_id: int | None, slot: Slot, picture: SlotPicture | None) -> Html:
    """Return one picture, large, with what was measured on it."""
    return fill(
        '<figure class="ew-try">{image}<figcaption><b>{label}</b><br>{numbers}</figcaption></figure>',
        image=_image(run_id, slot, picture),
        label=slot.label,
        numbers=_numbers(picture),
    )


def _image(run_id: int | None, slot: Slot, picture: SlotPicture | None) -> Html:
    if picture is None or picture.image_sha256 is None:
        why = (picture.defect or picture.parked_reason) if picture else None
        return fill(
            '<div class="ew-none {tone}">{why}</div>',
            tone="ew-bad" if why else "",
            why=why or "not drawn yet",
        )
    image = fill(
        '<img src="{address}" alt="{label}">',
        address=links.original(picture.image_sha256),
        label=slot.label,
    )
    if run_id is None:
        return image
    return fill(
        '<button class="ew-pic" type="button" data-key="{key}" data-open="{address}"'
        ' aria-label="{label}">{image}</button>',
        key=picture.sample_id,
        address=links.closeup(run_id, picture.sample_id),
        label=f"{slot.label}, large",
        image=image,
    )


def _numbers(picture: SlotPicture | None) -> Html:
    if picture is None or picture.image_sha256 is None:
        return text("")
    scores = (("visual", picture.visual), ("style", picture.style), ("prompt", picture.prompt))
    parts = [f"{name} {words.score(score)}" for name, score in scores]
    parts += [f"{picture.seconds:.1f} s"] if picture.seconds is not None else []
    return text(" \u00b7 ".join(parts))


def described(body: Mapping[str, Any]) -> Html:
    """Return what was asked for, in one line."""
    recipe: Mapping[str, Any] = body["recipe"]
    parts = [
        f"seed {body['seed']}",
        f"{recipe['width']}x{recipe['height']}",
        f"{recipe['steps']} steps of {recipe['sampler']}",
        f"guidance {recipe['guidance']}",
        *([f"without: {recipe['negative']}"] if recipe["negative"] else []),
    ]
    return fill(
        '<p class="ew-run">{prompt}</p><p class="ew-quiet">{parts}</p>',
        prompt=body["prompt"],
        parts=", ".join(parts),
    )
