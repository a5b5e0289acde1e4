"""Reads the section [auth] of Streamlit's secrets.toml: who says who somebody is.

What is missing there would show only when the first person tries to sign in.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from core.errors import Fixable

DEFAULT = "default"  # Streamlit's name of a provider whose keys stand in [auth] itself
FEWEST_CHARACTERS = 32  # of the secret that signs who somebody is
_OF_ALL = ("redirect_uri", "cookie_secret")
_OF_ONE = ("client_id", "client_secret", "server_metadata_url")
_HOW = "docs/accounts.md has a whole example"


def ways_in(section: Mapping[str, Any], *, has_accounts: bool) -> tuple[str, ...]:
    """Return the providers of [auth] by which people sign in; none where nobody is on a list.

    Raises Fixable when only one half is there, the section or the lists, or something in it is wrong.
    """
    if has_accounts and section:
        return providers(section)
    if has_accounts:
        raise Fixable(
            "EPOCHWATCH_ADMINS, _VOTERS or _VIEWERS name accounts, and nobody could sign in: "
            f"Streamlit's secrets.toml has no section [auth]. {_HOW}."
        )
    if section:
        raise Fixable(
            "secrets.toml has [auth] for signing in, and nobody is on a list of who may: say who, as "
            f"EPOCHWATCH_ADMINS=you@example.org. {_HOW}."
        )
    return ()


def section_in(files: Iterable[Path]) -> Mapping[str, Any]:
    """Return [auth] of these files as far as they exist; the last that has one wins.

    Raises Fixable for a file that cannot be read.
    """
    section: Mapping[str, Any] = {}
    for file in files:
        try:
            found = tomllib.loads(file.read_text(encoding="utf-8")).get("auth")
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
            raise Fixable(f"{file} cannot be read as TOML, so nobody could sign in.") from None
        section = found if isinstance(found, Mapping) else section
    return section


def providers(section: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the providers of [auth].

    Raises Fixable that names what is missing or wrong, and never shows a value.
    """
    named = {key: value for key, value in section.items() if _is_provider(value)}
    if any(key in section for key in _OF_ONE) or not named:
        named = {DEFAULT: section, **named}
    missing = [f"{key} in [auth]" for key in _OF_ALL if not _text(section, key)]
    for name, keys in named.items():
        place = "[auth]" if name == DEFAULT else f"[auth.{name}]"
        missing += [f"{key} in {place}" for key in _OF_ONE if not _text(keys, key)]
    if missing:
        raise Fixable(f"Nobody could sign in: secrets.toml has no {', no '.join(missing)}. {_HOW}.")
    _check(section, named)
    return tuple(named)


def _check(section: Mapping[str, Any], named: Mapping[str, Any]) -> None:
    if not str(section["redirect_uri"]).endswith("/oauth2callback"):
        raise Fixable(
            "Nobody could sign in: redirect_uri in [auth] of secrets.toml is the dashboard's address "
            f"with /oauth2callback behind it, as it is registered at the provider. {_HOW}."
        )
    if len(str(section["cookie_secret"])) < FEWEST_CHARACTERS:
        raise Fixable(
            "cookie_secret in [auth] of secrets.toml is too short: whoever guesses it signs in as "
            f"anybody. Take {FEWEST_CHARACTERS} random characters or more: openssl rand -hex 32"
        )
    if wrong := [name for name in named if "_" in name]:
        raise Fixable(
            f"A provider's name may not have an underscore: [auth.{wrong[0]}] of secrets.toml."
        )


def _is_provider(value: object) -> bool:
    return isinstance(value, Mapping) and any(key in value for key in _OF_ONE)


def _text(keys: Mapping[str, Any], key: str) -> bool:
    return isinstance(keys.get(key), str) and bool(keys[key].strip())
