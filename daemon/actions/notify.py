"""Sends one message to every configured address through Apprise. Addresses come from settings only."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from core.errors import Fixable, Retryable

_LONGEST = 3000  # characters: every service takes this much


@dataclass(frozen=True, kw_only=True)
class Notifier:
    """The addresses alerts go to; none is fine, then alerts are shown in dashboard and log only."""

    urls: tuple[SecretStr, ...] = ()

    @property
    def targets(self) -> int:
        """How many addresses there are."""
        return len(self.urls)

    def check(self) -> None:
        """Raise Fixable for an address that no service understands; the address itself is not shown."""
        import apprise  # only where alerts are sent: it costs a fifth of a second

        for number, url in enumerate(self.urls, start=1):
            if apprise.Apprise.instantiate(url.get_secret_value()) is None:
                kind = url.get_secret_value().partition("://")[0][:20]
                raise Fixable(
                    f"Alert address {number} ({kind}://...) is not one that can be sent to. "
                    "See https://github.com/caronc/apprise/wiki for how addresses are written."
                )

    def send(self, title: str, body: str, *, picture: bytes | None = None) -> None:
        """Send to every address.

        Raises Retryable when any of them failed, naming the service and never its secrets.
        """
        with tempfile.TemporaryDirectory(prefix="epochwatch-alert-") as folder:
            attachment = _as_file(Path(folder), picture)
            failed = [
                name for url in self.urls if (name := _send_one(url, title, body, attachment))
            ]
        if failed:
            raise Retryable(f"The alert did not reach {', '.join(failed)}; it is sent again later.")


def _as_file(folder: Path, picture: bytes | None) -> Sequence[str]:
    if picture is None:
        return ()
    path = folder / "contact-sheet.png"
    path.write_bytes(picture)
    return (str(path),)


def _send_one(url: SecretStr, title: str, body: str, attachment: Sequence[str]) -> str | None:
    """Return the name of the service when it failed."""
    import apprise

    service = apprise.Apprise.instantiate(url.get_secret_value())
    if service is None:
        return "an address that is not understood"
    messenger = apprise.Apprise()
    messenger.add(service)
    sent = messenger.notify(
        title=title[:200], body=body[:_LONGEST], attach=list(attachment) or None
    )
    return None if bool(sent) else str(service.service_name or "a service")
