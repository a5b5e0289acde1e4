"""Which slot of a comparison scores best, by how much, and which cannot be told from it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.rules.ballots import unique_labels
from core.rules.paired import Paired, common_units, compare_paired

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from core.nouns import Slot

FEWEST_UNITS = 3  # scored by every slot; of fewer nothing is concluded
ALPHA = 0.05  # shared by all pairs of slots, of which the scores pick the best's
_NAMED = 3  # slots in one sentence
_WORDS = ("two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True, kw_only=True)
class BestSlot:
    """What the scores say of a comparison; ``paired`` is None where the sentence says why."""

    sentence: str
    paired: Paired | None


def best_slot(
    scores: Mapping[str, Mapping[str, float]], *, noun: str, to_come: int = 0
) -> BestSlot:
    """Judge slots by ``scores``: the name of each -> unit -> score (0-10).

    Only units that every slot has count, paired. The intervals are those of 5 % shared by all
    pairs of slots (Bonferroni), so that they hold whichever slot the scores make the best. They
    are for one look: while images are drawn, they are told with "so far". ``noun`` is what a unit
    is called ("prompts"), and ``to_come`` says on how many units images are still to be drawn.
    """
    if len(scores) == 1:
        return BestSlot(sentence=_alone(next(iter(scores)), to_come), paired=None)
    units = len(common_units(scores))
    pairs = len(scores) * (len(scores) - 1) // 2
    paired = compare_paired(scores, level=1 - ALPHA / max(1, pairs))
    if paired is None or units < FEWEST_UNITS:
        return BestSlot(sentence=_too_few(units, noun, to_come), paired=None)
    over = f"on {units} {noun}" + (f" so far, with {to_come} to come" if to_come else "")
    behind = [name for name in _by_loss(paired) if paired.is_behind(name)]
    level = [name for name in _by_loss(paired) if not paired.is_behind(name)]
    if not behind:
        return BestSlot(sentence=_undecided(paired, level, over), paired=paired)
    leads = ", ".join(_lead(paired, name, first=not at) for at, name in enumerate(behind[:_NAMED]))
    more = f" and more over {len(behind) - _NAMED} others" if len(behind) > _NAMED else ""
    tied = f"; {_listed(level)} cannot be told from it" if level else ""
    sentence = (
        f"Best of {_count(len(scores))} by score: {paired.best}, {leads}{more}, {over}{tied}."
    )
    return BestSlot(sentence=sentence, paired=paired)


def slot_names(slots: Sequence[Slot]) -> dict[str, str]:
    """Return what to call each slot, by its key: by strengths alone where nothing else differs."""
    single = [slot for slot in slots if slot.stack.loras]
    same = {(slot.stack.base_sha256, *(lora for lora, _ in slot.stack.loras)) for slot in single}
    if len(single) < 2 or len(same) != 1 or len(single[0].stack.loras) != 1:
        return unique_labels((slot.key, slot.label) for slot in slots)
    return {
        slot.key: f"strength {_short(slot.stack.loras[0][1])}" if slot.stack.loras else slot.label
        for slot in slots
    }


def _short(strength: str) -> str:
    """Return decimal text with one place where the second says nothing: "1.0", "0.85"."""
    return strength[:-1] if re.fullmatch(r"[0-9]+\.[0-9]0", strength) else strength


def _by_loss(paired: Paired) -> list[str]:
    """Return the other slots, the nearest to the best first."""
    others = [name for name in paired.means if name != paired.best]
    return sorted(others, key=lambda name: paired.losses[name][0])


def _lead(paired: Paired, name: str, *, first: bool) -> str:
    mean, low, high = paired.losses[name]
    said = "95 % interval " if first else ""
    return f"+{_signed(mean)} over {name} ({said}{_signed(low)} to {_signed(high)})"


def _undecided(paired: Paired, level: Sequence[str], over: str) -> str:
    rest = f"; {_listed(level[1:])} cannot be told from it either" if level[1:] else ""
    return (
        f"No slot is shown to score best: {paired.best} has the highest mean, "
        f"{_lead(paired, level[0], first=True)}, {over}{rest}."
    )


def _alone(name: str, to_come: int) -> str:
    rest = "wait for the rest" if to_come else "the others have none"
    return f"Which slot scores best is not known: only {name} has scores; {rest}."


def _too_few(units: int, noun: str, to_come: int) -> str:
    found = ("none", "only 1")[units] if units < 2 else f"only {units}"
    have = "has" if units < 2 else "have"
    way = "wait for the rest" if to_come else "compare over more prompts or seeds"
    return (
        f"Which slot scores best is not known: {found} of the {noun} {have} a score in every slot, and "
        f"{FEWEST_UNITS} are needed; {way}."
    )


def _listed(names: Sequence[str]) -> str:
    if len(names) > _NAMED:
        return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} others"
    return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)


def _count(number: int) -> str:
    return _WORDS[number - 2] if number - 2 < len(_WORDS) else str(number)


def _signed(points: float) -> str:
    """Return points with a true minus; a small number keeps the digits that tell it from 0."""
    text = f"{points:.1f}" if abs(points) >= 0.1 else f"{points:.2f}"
    return "0" if points == 0 else text.replace("-", "\u2212")
