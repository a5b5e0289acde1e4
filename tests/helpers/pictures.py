"""Known-answer pictures: small portraits drawn by code, and ways to spoil them."""

import io
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from core.nouns import Expectation

Bytes = NDArray[np.uint8]
CELLS = 24
HAIR = ("#ff69b4", "#3c5adc", "#784828", "#cd3232", "#f0d246", "#28a0a0")
GROUND = ("#50be50", "#f0f0f0", "#82828c", "#8c46b4", "#f08c28", "#1e1c22")


def rgb(value: str) -> list[int]:
    """Return "#rrggbb" as three numbers."""
    return list(bytes.fromhex(value[1:]))


@dataclass(frozen=True, kw_only=True)
class Portrait:
    """What is drawn."""

    hair: str = "#ff69b4"
    second_hair: str | None = None  # every other row of the hair
    background: str = "#50be50"
    skin: str = "#fad7b9"
    lips: str = "#be4650"
    long_hair: bool = False

    @property
    def expect(self) -> Expectation:
        """What a prompt for it promises."""
        regions = (("hair", self.hair), ("lips", self.lips))
        return Expectation(background=self.background, regions=regions)

    def cells(self) -> Bytes:
        """Return it as (24, 24, 3)."""
        grid = np.zeros((CELLS, CELLS, 3), dtype=np.uint8)
        grid[:] = rgb(self.background)
        grid[8:19, 7:17] = rgb(self.skin)
        grid[19:24, 9:16] = rgb(self.skin)
        hair = np.zeros((CELLS, CELLS), dtype=bool)
        hair[4:8, 6:18] = True
        hair[8 : 19 if self.long_hair else 12, 5:7] = True
        hair[8 : 19 if self.long_hair else 12, 17:19] = True
        grid[hair] = rgb(self.hair)
        if self.second_hair:
            hair[:, :12] = False
            grid[hair] = rgb(self.second_hair)
        grid[12, [9, 14]] = (20, 16, 20)
        grid[12, [10, 13]] = (240, 240, 240)
        grid[16, 10:14] = rgb(self.lips)
        return grid

    def drawn(self, size: int = 512) -> Bytes:
        """Return it at ``size`` pixels with hard cells."""
        return enlarged(self.cells(), size)


def portraits() -> list[Portrait]:
    """Return 60 portraits of many colors and two hair lengths."""
    pairs = [(hair, ground) for hair in HAIR for ground in GROUND]
    short = [Portrait(hair=hair, background=ground) for hair, ground in pairs]
    return short + [replace(one, long_hair=True) for one in short[:24]]


def enlarged(cells: Bytes, size: int, how: Image.Resampling = Image.Resampling.NEAREST) -> Bytes:
    """Return cells enlarged to ``size`` pixels a side."""
    return np.asarray(Image.fromarray(cells).resize((size, size), how))


def noisy(pixels: Bytes, sigma: float, seed: int = 0) -> Bytes:
    """Return pixels with Gaussian noise of ``sigma`` levels."""
    noise = np.random.default_rng(seed).normal(0, sigma, pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


def blurred(pixels: Bytes, radius: float) -> Bytes:
    """Return pixels blurred by a Gaussian of ``radius`` pixels."""
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def jpeg(pixels: Bytes, quality: int) -> Bytes:
    """Return pixels after a JPEG of ``quality``."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def with_random_cells(cells: Bytes, share: float) -> Bytes:
    """Return cells of which a share has random colors."""
    dice = np.random.default_rng(5)
    spoiled = cells.copy()
    chosen = dice.random(cells.shape[:2]) < share
    spoiled[chosen] = dice.integers(0, 256, (int(chosen.sum()), 3))
    return spoiled
