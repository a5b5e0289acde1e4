"""What people write beside their votes, by theme: counted by words, with the images behind them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

# Theme, what the owner reads in it, and the words that tell it. The first three are the owner's
# own; a note may have several. "Not blurry" is no complaint: a "not" or "no" before a word stops it.
_THEMES: tuple[tuple[str, str, str], ...] = (
    (
        "better colors",
        "the color palette works",
        (
            r"(better|nicer|good|great|right|true|vivid)\W+(\w+\W+)?colou?rs?"
            r"|colou?rs? (is|are|look)\w* (better|good|right|great|nice)"
        ),
    ),
    (
        "more detail",
        "the LoRA adds useful detail",
        r"(more|better|good|nice|finer|richer|great)\W+(\w+\W+)?details?|detailed",
    ),
    (
        "too blurry",
        "a training issue",
        r"blur(red|ed|ry|y|riness)?|fuzzy|smear\w*|soft|out of focus|unsharp",
    ),
    (
        "crisp pixels",
        "clean edges on the grid",
        r"crisp\w*|sharp\w*|clean (edges?|pixels?|lines?|outlines?)",
    ),
    (
        "wrong colors",
        "check the captions' colors",
        (
            r"(wrong|bad|off|false|dull|washed)\W+(\w+\W+)?colou?rs?"
            r"|colou?rs? (is|are|look)\w* (wrong|off|bad)|washed out|(wrong|bad) (hair|eyes?|skin)"
        ),
    ),
    (
        "wrong background",
        "check how backgrounds are captioned",
        (
            r"(wrong|bad|no|noisy|busy|dirty)\W+(\w+\W+)?backgrounds?"
            r"|backgrounds? (is|are|look)\w* (wrong|off|bad|noisy)"
        ),
    ),
    (
        "random pixels",
        "noise: undertrained or overtrained",
        r"random pixels?|stray|nois(e|y)|artifacts?|artefacts?|specks?|speckle\w*|glitch\w*",
    ),
    (
        "not pixel art",
        "the style is not learned",
        r"photo\w*|realistic|not pixel\w*|3d|smooth shading",
    ),
    ("better style", "the style is learned", r"(better|good|right|nice|great)\W+(\w+\W+)?style"),
    (
        "wrong shape",
        "anatomy or composition breaks",
        (
            r"deform\w*|distort\w*|anatomy"
            r"|(extra|missing|wrong|broken) (hands?|eyes?|arms?|legs?|face|limbs?|mouth|head)"
        ),
    ),
    ("follows the prompt", "adherence is good", r"(follows|matches|fits|like|as in) (the )?prompt"),
    (
        "misses the prompt",
        "adherence is weak",
        r"(ignores|misses|missing|not|wrong|forgot|lost)\W+(\w+\W+){0,2}(prompt|accessor\w+|hat|glasses|earrings?)",
    ),
)
_FOUND = tuple((name, meaning, re.compile(rf"\b(?:{words})\b")) for name, meaning, words in _THEMES)
_DENIED = re.compile(r"\b(?:not|no|never|isn't|without|less|nothing)\s+(?:\w+\s+)?$")
_MAY_DENY = {"wrong background", "not pixel art", "misses the prompt"}  # their "no" is the theme


@dataclass(frozen=True, kw_only=True)
class Note:
    """What a judge wrote beside a vote."""

    words: str
    about: str  # who may be looked up behind it: a serving
    winner: str | None = None  # the slot that won that vote


@dataclass(frozen=True, kw_only=True)
class Theme:
    """One theme and the notes that tell it."""

    name: str
    meaning: str  # what it says about the training
    notes: tuple[Note, ...]
    won: tuple[tuple[str, int], ...]  # slot that won the vote beside it, how often; most first

    @property
    def count(self) -> int:
        """How many notes tell it."""
        return len(self.notes)


def themes_of(words: str) -> list[str]:
    """Return the names of the themes in a note, in the order of the table."""
    plain = " ".join(words.lower().replace("\u2019", "'").split())
    return [name for name, _, pattern in _FOUND if _tells(name, pattern, plain)]


def _tells(name: str, pattern: re.Pattern[str], plain: str) -> bool:
    return any(
        name in _MAY_DENY or _DENIED.search(plain[: found.start()]) is None
        for found in pattern.finditer(plain)
    )


def note_themes(notes: Iterable[Note]) -> list[Theme]:
    """Return the themes of some notes, the most frequent first; a note counts once a theme."""
    behind: dict[str, list[Note]] = {}
    for note in notes:
        for name in themes_of(note.words):
            behind.setdefault(name, []).append(note)
    meanings = {name: meaning for name, meaning, _ in _FOUND}
    found = [
        Theme(name=name, meaning=meanings[name], notes=tuple(some), won=_winners(some))
        for name, some in behind.items()
    ]
    return sorted(found, key=lambda theme: (-theme.count, theme.name))


def _winners(notes: Iterable[Note]) -> tuple[tuple[str, int], ...]:
    counts: dict[str, int] = {}
    for note in notes:
        if note.winner is not None:
            counts[note.winner] = counts.get(note.winner, 0) + 1
    return tuple(sorted(counts.items(), key=lambda each: (-each[1], each[0])))
