"""Draws the other thing the demo's base model knows: small game icons, pixel for pixel.

Icons are crisp and their captions tell the background truly; portraits are neither. A LoRA can so
learn pixel-art portraits quickly, by bringing together what the base knows apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from daemon.demo.sprites import COLORS, GRID, Cells, rgb, shade

if TYPE_CHECKING:
    import random

    from numpy.typing import NDArray

ICON_PREFIX = "game icon"
HALF = GRID // 2


def icon(rng: random.Random) -> tuple[Cells, str]:
    """Draw a mirrored shape as (24, 24, 3) uint8 cells, and word its caption."""
    shape, background, detail = rng.sample(list(COLORS), 3)
    cells = np.zeros((GRID, GRID, 3), np.uint8)
    cells[:] = rgb(COLORS[background])
    body = blob(rng)
    cells[body] = rgb(COLORS[shape])
    cells[body & ~np.roll(body, -1, axis=0)] = shade(rgb(COLORS[shape]), 0.6)
    for _ in range(rng.randint(1, 3)):
        spot = patch(rng)
        cells[spot & body] = rgb(COLORS[detail])
    words = f"{shape} shape {COLORS[shape]}, {background} background {COLORS[background]}"
    return cells, f"{ICON_PREFIX}, {words}"


def blob(rng: random.Random) -> NDArray[np.bool_]:
    """Put together a few mirrored boxes; the outer two cells stay background."""
    filled = np.zeros((GRID, GRID), bool)
    for _ in range(rng.randint(2, 4)):
        top, left = rng.randint(3, 14), rng.randint(3, 10)
        filled[top : top + rng.randint(3, 9), left:HALF] = True
    filled[-2:] = False
    return filled | filled[:, ::-1]


def patch(rng: random.Random) -> NDArray[np.bool_]:
    """Place one small box and its mirror image."""
    spot = np.zeros((GRID, GRID), bool)
    top, left = rng.randint(4, 18), rng.randint(4, 10)
    spot[top : top + rng.randint(1, 3), left : left + rng.randint(1, 3)] = True
    return spot | spot[:, ::-1]
