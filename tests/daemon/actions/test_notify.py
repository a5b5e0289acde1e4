"""Messages to real servers: what arrives, what is refused, and that no secret is told."""

from __future__ import annotations

import io
import logging
from email.message import Message
from typing import Any

import pytest
from PIL import Image
from pydantic import SecretStr

from core.errors import Fixable, Retryable
from daemon.actions.notify import Notifier

SECRET = "s3cr3t-t0ken"
HOSTILE = "<b>bold</b> <script>alert(1)</script> {{ app_id }} **x** [go](http://x.example)\nnext"


def _png() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), "#50be50").save(out, "PNG")
    return out.getvalue()


def _send(notifier: Notifier, body: str = "Epoch 7 is best.", **more: Any) -> None:
    for name in notifier.addresses:
        notifier.send(name, "Stop: epoch 7", body, **more)


def test_a_mail_arrives_with_its_picture(mail: Any) -> None:
    """The owner opens the mail and sees the contact sheet."""
    _send(Notifier(urls=(mail.url(),)), picture=_png())
    assert len(mail.taken) == 1
    message: Message = mail.taken[0]
    assert message["Subject"] == "Stop: epoch 7"
    pictures = [part for part in message.walk() if part.get_content_maintype() == "image"]
    assert [part.get_payload(decode=True) for part in pictures] == [_png()]


def test_a_web_hook_gets_the_words_as_they_are(web: Any) -> None:
    """Nothing in a run's name is read as markup, template or escape."""
    _send(Notifier(urls=(web.url(),)), HOSTILE)
    assert web.taken[0]["message"] == HOSTILE
    assert web.taken[0]["title"] == "Stop: epoch 7"


@pytest.mark.parametrize(("more", "kind"), [("", "text/plain"), ("&format=html", "text/html")])
def test_a_mail_shows_foreign_markup_as_text(mail: Any, more: str, kind: str) -> None:
    """A mail is plain text; where the owner asked for HTML, brackets are escaped in it."""
    _send(Notifier(urls=(SecretStr(mail.url().get_secret_value() + more),)), HOSTILE)
    parts = {part.get_content_type(): part for part in mail.taken[0].walk()}
    shown = str(parts[kind].get_payload(decode=True), "utf-8").replace("&nbsp;", " ")
    assert "{{ app_id }}" in shown
    assert ("<script>" in shown) == (kind == "text/plain")
    assert ("text/html" in parts) == (kind == "text/html")


def test_a_mail_server_without_room_is_asked_again_later(mail: Any) -> None:
    """The mail is not lost: the caller hears that it was not taken."""
    mail.full = True
    with pytest.raises(Retryable, match="mailto-"):
        _send(Notifier(urls=(mail.url(),)))


@pytest.mark.parametrize("word", ["500", "404", "429", "hang", "reset"])
def test_a_receiver_that_fails_is_retryable_and_named_without_secrets(
    web: Any, word: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """The reason is stored and shown, so it must not hold the address."""
    caplog.set_level(logging.DEBUG)
    web.script = [word]
    url = web.url(seconds=0.4 if word == "hang" else 120)
    with pytest.raises(Retryable, match=r"json-[0-9a-f]{8} did not take the message") as trouble:
        _send(Notifier(urls=(url,)))
    out, err = capfd.readouterr()
    assert SECRET not in f"{trouble.value}{trouble.value.__cause__}{caplog.text}{out}{err}"
    assert web.taken == []


def test_a_receiver_that_is_not_there_is_retryable() -> None:
    """A closed port passes by itself more often than not."""
    with pytest.raises(Retryable):
        _send(Notifier(urls=(SecretStr("json://127.0.0.1:9/x?cto=0.5"),)))


@pytest.mark.parametrize(
    "url",
    [
        f"slakc://{SECRET}/x",
        f"nonsense-{SECRET}",
        "",
        "slack://",
        f"{SECRET}://x",
        f"mailto://{SECRET}",
        f"discord://{SECRET}",
    ],
)
def test_an_address_with_a_typing_mistake_is_refused_at_the_start(
    url: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its number says which one; the address itself is not shown."""
    caplog.set_level(logging.DEBUG)
    notifier = Notifier(urls=(SecretStr("json://127.0.0.1/x"), SecretStr(url)))
    with pytest.raises(Fixable, match=r"Alert address 2 \(\w+://...\) is not one") as trouble:
        notifier.check()
    out, err = capfd.readouterr()
    assert SECRET not in f"{trouble.value}{caplog.text}{out}{err}"


def test_an_address_for_two_receivers_is_refused() -> None:
    """When the second fails, the first would get the message again."""
    url = "mailto://127.0.0.1:25?from=a@b.example&to=x@y.example,z@y.example&mode=insecure"
    with pytest.raises(Fixable, match="names 2 receivers"):
        Notifier(urls=(SecretStr(url),)).check()


def test_good_addresses_and_none_are_accepted(web: Any, mail: Any) -> None:
    """No address is fine: then the dashboard shows alerts."""
    Notifier().check()
    Notifier(urls=(web.url(), mail.url())).check()
    assert not Notifier().addresses


def test_the_name_of_an_address_hides_it_and_is_the_same_on_every_machine(web: Any) -> None:
    """It is stored in the database, which the dashboard's readers see."""
    first, second = Notifier(urls=(web.url(),)), Notifier(urls=(web.url("other"), web.url()))
    assert set(first.addresses) < set(second.addresses)
    assert SECRET not in f"{list(second.addresses)}{second}"


def test_two_addresses_that_differ_only_in_a_secret_are_two() -> None:
    """Neither hides the other."""
    urls = tuple(SecretStr(f"json://u:{word}@127.0.0.1/x") for word in ("one", "two"))
    assert len(Notifier(urls=urls).addresses) == 2
