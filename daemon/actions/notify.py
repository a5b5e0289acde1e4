"""Sends messages through Apprise, an address at a time; addresses come from settings only.

Nothing here shows an address: it holds secrets.
"""

from __future__ import annotations

import inspect
import logging
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from core.errors import Fixable, Retryable
from core.nouns import digest

_LONGEST_TITLE = 200  # characters
_LONGEST = 3000  # characters: every service takes this much
_DEADLINE = 20.0  # seconds for one message, well inside the minute an action is held for


@dataclass(frozen=True)
class Notifier:
    """The addresses alerts go to; none is fine, then alerts are shown in dashboard and log only."""

    urls: tuple[SecretStr, ...] = ()

    @cached_property
    def addresses(self) -> Mapping[str, SecretStr]:
        """Each address under a name such as "slack-1f2e3d4c", the same on every machine.

        The name is made of the address with its secrets masked, so that nothing can be read from
        it. An address that no service understands has none: ``check`` refuses it.
        """
        found: dict[str, SecretStr] = {}
        seen: Counter[str] = Counter()
        for url in self.urls:
            service = _service(url)
            if service is None:
                continue
            name = f"{_scheme(url)}-{digest(service.url(privacy=True))[:8]}"
            seen[name] += 1
            found[name if seen[name] == 1 else f"{name}-{seen[name]}"] = url
        return found

    def check(self) -> None:
        """Raise Fixable for an address that cannot be used; the address itself is not shown.

        An address may name one receiver only: with two in one, a failure of the second would send
        to the first again.
        """
        for number, url in enumerate(self.urls, start=1):
            service = _service(url)
            if service is None:
                raise Fixable(
                    f"Alert address {number} ({_scheme(url)}://...) is not one that can be sent "
                    "to, so no alert would reach you there. Correct it in alert_urls; "
                    "https://github.com/caronc/apprise/wiki shows how addresses are written."
                )
            if len(service) > 1:
                raise Fixable(
                    f"Alert address {number} ({_scheme(url)}://...) names {len(service)} "
                    "receivers. Write an address for each in alert_urls: then a receiver that "
                    "fails is tried again without telling the others twice."
                )

    def send(self, name: str, title: str, body: str, *, picture: bytes | None = None) -> None:
        """Send plain text, with a PNG if given, to the address of this name.

        Raises Retryable when it was not taken, naming the address without its secrets. A KeyError
        means that there is no such address.
        """
        import apprise  # only where alerts are sent: it costs a fifth of a second

        messenger = apprise.Apprise(asset=_asset())
        messenger.add(_service(self.addresses[name]))
        with tempfile.TemporaryDirectory(prefix="epochwatch-alert-") as folder:
            sent = messenger.notify(
                title=title[:_LONGEST_TITLE],
                body=body[:_LONGEST],
                body_format=apprise.NotifyFormat.TEXT,
                attach=_as_file(Path(folder), picture),
            )
        if not bool(sent):
            raise Retryable(f"{name} did not take the message: it refused it or was not reached.")


def _as_file(folder: Path, picture: bytes | None) -> str | None:
    if picture is None:
        return None
    path = folder / "contact-sheet.png"
    path.write_bytes(picture)
    return str(path)


def _scheme(url: SecretStr) -> str:
    """Return the service's short name, the only part of an address that is no secret.

    Text without "://" may be a token that stands alone, so nothing of it is returned.
    """
    scheme, there, _ = url.get_secret_value().partition("://")
    return scheme[:20].lower() if there and scheme.isalnum() else "unknown"


def _service(url: SecretStr) -> Any:
    """Return Apprise's object for an address, or None when no service understands it."""
    import apprise

    # What these two say of an address quotes it, secrets included.
    for talker in ("apprise", "urllib3.connectionpool"):
        logging.getLogger(talker).setLevel(logging.CRITICAL + 1)
    try:
        return apprise.Apprise.instantiate(url.get_secret_value(), asset=_asset())
    except TypeError:  # what plugins raise for a part they refuse
        return None


def _asset() -> Any:
    """Return Apprise's options: nothing kept on disk, foreign text is no template, one deadline."""
    import apprise

    known = inspect.signature(apprise.AppriseAsset).parameters
    wanted = {"service_timeout": _DEADLINE, "allow_templates": False}
    return apprise.AppriseAsset(
        app_id="Epochwatch",
        app_desc="Epochwatch",
        app_url="",
        storage_mode="memory",
        **{name: value for name, value in wanted.items() if name in known},  # newer versions only
    )
