"""Slots of a comparison as a person writes them: "base", "7", "pick@0.8", "7+palette:4@0.5".

A run whose name holds a sign with a meaning here is written in quotes: '"v2+a": 7'. Another base
model stands at the end: "7 on dreamshaper_8".
"""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from core.errors import Fixable
from core.nouns import SlotPart, decimal_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

STRENGTHS: tuple[float, ...] = (0.6, 0.8, 1.0)  # of a sweep, as the owner's documents have it
MOST_LORAS = 6  # of one slot
_HIGHEST_STRENGTH = 4.0
_PART = re.compile(r"(?P<what>.+?)(?:@(?P<strength>[0-9.]+))?\s*$", re.DOTALL)
# One addend: the quotes count only around a whole run name, so that tom's_run:7 needs none.
_ADDEND = re.compile(
    r"""\s*
    (?: (?P<quote>["']) (?P<run> (?: \\. | (?!(?P=quote))[^\\] )* ) (?P=quote) \s*: )?
    (?P<rest>[^+]*)
    (?P<more>\+)?""",
    re.DOTALL | re.VERBOSE,
)
# What ends in " on NAME": only after a whole slot, so that a run may be called "lights on".
_ON = re.compile(
    r"""(?P<slot> (?: .*[:+] )? \s* (?: base | pick | production | [0-9]+ ) \s* (?: @\s*[0-9.]+ )? )
    \s+ on \s+
    (?: (?P<quote>["']) (?P<quoted> (?: \\. | (?!(?P=quote))[^\\] )+ ) (?P=quote)
      | (?P<plain> [^"'+@]*[^"'+@\s] ) )
    \s*""",
    re.DOTALL | re.VERBOSE | re.IGNORECASE,
)
_ESCAPE = re.compile(r"""\\(?:(?P<sign>[\\"'])|u\{(?P<code>[0-9a-f]{1,6})\})""", re.IGNORECASE)
_PLAIN = re.compile(r"[\w.-]+")  # a run name that needs no quotes
_PLAIN_BASE = re.compile(r"[\w./-]+")  # a base model's, which may be "owner/name" of a hub


def read_slot(text: str) -> tuple[SlotPart, ...]:
    r"""Read a slot as a person writes it.

    ``base``, ``7``, ``pick``, ``production``, ``7@0.8``, ``other_run:12``, ``other_run:pick`` and
    sums of them such as ``7@1.0+palette:4@0.5`` (several LoRAs merged together). A run's name with
    ``+``, ``@`` or ``:`` in it stands in double or single quotes: ``"v2+a@b":7``. In them
    ``\"`` is a quote, ``\\`` a backslash and ``\u{a}`` any sign by its number, here a new line.
    ``7@0.8 on dreamshaper_8`` draws it on another base model, by its name, alias or SHA-256; a name
    with ``+``, ``@`` or a quote in it stands in quotes.

    Raises:
        Fixable: when it cannot be understood, saying what would be.
    """
    slot, base = _without_base(text)
    parts = tuple(replace(part, on=base) for part in _parts(slot))
    if len(parts) > MOST_LORAS:
        raise Fixable(f"{text!r} merges {len(parts)} LoRAs; at most {MOST_LORAS} can be.")
    if len(parts) > 1 and any(part.what == "base" for part in parts):
        raise Fixable(f"{text!r} adds the base model to a LoRA; it is under every LoRA already.")
    return parts


def write_slot(parts: Sequence[SlotPart]) -> str:
    """Return the text that ``read_slot`` reads as these parts, whatever their runs are called."""
    base = next((part.on for part in parts if part.on is not None), None)
    on = "" if base is None else f" on {_quoted(base, _PLAIN_BASE)}"
    return "+".join(_written(part) for part in parts) + on


def with_strengths(slots: Sequence[str], strengths: Iterable[float]) -> tuple[str, ...]:
    """Return each slot at each strength (a sweep).

    The base model has none and stays as it is, and so do sums and slots with a strength of theirs.

    Raises:
        Fixable: when a slot cannot be understood.
    """
    texts = [f"{strength:g}" for strength in strengths]
    return tuple(
        dict.fromkeys(
            _at(slot, strength) if _can_be_swept(slot) else slot
            for slot in slots
            for strength in texts
        )
    )


def _at(slot: str, strength: str) -> str:
    found = _ON.fullmatch(slot)
    end = len(slot) if found is None else found.end("slot")
    return f"{slot[:end]}@{strength}{slot[end:]}"


def _without_base(text: str) -> tuple[str, str | None]:
    """Return the slot without its base model, and the name of that; None where it names none."""
    found = _ON.fullmatch(text)
    if found is None:
        return text, None
    quoted = found["quoted"]
    return found["slot"], found["plain"] if quoted is None else _unquoted(quoted)


def _can_be_swept(slot: str) -> bool:
    first, *more = read_slot(slot)
    return not more and first.what != "base" and first.strength is None


def _written(part: SlotPart) -> str:
    run = "" if part.run is None else f"{_quoted(part.run)}:"
    return f"{run}{part.what}" + ("" if part.strength is None else f"@{part.strength}")


def _quoted(name: str, plain: re.Pattern[str] = _PLAIN) -> str:
    if plain.fullmatch(name):
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    signs = (sign if sign.isprintable() else f"\\u{{{ord(sign):x}}}" for sign in escaped)
    return f'"{"".join(signs)}"'


def _unquoted(text: str) -> str:
    def sign_of(found: re.Match[str]) -> str:
        if found["sign"]:
            return found["sign"]
        code = int(found["code"], 16)
        # No name in a database holds the zero sign or half of a surrogate pair.
        is_sign = 0 < code < 0xD800 or 0xDFFF < code <= sys.maxunicode
        return chr(code) if is_sign else found[0]

    return _ESCAPE.sub(sign_of, text)


def _parts(whole: str) -> Iterator[SlotPart]:
    at, more = 0, True
    while more:
        found = _ADDEND.match(whole, at)
        assert found is not None  # every group of it may be empty
        run = found["run"]
        yield _part(found["rest"].strip(), whole, None if run is None else _unquoted(run))
        at, more = found.end(), found["more"] is not None


def _part(piece: str, whole: str, quoted_run: str | None) -> SlotPart:
    found = _PART.fullmatch(piece)
    if found is None:
        raise Fixable(f"{whole!r} is no slot. Write base, 7, pick, pick@0.8 or other_run:12@0.5.")
    what, strength = found["what"].strip(), found["strength"]
    run, separator, rest = what.rpartition(":") if quoted_run is None else (quoted_run, ":", what)
    name = rest.strip() if separator else what
    wish: int | str
    if re.fullmatch(r"[0-9]{1,9}", name):
        wish = int(name)
    elif name.lower() in {"pick", "production", "base"}:
        wish = name.lower()
    else:
        raise Fixable(
            f"{name[:60]!r} in {whole[:80]!r} is no epoch. Write its number, pick, production or "
            "base; an epoch of another run is written RUN:7, and '\"RUN\":7' in quotes where the "
            "run's name has +, @ or : in it. Another base model stands at the end: 7@0.8 on NAME."
        )
    other = (run.strip() or None) if quoted_run is None else quoted_run
    return SlotPart(run=other, what=wish, strength=_strength(strength, whole))


def _strength(text: str | None, whole: str) -> str | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < round(value, 2) <= _HIGHEST_STRENGTH:
        raise Fixable(
            f"{text!r} in {whole[:80]!r} is no strength; write a number from 0.01 to "
            f"{_HIGHEST_STRENGTH:g}, such as 0.8."
        )
    return decimal_text(value)
