"""What a person asks to be drawn, from the words typed on a page or a command line to the grid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from core.errors import Fixable
from core.formats.prompt_suite import for_tier, suite_from_json, suite_to_json
from core.formats.slot_text import read_slot, with_strengths
from core.nouns import TIERS, Slot, Suite
from core.rules.comparing import comparison_body, comparison_origin
from core.rules.planning import expand, wanted_prompts
from core.store import comparisons
from core.store.database import Connection, row
from core.store.documents import document_digest, save_document

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, kw_only=True)
class Ahead:
    """What a comparison would cost: its images, and those of them that are not drawn yet."""

    wanted: int
    missing: int
    at_most: bool  # a base model is not found yet: some of the missing ones may be there


def ask_comparison(
    connection: Connection,
    *,
    run_id: int,
    slots: Sequence[str],
    by_whom: str,
    strengths: Sequence[float] = (),
    prompts: Sequence[str] = (),
    seeds: Sequence[int] = (),
    tier: str = "full",
    title: str = "",
    suite: Suite | None = None,
) -> int:
    """Ask for a comparison of slots as a person writes them; return its number.

    ``strengths`` makes a sweep of each slot. The prompts are those the run is tested with, or those
    of ``suite`` drawn as the run's own are, or the named ones of them; the same comparison asked for
    twice is one, and what is drawn stays drawn.

    Raises:
        Fixable: when something in it cannot be read or is not there, saying what there is.
    """
    if tier not in TIERS:
        raise Fixable(f"{tier!r} is no tier; write quick, medium or full.")
    texts = with_strengths(slots, strengths) if strengths else tuple(slots)
    body, asked = _body(
        connection, run_id, texts, prompts, seeds, tier=tier, title=title, other=suite
    )
    if suite is not None:
        save_document(connection, "suite", asked.name, suite_to_json(asked))
    return comparisons.ask(
        connection, origin=comparison_origin(body), body=body, run_id=run_id, by_whom=by_whom
    )


def images_ahead(
    connection: Connection,
    run_id: int,
    slots: Sequence[str],
    prompts: Sequence[str] = (),
    seeds: Sequence[int] = (),
    other: Suite | None = None,
) -> Ahead:
    """Return what the full comparison of these slots would draw, without asking for it.

    Raises:
        Fixable: as ``ask_comparison`` does.
    """
    body, suite = _body(connection, run_id, slots, prompts, seeds, other=other)
    asked = wanted_prompts(for_tier(suite, "full"), body)
    places = [Slot.from_json(slot) for slot in body["slots"]]
    samples = [
        sample.sample_id for slot in places for sample in expand(slot.stack, asked, suite.recipe)
    ]
    return Ahead(
        wanted=len(samples),
        missing=len(samples) - comparisons.drawn_of(connection, samples),
        at_most=not all(slot.is_found for slot in places),
    )


def suite_of(connection: Connection, run_id: int) -> Suite | None:
    """Return the prompts a run is tested with; None before its first checkpoint came in."""
    about = row(connection, "runs.get", run_id=run_id)
    if about is None or about["suite"] is None:
        return None
    found = row(connection, "results.document", digest=about["suite"])
    return None if found is None else suite_from_json(found["body"])


def _body(
    connection: Connection,
    run_id: int,
    slots: Sequence[str],
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    tier: str = "full",
    title: str = "",
    other: Suite | None = None,
) -> tuple[dict[str, Any], Suite]:
    """Return the body of a comparison's grid, and the suite that it is over."""
    about, suite = row(connection, "runs.get", run_id=run_id), suite_of(connection, run_id)
    if about is None or suite is None:
        raise Fixable(
            "This run has no test prompts yet: they are found when its first checkpoint comes in."
        )
    key = about["suite"]
    if other is not None:
        suite = _drawn_alike(suite, other)
        key = document_digest("suite", suite_to_json(suite))
    known = [prompt.name for prompt in suite.prompts]
    for name in prompts:
        if name not in known:
            raise Fixable(f"The suite has no prompt {name!r}; it has: {', '.join(known)}.")
    found = [comparisons.find_slot(connection, read_slot(text), run_id) for text in slots]
    named = f"{' / '.join(slot.label for slot in found)} on {suite.name}" if other else ""
    body = comparison_body(
        title=title or named,
        slots=found,
        suite=key,
        profile=about["profile"],
        tier=tier,
        prompts=prompts,
        seeds=seeds,
    )
    return body, suite


def _drawn_alike(own: Suite, other: Suite) -> Suite:
    """Return the prompts of another suite with a run's own recipe, and room for its BREAKs."""
    length = max(own.recipe.token_length, other.recipe.token_length)
    return replace(other, recipe=replace(own.recipe, token_length=length))
