"""What is put side by side: the body and the name of the grid that draws a comparison.

A comparison is a grid whose stacks are its slots. Everybody who judges, promotes or studies
strengths speaks of slots by the key of their stack, so that votes on the same weights add up
whichever comparison they were given in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.errors import Fixable
from core.nouns import digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.nouns import Slot

MOST_SLOTS = 12  # more cannot be looked at side by side, nor decided by a person's votes


def check_slots(slots: Sequence[Slot]) -> None:
    """Refuse a comparison that shows nothing: fewer than two different slots, or too many.

    Raises:
        Fixable: saying which.
    """
    check_different(slots)
    if len(slots) < 2:
        raise Fixable("A comparison needs at least two slots, for example: base pick.")
    if len(slots) > MOST_SLOTS:
        raise Fixable(f"At most {MOST_SLOTS} slots can be compared at once, not {len(slots)}.")


def check_different(slots: Sequence[Slot]) -> None:
    """Refuse the same weights twice.

    Raises:
        Fixable: saying which.
    """
    if len({slot.key for slot in slots}) < len(slots):
        seen: dict[str, str] = {}
        for slot in slots:
            if slot.key in seen:
                raise Fixable(
                    f"{seen[slot.key]} and {slot.label} are the same weights at the same "
                    "strength: they would draw the same images. Choose different slots."
                )
            seen[slot.key] = slot.label


def comparison_body(
    *,
    title: str,
    slots: Sequence[Slot],
    suite: str,
    profile: str | None,
    tier: str = "full",
    prompts: Sequence[str] = (),
    seeds: Sequence[int] = (),
) -> dict[str, Any]:
    """Return the body of a comparison's grid; ``suite`` and ``profile`` are document digests.

    ``prompts`` are names of the suite's prompts (none: all of the tier); ``seeds`` replace the
    suite's own (none: the suite's).

    Raises:
        Fixable: when the slots show nothing.
    """
    check_slots(slots)
    return {
        "title": title or " / ".join(slot.label for slot in slots),
        "slots": [slot.as_json() for slot in slots],
        "suite": suite,
        "profile": profile,
        "tier": tier,
        "prompts": list(prompts),
        "seeds": list(seeds),
        **wanted_bases(slots),
    }


def wanted_bases(slots: Sequence[Slot]) -> dict[str, list[str]]:
    """Return what a grid's body says while base models of its slots are looked for by name."""
    names = sorted({slot.on for slot in slots if slot.on is not None and not slot.is_found})
    return {"wants": names} if names else {}


def comparison_origin(body: dict[str, Any]) -> str:
    """Return the origin that makes the same comparison asked for twice one comparison."""
    return f"compare/{digest({name: body[name] for name in body if name != 'title'})}"


def retest_origin(run_id: int, pair: Sequence[int]) -> str:
    """Return the origin of the re-test of two positions: each pair of a run is re-tested once."""
    first, second = sorted(pair)
    return f"retest/{run_id}/{first}-{second}"
