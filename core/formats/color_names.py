"""Color words as people write them: the CSS names, everyday additions, and their basic terms.

A table only: what a word means for a measured color is decided by `core.metrics.color_words`.
"""

import re
from dataclasses import dataclass

BASIC_TERMS: tuple[str, ...] = (
    "black", "white", "gray", "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown",
)  # fmt: skip

MODIFIERS: tuple[str, ...] = (
    "dark", "deep", "light", "pale", "pastel", "soft", "bright", "vivid", "neon", "medium",
    "rich", "dull", "muted", "dusty", "electric", "solid", "plain", "hot", "baby",
)  # fmt: skip

# Name, hex and basic terms (Berlin & Kay 1969), the most usual term first. The hex values are
# those of CSS Color Module Level 4, section 6.1; the terms are this project's own.
_CSS = """
aliceblue f0f8ff white,blue|antiquewhite faebd7 white|aqua 00ffff blue,green
aquamarine 7fffd4 green,blue|azure f0ffff white,blue|beige f5f5dc white,brown,yellow
bisque ffe4c4 orange,pink,white|black 000000 black|blanchedalmond ffebcd white,yellow,orange
blue 0000ff blue|blueviolet 8a2be2 purple|brown a52a2a red,brown|burlywood deb887 brown,orange
cadetblue 5f9ea0 blue,green|chartreuse 7fff00 green|chocolate d2691e brown,orange
coral ff7f50 orange,pink,red|cornflowerblue 6495ed blue|cornsilk fff8dc white,yellow
crimson dc143c red|cyan 00ffff blue,green|darkblue 00008b blue|darkcyan 008b8b blue,green
darkgoldenrod b8860b brown,yellow,orange|darkgray a9a9a9 gray|darkgrey a9a9a9 gray
darkgreen 006400 green|darkkhaki bdb76b yellow,green,brown|darkmagenta 8b008b purple
darkolivegreen 556b2f green|darkorange ff8c00 orange|darkorchid 9932cc purple|darkred 8b0000 red
darksalmon e9967a orange,pink|darkseagreen 8fbc8f green|darkslateblue 483d8b purple,blue
darkslategray 2f4f4f gray,green|darkslategrey 2f4f4f gray,green|darkturquoise 00ced1 blue,green
darkviolet 9400d3 purple|deeppink ff1493 pink|deepskyblue 00bfff blue|dimgray 696969 gray
dimgrey 696969 gray|dodgerblue 1e90ff blue|firebrick b22222 red|floralwhite fffaf0 white
forestgreen 228b22 green|fuchsia ff00ff pink,purple|gainsboro dcdcdc gray,white
ghostwhite f8f8ff white|gold ffd700 yellow,orange|goldenrod daa520 yellow,orange,brown
gray 808080 gray|grey 808080 gray|green 008000 green|greenyellow adff2f green,yellow
honeydew f0fff0 white,green|hotpink ff69b4 pink|indianred cd5c5c red,pink|indigo 4b0082 purple,blue
ivory fffff0 white|khaki f0e68c yellow,brown|lavender e6e6fa purple,white,blue
lavenderblush fff0f5 white,pink|lawngreen 7cfc00 green|lemonchiffon fffacd yellow,white
lightblue add8e6 blue|lightcoral f08080 pink,red|lightcyan e0ffff white,blue
lightgoldenrodyellow fafad2 yellow,white|lightgreen 90ee90 green|lightgray d3d3d3 gray
lightgrey d3d3d3 gray|lightpink ffb6c1 pink|lightsalmon ffa07a orange,pink
lightseagreen 20b2aa green,blue|lightskyblue 87cefa blue|lightslategray 778899 gray,blue
lightslategrey 778899 gray,blue|lightsteelblue b0c4de blue|lightyellow ffffe0 yellow,white
lime 00ff00 green|limegreen 32cd32 green|linen faf0e6 white|magenta ff00ff pink,purple
maroon 800000 red,brown,purple|mediumaquamarine 66cdaa green|mediumblue 0000cd blue
mediumorchid ba55d3 purple|mediumpurple 9370db purple|mediumseagreen 3cb371 green
mediumslateblue 7b68ee purple,blue|mediumspringgreen 00fa9a green|mediumturquoise 48d1cc blue,green
mediumvioletred c71585 pink,purple|midnightblue 191970 blue|mintcream f5fffa white,green
mistyrose ffe4e1 pink,white|moccasin ffe4b5 orange,yellow|navajowhite ffdead orange,yellow
navy 000080 blue|oldlace fdf5e6 white|olive 808000 green,yellow|olivedrab 6b8e23 green
orange ffa500 orange|orangered ff4500 red,orange|orchid da70d6 purple,pink
palegoldenrod eee8aa yellow|palegreen 98fb98 green|paleturquoise afeeee blue,green
palevioletred db7093 pink,purple|papayawhip ffefd5 white,orange|peachpuff ffdab9 orange,pink
peru cd853f brown,orange|pink ffc0cb pink|plum dda0dd purple,pink|powderblue b0e0e6 blue
purple 800080 purple|rebeccapurple 663399 purple|red ff0000 red|rosybrown bc8f8f pink,brown,gray
royalblue 4169e1 blue|saddlebrown 8b4513 brown|salmon fa8072 pink,orange|sandybrown f4a460 orange
seagreen 2e8b57 green|seashell fff5ee white|sienna a0522d brown|silver c0c0c0 gray
skyblue 87ceeb blue|slateblue 6a5acd purple,blue|slategray 708090 gray,blue
slategrey 708090 gray,blue|snow fffafa white|springgreen 00ff7f green|steelblue 4682b4 blue
tan d2b48c brown,orange|teal 008080 blue,green|thistle d8bfd8 purple,pink|tomato ff6347 red,orange
turquoise 40e0d0 blue,green|violet ee82ee purple,pink|wheat f5deb3 yellow,brown,orange
white ffffff white|whitesmoke f5f5f5 white|yellow ffff00 yellow|yellowgreen 9acd32 green,yellow
"""

# Words of captions that CSS does not know; and, with a hyphen so that no caption can say them,
# labeled shades that CSS is poor in.
_EVERYDAY = """
amber f0a028 orange|golden ffd700 yellow,orange
auburn 8a3324 brown,red,orange|blond f0d27a yellow,orange,brown|blonde f0d27a yellow,orange,brown
bronze cd7f32 brown,orange|brunette 5a3825 brown|burgundy 800020 red,purple,brown
caramel b5722f brown,orange|charcoal 36454f gray,black|chestnut 954535 brown,red
copper b87333 brown,orange|cream fffdd0 white,yellow|ebony 231f20 black|emerald 50c878 green
ginger c8602a orange,brown,red|hazel 8e7618 brown,green,yellow|jade 00a86b green
lilac c8a2c8 purple,pink|mauve e0b0ff purple,pink|mint 98ffb8 green|mustard e1ad01 yellow,orange
ochre cc7722 orange,brown|peach ffcba4 orange,pink|platinum e5e4e2 white,gray,yellow
raven 14141c black|redhead b5492a orange,red,brown|rose-tone ff5c8d pink,red|ruby e0115f red,pink
rust b7410e brown,orange,red|sand-tone e0c590 yellow,brown,orange|sapphire 0f52ba blue
scarlet ff2400 red|strawberryblonde e8a06c orange,yellow,pink,brown
dark-brown 3b2414 brown|mid-brown 6f4520 brown|umber-tone 7a5030 brown|coffee-tone 4b3621 brown
dark-purple 301934 purple|dark-pink b03070 pink|dark-yellow b8a000 yellow|near-black 1e1e23 black
soot-tone 0c0c14 black|ink-tone 14100f black|dark-gray 404040 gray|mid-green 50be50 green
night-tone 10103c blue|dark-teal 004d4d green,blue|bottle-tone 0b3d17 green
wine-tone 4a0a14 red|burnt-orange cc5500 orange
dusk-pink c86496 pink|mid-purple 8c46b4 purple|denim-tone 3c5adc blue|brick-tone c83232 red
pale-yellow f5e67d yellow|amber-tone f0a028 orange|slate-mid 82828c gray|pearl-tone f0f0f0 white
"""


@dataclass(frozen=True, kw_only=True)
class NamedColor:
    """One color word: its usual hex and the basic terms it may be called by, best first."""

    name: str
    hex: str  # "#rrggbb"
    terms: tuple[str, ...]


def _parse(table: str) -> dict[str, NamedColor]:
    """Return the colors of one of the tables above by name."""
    rows = [row.split() for row in table.replace("\n", "|").split("|") if row.strip()]
    return {
        name: NamedColor(name=name, hex=f"#{value}", terms=tuple(terms.split(",")))
        for name, value, terms in rows
    }


# There, darkgray is lighter than gray, and darkorange no darker than orange.
_NOT_AS_IN_CSS = (["dark", "gray"], ["dark", "grey"], ["dark", "orange"])

CSS_COLORS: dict[str, NamedColor] = _parse(_CSS)
COLOR_NAMES: dict[str, NamedColor] = {**CSS_COLORS, **_parse(_EVERYDAY)}

_HEX = re.compile(r"#(?:[0-9a-f]{6}|[0-9a-f]{3})")


def normal_hex(text: str) -> str | None:
    """Return ``text`` as lower-case "#rrggbb" ("#abc" is widened), or None when it is no hex."""
    text = text.strip().lower()
    if not _HEX.fullmatch(text):
        return None
    return text if len(text) == 7 else "#" + "".join(2 * digit for digit in text[1:])


@dataclass(frozen=True, kw_only=True)
class ColorWord:
    """A color phrase taken apart, such as "dark hot pink" into ("dark",) and hotpink."""

    modifiers: tuple[str, ...]
    color: NamedColor


def color_word(text: str) -> ColorWord | None:
    """Return what a phrase of up to four words means, or None when it holds no known color.

    Longest name first: "hot pink" is the CSS color hotpink, not pink with a modifier. Two words
    that everybody means otherwise than CSS does are a modifier and a color.
    """
    words = re.findall(r"[a-z]+", text.lower().replace("-", " ").replace("_", " "))
    if not 0 < len(words) <= 4:
        return None
    for start in range(len(words)):
        if words[start:] in _NOT_AS_IN_CSS:
            continue
        named = COLOR_NAMES.get("".join(words[start:])) or COLOR_NAMES.get(_last(words[start:]))
        if named and all(word in MODIFIERS for word in words[:start]):
            return ColorWord(modifiers=tuple(words[:start]), color=named)
    return None


def _last(words: list[str]) -> str:
    """Return the head of a color compound ("sky blue green" and "blue green" end in green)."""
    compound = [word for word in words if word in COLOR_NAMES]
    return words[-1] if len(compound) == len(words) and len(words) == 2 else ""
