"""What else a prompt says of the picture: the look on a face, and what kind of picture it is."""

import re

EXPRESSIONS: dict[str, str] = {
    "smile": "smile", "smiling": "smile", "smiles": "smile", "grin": "smile", "grinning": "smile",
    "frown": "frown", "frowning": "frown", "angry": "angry", "sad": "sad", "crying": "crying",
    "surprised": "surprised", "laughing": "laughing", "serious": "serious",
    "expressionless": "neutral", "neutral": "neutral",
}  # fmt: skip
# "neutral gray" and "a sad street" are no faces: these words count alone or before such a noun
_ALONE = frozenset(("smile", "smiling", "smiles", "grin", "grinning", "frown", "frowning"))
_FACE = r"(?:\s+(?:expression|face|mouth|look|mood))?"
_DENIED = re.compile(r"\b(?:no|not|without)\b")
_SUBJECTS: tuple[tuple[str, str], ...] = (
    ("tile", r"\b(?:seamless|tileable|tile ?set|(?:floor|wall|map|game|grass|terrain) tiles?)\b"),
    ("icon", r"\b(?:app|game|item|inventory|skill|spell|pixel art)? ?icons?$|\bicon of\b"),
    ("full body", r"\bfull ?body\b|\bwhole body\b|\bfull figure\b|\bhead to toe\b"),
    ("transparent", r"\btransparent (?:background|bg|backdrop)\b|\bno background\b"),
)
_BY_CATEGORY = {
    "tile": "tile", "tiles": "tile", "tileset": "tile", "texture": "tile",
    "icon": "icon", "icons": "icon", "item": "icon", "items": "icon",
    "full body": "full body", "fullbody": "full body", "body": "full body",
    "transparent": "transparent", "transparency": "transparent",
}  # fmt: skip


def expression_in(plain: str) -> str | None:
    """Return the look on a face that plain text (no weights or brackets) promises, or None."""
    for phrase in _phrases(plain):
        for word, expression in EXPRESSIONS.items():
            pattern = rf"\b{word}\b" if word in _ALONE else rf"^(?:an? |the )?{word}{_FACE}$"
            found = re.search(pattern, phrase)
            if found and not _DENIED.search(phrase[: found.start()]):
                return expression
    return None


def subject_in(plain: str) -> str | None:
    """Return "tile", "icon", "full body" or "transparent" where plain text says so, or None."""
    for phrase in _phrases(plain):
        for subject, pattern in _SUBJECTS:
            if re.search(pattern, phrase):
                return subject
    return None


def subject_of_category(category: str) -> str | None:
    """Return the kind of picture that the category of a prompt names, or None."""
    return _BY_CATEGORY.get(re.sub(r"[_\W]+", " ", category.lower()).strip())


def _phrases(plain: str) -> list[str]:
    """Return the phrases between commas, in lower case with single spaces."""
    spelled = re.sub(r"[_-]+", " ", plain.lower())
    return [" ".join(phrase.split()) for phrase in re.split(r"[,;.\n]", spelled)]
