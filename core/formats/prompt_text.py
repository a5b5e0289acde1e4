"""What a prompt or caption promises: colors bound to regions, and things to be seen.

Reads comma-separated tags and short sentences; whatever it does not know it leaves alone.
"""

import re
from dataclasses import dataclass, field

from core.formats.color_names import BASIC_TERMS, COLOR_NAMES, MODIFIERS, normal_hex
from core.formats.prompt_subject import expression_in, subject_in
from core.nouns import Expectation

REGIONS: dict[str, str] = {
    "background": "background",
    "backgrounds": "background",
    "bg": "background",
    "backdrop": "background",
    "hair": "hair",
    "hairs": "hair",
    "haired": "hair",
    "skin": "skin",
    "skinned": "skin",
    "eyes": "eyes",
    "eye": "eyes",
    "eyed": "eyes",
    "lips": "lips",
    "lip": "lips",
    "lipped": "lips",
    "lipstick": "lips",
}
_STREAKS = frozenset(("tips", "streak", "streaks", "highlights", "roots"))
_OF_HAIR = "streaks"  # a further color of the hair that the same phrase names
# Words for people's skin: tones, not colors that a cell could be compared with.
_SKIN_TONES = frozenset(
    (
        "light", "medium", "dark", "pale", "fair", "tan", "olive", "brown", "black", "white",
        "beige", "peach", "deep",
    )
)  # fmt: skip
_COLORED_LATER = frozenset(("background", "hair"))  # "long hair, pink": but "closed eyes, black"
_NOT_A_SHADE = frozenset(("solid", "plain"))
_HAIR_BY_ITSELF = frozenset(("blonde", "blond", "brunette", "redhead"))
# Things that are named after a region but are not it.
_NOT_THE_REGION = frozenset(
    (
        "clip", "clips", "ornament", "ribbon", "bow", "band", "tie", "pin", "pins", "accessory",
        "net", "patch", "shadow", "liner", "brows", "brow", "lashes", "contact", "ring", "gloss",
        "less",
    )
)  # fmt: skip
ACCESSORIES: dict[str, str] = {
    "crown": "crown", "tiara": "tiara", "sunglasses": "sunglasses", "shades": "sunglasses",
    "glasses": "glasses", "eyeglasses": "glasses", "spectacles": "glasses", "goggles": "goggles",
    "monocle": "monocle", "necklace": "necklace", "choker": "choker", "pendant": "necklace",
    "earring": "earrings", "earrings": "earrings", "piercing": "piercing",
    "piercings": "piercing", "hat": "hat", "cap": "cap", "beanie": "beanie", "helmet": "helmet",
    "hood": "hood", "headband": "headband", "bandana": "bandana", "headphones": "headphones",
    "mask": "mask", "eyepatch": "eyepatch", "cigarette": "cigarette", "pipe": "pipe",
    "beard": "beard", "goatee": "goatee", "mustache": "mustache", "moustache": "mustache",
    "scarf": "scarf", "veil": "veil", "halo": "halo", "horns": "horns", "wings": "wings",
    "flower": "flower",
}  # fmt: skip
_NO = frozenset(("no", "without", "not", "minus", "never"))
_BREAKS = frozenset(("and", "with", "on", "in", "wearing", "has", "having", "against", "over"))
_LINKS = frozenset(
    (
        "is", "are", "color", "colour", "colored", "coloured", "dyed", "that", "which", "from",
        "of", "in", "a", "an", "the",
    )
)  # fmt: skip

# Kinds of pieces that end the search for a noun's colors, before and after the first one is found.
_ENDS = ("region", "thing", "break", "no", "join")
_ENDS_AFTER_COLOR = ("region", "thing", "break", "no", "word", "link")

# "ff69b4" or "0xff69b4": no English word has letters and digits mixed like that
_BARE_HEX = re.compile(
    r"(?<![#\w])(?:0x([0-9a-f]{6})|((?=\d*[a-f])(?=[a-f]*\d)[0-9a-f]{6}|0{6}|f{6}))\b"
)
_HALVES = re.compile(r"(\bhalf [a-z ]+),(?=\s*half\b)")
_TOKEN = re.compile(r"#[0-9a-f]+|[a-z]+|[&/+]|[,;.\n]")


def plain_text(text: str) -> str:
    """Return a prompt without A1111 syntax: parentheses, brackets, weights, BREAK, <lora:...>.

    Unlike ``parse_prompt`` it never refuses a text, and captions are no prompts: what is to be
    drawn is parsed there, and here words are only looked for.
    """
    text = re.sub(r"<[^<>]*>", ",", text)
    text = re.sub(r"\bembedding:[^\s,()\[\]:]+", ",", text)
    text = re.sub(r"\b(?:BREAK|AND)\b", ",", text)
    text = re.sub(r":\s*[-+]?\d*\.?\d+\s*(?=[)\]])", "", text)
    return re.sub(r"[()\[\]{}\\|]", " ", text)


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """One understood stretch of a prompt."""

    kind: str  # "hex", "color", "region", "thing", "no", "join", "break", "link", "word", "stop"
    text: str


def _pieces(text: str) -> list[_Piece]:
    """Return a prompt as pieces, color phrases taken together."""
    spelled = plain_text(text).lower().replace("_", " ").replace("-", " ")
    spelled = re.sub(r"\beye patch\b", "eyepatch", spelled)
    spelled = _HALVES.sub(r"\1", _BARE_HEX.sub(_with_mark, spelled))
    tokens = [word for word in _TOKEN.findall(spelled) if word != "or"]
    pieces: list[_Piece] = []
    at = 0
    while at < len(tokens):
        length = _color_length(tokens, at)
        if length:
            color = _Piece(kind="color", text=" ".join(tokens[at : at + length]))
            if pieces and pieces[-1].kind == "color":
                color = _side_by_side(pieces.pop(), color)
            pieces.append(color)
        else:
            pieces.append(_piece(tokens[at], tokens[at + 1] if at + 1 < len(tokens) else ""))
        at += max(1, length)
    return pieces


def _with_mark(bare: re.Match[str]) -> str:
    return f"#{bare[1] or bare[2]}"


def _side_by_side(first: _Piece, second: _Piece) -> _Piece:
    """Return two colors without a word between them as one.

    "Navy blue" and "emerald green" are the shade; "silver white" is either, or between them.
    """
    if _terms(first) & _terms(second):
        return _closer(first, second)
    return _Piece(kind="color", text=f"{first.text} or {second.text}")


def _closer(first: _Piece, second: _Piece) -> _Piece:
    """Return the one that says more: "navy" of "navy blue"."""
    return second if first.text.split()[-1] in BASIC_TERMS else first


def _terms(color: _Piece) -> set[str]:
    words = [word for word in color.text.split() if word not in MODIFIERS]
    known = COLOR_NAMES.get(color.text.replace(" ", "")) or COLOR_NAMES.get("".join(words))
    return set(known.terms) if known else set()


def _color_length(tokens: list[str], start: int) -> int:
    """Return how many tokens from ``start`` are one color phrase, such as "dark hot pink"."""
    at = start
    while at < len(tokens) and at - start < 3 and tokens[at] in MODIFIERS:
        if _name_length(tokens, at):
            break
        at += 1
    length = _name_length(tokens, at)
    return at - start + length if length else 0


def _name_length(tokens: list[str], at: int) -> int:
    """Return how many tokens from ``at`` are one color name, the longest first."""
    for length in (4, 3, 2, 1):
        if len(tokens) >= at + length and "".join(tokens[at : at + length]) in COLOR_NAMES:
            return length
    return 0


def _piece(word: str, following: str) -> _Piece:
    """Return one word of a prompt as a piece."""
    if word.startswith("#"):
        # the opacity of "#rrggbbaa" says nothing of the color
        value = normal_hex(word[:-2] if len(word) == 9 else word)
        return _Piece(kind="hex", text=value) if value else _Piece(kind="word", text=word)
    if word in REGIONS and following not in _NOT_THE_REGION:
        return _Piece(kind="region", text=REGIONS[word])
    if word in _STREAKS:
        return _Piece(kind="region", text=_OF_HAIR)
    if word in ACCESSORIES and following != "less":
        return _Piece(kind="thing", text=ACCESSORIES[word])
    kinds = [
        ("stop", word in ",;.\n"),
        ("join", word in {"and", "&", "/", "+", "half", "to"}),
        ("no", word in _NO),
        ("link", word in _LINKS),
        ("break", word in _BREAKS),
    ]
    return _Piece(kind=next((kind for kind, holds in kinds if holds), "word"), text=word)


@dataclass
class _Found:
    """What has been bound so far (built up while a prompt is read, never handed out)."""

    hexes: dict[str, list[str]] = field(default_factory=dict)
    words: dict[str, list[str]] = field(default_factory=dict)
    accessories: list[str] = field(default_factory=list)

    def bind(self, region: str, piece: _Piece) -> None:
        """Give a region a color, unless it is a tone of skin."""
        if piece.kind == "hex":
            self.hexes.setdefault(region, []).append(piece.text)
        elif region != "skin" or not _SKIN_TONES.intersection(piece.text.split()):
            words = [word for word in piece.text.split() if word not in _NOT_A_SHADE]
            self.words.setdefault(region, []).append(" ".join(words))

    def color(self, region: str) -> str | None:
        """Return the color of a region: a hex wins over a word, several are joined by "and"."""
        colors = self.hexes.get(region) or self.words.get(region)
        return " and ".join(dict.fromkeys(colors)) if colors else None


def expectation_from_text(text: str) -> Expectation:
    """Return what a prompt promises; nothing promised is an empty Expectation. Never raises.

    Colors are hex codes, CSS names or common words, bound to background, hair, skin, eyes and lips
    before or after the noun. Words for the tone of a person's skin are not colors.
    """
    found = _Found()
    region = ""  # the last region named, to which a bare color in the next phrase still belongs
    for phrase in _phrases(_pieces(text)):
        if all(piece.kind in ("hex", "join") for piece in phrase):
            for piece in phrase:
                if region and piece.kind == "hex" and region not in found.hexes:
                    found.bind(region, piece)
            continue
        if region in _COLORED_LATER and [piece.kind for piece in phrase] == ["color"]:
            if found.color(region) is None:
                found.bind(region, phrase[0])
            continue
        region = _read_phrase(phrase, found) or ""
    plain = plain_text(text)
    regions = {name: found.color(name) for name in set(REGIONS.values()) - {"background"}}
    return Expectation(
        background=found.color("background"),
        regions=tuple(sorted((name, color) for name, color in regions.items() if color)),
        accessories=tuple(dict.fromkeys(found.accessories)),
        expression=expression_in(plain),
        subject=subject_in(plain),
    )


def _phrases(pieces: list[_Piece]) -> list[list[_Piece]]:
    """Return the pieces between commas."""
    phrases: list[list[_Piece]] = [[]]
    for piece in pieces:
        if piece.kind == "stop":
            phrases.append([])
        else:
            phrases[-1].append(piece)
    return [phrase for phrase in phrases if phrase]


def _read_phrase(phrase: list[_Piece], found: _Found) -> str | None:
    """Bind the colors and things of one phrase; return the last region it names."""
    nouns = [at for at, piece in enumerate(phrase) if piece.kind in ("region", "thing")]
    has_hair = any(phrase[at].text == "hair" for at in nouns)
    nouns_first = _nouns_come_first(phrase)
    last: str | None = None
    taken = 0  # pieces before this index are spoken for
    for at in nouns:
        before = [] if nouns_first else _colors_before(phrase, taken, at)
        before = [i for i in before if not _denied_color(phrase, i)]
        after = _right_after(phrase, at) if nouns_first else _colors_after(phrase, at)
        if _denied(phrase, at) or (phrase[at].text == _OF_HAIR and not has_hair):
            taken = at + 1
            continue
        if phrase[at].kind == "thing":
            found.accessories.append(phrase[at].text)
            taken = at + 1
            continue
        last = "hair" if phrase[at].text == _OF_HAIR else phrase[at].text
        if any(phrase[i].kind == "hex" for i in before):
            after = []  # "#ff69b4 hair #50be50 background": here hexes stand before their noun
        elif before:
            after = [i for i in after if phrase[i].kind == "hex"]
        for i in [*before, *after]:
            found.bind(last, phrase[i])
        taken = max([at, *after]) + 1
    if not any(piece.kind == "region" and piece.text == "hair" for piece in phrase):
        _bind_hair_by_itself(phrase, found)
    return last


def _colors_before(phrase: list[_Piece], start: int, noun: int) -> list[int]:
    """Return the indices of the colors that stand before a noun and belong to it.

    Words in between ("pink long hair") are passed over up to the first color; before that one
    only colors joined to it count, so that "red shirt blue hair" is blue.
    """
    colors: list[int] = []
    for at in range(noun - 1, start - 1, -1):
        kind = phrase[at].kind
        if kind in ("hex", "color"):
            colors.append(at)
        elif kind in (_ENDS_AFTER_COLOR if colors else _ENDS):
            break
    return colors[::-1]


def _nouns_come_first(phrase: list[_Piece]) -> bool:
    """Return whether each of several regions is followed by its color: "eyes blue hair pink"."""
    told = [piece.kind for piece in phrase if piece.kind in ("region", "thing", "hex", "color")]
    regions = [at for at, piece in enumerate(phrase) if piece.kind == "region"]
    alternate = all(kind != "region" for kind in told[1::2]) and "thing" not in told
    in_pairs = len(regions) > 1 and len(told) == 2 * len(regions) and alternate
    return in_pairs and all(_right_after(phrase, at) for at in regions)


def _right_after(phrase: list[_Piece], noun: int) -> list[int]:
    """Return the indices of the colors that follow a noun with nothing but links between."""
    colors: list[int] = []
    for at in range(noun + 1, len(phrase)):
        kind = phrase[at].kind
        if kind in ("hex", "color"):
            colors.append(at)
        elif kind not in ("link", "join"):
            break
    return colors


def _colors_after(phrase: list[_Piece], noun: int) -> list[int]:
    """Return the indices of the colors right after a noun ("hair is pink", "hair #ff69b4").

    A color that stands right before the next noun is that noun's.
    """
    colors = _right_after(phrase, noun)
    end = (colors[-1] if colors else noun) + 1
    while end < len(phrase) and phrase[end].kind == "word":
        end += 1
    follows_noun = end < len(phrase) and phrase[end].kind in ("region", "thing")
    if follows_noun:
        return [at for at in colors if phrase[at].kind == "hex"]
    return colors


def _denied(phrase: list[_Piece], noun: int) -> bool:
    """Return whether "no" or "without" stands before a noun, with at most two words between."""
    return any(phrase[at].kind == "no" for at in range(max(0, noun - 3), noun))


def _denied_color(phrase: list[_Piece], at: int) -> bool:
    """Return whether a color is itself what is not wanted: "no green in the background"."""
    return at > 0 and phrase[at - 1].kind == "no"


def _bind_hair_by_itself(phrase: list[_Piece], found: _Found) -> None:
    """Bind "a blonde woman" or "redhead": words that say hair without naming it."""
    for piece in phrase:
        head = piece.text.split()[-1]
        if piece.kind == "color" and head in _HAIR_BY_ITSELF and "hair" not in found.words:
            found.bind("hair", piece)
