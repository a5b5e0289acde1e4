"""What is missing in [auth] is said before anybody stands before a closed door."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.errors import Fixable
from core.formats.sign_in_file import providers, section_in, ways_in

SECRET = "canary-" + "s" * 40
ONE = {
    "client_id": "epochwatch",
    "client_secret": SECRET,
    "server_metadata_url": "https://id.example/.well-known/openid-configuration",
}
ALL = {"redirect_uri": "https://watch.example/oauth2callback", "cookie_secret": SECRET}


@pytest.mark.parametrize(
    ("section", "names"),
    [
        ({**ALL, **ONE}, ("default",)),
        ({**ALL, "google": ONE, "okta": ONE}, ("google", "okta")),
        ({**ALL, **ONE, "google": ONE}, ("default", "google")),
        ({**ALL, **ONE, "client_kwargs": {"prompt": "login"}}, ("default",)),
    ],
)
def test_one_provider_or_several(section: dict[str, Any], names: tuple[str, ...]) -> None:
    """Keys in [auth] itself are the only provider; sections below it are one each."""
    assert providers(section) == names


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"redirect_uri": ALL["redirect_uri"], **ONE}, "no cookie_secret in [auth]"),
        ({**ALL, "client_id": "x"}, "no client_secret in [auth], no server_metadata_url"),
        ({**ALL, "google": {"client_id": "x"}}, "no client_secret in [auth.google]"),
        ({**ALL, **ONE, "client_secret": " "}, "no client_secret in [auth]"),
        ({**ALL, **ONE, "cookie_secret": SECRET[:31]}, "too short"),
        ({**ALL, **ONE, "redirect_uri": "https://watch.example/"}, "/oauth2callback behind it"),
        ({**ALL, "my_id": ONE}, "[auth.my_id]"),
        ({"redirect_uri": "x"}, "no cookie_secret in [auth], no client_id"),
    ],
)
def test_what_is_missing_is_named_and_no_value_shown(section: dict[str, Any], words: str) -> None:
    """A person reads which key to write where."""
    with pytest.raises(Fixable) as told:
        providers(section)
    assert words in str(told.value)
    assert SECRET[:20] not in str(told.value)


def test_one_half_alone_is_no_door() -> None:
    """A section without lists would refuse everybody, lists without a section let nobody sign in."""
    assert ways_in({}, has_accounts=False) == ()
    with pytest.raises(Fixable, match="nobody is on a list"):
        ways_in({**ALL, **ONE}, has_accounts=False)
    with pytest.raises(Fixable, match="has no section"):
        ways_in({}, has_accounts=True)


def test_the_last_file_with_a_section_counts(tmp_path: Path) -> None:
    """As Streamlit reads them: the user's file, then the project's; a broken one is named."""
    files = [tmp_path / "user.toml", tmp_path / "missing.toml", tmp_path / "project.toml"]
    files[0].write_text('[auth]\nclient_id = "first"\n')
    files[2].write_text('other = "x"\n')
    assert section_in(files) == {"client_id": "first"}
    files[2].write_text(f"[auth\n{SECRET}")
    with pytest.raises(Fixable, match=r"project\.toml") as told:
        section_in(files)
    assert SECRET not in str(told.value)
