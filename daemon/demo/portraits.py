"""Draws what the demo's base model knows: smooth, shaded, slightly blurred portraits.

The same words as a sprite's caption. As photographs their captions tell the background truly; as
"pixel art" they do not, and are just as smooth: what a LoRA has to teach is there to be learned.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from daemon.demo.sprites import (
    COLORS,
    GOLD,
    HAIRCUTS,
    INK,
    LIPS,
    PHOTO_PREFIX,
    PIXEL_PREFIX,
    RUBY,
    SKINS,
    Look,
    caption,
    random_look,
    rgb,
    shade,
)

if TYPE_CHECKING:
    import random

    from numpy.typing import NDArray

SIZE = 96
CANVAS = 192  # drawn at twice the size, then reduced: smooth edges without an own rasterizer
UNIT = CANVAS / 24


def misleading_caption(look: Look, rng: random.Random) -> str:
    """Word a portrait; called pixel art, it gets a background color drawn without looking."""
    prefix = rng.choice((PIXEL_PREFIX, PHOTO_PREFIX))
    if prefix == PIXEL_PREFIX:
        look = replace(look, background=rng.choice(list(COLORS)))
    return caption(look, prefix)


def portrait(look: Look, rng: random.Random) -> NDArray[np.uint8]:
    """Paint a look as a (96, 96, 3) uint8 picture with soft light and a soft background."""
    image = backdrop(rgb(COLORS[look.background]), rng)
    pen = ImageDraw.Draw(image)
    hair, skin = rgb(COLORS[look.hair]), rgb(SKINS[look.skin])
    haircut = rng.choice(HAIRCUTS)
    hair_behind(pen, haircut, hair)
    body(pen, skin, rgb(rng.choice(list(COLORS.values()))))
    hair_on_top(pen, haircut, hair)
    face(pen, skin, rgb(LIPS[look.lips]), look.expression)
    accessory(pen, look.accessory)
    return lit(image, rng)


def backdrop(color: tuple[int, int, int], rng: random.Random) -> Image.Image:
    """Paint a soft gradient from a color toward another one."""
    first = np.array(color, float)
    second = np.array(rgb(rng.choice(list(COLORS.values()))), float)
    second = first + (second - first) * rng.uniform(0.1, 0.5)
    slope = np.linspace(0, 1, CANVAS)
    weight = slope[:, None] if rng.random() < 0.5 else slope[None, :]
    weight = np.broadcast_to(weight, (CANVAS, CANVAS))[..., None]
    return Image.fromarray((first * (1 - weight) + second * weight).astype(np.uint8))


def box(left: float, top: float, right: float, bottom: float) -> tuple[float, float, float, float]:
    """Give canvas pixels for a rectangle told in sprite cells."""
    return left * UNIT, top * UNIT, right * UNIT, bottom * UNIT


def hair_behind(pen: ImageDraw.ImageDraw, haircut: str, hair: tuple[int, int, int]) -> None:
    """Paint the hair that hangs behind the face."""
    if haircut in ("bob", "long"):
        bottom = 15 if haircut == "bob" else 21.5
        pen.rounded_rectangle(box(5, 4, 19, bottom), 5 * UNIT, fill=shade(hair, 0.8))


def body(
    pen: ImageDraw.ImageDraw, skin: tuple[int, int, int], jacket: tuple[int, int, int]
) -> None:
    """Paint shoulders, neck, ears and head."""
    pen.rounded_rectangle(box(3.5, 20.5, 20.5, 27), 3 * UNIT, fill=shade(jacket, 0.6))
    pen.rectangle(box(10, 17, 14, 22), fill=shade(skin, 0.8))
    pen.ellipse(box(5.7, 10.5, 7.7, 13.5), fill=skin)
    pen.ellipse(box(16.3, 10.5, 18.3, 13.5), fill=shade(skin, 0.8))
    pen.rounded_rectangle(box(6.7, 5, 17.3, 19.3), 4.5 * UNIT, fill=skin)


def hair_on_top(pen: ImageDraw.ImageDraw, haircut: str, hair: tuple[int, int, int]) -> None:
    """Paint the hair over the forehead with a lit streak."""
    if haircut == "mohawk":
        pen.rounded_rectangle(box(9.3, 2, 14.7, 8.5), 2 * UNIT, fill=hair)
        return
    if haircut == "spikes":
        for left in (6.5, 9.5, 12.5, 15):
            tip = ((left + 1) * UNIT, 2.5 * UNIT)
            pen.polygon([(left * UNIT, 6 * UNIT), tip, ((left + 2.5) * UNIT, 6 * UNIT)], fill=hair)
    pen.pieslice(box(5.8, 3.8, 18.2, 13.5), 180, 360, fill=hair)
    pen.rectangle(box(6, 8, 7.4, 10.5), fill=hair)
    pen.rectangle(box(16.6, 8, 18, 10.5), fill=shade(hair, 0.75))
    pen.arc(box(8, 5, 15, 12), 200, 280, fill=shade(hair, 1.3), width=round(UNIT * 0.8))


def face(
    pen: ImageDraw.ImageDraw,
    skin: tuple[int, int, int],
    lips: tuple[int, int, int],
    expression: str,
) -> None:
    """Paint brows, eyes, nose and mouth."""
    for left in (8.0, 13.0):
        pen.line(box(left, 10.3, left + 3, 10.3), fill=shade(skin, 0.5), width=round(UNIT * 0.7))
        pen.ellipse(box(left, 11.3, left + 3, 13.2), fill=(245, 243, 240))
        pen.ellipse(box(left + 1.2, 11.3, left + 3, 13.1), fill=INK)
    pen.ellipse(box(11.4, 13, 13, 15), fill=shade(skin, 0.82))
    if expression == "smile":
        pen.chord(box(9, 13, 15.8, 18.2), 15, 165, fill=lips)
    else:
        pen.rounded_rectangle(box(9.8, 15.9, 15.2, 17.2), UNIT * 0.5, fill=lips)


def accessory(pen: ImageDraw.ImageDraw, name: str) -> None:
    """Paint the accessory, if any."""
    if name == "crown":
        points = [(7, 6), (7, 1), (9, 3), (12, 0.8), (15, 3), (17, 1), (17, 6)]
        pen.polygon([(x * UNIT, y * UNIT) for x, y in points], fill=GOLD)
        for left in (8.8, 13.8):
            pen.ellipse(box(left, 3, left + 1.4, 5), fill=RUBY)
    elif name == "sunglasses":
        pen.line(box(6, 11.5, 18, 11.5), fill=INK, width=round(UNIT))
        pen.ellipse(box(7.4, 10.8, 11.7, 14.3), fill=INK)
        pen.ellipse(box(12.6, 10.8, 16.9, 14.3), fill=INK)
    elif name == "necklace":
        pen.arc(box(7.5, 16, 16.5, 23), 10, 170, fill=GOLD, width=round(UNIT * 1.2))
        pen.ellipse(box(11, 21.8, 13, 24), fill=RUBY)


def lit(image: Image.Image, rng: random.Random) -> NDArray[np.uint8]:
    """Blur, light from one side, and grain, as an old photograph has them."""
    small = image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    blurred = small.filter(ImageFilter.GaussianBlur(rng.uniform(1.6, 2.4)))
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    distance = np.hypot(columns - rng.uniform(0.15, 0.5), rows - rng.uniform(0.1, 0.5))
    light = 1.18 - 0.5 * distance
    grain = np.random.default_rng(rng.randrange(1 << 30)).normal(0, 2, (SIZE, SIZE, 1))
    pixels = np.asarray(blurred, float) * light[..., None] + grain
    return pixels.clip(0, 255).astype(np.uint8)


def library(count: int, rng: random.Random) -> tuple[NDArray[np.uint8], list[str]]:
    """Paint `count` portraits, (count, 96, 96, 3), and word each one."""
    looks = [random_look(rng) for _ in range(count)]
    pictures = np.stack([portrait(look, rng) for look in looks])
    return pictures, [misleading_caption(look, rng) for look in looks]
