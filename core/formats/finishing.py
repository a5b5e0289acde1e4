"""How the small picture that is shipped is made from the large one: read from a recipe's text.

Such as "cells", "nearest, palette:16", "cells, palette:#140c1c #442434, upscale:8" with hex colors
or the name of a palette of the suite.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from core.errors import Fixable
from core.formats.color_names import normal_hex

_MOST_COLORS = 256
_LARGEST_STEP = 64
_KNOWN = (
    "cells or nearest, then palette:16, palette:NAME or palette:#rrggbb #rrggbb, then upscale:8"
)


@dataclass(frozen=True, kw_only=True)
class Finishing:
    """The steps, in their order."""

    reading: Literal["cells", "nearest"] = "cells"  # a cell's median, or the pixel at its center
    colors: int | None = None  # 2-256: reduced to so many of its own
    palette: tuple[str, ...] = ()  # "#rrggbb": each cell takes the nearest of these
    upscale: int = 1  # whole factor, each cell a square

    @property
    def text(self) -> str:
        """The one text of these steps, as a recipe stores it."""
        steps: list[str] = [self.reading]
        if self.palette:
            steps.append(f"palette:{' '.join(self.palette)}")
        elif self.colors is not None:
            steps.append(f"palette:{self.colors}")
        if self.upscale > 1:
            steps.append(f"upscale:{self.upscale}")
        return ", ".join(steps)

    @property
    def is_plain(self) -> bool:
        """Whether cells look as they are read without any finishing; enlarging changes none."""
        return self.reading == "cells" and self.colors is None and not self.palette


def read_finishing(text: str, palettes: Mapping[str, tuple[str, ...]] | None = None) -> Finishing:
    """Return what a recipe's finishing means; ``palettes`` are those that have a name.

    Raises Fixable, in a clause, for a step that is not known, stands twice or in another order.
    """
    found: dict[str, object] = {}
    order = ["reading", "palette", "upscale"]
    for step in (part.strip() for part in text.split(",")):
        kind, values = _read_step(step, palettes or {})
        if kind not in order:
            raise Fixable(f"finishing '{text}' has '{step}' twice or out of order: {_KNOWN}")
        order = order[order.index(kind) + 1 :]
        found |= values
    return Finishing(**found)  # type: ignore[arg-type]


def read_palettes(body: object) -> dict[str, tuple[str, ...]]:
    """Return the palettes of a suite's [palettes] table: name = ["#140c1c", "#442434"].

    Raises Fixable, in a clause that names the palette.
    """
    if not isinstance(body, dict):
        raise Fixable('palettes are written as a [palettes] table with lines NAME = ["#140c1c"]')
    found = {}
    for name, colors in body.items():
        if not re.fullmatch(r"[A-Za-z][\w-]*", name) or not isinstance(colors, list):
            raise Fixable(
                f"the palette '{name}' must be a list of hex colors, under a word as name"
            )
        found[name] = _colors(name, colors)
    return found


def _read_step(step: str, palettes: Mapping[str, tuple[str, ...]]) -> tuple[str, dict[str, object]]:
    """Return the kind of a step, and the fields it sets."""
    if step in ("cells", "nearest"):
        return "reading", {"reading": step}
    kind, _, value = (part.strip() for part in step.partition(":"))
    if kind == "palette" and value.isdecimal():
        return kind, {"colors": _whole(step, value, _MOST_COLORS)}
    if kind == "palette" and value.startswith("#"):
        return kind, {"palette": _colors("palette", value.split())}
    if kind == "palette" and value in palettes:
        return kind, {"palette": palettes[value]}
    if kind == "palette" and value:
        known = ", ".join(palettes) or "none"
        raise Fixable(f"finishing names the palette '{value}'; under [palettes] stands: {known}")
    if kind == "upscale" and value.isdecimal():
        return kind, {"upscale": _whole(step, value, _LARGEST_STEP)}
    raise Fixable(f"finishing has '{step}', which is not known: {_KNOWN}")


def _whole(step: str, value: str, most: int) -> int:
    """Return a number of 2 to ``most``."""
    number = int(value[:9])
    if not 2 <= number <= most:
        raise Fixable(f"finishing has '{step}': it can be 2 to {most}")
    return number


def _colors(name: str, colors: Sequence[object]) -> tuple[str, ...]:
    """Return 2 to 256 different colors as "#rrggbb"."""
    tidy = [normal_hex(color) if isinstance(color, str) else None for color in colors]
    for color, normal in zip(colors, tidy, strict=True):
        if normal is None:
            raise Fixable(f"'{color}' in {name} is not a hex color such as #50be50")
    distinct = tuple(dict.fromkeys(color for color in tidy if color))
    if not 2 <= len(distinct) <= _MOST_COLORS:
        raise Fixable(f"{name} has {len(distinct)} colors: it can have 2 to {_MOST_COLORS}")
    return distinct
