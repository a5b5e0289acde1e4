"""Seeds as a person types them: "1, 2, 3"."""

from __future__ import annotations

import re

from core.errors import Fixable

HIGHEST_SEED = 2**32 - 1  # what every renderer takes
MOST_SEEDS = 64  # of one comparison: more is a slip of the keyboard
_BETWEEN = re.compile(r"[\s,;]+")


def read_seeds(text: str) -> tuple[int, ...]:
    """Return the seeds in ``text``, each once, in the order given; none when it is empty.

    Raises:
        Fixable: when something in it is no whole number from 0 to 4294967295, or there are more
            than 64.
    """
    pieces = [piece for piece in _BETWEEN.split(text) if piece]
    for piece in pieces:
        if not re.fullmatch(r"[0-9]{1,10}", piece) or int(piece) > HIGHEST_SEED:
            raise Fixable(
                f"{piece!r} is no seed; write whole numbers from 0 to {HIGHEST_SEED} with commas "
                "between them, such as 1, 2, 3."
            )
    seeds = tuple(dict.fromkeys(int(piece) for piece in pieces))
    if len(seeds) > MOST_SEEDS:
        raise Fixable(f"At most {MOST_SEEDS} seeds can be compared at once, not {len(seeds)}.")
    return seeds
