"""One badge per verdict and per status: the same color, shape and word everywhere."""

from __future__ import annotations

from typing import Final

from dashboard.parts.safe import Html, fill, text

# Shape and color of each class are in sheet.css. Hues after Okabe and Ito (2008), which people with
# any kind of color blindness tell apart; the shape and the word say it again.
VERDICTS: Final = {
    "best": "star",
    "good": "disc",
    "acceptable": "diamond",
    "skip": "bar",
    "failure": "cross",
}
_STATUSES: Final = {
    "optimal": ("star", "optimal"),
    "continue": ("up", "improving: continue"),
    "plateau": ("level", "plateau"),
    "degrading": ("down", "degrading"),
    "insufficient": ("ring", "too early to say"),
}


def shape(name: str) -> Html:
    """Return one of our own shapes, as high as the text beside it."""
    return fill('<i class="ew-shape ew-{name}" aria-hidden="true"></i>', name=name)


def _badge(drawing: Html, word: object, kind: str) -> Html:
    return fill(
        '<span class="ew-badge" data-badge="{kind}">{drawing}{word}</span>',
        drawing=drawing,
        word=word,
        kind=kind,
    )


def verdict(word: str | None) -> Html:
    """Return the badge of a verdict; nothing for none."""
    if word not in VERDICTS:
        return text("")
    return _badge(shape(VERDICTS[word]), word, word)


def status(word: str | None) -> Html:
    """Return the badge of a convergence status."""
    form, name = _STATUSES.get(word or "", _STATUSES["insufficient"])
    return _badge(shape(form), name, word or "insufficient")


def mark(form: str, word: str) -> Html:
    """Return a badge with a shape and a word that are neither verdict nor status."""
    return _badge(shape(form), word, word)


def pick() -> Html:
    """Return the mark of the epoch to ship."""
    return fill('<span class="ew-pick" data-badge="pick">pick</span>')
