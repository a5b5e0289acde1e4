"""Addresses of images: signed, so that only what a page showed can be fetched."""

from __future__ import annotations

import re

from dashboard.access import is_signed, shared_key, sign

_NAME = re.compile(r"[0-9a-f]{64}")


def original(sha256: str) -> str:
    """Return the address of the image as it was drawn."""
    return f"/img/{sha256}.png?s={sign(shared_key(), f'image {sha256}')}"


def thumb(sha256: str) -> str:
    """Return the address of its small version."""
    return f"/thumb/{sha256}.webp?s={sign(shared_key(), f'image {sha256}')}"


def is_ours(sha256: str, signature: str) -> bool:
    """Say whether an address was made here."""
    return _NAME.fullmatch(sha256) is not None and is_signed(
        shared_key(), f"image {sha256}", signature
    )


def closeup(run_id: int, sample_id: str) -> str:
    """Return the address of everything that is known of one picture."""
    return f"/picture/{run_id}/{sample_id}?s={sign(shared_key(), f'picture {run_id} {sample_id}')}"


def measured(run_id: int, sample_id: str) -> str:
    """Return the address of the picture of what was measured on it."""
    return f"{closeup(run_id, sample_id)}&as=measured"


def objection(run_id: int, sample_id: str) -> str:
    """Return the address that takes what a person says of a picture's scores."""
    signature = sign(shared_key(), f"picture {run_id} {sample_id}")
    return f"/picture/{run_id}/{sample_id}/objection?s={signature}"


def number(asked: str) -> int | None:
    """Return the number that an address names, as a database can have it; None for anything else."""
    return int(asked) if asked.isdecimal() and len(asked) < 19 else None


def is_closeup_ours(run_id: str, sample_id: str, signature: str) -> bool:
    """Say whether the address of a close-up was made here."""
    return is_signed(shared_key(), f"picture {run_id} {sample_id}", signature)
