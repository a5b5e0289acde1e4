"""What page and command line do to try a model out: from what was typed to the grid that draws it."""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import Fixable
from core.formats.prompt_suite import suite_from_json
from core.formats.slot_text import read_slot
from core.nouns import Recipe
from core.rules.trying import TRY_PRIORITY, try_body, try_origin
from core.store import comparisons, tries
from core.store.database import Connection, row


def recipe_of(connection: Connection, run_id: int) -> tuple[Recipe, str | None]:
    """Return the recipe that a run is tested with, and the digest of its training profile.

    Raises:
        Fixable: when the run is not set up yet.
    """
    about = row(connection, "runs.get", run_id=run_id)
    found = row(connection, "results.document", digest=about["suite"]) if about else None
    if about is None or found is None:
        raise Fixable(
            "This run is not ready to be drawn: it has no base model and no recipe yet. They are "
            "found when a daemon sees its first checkpoint."
        )
    return suite_from_json(found["body"]).recipe, about["profile"]


def ask_try(
    connection: Connection,
    *,
    run_id: int,
    slots: Sequence[str],
    prompt: str,
    negative: str,
    seed: int,
    by_whom: str,
) -> int:
    """Ask for a try at top priority and return its number; what is drawn already is not drawn again.

    ``slots`` are written as for comparisons: "production", "7@0.8", "base".

    Raises:
        Fixable: when something in it is not there or not understood.
    """
    recipe, profile = recipe_of(connection, run_id)
    body = try_body(
        slots=[comparisons.find_slot(connection, read_slot(text), run_id) for text in slots],
        prompt=prompt,
        negative=negative,
        seed=seed,
        recipe=recipe,
        profile=profile,
    )
    failed = tries.failed_attempts(connection, try_origin(body))
    return comparisons.ask(
        connection,
        origin=try_origin(body, failed),
        body=body,
        run_id=run_id,
        by_whom=by_whom,
        purpose="try",
        priority=TRY_PRIORITY,
    )
