"""What a person does on a page: each is a row, written by a function of the store.

Where people sign in, each is done in the account's name, and only when its role may.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core import plans, production
from core.formats.run_plan import RunPlan
from core.nouns import Suite
from core.store import guest_links, promotions, scores, voting
from core.store.database import storable
from core.store.guest_links import GuestLink
from core.trials import ask_try
from core.wishes import ask_comparison
from dashboard.accounts import acting, current
from dashboard.link import shared_link


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a person thinks of an epoch, 0-10 each."""

    run_id: int
    position: int
    judge: str
    visual: float
    style: float
    prompt: float
    note: str


def log_score(score: Score) -> None:
    """Store a score. Raises Away when the database is away, Fixable when it cannot be taken."""
    judge = acting(score.judge, "voter")
    with shared_link().transaction() as connection:
        scores.add(
            connection,
            score.run_id,
            score.position,
            judge,
            score.visual,
            score.style,
            score.prompt,
            score.note,
        )


def compare(
    run_id: int,
    slots: Sequence[str],
    by_whom: str,
    *,
    prompts: Sequence[str] = (),
    seeds: Sequence[int] = (),
    suite: Suite | None = None,
) -> int:
    """Ask for a comparison; return its number. Raises Away, or Fixable when it cannot be made."""
    by_whom = acting(by_whom, "admin")
    with shared_link().transaction() as connection:
        return ask_comparison(
            connection,
            run_id=run_id,
            slots=slots,
            by_whom=by_whom,
            prompts=prompts,
            seeds=seeds,
            suite=suite,
        )


def set_plan(run_id: int, plan: RunPlan, *, by_whom: str) -> bool | None:
    """Make a plan the run's; tell whether there were results, or None where it stands already.

    Raises Away when the database is away.
    """
    by_whom = acting(by_whom, "admin")
    with shared_link().transaction() as connection:
        return plans.register(connection, run_id, plan, by_whom=by_whom)


def promote(run_id: int, position: int, *, strict: bool, reason: str, by_whom: str) -> int:
    """Decide that an epoch goes to production; return the decision's number.

    Raises Away, or Fixable when a criterion is not met and no reason is given.
    """
    by_whom = acting(by_whom, "admin")
    with shared_link().transaction() as connection:
        seen = production.look(connection, run_id, position, strict=strict)
        return production.promote(connection, seen, reason=reason, by_whom=by_whom)


def roll_back(to: int, *, reason: str, by_whom: str) -> int:
    """Decide to go back to what was in production before. Raises Away, or Fixable."""
    by_whom = acting(by_whom, "admin")
    with shared_link().transaction() as connection:
        return promotions.roll_back(connection, to=to, reason=reason, by_whom=by_whom)


def try_out(
    run_id: int, slots: Sequence[str], *, prompt: str, negative: str, seed: int, by_whom: str
) -> int:
    """Ask for a try; return its number. Raises Away, or Fixable when it cannot be drawn."""
    by_whom = acting(by_whom, "admin")
    with shared_link().transaction() as connection:
        return ask_try(
            connection,
            run_id=run_id,
            slots=slots,
            prompt=prompt,
            negative=negative,
            seed=seed,
            by_whom=by_whom,
        )


def open_sitting(comparison: int, judge: str) -> voting.Session | None:
    """Return the sitting that would go on if its judge pressed Vote. Raises Away, or Fixable."""
    judge = storable(acting(judge, "voter"), voting.LONGEST_NAME)
    via: voting.Via = "account" if current() else "local"
    with shared_link().transaction() as connection:
        found = voting.open_session(connection, comparison, judge)
    return found if found is not None and found.via == via else None


def begin_sitting(
    comparison: int, judge: str, *, blind: bool, budget: int | None, anew: bool = False
) -> voting.Session:
    """Begin a sitting, or go on with the open one, which ends first if it shall be ``anew``.

    Raises Away, or Fixable without a name.
    """
    judge = acting(judge, "voter")
    via: voting.Via = "account" if current() else "local"
    with shared_link().transaction() as connection:
        return voting.begin(
            connection, comparison, judge, via, blind=blind, budget=budget, anew=anew
        )


def end_sitting(session_id: int) -> None:
    """End a sitting. Raises Away, or Fixable."""
    acting("", "voter")
    with shared_link().transaction() as connection:
        voting.end(connection, session_id)


def show_names(session_id: int) -> None:
    """Let a judge go on with the names shown; later votes count as not blind. Raises Away, or Fixable."""
    acting("", "voter")
    with shared_link().transaction() as connection:
        voting.show_names(connection, session_id)


def invite(comparison: int, judge: str, *, hours: float, by_whom: str) -> tuple[str, GuestLink]:
    """Make a guest link; return its token, which nobody can read again. Raises Away, or Fixable."""
    by_whom = acting(by_whom, "admin")
    with shared_link().transaction() as connection:
        return guest_links.invite(connection, comparison, judge, created_by=by_whom, hours=hours)


def revoke(token_sha256: str) -> None:
    """Close a guest link at once. Raises Away, or Fixable."""
    acting("", "admin")
    with shared_link().transaction() as connection:
        guest_links.revoke(connection, token_sha256)
