"""What an account may do: signing in says who somebody is, the lists of the settings what they may.

OpenID Connect authenticates and does not authorize: any account of a provider can sign in.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["viewer", "voter", "admin"]
_RANKS: tuple[Role, ...] = ("viewer", "voter", "admin")


@dataclass(frozen=True, kw_only=True)
class Account:
    """Somebody who is signed in and on a list."""

    address: str  # e-mail, lower case: the name under which everything is kept
    role: Role

    def may(self, least: Role) -> bool:
        """Say whether this account may do what takes at least the role ``least``."""
        return _RANKS.index(self.role) >= _RANKS.index(least)


def verified_address(claims: Mapping[str, Any]) -> str | None:
    """Return the e-mail address of an ID token as lists have it; None unless it is verified.

    An address that the provider has not verified is whatever its owner typed (OpenID Connect Core
    1.0, section 5.1). Some providers write the boolean as a text.
    """
    address, verified = claims.get("email"), claims.get("email_verified")
    if verified is not True and verified != "true":
        return None
    if not isinstance(address, str) or not address.isascii() or address.count("@") != 1:
        return None  # lower case makes ASCII of letters like the Kelvin sign: another's address
    return address.strip().lower() or None


def role_of(
    address: str,
    *,
    admins: Collection[str],
    voters: Collection[str],
    viewers: Collection[str],
) -> Role | None:
    """Return the highest role whose list has the address or its @domain; None on no list.

    A domain stands for itself alone, not for those below it.
    """
    domain = f"@{address.rpartition('@')[2]}"
    lists: tuple[tuple[Role, Collection[str]], ...] = (
        ("admin", admins),
        ("voter", voters),
        ("viewer", viewers),
    )
    return next((role for role, names in lists if address in names or domain in names), None)
