"""An OpenID Connect provider of our own on this machine, and a dashboard's [auth] for it.

The provider is the package oidc-provider-mock: the real protocol with signed tokens, and instead of
passwords a button for each account.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from oidc_provider_mock import User, run_server_in_thread

COOKIE_SECRET = "c00kie-canary-" + "x" * 32
CLIENT_SECRET = "cl1ent-canary"


@contextmanager
def provider(*addresses: str, unverified: str) -> Iterator[str]:
    """Yield the address of a provider with these accounts, named by their e-mail addresses.

    One more has verified nothing: ``unverified`` is what it says of itself, its name is "mallory".
    """
    accounts = [
        User(sub=address, claims={"email": address, "email_verified": True})
        for address in addresses
    ]
    accounts.append(User(sub="mallory", claims={"email": unverified, "email_verified": False}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")  # it speaks http, to this machine only
        with run_server_in_thread(user_claims=accounts) as server:
            yield f"http://localhost:{server.server_port}"


def secrets_file(folder: Path, issuer: str) -> Path:
    """Write what Streamlit reads; the dashboard puts its own port into the address."""
    path = folder / "secrets.toml"
    path.write_text(
        f"""[auth]
redirect_uri = "http://127.0.0.1:{{port}}/oauth2callback"
cookie_secret = "{COOKIE_SECRET}"
client_id = "epochwatch"
client_secret = "{CLIENT_SECRET}"
server_metadata_url = "{issuer}/.well-known/openid-configuration"
""",
        encoding="utf-8",
    )
    path.chmod(0o600)
    return path
