"""Which account may do what: by verified address, by list, and never by what merely looks alike."""

from __future__ import annotations

from typing import Any

import pytest

from core.rules.roles import Account, role_of, verified_address

LISTS = {
    "admins": ("ada@example.org",),
    "voters": ("@studio.example", "ann@example.org"),
    "viewers": ("@example.org", "vera@studio.example"),
}


@pytest.mark.parametrize(
    ("address", "role"),
    [
        ("ada@example.org", "admin"),
        ("ann@example.org", "voter"),
        ("anyone@example.org", "viewer"),
        ("vera@studio.example", "voter"),
        ("eve@sub.studio.example", None),
        ("eve@evilstudio.example", None),
        ("eve@elsewhere.example", None),
        ("", None),
    ],
)
def test_the_highest_list_that_has_an_address_or_its_domain_counts(
    address: str, role: str | None
) -> None:
    """A domain below, or one that ends alike, is another domain."""
    assert role_of(address, **LISTS) == role


@pytest.mark.parametrize(
    ("claims", "address"),
    [
        ({"email": "Ann@Example.org ", "email_verified": True}, "ann@example.org"),
        ({"email": "ann@example.org", "email_verified": "true"}, "ann@example.org"),
        ({"email": "ann@example.org", "email_verified": False}, None),
        ({"email": "ann@example.org", "email_verified": "false"}, None),
        ({"email": "ann@example.org", "email_verified": 1}, None),
        ({"email": "ann@example.org"}, None),
        ({"email_verified": True}, None),
        ({"email": ["ann@example.org"], "email_verified": True}, None),
        ({"email": "ann@\u212aeystone.org", "email_verified": True}, None),
        ({"email": "eve@x@example.org", "email_verified": True}, None),
        ({}, None),
    ],
)
def test_only_a_verified_address_is_an_address(claims: dict[str, Any], address: str | None) -> None:
    """What the provider does not vouch for is anybody's; the Kelvin sign is no letter K."""
    assert verified_address(claims) == address


def test_each_role_may_what_the_ones_below_it_may() -> None:
    """A viewer looks, a voter votes as well, an admin does everything."""
    may = {
        role: [least for least in ("viewer", "voter", "admin") if account.may(least)]
        for role in ("viewer", "voter", "admin")
        for account in [Account(address="a@b.c", role=role)]
    }
    assert may == {
        "viewer": ["viewer"],
        "voter": ["viewer", "voter"],
        "admin": ["viewer", "voter", "admin"],
    }
