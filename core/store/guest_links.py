"""Guest links: each opens one comparison to somebody without an account, for a time."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime

from core.errors import Fixable
from core.store.database import Connection, row, rows, storable
from core.store.voting import LONGEST_NAME, open_session, refuse_other_person

MOST_HOURS = 24 * 90


@dataclass(frozen=True, kw_only=True)
class GuestLink:
    """A link that opens one comparison to somebody without an account."""

    token_sha256: str
    comparison: int
    judge: str
    created_by: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


def invite(
    connection: Connection, comparison: int, judge: str, *, created_by: str, hours: float
) -> tuple[str, GuestLink]:
    """Make a guest link and return its token, which is shown once and stored as a hash only.

    Raises:
        Fixable: without a name or with that of somebody who votes on it now, or for a time below a
            minute or above 90 days.
    """
    judge = storable(judge, LONGEST_NAME)
    if not judge:
        raise Fixable("Say who will vote with this link: --judge NAME.")
    if not 1 / 60 <= hours <= MOST_HOURS:
        raise Fixable(f"A link is open for a minute up to {MOST_HOURS} hours, not {hours:g}.")
    at_work = open_session(connection, comparison, judge)
    if at_work is not None:
        refuse_other_person(at_work, "guest")
    token = secrets.token_urlsafe(32)
    found = row(
        connection,
        "voting.invite",
        token_sha256=token_hash(token),
        comparison=comparison,
        judge=judge,
        created_by=created_by,
        minutes=round(hours * 60),
    )
    assert found is not None  # a token of 256 random bits is new
    return token, GuestLink(**found)


def guest(connection: Connection, token: str) -> GuestLink | None:
    """Return the link that a token opens now; None when it is unknown, over or revoked."""
    found = row(connection, "voting.link", token_sha256=token_hash(token))
    return GuestLink(**found) if found else None


def links(connection: Connection) -> tuple[GuestLink, ...]:
    """Return every guest link, the newest first."""
    return tuple(GuestLink(**found) for found in rows(connection, "voting.links"))


def revoke(connection: Connection, start: str) -> tuple[GuestLink, ...]:
    """Close the links whose hash begins with ``start`` (8 digits at least) and return them.

    Raises:
        Fixable: for fewer digits, which might close another link.
    """
    if len(start) < 8:
        raise Fixable("Name a link by the first 8 digits or more that `votes links` shows.")
    return tuple(GuestLink(**found) for found in rows(connection, "voting.revoke", start=start))


def token_hash(token: str) -> str:
    """Return what is stored of a token: its SHA-256."""
    return hashlib.sha256(token.encode()).hexdigest()
