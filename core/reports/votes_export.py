"""Votes as files: the owner's comparison.csv, and every answer as CSV or JSON; text out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import combinations
from typing import Any, Protocol

from core.nouns import Slot
from core.reports.table_files import csv_text
from core.rules.ballots import Served, as_votes, is_answered, unique_labels
from core.rules.votes import ranking_votes

COLUMNS = (
    "comparison_id",
    "prompt",
    "seed",
    "model_name",
    "base_model",
    "lora",
    "lora_strength",
    "generation_time_s",
    "winner",
    "notes",
    "completed_at",
)
ANSWERS = (
    "serving",
    "judge",
    "via",
    "blind",
    "purpose",
    "expected",
    "prompt",
    "seed",
    "category",
    "shown",
    "choice",
    "ranking",
    "winner",
    "note",
    "milliseconds",
    "revision",
    "served_at",
    "voted_at",
)


class Picture(Protocol):
    """What a slot made of a unit."""

    @property
    def seconds(self) -> float | None:
        """How long it took to draw."""


class Unit(Protocol):
    """One prompt with one seed."""

    @property
    def key(self) -> str:
        """What votes call it."""

    @property
    def prompt_text(self) -> str:
        """The prompt."""

    @property
    def seed(self) -> int:
        """The seed."""

    @property
    def pictures(self) -> Mapping[str, Picture]:
        """Slot key -> its picture."""


class Kept(Served, Protocol):
    """What was served, with who saw it how."""

    @property
    def via(self) -> str:
        """Local, account or guest."""

    @property
    def blind(self) -> bool:
        """Whether names were hidden."""

    @property
    def served_at(self) -> datetime:
        """When it was shown."""

    @property
    def revision(self) -> int | None:
        """Which revision of the answer stands."""


def comparison_csv(
    comparison_id: int, slots: Sequence[Slot], units: Sequence[Unit], served: Sequence[Kept]
) -> str:
    """Return the votes as the owner's analysis script reads them, a row for each model of a vote.

    ``winner`` is 0 where the comparison's first slot won, as a rule the base, 1 where the other
    did, and empty for a tie. The script knows no third number, so that votes between two other
    slots are left out, as are golds, repeats and skips. A model's name holds "Base" or "LoRA". Both
    rows of a vote say who won, so shares are right and there are twice as many rows as votes.
    """
    first = slots[0].key
    by_key = {slot.key: slot for slot in slots}
    by_unit = {unit.key: unit for unit in units}
    behind = _behind(served)
    lines: list[dict[str, Any]] = []
    votes = [
        vote
        for vote in ranking_votes(as_votes(served))
        if vote.unit in by_unit and first in vote.pair and by_key.keys() >= set(vote.pair)
    ]
    for number, vote in enumerate(votes, start=1):
        other = vote.left if vote.right == first else vote.right
        said = behind[vote.judge, vote.pair, vote.unit]
        for at, key in enumerate((first, other)):
            lines.append(
                {
                    "comparison_id": f"{comparison_id}-{number}",
                    **_model(by_key[key], by_unit[vote.unit]),
                    "winner": "" if vote.winner is None else int(vote.winner != first),
                    "notes": said.note if at == 0 else "",
                    "completed_at": _time(said.voted_at),
                }
            )
    return csv_text(COLUMNS, lines)


def votes_csv(slots: Sequence[Slot], units: Sequence[Unit], served: Sequence[Kept]) -> str:
    """Return every answer that stands as CSV, golds and repeats too."""
    lines = votes_json(slots, units, served)
    flat = [
        {
            **line,
            "shown": " | ".join(line["shown"]),
            "ranking": " > ".join(line["ranking"] or ()),
        }
        for line in lines
    ]
    return csv_text(ANSWERS, flat)


def votes_json(
    slots: Sequence[Slot], units: Sequence[Unit], served: Sequence[Kept]
) -> list[dict[str, Any]]:
    """Return every answer that stands as plain data, in the order served."""
    labels = unique_labels((slot.key, slot.label) for slot in slots)
    by_unit = {unit.key: unit for unit in units}
    return [_answer(each, labels, by_unit.get(each.unit)) for each in served if is_answered(each)]


def _answer(each: Kept, labels: Mapping[str, str], unit: Unit | None) -> dict[str, Any]:
    shown = [labels.get(slot, slot[:8]) for slot in each.slots]
    ranking = None if each.ranking is None else [shown[place] for place in each.ranking]
    winner = {"left": shown[0], "right": shown[-1]}.get(each.choice or "")
    return {
        "serving": each.id,
        "judge": each.judge,
        "via": each.via,
        "blind": each.blind,
        "purpose": each.purpose,
        "expected": each.expected,
        "prompt": unit.prompt_text if unit else None,
        "seed": unit.seed if unit else None,
        "category": each.category or None,
        "shown": shown,
        "choice": each.choice,
        "ranking": ranking,
        "winner": ranking[0] if ranking else winner,
        "note": each.note,
        "milliseconds": each.milliseconds,
        "revision": each.revision,
        "served_at": _time(each.served_at),
        "voted_at": _time(each.voted_at),
    }


def _behind(served: Iterable[Kept]) -> dict[tuple[str, tuple[str, str], str], Kept]:
    """Return the answer that each counted vote was read from."""
    answered = [each for each in served if is_answered(each) and each.purpose == "vote"]
    found: dict[tuple[str, tuple[str, str], str], Kept] = {}
    for each in sorted(answered, key=lambda each: (str(each.voted_at), each.id)):
        for left, right in combinations(each.slots, 2):
            pair = (left, right) if left <= right else (right, left)
            found.setdefault((each.judge, pair, each.unit), each)
    return found


def _model(slot: Slot, unit: Unit) -> dict[str, Any]:
    loras = slot.stack.loras
    picture = unit.pictures.get(slot.key)
    seconds = picture.seconds if picture else None
    return {
        "prompt": unit.prompt_text,
        "seed": unit.seed,
        "model_name": _model_name(slot),
        "base_model": slot.stack.base_sha256[:12],
        "lora": "+".join(sha256[:12] for sha256, _ in loras),
        "lora_strength": "+".join(strength for _, strength in loras),
        "generation_time_s": "" if seconds is None else f"{seconds:.3f}",
    }


def _model_name(slot: Slot) -> str:
    if slot.stack.loras:
        return f"LoRA {slot.label}"
    if slot.position is not None:
        return f"Full model {slot.label}"
    return f"Base {slot.label.removeprefix('base').strip()}".strip()


def _time(moment: datetime | None) -> str:
    return "" if moment is None else moment.isoformat(timespec="milliseconds")
