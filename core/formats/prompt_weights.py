r"""A prompt taken apart: stretches of text with their attention weights, and breaks between chunks.

The syntax is the one A1111's modules/prompt_parser.py documents and kohya's samples share: (word)
times 1.1, [word] divided by 1.1, (word:1.3) times 1.3, nested at will, \( for the character itself,
BREAK. What asks for something else is an error here, where those programs would draw it literally.
"""

import re
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from core.errors import Fixable

CHUNK = 75  # tokens that CLIP reads at once
_STEP = 1.1  # what one pair of parentheses multiplies by
_HIGHEST = 10.0  # of a weight; beyond lies a time or an aspect ratio that was not escaped

WILDCARD = r"__(?P<wildcard>[^\s,_](?:[^\s,]*?[^\s,_])?)__"
_TOKEN = re.compile(
    rf"""
    \\(?P<escaped>.)
    | (?P<stray>\\)
    | \b(?P<keyword>BREAK|AND)\b
    | :[ ]*(?P<weight>[-+]?[\d.,]+)[ ]*\)
    | (?P<network><\w+:[^<>]*>)
    | (?P<placeholder><[A-Za-z][\w-]*>)
    | \bembedding:(?P<embedding>[^\s,()\[\]:@]+(?:@[0-9a-f]{{12}})?)
    | {WILDCARD}
    | (?P<bracket>[()\[\]{{}}])
    | (?P<mark>[:|])
    | (?P<plain>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_CLOSES = {")": "(", "]": "["}


@dataclass(frozen=True, kw_only=True)
class Span:
    """Text without any syntax, and what its tokens' embeddings are multiplied by."""

    text: str
    weight: float = 1.0  # -10 to 10
    embedding: str = ""  # "name@<12 hex digits>": a textual inversion stands here, and no text


class _Piece(NamedTuple):
    """One thing read, before neighbors are put together."""

    text: str
    weight: float = 1.0
    embedding: str = ""


@dataclass(frozen=True)
class Break:
    """The rest of the chunk stays empty, and what follows starts a new one."""


def parse_prompt(text: str) -> tuple[Span | Break, ...]:
    """Return the spans of a prompt; neighbors of one weight are one span, "" has none.

    Raises Fixable with what is wrong and how to write it, in a clause without the prompt itself.
    """
    reading = _Reading()
    for token in _TOKEN.finditer(text):
        reading.take(token)
    return reading.finish()


def prompt_chunks(text: str) -> tuple[tuple[Span, ...], ...]:
    """Return the spans between the breaks: at least one stretch, and none after a last BREAK.

    As in A1111, two BREAKs in a row leave a chunk empty. Raises Fixable as parse_prompt does.
    """
    stretches: list[list[Span]] = [[]]
    for piece in parse_prompt(text):
        if isinstance(piece, Break):
            stretches.append([])
        else:
            stretches[-1].append(piece)
    if len(stretches) > 1 and not "".join(s.embedding or s.text for s in stretches[-1]).strip():
        stretches.pop()
    return tuple(tuple(spans) for spans in stretches)


def spoken(text: str) -> str:
    """Return the words that reach the text encoder, without any syntax. Raises Fixable."""
    return "".join(piece.text for piece in parse_prompt(text) if isinstance(piece, Span))


def escape(text: str) -> str:
    r"""Return a prompt that draws ``text`` literally: ``parse_prompt`` gives it back as one span.

    A caption is what the trainer's text encoder read, so a backslash in it is one, too.
    """
    escaped = re.sub(r"[\\()\[\]{}]", r"\\\g<0>", text)
    escaped = re.sub(r"\b(?:BREAK|AND)\b", r"\\\g<0>", escaped)
    escaped = re.sub(r"<(?=\w+:[^<>]*>|[A-Za-z][\w-]*>)", r"\\<", escaped)
    escaped = re.sub(r"\bembedding:", r"embedding\\:", escaped)
    return escaped.replace("__", r"\_\_") if re.search(WILDCARD, escaped) else escaped


class _Reading:
    """What has been read of a prompt so far (built up token by token, never handed out)."""

    def __init__(self) -> None:
        self._pieces: list[_Piece | None] = []  # None is a break
        self._open: list[tuple[str, int, int]] = []  # bracket, its first piece, its position

    def take(self, token: re.Match[str]) -> None:
        """Read one token, or raise Fixable."""
        kind, found = str(token.lastgroup), str(token[str(token.lastgroup)])
        if kind in ("plain", "escaped"):
            self._pieces.append(_Piece(found))
        elif kind == "embedding":
            self._pieces.append(_Piece("", embedding=found))
        elif kind == "weight":
            self._close(")", token.start(), _weight(found))
        elif kind == "bracket":
            self._bracket(found, token.start())
        elif kind == "mark":
            self._mark(found)
        elif found == "BREAK":
            self._pieces.append(None)
        else:
            raise Fixable(_not_understood(kind, found))

    def _bracket(self, bracket: str, at: int) -> None:
        """Open or close a stretch."""
        if bracket in "{}":
            raise Fixable(
                f"'{bracket}' has no meaning here: {{a|b}} is a choice, (word) is emphasis, "
                f"and \\{bracket} is the character itself"
            )
        if bracket in "([":
            self._open.append((bracket, len(self._pieces), at))
        else:
            self._close(bracket, at, _STEP if bracket == ")" else 1 / _STEP)

    def _close(self, bracket: str, at: int, factor: float) -> None:
        """Multiply the weights of the stretch that ends here."""
        if not self._open or self._open[-1][0] != _CLOSES[bracket]:
            raise Fixable(
                f"'{bracket}' at character {at + 1} closes nothing: write '{_CLOSES[bracket]}' "
                f"before it, or \\{bracket} for the character itself"
            )
        _, first, _ = self._open.pop()
        for index, piece in enumerate(self._pieces[first:], start=first):
            if piece is not None:
                self._pieces[index] = piece._replace(weight=piece.weight * factor)

    def _mark(self, mark: str) -> None:
        """Take a colon or bar literally, unless it stands in [brackets]."""
        if self._open and self._open[-1][0] == "[":
            meant = "alternation [a|b]" if mark == "|" else "prompt editing [from:to:when]"
            raise Fixable(
                f"{meant} is not supported, since one image is drawn from one prompt: "
                f"write two prompts, or \\{mark} for the character itself"
            )
        self._pieces.append(_Piece(mark))

    def finish(self) -> tuple[Span | Break, ...]:
        """Return what was read, neighbors of one weight together."""
        if self._open:
            bracket, _, at = self._open[-1]
            raise Fixable(
                f"'{bracket}' at character {at + 1} is never closed: close it, or write "
                f"\\{bracket} for the character itself"
            )
        spans: list[Span | Break] = []
        for piece, alike in groupby(self._pieces, key=_alike):
            if piece is None:
                spans += [Break() for _ in alike]
            elif piece.embedding:
                spans += [_span(one) for one in alike if one]
            else:
                spans.append(_span(piece._replace(text="".join(one.text for one in alike if one))))
        return tuple(spans)


def _alike(piece: _Piece | None) -> _Piece | None:
    """Return what neighbors share that become one span."""
    return piece and piece._replace(text="")


def _span(piece: _Piece) -> Span:
    """Return a span whose weight can be drawn, or raise Fixable."""
    if not abs(piece.weight) <= _HIGHEST:
        words = piece.embedding or piece.text.strip()
        raise Fixable(
            f"the weight {piece.weight:.6g} of '{words}' is beyond {_HIGHEST:g}: give a smaller "
            "one, or write \\( and \\) for the characters themselves"
        )
    return Span(text=piece.text, weight=piece.weight, embedding=piece.embedding)


def _weight(text: str) -> float:
    """Return the number after a colon, or raise Fixable."""
    try:
        return float(text)
    except ValueError:
        raise Fixable(
            f"'{text}' is no weight: write a number such as 1.3, or \\( and \\) for the characters "
            "themselves"
        ) from None


def _not_understood(kind: str, found: str) -> str:
    """Return why a token that is no text cannot be drawn."""
    return {
        "stray": "it ends in a lone backslash: write \\\\ for the character itself",
        "keyword": "AND (composition) is not supported: write 'and', or \\AND for the word",
        "network": f"'{found}' names a network, which the tested stack decides, not a prompt: take "
        "it out and give LoRAs and strengths with the run, or write \\< for the character",
        "placeholder": f"'{found}' looks like a textual-inversion embedding: write "
        f"embedding:{found[1:-1]}, or \\< for the character itself",
        "wildcard": f"the wildcard '__{found}__' was not expanded: load the suite's file again, or "
        "write \\_\\_ for the characters themselves",
    }[kind]
