"""What a person asks to be drawn, from the words typed on a page or a command line to the grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.errors import Fixable
from core.formats.prompt_suite import suite_from_json
from core.formats.slot_text import read_slot, with_strengths
from core.nouns import TIERS
from core.rules.comparing import comparison_body, comparison_origin
from core.store import comparisons
from core.store.database import Connection, row

if TYPE_CHECKING:
    from collections.abc import Sequence


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
) -> int:
    """Ask for a comparison of slots as a person writes them; return its number.

    ``strengths`` makes a sweep of each slot. The prompts are those the run is tested with, or the
    named ones of them; the same comparison asked for twice is one, and what is drawn stays drawn.

    Raises:
        Fixable: when something in it cannot be read or is not there, saying what there is.
    """
    if tier not in TIERS:
        raise Fixable(f"{tier!r} is no tier; write quick, medium or full.")
    about = row(connection, "runs.get", run_id=run_id)
    if about is None or about["suite"] is None:
        raise Fixable(
            "This run has no test prompts yet: they are found when its first checkpoint comes in."
        )
    known = prompts_of(connection, about["suite"])
    for name in prompts:
        if name not in known:
            raise Fixable(f"The suite has no prompt {name!r}; it has: {', '.join(known)}.")
    texts = with_strengths(slots, strengths) if strengths else tuple(slots)
    body = comparison_body(
        title=title,
        slots=[comparisons.find_slot(connection, read_slot(text), run_id) for text in texts],
        suite=about["suite"],
        profile=about["profile"],
        tier=tier,
        prompts=prompts,
        seeds=seeds,
    )
    return comparisons.ask(
        connection, origin=comparison_origin(body), body=body, run_id=run_id, by_whom=by_whom
    )


def prompts_of(connection: Connection, suite: str) -> tuple[str, ...]:
    """Return the names of a stored suite's prompts, in order."""
    found = row(connection, "results.document", digest=suite)
    if found is None:
        return ()
    return tuple(prompt.name for prompt in suite_from_json(found["body"]).prompts)
