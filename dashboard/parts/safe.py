"""The one door through which text becomes markup: all is escaped but our own templates."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterable
from urllib.parse import quote


class Html(str):
    """Markup of our own, with all foreign text in it already escaped."""

    __slots__ = ()


def text(value: object) -> Html:
    """Return ``value`` as text that a browser shows and never obeys; None is an empty text.

    Control characters and marks that reorder what is read become a visible dot.
    """
    if isinstance(value, Html):
        return value
    plain = "" if value is None else str(value)
    return Html(html.escape("".join(_visible(each) for each in plain), quote=True))


def _visible(character: str) -> str:
    if character in "\n\t":
        return character
    return "\u00b7" if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co") else character


def fill(template: str, /, **values: object) -> Html:
    """Return ``template`` with its ``{names}`` replaced; only ``Html`` goes in as it is."""
    return Html(template.format(**{name: text(value) for name, value in values.items()}))


def join(parts: Iterable[Html], between: str = "") -> Html:
    """Return parts of markup one after the other."""
    return Html(text(between).join(text(part) for part in parts))


def markdown(value: object) -> str:
    """Return ``value`` as Markdown that shows the same characters, for labels of widgets."""
    plain = "".join(_visible(each) for each in str(value)).replace("\n", " ")
    return "".join(f"\\{each}" if each in "\\`*_{}[]()<>#+-.!|~$:" else each for each in plain)


def plain(value: object) -> str:
    """Return ``value`` for places that show plain text only, such as a select box's options."""
    return "".join(_visible(each) for each in str(value)).replace("\n", " ")


def address(part: object) -> Html:
    """Return ``part`` as one piece of an address."""
    return text(quote(str(part), safe=""))
